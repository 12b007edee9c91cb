//! Calls that a switch forks to us, in plain text (RFC 7866).

use super::*;

const RULES: &str = "Require: siprec\r\nAccept: application/sdp, application/rs-metadata\r\n";
const FORK: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 0\r\na=label:1\r\na=sendonly\r\nm=audio 4002 RTP/AVP 8 0\r\na=label:2\r\na=sendonly\r\n";

/// The seat speaks in stream 1, the caller in stream 2.
fn metadata(mode: &str, caller: &str, seat: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>{mode}</datamode>\
         <session session_id='s1'><sipSessionID>cs-77;remote=0</sipSessionID></session>\
         <participant participant_id='a'><nameID aor='{seat}'/></participant>\
         <participant participant_id='b'><nameID aor='{caller}'/></participant>\
         <stream stream_id='x' session_id='s1'><label>1</label></stream>\
         <stream stream_id='y' session_id='s1'><label>2</label></stream>\
         <participantstreamassoc participant_id='a'><send>x</send><recv>y</recv></participantstreamassoc>\
         <participantstreamassoc participant_id='b'><send>y</send><recv>x</recv></participantstreamassoc></recording>"
    )
}

fn whole() -> String {
    metadata("complete", "sip:+8613800000000@sbc", "sip:8001@pbx")
}

fn both(sdp: &str, metadata: &str) -> String {
    format!(
        "--cut\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--cut\r\nContent-Type: application/rs-metadata+xml\r\n\
         Content-Disposition: recording-session\r\n\r\n{metadata}\r\n--cut--\r\n"
    )
}

/// A request with a body of this type.
fn of_type(kind: &str, request: &str) -> String {
    request.replacen("Content-Type: application/sdp\r\n", &format!("Content-Type: {kind}\r\n"), 1)
}

const MIXED: &str = "multipart/mixed;boundary=cut";

async fn bench() -> Bench {
    let forks = Forks { sources: Networks::new(vec![([127, 0, 0, 1].into(), 32)]), seats: vec!["8???".into()] };
    Bench::open(SipSettings { forks, ..settings() }).await
}

impl Bench {
    /// An INVITE of a switch, to whatever it calls its recorder.
    fn fork(&self, call: &str, body: &str) -> String {
        let invite = of_type(MIXED, &self.request("INVITE", call, 1, "", RULES, body));
        let contact = format!("\r\nContact: <sip:13800000000@{}>", self.phone.local());
        invite.replacen("sip:12345@", "sip:srs@", 1).replacen(&contact, &format!("{contact};+sip.src"), 1)
    }

    async fn forked(&mut self, call: &str, body: &str) -> (Answered, sdp::Forked, String) {
        self.send(self.fork(call, body)).await;
        let incoming = self.incoming().await;
        assert!(incoming.forked.is_some());
        let (mut answered, settled) = incoming.answer_fork(ports()).expect("answered");
        let ok = self.hear_of("200 OK").await;
        self.send(self.request("ACK", call, 1, &tag_of(&ok), "", "")).await;
        assert_eq!(event(&mut answered).await, LegEvent::Acked);
        (answered, settled, ok)
    }
}

fn ports() -> [SocketAddr; 2] {
    ["127.0.0.1:30000", "127.0.0.1:30002"].map(|port| port.parse().expect("an address"))
}

fn port(side: Option<&sdp::Agreed>) -> Option<u16> {
    side.map(|it| it.address.port())
}

fn said(parties: &Parties) -> (Option<&str>, Option<&str>, Option<&str>, bool) {
    let caller = parties.caller.as_ref().map(|it| it.reveal().as_str());
    (caller, parties.fork.seat.as_deref(), parties.fork.session_id.as_deref(), parties.fork.told)
}

