//! The signalling of one call to a seat, without sockets: fed with messages and the time, drained of actions.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{
    Behaviour,
    asking::{Asked, Step},
    bargain::Bargain,
    terms::{Action, Facts, Place, Plan},
};
use crate::{
    EndedBy,
    phone::ALLOW,
    sdp::FarMedia,
    sip::{Dialog, Message, parameter, token},
    timers::{Repeats, T2},
};

/// Methods, and states of a transfer, noted of one call.
pub(super) const MOST_NOTED: usize = 1_000;

pub(super) enum State {
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
pub(super) struct Unacknowledged {
    cseq: u32,
    text: String,
    clock: Repeats,
    /// It held our offer; their answer comes with the ACK.
    offered: bool,
}

/// One call.
pub(super) struct Callee {
    pub(super) plan: Plan,
    pub(super) place: Place,
    pub(super) invite: Message,
    /// Ours.
    tag: String,
    pub(super) dialog: Dialog,
    /// Highest of theirs, and ours.
    far_cseq: u32,
    pub(super) cseq: u32,
    pub(super) bargain: Bargain,
    pub(super) state: State,
    pub(super) unacknowledged: Option<Unacknowledged>,
    pub(super) asked: Option<Asked>,
    /// The ACK of our last re-INVITE, for each time its final answer comes.
    pub(super) ack: Option<(u32, String)>,
    /// What is still to be done, in this order.
    pub(super) steps: Vec<(Instant, Step)>,
    pub(super) actions: VecDeque<Action>,
    pub(super) facts: Facts,
}

impl Callee {
    /// Begins with the INVITE, and what it is answered with at once.
    pub(super) fn new(invite: Message, plan: Plan, place: Place, now: Instant) -> Self {
        let tag = token();
        let mut callee = Self {
            dialog: Dialog::taken(&invite, &tag, place.local, place.contact.clone(), place.tcp),
            far_cseq: invite.cseq().map_or(0, |(number, _)| number),
            cseq: 0,
            bargain: Bargain::new(place.media, plan.codecs.clone()),
            state: State::Ringing { act: None },
            unacknowledged: None,
            asked: None,
            ack: None,
            steps: Vec::new(),
            actions: VecDeque::new(),
            facts: Facts::new(now),
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
            _ => {}
        }
        if let State::Refused { answer, clock } = &mut self.state
            && clock.due(now)
        {
            self.actions.push_back(Action::Answer(answer.clone()));
        }
        if let Some(waiting) = &mut self.unacknowledged {
            if waiting.clock.give_up <= now {
                self.facts.problem = Some("the 200 was not acknowledged within 32 s".into());
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
        self.ask_what_is_due(now);
    }

    /// A request of this call that did not come before.
    pub(super) fn handle_request(&mut self, request: &Message, now: Instant) {
        let method = request.method.as_deref().unwrap_or_default();
        let tag = |header: Option<&str>| header.and_then(|value| parameter(value, "tag")).map(str::to_owned);
        let ours = tag(request.header("To")).is_some_and(|to| to == self.tag)
            && tag(request.header("From")) == tag(Some(&self.dialog.to));
        match method {
            "CANCEL" => return self.cancelled(request, now),
            "INVITE" if tag(request.header("To")).is_none() => return self.reply(request, "482 Loop Detected", ""),
            _ if ours => {}
            "ACK" => return,
            _ => return self.reply(request, "481 Call/Transaction Does Not Exist", ""),
        }
        self.note(method);
        let number = request.cseq().map_or(0, |(number, _)| number);
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

    /// The connection is gone: nothing can be sent any more.
    pub(super) fn cut_off(&mut self, now: Instant) {
        self.facts.problem = Some("the connection to the far side broke".into());
        self.facts.ended.get_or_insert((EndedBy::Far, now));
        self.finish();
    }

    /// What an INVITE gets before anybody acts.
    fn consider(&mut self, now: Instant) {
        if let Some(wanted) = self.invite.header("Require") {
            let text = self.invite.answer("420 Bad Extension", &self.tag, &[("Unsupported", wanted)], "");
            return self.refuse_with(420, text, EndedBy::Refused, now);
        }
        if self.plan.behaviour == Behaviour::Busy {
            return self.refuse("486 Busy Here", EndedBy::Refused, now);
        }
        if !self.invite.body.is_empty() {
            match self.bargain.read(&self.invite.body) {
                Ok(far) => self.bargain.far = Some(far),
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
        let (invite, number, far) = (self.invite.clone(), self.far_cseq, self.bargain.far.clone());
        let body = match &far {
            None => self.bargain.offer(),
            Some(far) => self.bargain.answer(&invite.body, far),
        };
        self.accept(&invite, &body, number, far.is_none(), now);
        self.state = State::Talking;
        (self.facts.answered, self.facts.status) = (Some(now), 200);
        self.actions.push_back(Action::Begin);
        if let Some(far) = far {
            self.turn(far);
        }
        if let Some((at, length)) = self.plan.hold {
            self.steps.extend([(now + at, Step::Hold), (now + at + length, Step::Resume)]);
        }
        self.steps.extend(self.plan.refer.as_ref().map(|(at, _)| (now + *at, Step::Refer)));
        self.steps.extend(self.plan.hang_up_after.map(|after| (now + after, Step::HangUp)));
        self.steps.sort_by_key(|(due, _)| *due);
    }

    pub(super) fn refuse(&mut self, status: &str, ended_by: EndedBy, now: Instant) {
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
        self.note("CANCEL");
        self.reply(request, "200 OK", "");
        if matches!(self.state, State::Ringing { .. }) {
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
            match self.bargain.read(&ack.body) {
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
        match self.state {
            State::Ringing { .. } => self.refuse("487 Request Terminated", EndedBy::Cancelled, now),
            // The INVITE's final answer is still to be acknowledged.
            State::Refused { .. } => {}
            _ => {
                self.facts.ended.get_or_insert((EndedBy::Far, now));
                self.finish();
            }
        }
    }

    /// A re-INVITE or UPDATE: sound moves, or is held, or nothing changes.
    fn changed(&mut self, request: &Message, is_invite: bool, number: u32, now: Instant) {
        let refusal = match (&self.state, &self.asked) {
            (State::Talking, Some(asked)) if asked.is_invite() => Some("491 Request Pending"),
            (State::Talking, _) if self.unacknowledged.is_none() || !is_invite => None,
            _ => Some("500 Server Internal Error"),
        };
        if let Some(status) = refusal {
            let text = request.answer(status, &self.tag, &[("Retry-After", "1")], "");
            return self.actions.push_back(Action::Answer(text));
        }
        if request.body.is_empty() {
            if is_invite {
                let offer = self.bargain.offer();
                self.accept(request, &offer, number, true, now);
            } else {
                self.reply(request, "200 OK", "");
            }
            return;
        }
        let Ok(far) = self.bargain.read(&request.body) else {
            return self.reply(request, "488 Not Acceptable Here", "");
        };
        let body = self.bargain.answer(&request.body, &far);
        self.turn(far);
        if is_invite {
            self.accept(request, &body, number, false, now);
        } else {
            self.reply(request, "200 OK", &body);
        }
    }

    /// 200 to an INVITE, repeated over streams too (RFC 3261 §13.3.1.4).
    fn accept(&mut self, invite: &Message, body: &str, cseq: u32, offered: bool, now: Instant) {
        let headers = [("Contact", self.place.contact.as_str()), ("Allow", ALLOW)];
        let text = invite.answer("200 OK", &self.tag, &headers, body);
        self.actions.push_back(Action::Answer(text.clone()));
        self.unacknowledged = Some(Unacknowledged { cseq, text, clock: Repeats::new(false, T2, now), offered });
    }

    fn reply(&mut self, request: &Message, status: &str, body: &str) {
        let headers = [("Contact", self.place.contact.as_str()), ("Allow", ALLOW)];
        self.actions.push_back(Action::Answer(request.answer(status, &self.tag, &headers, body)));
    }

    pub(super) fn turn(&mut self, far: FarMedia) {
        self.facts.codec.get_or_insert(far.codec);
        self.bargain.far = Some(far.clone());
        self.actions.push_back(Action::Turn(far));
    }

    fn note(&mut self, method: &str) {
        if self.facts.requests.len() < MOST_NOTED {
            self.facts.requests.push(method.into());
        }
    }

    pub(super) fn finish(&mut self) {
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
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests;
