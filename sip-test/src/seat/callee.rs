//! The signalling of one call to a seat, without sockets: fed with messages and the time, drained of actions.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::Behaviour;
use crate::{
    EndedBy,
    audio::Codec,
    phone::{ALLOW, EVENTS},
    sdp::{self, FarMedia},
    sip::{Dialog, Message, branch, parameter, token},
    timers::{GIVE_UP, Repeats, T2},
};

/// Methods noted of one call.
const MOST_NOTED: usize = 1_000;

/// What the runner has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Goes to where the request came from.
    Answer(String),
    /// Goes the dialog's way.
    Request(String),
    /// The 200 is out: the sound's clock starts.
    Begin,
    /// Sound goes there from now on.
    Turn(FarMedia),
    /// We hold the call, or do so no more.
    Hold(bool),
    Over,
}

/// What the seat does with a call; times count from the answer.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) behaviour: Behaviour,
    /// From the INVITE.
    pub(super) answer_after: Duration,
    pub(super) hang_up_after: Option<Duration>,
    pub(super) hold: Option<(Duration, Duration)>,
    pub(super) refer: Option<(Duration, String)>,
    pub(super) codecs: Vec<Codec>,
}

/// Where the seat is.
pub(super) struct Place {
    /// Of SIP and of RTP.
    pub(super) local: SocketAddr,
    pub(super) media: SocketAddr,
    /// As a header value.
    pub(super) contact: String,
    pub(super) tcp: bool,
}

/// What became of it, for the report.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) began: Instant,
    pub(super) answered: Option<Instant>,
    pub(super) acknowledged: Option<Instant>,
    pub(super) ended: Option<(EndedBy, Instant)>,
    /// Final status we gave; 0 while there is none.
    pub(super) status: u16,
    pub(super) codec: Option<Codec>,
    /// Reason of their BYE or CANCEL (RFC 3326).
    pub(super) reason: Option<String>,
    /// Methods they sent, repetitions left out.
    pub(super) requests: Vec<String>,
    pub(super) holds: Vec<u16>,
    pub(super) refer: Option<u16>,
    pub(super) transfer: Vec<u16>,
    pub(super) bye_status: Option<u16>,
    pub(super) problem: Option<String>,
}

enum State {
    /// It rings until we act, if ever.
    Ringing {
        act: Option<Instant>,
    },
    /// A refusal, until it is acknowledged.
    Refused {
        answer: String,
        clock: Repeats,
    },
    Talking,
    Leaving,
    Over,
}

/// A 200 to an INVITE, until its ACK.
struct Unacknowledged {
    cseq: u32,
    text: String,
    clock: Repeats,
    /// It held our offer; their answer comes with the ACK.
    offered: bool,
}

/// A request of ours, until its final answer.
struct Asked {
    step: Step,
    cseq: u32,
    branch: String,
    text: String,
    clock: Repeats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Hold,
    Resume,
    Refer,
    HangUp,
}

impl Step {
    fn method(self) -> &'static str {
        match self {
            Self::Hold | Self::Resume => "INVITE",
            Self::Refer => "REFER",
            Self::HangUp => "BYE",
        }
    }
}

/// One call.
pub(super) struct Callee {
    plan: Plan,
    place: Place,
    pub(super) invite: Message,
    tag: String,
    pub(super) dialog: Dialog,
    /// Highest of theirs, and ours.
    far_cseq: u32,
    cseq: u32,
    session: u64,
    /// Our last description as version 1, and its version.
    described: (String, u32),
    /// What they last offered or answered.
    far: Option<FarMedia>,
    holding: bool,
    state: State,
    unacknowledged: Option<Unacknowledged>,
    asked: Option<Asked>,
    /// The ACK of a 200 to our re-INVITE, for each time it comes.
    ack: Option<(u32, String)>,
    /// What is still to be done, the earliest first.
    steps: Vec<(Instant, Step)>,
    actions: VecDeque<Action>,
    pub(super) facts: Facts,
}