#[tokio::test]
async fn a_forked_call_is_taken_with_a_port_for_each_stream_and_the_names_of_its_metadata() {
    let mut bench = bench().await;
    bench.send(bench.fork("f1", &both(FORK, &whole()))).await;
    let incoming = bench.incoming().await;
    assert_eq!(incoming.caller.as_ref().map(|it| it.reveal().as_str()), Some("13800000000"), "not the one in From");
    assert_eq!(incoming.called, "12345", "the line has one number");
    let parties = incoming.forked.clone().expect("forked");
    assert_eq!(said(&parties), (Some("13800000000"), Some("8001"), Some("cs-77"), true));
    let (mut answered, settled) = incoming.answer_fork(ports()).expect("answered");
    assert_eq!(
        (port(settled.caller.as_ref()), port(settled.operator.as_ref())),
        (Some(4002), Some(4000)),
        "by label, not by order"
    );
    let ok = bench.hear_of("200 OK").await;
    let (first, second) = ok.split_once("m=audio 30002 ").expect("the operator's stream comes first");
    assert!(first.contains("c=IN IP4 127.0.0.1"), "{ok}");
    assert!(second.contains("a=recvonly\r\na=label:1\r\nm=audio 30000 RTP/AVP 8\r\n"), "{ok}");
    assert!(second.ends_with("a=recvonly\r\na=label:2\r\n") && !ok.contains("a=record"), "{ok}");
    assert!(header(&ok, "Contact").is_some_and(|it| it.ends_with(">;+sip.srs")), "{ok}");
    assert!(header(&ok, "Supported").is_some_and(|it| it.contains("siprec")), "{ok}");
    bench.send(bench.request("ACK", "f1", 1, &tag_of(&ok), "", "")).await;
    assert_eq!(event(&mut answered).await, LegEvent::Acked);
    assert_eq!(status(&bench.ask(bench.request("BYE", "f1", 2, &tag_of(&ok), "", "")).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::FarHungUp));
}

#[tokio::test]
async fn only_a_switch_that_the_settings_name_may_fork_its_calls() {
    let bench = Bench::start().await;
    let fork = bench.fork("u1", &both(FORK, &whole()));
    let answer = bench.ask(&fork).await;
    assert_eq!(status(&answer), "403", "off");
    bench.ack(&fork, &answer).await;
    let forks = Forks { sources: Networks::new(vec![([10, 0, 0, 5].into(), 32)]), seats: Vec::new() };
    let bench = Bench::open(SipSettings { forks, ..settings() }).await;
    let by_contact = bench.fork("u2", &both(FORK, &whole())).replacen("Require: siprec\r\n", "", 1);
    for fork in [bench.fork("u1", &both(FORK, &whole())), by_contact] {
        let answer = bench.ask(&fork).await;
        assert_eq!(status(&answer), "403", "another machine");
        bench.ack(&fork, &answer).await;
    }
    let answer = bench.ask(bench.request("OPTIONS", "u3", 1, "", "Require: siprec\r\n", "")).await;
    assert_eq!((status(&answer), header(&answer, "Unsupported")), ("420", Some("siprec")));
}

#[tokio::test]
async fn a_switch_that_asks_whether_its_recorder_is_there_hears_so_by_whatever_name() {
    let bench = bench().await;
    let ask = bench.request("OPTIONS", "o1", 1, "", "Require: siprec\r\n", "").replacen("sip:12345@", "sip:srs@", 1);
    let answer = bench.ask(ask).await;
    assert_eq!(status(&answer), "200");
    assert!(header(&answer, "Supported").is_some_and(|it| it.contains("siprec")), "{answer}");
    assert!(header(&answer, "Accept").is_some_and(|it| it.contains("application/rs-metadata")), "{answer}");
}

#[tokio::test]
async fn a_call_without_readable_metadata_is_recorded_all_the_same() {
    for (call, body) in [
        ("m1", both(FORK, "<recording><session>")),
        ("m2", both(FORK, "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><recording>&b;</recording>")),
        ("m3", both(FORK, "")),
        ("m4", format!("--cut\r\nContent-Type: application/sdp\r\n\r\n{FORK}\r\n--cut--")),
        ("m5", both(FORK, &whole().replace("<label>", "<label>9"))),
    ] {
        let mut bench = bench().await;
        let (answered, settled, ok) = bench.forked(call, &body).await;
        assert_eq!(
            (port(settled.caller.as_ref()), port(settled.operator.as_ref())),
            (Some(4000), Some(4002)),
            "{call}: in their order"
        );
        assert!(ok.contains("m=audio 30000 ") && ok.contains("m=audio 30002 "), "{ok}");
        let told = answered.parties().is_some_and(|parties| parties.fork.told);
        assert_eq!(told, call == "m5", "unknown labels are no reason to doubt the names: {call}");
    }
}

