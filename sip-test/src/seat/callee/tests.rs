use std::time::Duration;

use super::*;
use crate::{
    audio::Codec,
    timers::{GIVE_UP, T1},
};

const SDP: &str = "v=0\r\nc=IN IP4 10.0.0.9\r\nm=audio 4000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n";
const SECOND: Duration = Duration::from_secs(1);

fn plan() -> Plan {
    Plan {
        behaviour: Behaviour::Answer,
        answer_after: SECOND,
        hang_up_after: None,
        hold: None,
        refer: None,
        codecs: vec![Codec::Alaw, Codec::Ulaw],
    }
}

/// The caller's side of the dialog, and the call as it rings.
struct Stage {
    seat: Callee,
    caller: Dialog,
    now: Instant,
}

impl Stage {
    fn new(plan: Plan, body: &str, headers: &[(&str, &str)]) -> Self {
        let now = Instant::now();
        let caller =
            Dialog::new("sip:8001@10.0.0.1:5070", "10.0.0.9:5060".parse().unwrap(), "13800000000", None, false);
        let invite = caller.request("INVITE", 10, "z9hG4bKinvite", headers, body);
        let place = Place {
            local: "10.0.0.1:5070".parse().unwrap(),
            media: "10.0.0.1:6000".parse().unwrap(),
            contact: "<sip:8001@10.0.0.1:5070>".into(),
            tcp: false,
        };
        let seat = Callee::new(Message::parse(invite.as_bytes()).unwrap(), plan, place, now);
        Self { seat, caller, now }
    }

    /// A call that was answered and acknowledged.
    fn answered(plan: Plan) -> Self {
        let mut stage = Self::new(plan, SDP, &[]);
        stage.sent();
        stage.pass(SECOND);
        let answer = stage.sent().remove(0);
        assert_eq!(answer.status, Some(200));
        stage.caller.confirm(&answer);
        stage.ask("ACK", 10, "z9hG4bKack", "");
        stage
    }

    /// What goes out, read back; actions without text are dropped.
    fn sent(&mut self) -> Vec<Message> {
        let texts = std::iter::from_fn(|| self.seat.poll_action()).filter_map(|action| match action {
            Action::Answer(text) | Action::Request(text) => Some(text),
            _ => None,
        });
        texts.map(|text| Message::parse(text.as_bytes()).unwrap()).collect()
    }

    fn statuses(&mut self) -> Vec<u16> {
        self.sent().iter().filter_map(|message| message.status).collect()
    }

    /// Sends a request of the caller; what it is answered with.
    fn ask(&mut self, method: &str, cseq: u32, branch: &str, body: &str) -> Vec<u16> {
        let text = self.caller.request(method, cseq, branch, &[], body);
        self.seat.handle_request(&Message::parse(text.as_bytes()).unwrap(), self.now);
        self.statuses()
    }

    /// Answers a request of the seat.
    fn reply(&mut self, request: &Message, status: &str, body: &str) {
        let answer = request.answer(status, "far", &[("Contact", "<sip:line@10.0.0.9>")], body);
        self.seat.handle_answer(&Message::parse(answer.as_bytes()).unwrap(), self.now);
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
        self.seat.handle_timeout(self.now);
    }

    fn is_over(&self) -> bool {
        matches!(self.seat.state, State::Over)
    }
}

#[test]
fn a_call_rings_is_answered_and_its_200_repeated_until_the_ack() {
    let mut stage = Stage::new(plan(), SDP, &[]);
    assert_eq!(stage.statuses(), [180]);
    assert_eq!(stage.seat.poll_timeout(), Some(stage.now + SECOND));
    stage.pass(SECOND);
    let answer = stage.sent().remove(0);
    assert!(answer.body.contains("RTP/AVP 8 96") && answer.body.contains("a=rtpmap:96 telephone-event"));
    stage.pass(T1);
    assert_eq!(stage.statuses(), [200]);
    stage.caller.confirm(&answer);
    stage.ask("ACK", 10, "z9hG4bKack", "");
    assert_eq!(stage.seat.poll_timeout(), None, "nothing is open, and the caller hangs up");
    assert_eq!(stage.ask("BYE", 11, "z9hG4bKbye", ""), [200]);
    assert!(stage.is_over());
    assert_eq!(stage.seat.facts.ended.unwrap().0, EndedBy::Far);
    assert_eq!(stage.seat.facts.requests, ["INVITE", "ACK", "BYE"]);
}