impl Callee {
    /// Begins with the INVITE, and what it is answered with at once.
    pub(super) fn new(invite: Message, plan: Plan, place: Place, now: Instant) -> Self {
        let tag = token();
        let facts = Facts {
            began: now,
            answered: None,
            acknowledged: None,
            ended: None,
            status: 0,
            codec: None,
            reason: None,
            requests: vec!["INVITE".into()],
            holds: Vec::new(),
            refer: None,
            transfer: Vec::new(),
            bye_status: None,
            problem: None,
        };
        let mut callee = Self {
            dialog: Dialog::taken(&invite, &tag, place.local, place.contact.clone(), place.tcp),
            far_cseq: invite.cseq().map_or(0, |(number, _)| number),
            cseq: 0,
            session: u64::from(fastrand::u32(1..)),
            described: (String::new(), 1),
            far: None,
            holding: false,
            state: State::Ringing { act: None },
            unacknowledged: None,
            asked: None,
            ack: None,
            steps: Vec::new(),
            actions: VecDeque::new(),
            facts,
            plan,
            place,
            tag,
            invite,
        };
        callee.consider(now);
        callee
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether this message is of this call.
    pub(super) fn owns(&self, message: &Message) -> bool {
        message.header("Call-ID") == Some(&self.dialog.call_id)
    }

    pub(super) fn is_ringing(&self) -> bool {
        matches!(self.state, State::Ringing { .. })
    }

    pub(super) fn is_talking(&self) -> bool {
        matches!(self.state, State::Talking)
    }

    pub(super) fn is_holding(&self) -> bool {
        self.holding
    }

    /// When to call [`Callee::handle_timeout`] next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Ringing { act } => *act,
            State::Refused { clock, .. } => Some(clock.next()),
            State::Talking | State::Leaving => None,
            State::Over => return None,
        };
        let unacknowledged = self.unacknowledged.as_ref().map(|waiting| waiting.clock.next());
        let asked = self.asked.as_ref().map(|asked| asked.clock.next());
        let step = self.steps.first().map(|(due, _)| *due).filter(|_| self.is_free());
        [state, unacknowledged, asked, step].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Ringing { act: Some(act) } if *act <= now => self.act(now),
            State::Refused { clock, .. } if clock.give_up <= now => {
                self.facts.problem = Some("the refusal was not acknowledged within 32 s".into());
                self.finish();
            }
            State::Refused { answer, clock } if clock.due(now) => {
                self.actions.push_back(Action::Answer(answer.clone()));
            }
            _ => {}
        }
        if let Some(waiting) = &mut self.unacknowledged {
            if waiting.clock.give_up <= now {
                self.facts.problem = Some("the 200 was not acknowledged within 32 s".into());
                self.unacknowledged = None;
                self.leave(now);
            } else if waiting.clock.due(now) {
                self.actions.push_back(Action::Answer(waiting.text.clone()));
            }
        }
        if let Some(asked) = &mut self.asked {
            if asked.clock.give_up <= now {
                self.settle(408, now);
            } else if asked.clock.due(now) {
                self.actions.push_back(Action::Request(asked.text.clone()));
            }
        }
        if self.is_free()
            && let Some((_, step)) = self.steps.first().copied().filter(|(due, _)| *due <= now)
        {
            self.steps.remove(0);
            self.ask(step, now);
        }
    }

    /// A request of this call that did not come before.
    pub(super) fn handle_request(&mut self, request: &Message, now: Instant) {
        let method = request.method.as_deref().unwrap_or_default();
        let tag = |name| request.header(name).and_then(|value| parameter(value, "tag"));
        let far_tag = parameter(&self.dialog.to, "tag").map(str::to_owned);
        match (method, tag("To")) {
            ("CANCEL", _) => return self.cancelled(request, now),
            ("INVITE", None) => return self.reply(request, "482 Loop Detected", ""),
            (_, Some(own)) if own == self.tag && tag("From").map(str::to_owned) == far_tag => {}
            ("ACK", _) => return,
            _ => return self.reply(request, "481 Call/Transaction Does Not Exist", ""),
        }
        let number = request.cseq().map_or(0, |(number, _)| number);
        if self.facts.requests.len() < MOST_NOTED {
            self.facts.requests.push(method.into());
        }
        if method == "ACK" {
            return self.acknowledged(request, number, now);
        }
        if number <= self.far_cseq {
            return self.reply(request, "500 Server Internal Error", "");
        }
        self.far_cseq = number;
        match method {
            "BYE" => self.left(request, now),
            "INVITE" | "UPDATE" => self.changed(request, method == "INVITE", number, now),
            "NOTIFY" => {
                self.reply(request, "200 OK", "");
                self.notified(request, now);
            }
            "OPTIONS" | "INFO" => self.reply(request, "200 OK", ""),
            _ => self.reply(request, "405 Method Not Allowed", ""),
        }
    }

    /// An answer to a request of ours.
    pub(super) fn handle_answer(&mut self, answer: &Message, now: Instant) {
        let status = answer.status.unwrap_or(0);
        let asked = self.asked.as_mut().filter(|asked| {
            answer.branch() == Some(&asked.branch) && answer.cseq() == Some((asked.cseq, asked.step.method()))
        });
        let Some(asked) = asked else {
            // The 200 again: our ACK was lost.
            let again = self.ack.as_ref().filter(|(cseq, _)| answer.cseq() == Some((*cseq, "INVITE")) && status >= 200);
            self.actions.extend(again.map(|(_, text)| Action::Request(text.clone())));
            return;
        };
        if status < 200 {
            if asked.step.method() == "INVITE" {
                asked.clock.again = None;
            }
            return;
        }
        if asked.step.method() == "INVITE" {
            let own = if status < 300 { branch() } else { asked.branch.clone() };
            let ack = self.dialog.request("ACK", asked.cseq, &own, &[], "");
            self.ack = (status < 300).then(|| (asked.cseq, ack.clone()));
            self.actions.push_back(Action::Request(ack));
            if status < 300
                && let Ok(far) = sdp::read(&answer.body, &self.plan.codecs)
            {
                self.turn(far);
            }
        }
        self.settle(status, now);
    }

    /// Ends it the way it can be ended now.
    pub(super) fn hang_up(&mut self, now: Instant) {
        match self.state {
            State::Ringing { .. } => self.refuse("480 Temporarily Unavailable", EndedBy::Refused, now),
            State::Talking => self.steps = vec![(now, Step::HangUp)],
            State::Refused { .. } | State::Leaving | State::Over => {}
        }
    }

    /// The connection is gone: nothing can be sent any more.
    pub(super) fn cut_off(&mut self, now: Instant) {
        self.facts.problem = Some("the connection to the far side broke".into());
        self.facts.ended.get_or_insert((EndedBy::Far, now));
        self.finish();
    }

    /// What an INVITE gets before anybody acts.
    fn consider(&mut self, now: Instant) {
        if let Some(wanted) = self.invite.header("Require").map(str::to_owned) {
            let text = self.invite.answer("420 Bad Extension", &self.tag, &[("Unsupported", &wanted)], "");
            return self.refuse_with(420, text, EndedBy::Refused, now);
        }
        if self.plan.behaviour == Behaviour::Busy {
            return self.refuse("486 Busy Here", EndedBy::Refused, now);
        }
        if !self.invite.body.is_empty() {
            let read = sdp::read(&self.invite.body, &self.plan.codecs);
            let fits = |far: &FarMedia| self.answer_to(&self.invite.body, far).is_some();
            match read {
                Ok(far) if fits(&far) => self.far = Some(far),
                Ok(_) => {
                    self.facts.problem = Some("the offer is no plain RTP".into());
                    return self.refuse("488 Not Acceptable Here", EndedBy::Refused, now);
                }
                Err(problem) => {
                    self.facts.problem = Some(problem);
                    return self.refuse("488 Not Acceptable Here", EndedBy::Refused, now);
                }
            }
        }
        let invite = self.invite.clone();
        self.reply(&invite, "180 Ringing", "");
        let act = (self.plan.behaviour != Behaviour::Ignore).then(|| now + self.plan.answer_after);
        self.state = State::Ringing { act };
    }

    /// The phone is picked up, or the call declined.
    fn act(&mut self, now: Instant) {
        if let Behaviour::Decline(status) = self.plan.behaviour {
            return self.refuse(&format!("{status} {}", phrase(status)), EndedBy::Refused, now);
        }
        let body = match &self.far {
            None => sdp::describe(self.place.media, self.session, &self.plan.codecs, Some(EVENTS)),
            Some(far) => self.answer_to(&self.invite.body, far).unwrap_or_default(),
        };
        let (invite, number) = (self.invite.clone(), self.far_cseq);
        self.accept(&invite, body, number, self.far.is_none(), now);
        self.state = State::Talking;
        self.facts.answered = Some(now);
        self.facts.status = 200;
        self.actions.push_back(Action::Begin);
        if let Some(far) = self.far.clone() {
            self.turn(far);
        }
        if let Some((at, length)) = self.plan.hold {
            self.steps.extend([(now + at, Step::Hold), (now + at + length, Step::Resume)]);
        }
        self.steps.extend(self.plan.refer.as_ref().map(|(at, _)| (now + *at, Step::Refer)));
        self.steps.extend(self.plan.hang_up_after.map(|after| (now + after, Step::HangUp)));
        self.steps.sort_by_key(|(due, _)| *due);
    }

    fn refuse(&mut self, status: &str, ended_by: EndedBy, now: Instant) {
        let text = self.invite.answer(status, &self.tag, &[("Allow", ALLOW)], "");
        let number = status.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        self.refuse_with(number, text, ended_by, now);
    }

    fn refuse_with(&mut self, status: u16, answer: String, ended_by: EndedBy, now: Instant) {
        self.facts.status = status;
        self.facts.ended = Some((ended_by, now));
        self.actions.push_back(Action::Answer(answer.clone()));
        self.state = State::Refused { answer, clock: Repeats::new(self.place.tcp, T2, now) };
    }

    fn cancelled(&mut self, request: &Message, now: Instant) {
        if request.branch() != self.invite.branch() {
            return self.reply(request, "481 Call/Transaction Does Not Exist", "");
        }
        self.facts.requests.push("CANCEL".into());
        self.reply(request, "200 OK", "");
        if self.is_ringing() {
            self.facts.reason = request.header("Reason").map(Into::into);
            self.refuse("487 Request Terminated", EndedBy::Cancelled, now);
        }
    }

    fn acknowledged(&mut self, ack: &Message, number: u32, now: Instant) {
        if matches!(self.state, State::Refused { .. }) {
            return self.finish();
        }
        let Some(waiting) = self.unacknowledged.take_if(|waiting| waiting.cseq == number) else { return };
        self.facts.acknowledged.get_or_insert(now);
        if waiting.offered {
            match sdp::read(&ack.body, &self.plan.codecs) {
                Ok(far) => self.turn(far),
                Err(problem) => {
                    self.facts.problem = Some(format!("the answer in the ACK: {problem}"));
                    self.leave(now);
                }
            }
        }
    }

    fn left(&mut self, bye: &Message, now: Instant) {
        self.facts.reason = bye.header("Reason").map(Into::into);
        self.reply(bye, "200 OK", "");
        if self.is_ringing() {
            return self.refuse("487 Request Terminated", EndedBy::Cancelled, now);
        }
        self.facts.ended.get_or_insert((EndedBy::Far, now));
        self.finish();
    }

    /// A re-INVITE or UPDATE: sound moves, or is held, or nothing changes.
    fn changed(&mut self, request: &Message, is_invite: bool, number: u32, now: Instant) {
        let status = match (&self.state, &self.asked) {
            (State::Talking, Some(asked)) if asked.step.method() == "INVITE" => "491 Request Pending",
            (State::Talking, _) if self.unacknowledged.is_none() || !is_invite => "",
            _ => "500 Server Internal Error",
        };
        if !status.is_empty() {
            let text = request.answer(status, &self.tag, &[("Retry-After", "1")], "");
            return self.actions.push_back(Action::Answer(text));
        }
        if request.body.is_empty() {
            let body = self.offer();
            return if is_invite {
                self.accept(request, body, number, true, now);
            } else {
                self.reply(request, "200 OK", "");
            };
        }
        let far = sdp::read(&request.body, &self.plan.codecs).ok();
        let agreed = far.and_then(|far| self.answer_to(&request.body, &far).map(|body| (far, body)));
        let Some((far, body)) = agreed else { return self.reply(request, "488 Not Acceptable Here", "") };
        self.turn(far);
        if is_invite {
            self.accept(request, body, number, false, now);
        } else {
            let body = self.publish(body);
            self.reply(request, "200 OK", &body);
        }
    }

    /// How a transfer goes on (RFC 3515 §2.4.5).
    fn notified(&mut self, notify: &Message, now: Instant) {
        let said = notify.body.lines().next().and_then(|line| line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok());
        let Some(status) = said.filter(|_| self.facts.transfer.len() < MOST_NOTED) else { return };
        self.facts.transfer.push(status);
        if (200..300).contains(&status) {
            self.hang_up(now);
        }
    }

    /// 200 to an INVITE, repeated over streams too (RFC 3261 §13.3.1.4).
    fn accept(&mut self, invite: &Message, body: String, cseq: u32, offered: bool, now: Instant) {
        let body = self.publish(body);
        let headers = [("Contact", self.place.contact.as_str()), ("Allow", ALLOW)];
        let text = invite.answer("200 OK", &self.tag, &headers, &body);
        self.actions.push_back(Action::Answer(text.clone()));
        self.unacknowledged = Some(Unacknowledged { cseq, text, clock: Repeats::new(false, T2, now), offered });
    }

    fn reply(&mut self, request: &Message, status: &str, body: &str) {
        let headers = [("Contact", self.place.contact.as_str()), ("Allow", ALLOW)];
        self.actions.push_back(Action::Answer(request.answer(status, &self.tag, &headers, body)));
    }

    /// Whether a request of ours may go out: no other is on its way, no 200 waits for its ACK.
    fn is_free(&self) -> bool {
        matches!(self.state, State::Talking) && self.asked.is_none() && self.unacknowledged.is_none()
    }

    fn ask(&mut self, step: Step, now: Instant) {
        self.cseq += 1;
        let (own, method) = (branch(), step.method());
        let text = match step {
            Step::Hold | Step::Resume => {
                self.holding = step == Step::Hold;
                let offer = self.offer();
                let offer = self.publish(offer);
                self.dialog.request(method, self.cseq, &own, &[("Allow", ALLOW)], &offer)
            }
            Step::Refer => {
                let target = self.plan.refer.as_ref().map_or("", |(_, target)| target.as_str());
                let target = if target.contains('<') { target.to_owned() } else { format!("<{target}>") };
                let headers = [("Refer-To", target.as_str()), ("Referred-By", &self.place.contact)];
                self.dialog.request(method, self.cseq, &own, &headers, "")
            }
            Step::HangUp => {
                self.state = State::Leaving;
                self.facts.ended.get_or_insert((EndedBy::Phone, now));
                self.steps.clear();
                self.dialog.request(method, self.cseq, &own, &[], "")
            }
        };
        self.actions.push_back(Action::Request(text.clone()));
        let longest = if method == "INVITE" { GIVE_UP } else { T2 };
        let clock = Repeats::new(self.place.tcp, longest, now);
        self.asked = Some(Asked { step, cseq: self.cseq, branch: own, text, clock });
    }

    fn leave(&mut self, now: Instant) {
        self.ask(Step::HangUp, now);
    }

    /// The final answer to what we asked.
    fn settle(&mut self, status: u16, now: Instant) {
        let Some(Asked { step, .. }) = self.asked.take() else { return };
        match step {
            Step::Hold | Step::Resume => {
                self.facts.holds.push(status);
                let held = (step == Step::Hold) == (status < 300);
                self.holding = held;
                self.actions.push_back(Action::Hold(held));
                if status == 491 {
                    // Both asked at once; the called side waits up to two seconds (RFC 3261 §14.1).
                    self.steps.insert(0, (now + Duration::from_millis(fastrand::u64(0..2_000)), step));
                    self.steps.sort_by_key(|(due, _)| *due);
                }
            }
            Step::Refer => self.facts.refer = Some(status),
            Step::HangUp => {
                self.facts.bye_status = Some(status);
                return self.finish();
            }
        }
        if matches!(status, 408 | 481) {
            self.facts.problem = Some(format!("{} got {status}", step.method()));
            self.leave(now);
        }
    }

    fn turn(&mut self, far: FarMedia) {
        self.facts.codec.get_or_insert(far.codec);
        self.far = Some(far.clone());
        self.actions.push_back(Action::Turn(far));
    }

    /// Our offer within the call.
    fn offer(&self) -> String {
        let number = self.far.as_ref().and_then(|far| far.telephone_event).unwrap_or(EVENTS);
        let text = sdp::describe(self.place.media, self.session, &self.plan.codecs, Some(number));
        sdp::directed(&text, true, !self.holding)
    }

    fn answer_to(&self, offer: &str, far: &FarMedia) -> Option<String> {
        let text = sdp::describe(self.place.media, self.session, &[far.codec], far.telephone_event);
        sdp::answer(offer, &sdp::directed(&text, far.listens, far.speaks && !self.holding))
    }

    /// The description with its version, which grows with each change (RFC 3264 §8).
    fn publish(&mut self, text: String) -> String {
        let (last, version) = &mut self.described;
        if *last != text {
            *version += u32::from(!last.is_empty());
            *last = text;
        }
        sdp::versioned(last, *version)
    }

    fn finish(&mut self) {
        self.state = State::Over;
        (self.unacknowledged, self.asked) = (None, None);
        self.steps.clear();
        self.actions.push_back(Action::Over);
    }
}

/// Reason phrase of a refusal.
fn phrase(status: u16) -> &'static str {
    match status {
        403 => "Forbidden",
        404 => "Not Found",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Refused",
    }
}