#[tokio::test]
async fn bodies_of_forked_calls_that_cannot_be_taken_hear_why() {
    let bench = bench().await;
    let fork = |call: &str, kind: &str, body: &str| bench.fork(call, body).replacen(MIXED, kind, 1);
    let deaf = FORK.replace("8 0\r\n", "18\r\n");
    for (call, kind, body, wanted) in [
        ("b1", MIXED, both(&deaf, &whole()), "488"),
        ("b2", MIXED, both(&FORK.replace("m=audio 4", "m=video 4"), &whole()), "488"),
        ("b3", MIXED, both("v=1\r\n", &whole()), "400"),
        ("b4", MIXED, "--cut\r\nContent-Type: text/plain\r\n\r\nhello\r\n--cut--".into(), "415"),
        ("b5", MIXED, "no parts at all".into(), "400"),
        ("b6", "multipart/mixed", both(FORK, &whole()), "400"),
        ("b7", "application/rs-metadata+xml", whole(), "400"),
        ("b8", "text/plain", FORK.into(), "415"),
    ] {
        let request = fork(call, kind, &body);
        let answer = bench.ask(&request).await;
        assert_eq!(status(&answer), wanted, "{call}\n{answer}");
        bench.ack(&request, &answer).await;
    }
    let request = fork("b9", "application/sdp", "");
    let answer = bench.ask(&request).await;
    assert_eq!(status(&answer), "400", "a recording client has to offer: {answer}");
    bench.ack(&request, &answer).await;
    let request = bench.fork("b10", &both(FORK, &whole())).replacen("siprec\r\n", "siprec, 100rel\r\n", 1);
    let answer = bench.ask(&request).await;
    assert_eq!((status(&answer), header(&answer, "Unsupported")), ("420", Some("100rel")));
}

#[tokio::test]
async fn of_more_streams_the_callers_and_the_seats_are_taken() {
    let mut bench = bench().await;
    let more = format!(
        "{}m=video 4006 RTP/AVP 31\r\n",
        FORK.replacen("m=audio", "m=audio 4008 RTP/AVP 8\r\na=label:9\r\nm=audio", 1)
    );
    let (_answered, settled, ok) = bench.forked("s1", &both(&more, &whole())).await;
    assert_eq!((port(settled.caller.as_ref()), port(settled.operator.as_ref())), (Some(4002), Some(4000)));
    let ports: Vec<_> = ok.lines().filter_map(|line| line.strip_prefix("m=")?.split(' ').nth(1)).collect();
    assert_eq!(ports, ["0", "30002", "30000", "0"], "{ok}");
    // One stream alone: both mixed, or a switch that has not heard from the other side yet.
    let (one, _) = FORK.split_once("m=audio 4002").expect("two streams");
    let (_answered, settled, _) = bench.forked("s2", &both(one, "")).await;
    assert_eq!((port(settled.caller.as_ref()), settled.operator), (Some(4000), None));
}