#[test]
fn a_200_nobody_acknowledges_ends_in_a_bye_after_32_seconds() {
    let mut stage = Stage::new(Plan { hang_up_after: Some(SECOND), ..plan() }, SDP, &[]);
    stage.pass(SECOND);
    let (answered, mut repeats) = (stage.now, 0);
    stage.sent();
    let bye = loop {
        stage.pass(stage.seat.poll_timeout().unwrap() - stage.now);
        match stage.sent().pop().unwrap() {
            message if message.status == Some(200) => repeats += 1,
            message => break message,
        }
    };
    assert_eq!((bye.method.as_deref(), repeats, stage.now - answered), (Some("BYE"), 10, GIVE_UP));
    stage.reply(&bye, "481 Call/Transaction Does Not Exist", "");
    assert!(stage.is_over() && stage.seat.facts.problem.as_ref().unwrap().contains("not acknowledged"));
}

#[test]
fn a_cancelled_call_gets_both_answers_and_a_late_cancel_changes_nothing() {
    let mut stage = Stage::new(Plan { behaviour: Behaviour::Ignore, ..plan() }, SDP, &[]);
    assert_eq!((stage.statuses(), stage.seat.poll_timeout()), (vec![180], None));
    assert_eq!(stage.ask("CANCEL", 10, "z9hG4bKother", ""), [481]);
    assert_eq!(stage.ask("CANCEL", 10, "z9hG4bKinvite", ""), [200, 487]);
    stage.pass(T1);
    assert_eq!(stage.statuses(), [487], "repeated until the ACK");
    stage.caller.to = format!("{};tag={}", stage.caller.to, stage.seat.tag);
    stage.ask("ACK", 10, "z9hG4bKinvite", "");
    assert!(stage.is_over());
    assert_eq!(stage.seat.facts.ended.unwrap().0, EndedBy::Cancelled);

    let mut late = Stage::answered(plan());
    assert_eq!(late.ask("CANCEL", 10, "z9hG4bKinvite", ""), [200]);
    assert!(matches!(late.seat.state, State::Talking));
}

#[test]
fn what_cannot_be_taken_is_refused_in_time() {
    let unfit = SDP.replace("8 96", "18");
    let sealed = SDP.replace("RTP/AVP", "RTP/SAVP");
    let refused = |plan: Plan, body: &str, headers: &[(&str, &str)]| {
        let mut stage = Stage::new(plan, body, headers);
        let mut statuses = stage.statuses();
        stage.pass(SECOND);
        statuses.extend(stage.statuses());
        statuses.truncate(2);
        statuses
    };
    assert_eq!(refused(plan(), &unfit, &[])[0], 488);
    assert_eq!(refused(plan(), &sealed, &[])[0], 488);
    assert_eq!(refused(plan(), SDP, &[("Require", "100rel")])[0], 420);
    assert_eq!(refused(Plan { behaviour: Behaviour::Busy, ..plan() }, SDP, &[])[0], 486);
    assert_eq!(refused(Plan { behaviour: Behaviour::Decline(603), ..plan() }, SDP, &[]), [180, 603]);
}

#[test]
fn requests_within_the_call_get_what_they_should() {
    let mut stage = Stage::answered(plan());
    assert_eq!(stage.ask("INFO", 11, "z9hG4bKa", ""), [200]);
    assert_eq!(stage.ask("OPTIONS", 12, "z9hG4bKb", ""), [200]);
    assert_eq!(stage.ask("UPDATE", 13, "z9hG4bKc", ""), [200]);
    assert_eq!(stage.ask("INFO", 13, "z9hG4bKd", ""), [500], "an old number");
    assert_eq!(stage.ask("MESSAGE", 14, "z9hG4bKe", ""), [405]);

    let held = format!("{SDP}a=sendonly\r\n");
    let text = stage.caller.request("INVITE", 15, "z9hG4bKf", &[], &held);
    stage.seat.handle_request(&Message::parse(text.as_bytes()).unwrap(), stage.now);
    let answer = stage.sent().remove(0);
    assert!(answer.status == Some(200) && answer.body.contains("a=recvonly"), "{}", answer.body);
    assert!(!stage.seat.bargain.far.as_ref().unwrap().listens);
    assert_eq!(stage.ask("INVITE", 16, "z9hG4bKg", SDP), [500], "the one before waits for its ACK");
    stage.ask("ACK", 15, "z9hG4bKh", "");
    assert_eq!(stage.ask("INVITE", 17, "z9hG4bKi", &SDP.replace("8 96", "18")), [488]);
    assert_eq!(stage.ask("UPDATE", 18, "z9hG4bKj", SDP), [200]);

    stage.caller.to = stage.caller.to.replace(";tag=", ";tag=not");
    assert_eq!(stage.ask("BYE", 19, "z9hG4bKk", ""), [481]);
    stage.caller.to = "<sip:8001@10.0.0.1:5070>".into();
    assert_eq!(stage.ask("INVITE", 10, "z9hG4bKl", SDP), [482], "the same INVITE by another way");
}

#[test]
fn a_call_is_held_asked_again_after_a_crossing_and_resumed() {
    let mut stage = Stage::answered(Plan { hold: Some((SECOND, SECOND * 5)), ..plan() });
    stage.pass(SECOND);
    let hold = stage.sent().remove(0);
    assert!(hold.method.as_deref() == Some("INVITE") && hold.body.contains("a=sendonly"));
    assert_eq!(stage.ask("INVITE", 11, "z9hG4bKx", SDP), [491], "ours is open");
    stage.reply(&hold, "491 Request Pending", "");
    assert_eq!(stage.sent()[0].branch(), hold.branch(), "a refusal is acknowledged within its transaction");
    stage.pass(SECOND * 2);
    let again = stage.sent().remove(0);
    stage.reply(&again, "200 OK", &SDP.replace("a=rtpmap", "a=recvonly\r\na=rtpmap"));
    let ack = stage.sent().remove(0);
    assert!(ack.method.as_deref() == Some("ACK") && ack.branch() != again.branch());
    stage.reply(&again, "200 OK", SDP);
    assert_eq!(stage.sent().len(), 1, "a 200 that comes again is acknowledged again");

    stage.pass(SECOND * 3);
    let resume = stage.sent().remove(0);
    let version = |message: &Message| message.body.split(' ').nth(2).unwrap().parse::<u32>().unwrap();
    assert!(resume.body.contains("a=sendrecv") && version(&resume) == version(&again) + 1);
    stage.reply(&resume, "200 OK", SDP);
    assert_eq!((stage.seat.facts.holds.as_slice(), stage.seat.bargain.holding), (&[491, 200, 200][..], false));
}

#[test]
fn a_transfer_that_is_done_ends_the_call_and_one_that_failed_does_not() {
    let refer = Some((SECOND, "sip:8002@10.0.0.9".to_owned()));
    for (fragment, over) in [("SIP/2.0 200 OK", true), ("SIP/2.0 486 Busy Here", false)] {
        let mut stage = Stage::answered(Plan { refer: refer.clone(), ..plan() });
        stage.pass(SECOND);
        let refer = stage.sent().remove(0);
        assert_eq!((refer.method.as_deref(), refer.header("Refer-To")), (Some("REFER"), Some("<sip:8002@10.0.0.9>")));
        stage.reply(&refer, "202 Accepted", "");
        assert_eq!(stage.ask("NOTIFY", 11, "z9hG4bKa", "SIP/2.0 100 Trying\r\n"), [200]);
        assert_eq!(stage.ask("NOTIFY", 12, "z9hG4bKb", fragment), [200]);
        stage.pass(Duration::ZERO);
        let bye = stage.sent().pop();
        assert_eq!(bye.is_some(), over, "{fragment}");
        if let Some(bye) = bye {
            stage.reply(&bye, "200 OK", "");
        }
        assert_eq!((stage.is_over(), stage.seat.facts.refer), (over, Some(202)));
        assert_eq!(stage.seat.facts.transfer.len(), 2);
    }
}

#[test]
fn an_offer_of_ours_is_answered_in_the_ack() {
    let mut stage = Stage::new(plan(), "", &[]);
    stage.pass(SECOND);
    let answer = stage.sent().pop().unwrap();
    assert!(answer.body.contains("RTP/AVP 8 0 101"));
    stage.caller.confirm(&answer);
    stage.ask("ACK", 10, "z9hG4bKack", &SDP.replace("8 96", "0"));
    assert_eq!(stage.seat.facts.codec, Some(Codec::Ulaw));

    let mut stage = Stage::new(plan(), "", &[]);
    stage.pass(SECOND);
    let answer = stage.sent().pop().unwrap();
    stage.caller.confirm(&answer);
    let text = stage.caller.request("ACK", 10, "z9hG4bKack", &[], "");
    stage.seat.handle_request(&Message::parse(text.as_bytes()).unwrap(), stage.now);
    assert_eq!(stage.sent().pop().unwrap().method.as_deref(), Some("BYE"), "no answer, no call");
}