#[tokio::test]
async fn hold_a_new_stream_and_later_metadata_are_answered_in_mid_call() {
    let mut bench = bench().await;
    let (mut answered, _, ok) = bench.forked("h1", &both(FORK, "")).await;
    assert_eq!(answered.parties().as_ref().map(said), Some((None, None, None, false)));
    let tag = tag_of(&ok);
    let within = |method: &str, cseq, kind: &str, body: &str| {
        of_type(kind, &bench.request(method, "h1", cseq, &tag, "Require: siprec\r\n", body))
    };

    // Metadata alone, by UPDATE: who speaks is known now.
    let update = bench.ask(within("UPDATE", 2, "application/rs-metadata+xml", &whole())).await;
    assert_eq!((status(&update), header(&update, "Content-Length")), ("200", Some("0")), "{update}");
    assert!(header(&update, "Contact").is_some_and(|it| it.ends_with(">;+sip.srs")), "{update}");
    assert_eq!(event(&mut answered).await, LegEvent::Told);
    let parties = answered.parties().expect("forked");
    assert_eq!(said(&parties), (Some("13800000000"), Some("8001"), Some("cs-77"), true));

    // Hold: both inactive. The streams go to whom they belong by now.
    let held = bench.ask(within("INVITE", 3, "application/sdp", &FORK.replace("sendonly", "inactive"))).await;
    bench.send(bench.request("ACK", "h1", 3, &tag, "", "")).await;
    assert_eq!(held.matches("a=inactive").count(), 2, "{held}");
    let LegEvent::SettledFork(settled) = event(&mut answered).await else { panic!("a settlement") };
    assert_eq!((port(settled.caller.as_ref()), port(settled.operator.as_ref())), (Some(4002), Some(4000)));
    assert!(settled.caller.as_ref().is_some_and(|it| !it.receive));

    // Transferred: the seat's stream is gone, another seat has one of its own; unreadable metadata change nothing.
    let moved = format!(
        "{}m=audio 4010 RTP/AVP 0\r\na=label:3\r\na=sendonly\r\n",
        FORK.replacen("m=audio 4000", "m=audio 0", 1)
    );
    let partial = "<recording><datamode>partial</datamode>\
         <participantsessionassoc participant_id='a'><disassociate-time>x</disassociate-time></participantsessionassoc>\
         <participant participant_id='c'><nameID aor='sip:8002@pbx'/></participant><stream stream_id='z'><label>3</label></stream>\
         <participantstreamassoc participant_id='c'><send>z</send></participantstreamassoc></recording>";
    let answer = bench.ask(within("INVITE", 4, MIXED, &both(&moved, partial))).await;
    bench.send(bench.request("ACK", "h1", 4, &tag, "", "")).await;
    let ports: Vec<_> = answer.lines().filter_map(|line| line.strip_prefix("m=")?.split(' ').nth(1)).collect();
    assert_eq!(ports, ["0", "30000", "30002"], "{answer}");
    let LegEvent::SettledFork(settled) = event(&mut answered).await else { panic!("a settlement, and nothing told") };
    assert_eq!((port(settled.caller.as_ref()), port(settled.operator.as_ref())), (Some(4002), Some(4010)));
    assert_eq!(answered.parties().and_then(|it| it.fork.seat).as_deref(), Some("8001"), "who took the call");
    let answer = bench.ask(within("UPDATE", 5, "application/rs-metadata+xml", "<broken")).await;
    assert_eq!(status(&answer), "200", "{answer}");

    // What cannot be read is refused and changes nothing; a re-INVITE without an offer hears ours.
    assert_eq!(status(&bench.ask(within("UPDATE", 6, "text/plain", "hello")).await), "415");
    let broken = within("INVITE", 7, MIXED, "hello");
    let answer = bench.ask(&broken).await;
    assert_eq!(status(&answer), "400");
    bench.ack(&broken, &answer).await;
    let ours = bench.ask(bench.request("INVITE", "h1", 8, &tag, "", "")).await;
    assert!(ours.contains("m=audio 30002 ") && ours.contains("a=label:3\r\n"), "{ours}");
    bench.send(bench.request("ACK", "h1", 8, &tag, "", &moved)).await;
    let LegEvent::SettledFork(again) = event(&mut answered).await else { panic!("a settlement") };
    assert_eq!(again, settled);
}

#[tokio::test]
async fn a_call_that_nobody_forks_still_refuses_what_is_for_recorders() {
    let mut bench = bench().await;
    let (mut answered, tag, ok) = bench.call("p1").await;
    assert!(!ok.contains("siprec") && !ok.contains("+sip.srs"), "{ok}");
    let again = bench.request("INVITE", "p1", 2, &tag, "Require: siprec\r\n", SDP);
    let answer = bench.ask(&again).await;
    assert_eq!(status(&answer), "420", "{answer}");
    bench.ack(&again, &answer).await;
    let parts = of_type(MIXED, &bench.request("UPDATE", "p1", 3, &tag, "", &both(SDP, &whole())));
    assert_eq!(status(&bench.ask(parts).await), "415");
    answered.hang_up();
}
