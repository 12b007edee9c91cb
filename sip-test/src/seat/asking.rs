//! The seat's own requests within a call: hold, resume, transfer, hang up. One at a time (RFC 3261 §14.1).

use std::time::Duration;

use tokio::time::Instant;

use super::{
    callee::{Callee, MOST_NOTED, State},
    terms::Action,
};
use crate::{
    EndedBy,
    phone::ALLOW,
    sip::{Message, branch},
    timers::{GIVE_UP, Repeats, T2},
};

/// A request of ours, until its final answer.
pub(super) struct Asked {
    step: Step,
    cseq: u32,
    branch: String,
    pub(super) text: String,
    pub(super) clock: Repeats,
}

impl Asked {
    pub(super) fn is_invite(&self) -> bool {
        self.step.method() == "INVITE"
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
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

impl Callee {
    /// An answer to a request of ours.
    pub(super) fn handle_answer(&mut self, answer: &Message, now: Instant) {
        let status = answer.status.unwrap_or(0);
        let asked = self.asked.as_mut().filter(|asked| {
            answer.branch() == Some(&asked.branch) && answer.cseq() == Some((asked.cseq, asked.step.method()))
        });
        let Some(asked) = asked else {
            // The final answer again: our ACK was lost.
            let again = self.ack.as_ref().filter(|(cseq, _)| answer.cseq() == Some((*cseq, "INVITE")) && status >= 200);
            self.actions.extend(again.map(|(_, text)| Action::Request(text.clone())));
            return;
        };
        if status < 200 {
            if asked.is_invite() {
                asked.clock.again = None;
            }
            return;
        }
        if asked.is_invite() {
            let own = if status < 300 { branch() } else { asked.branch.clone() };
            let ack = self.dialog.request("ACK", asked.cseq, &own, &[], "");
            self.ack = Some((asked.cseq, ack.clone()));
            self.actions.push_back(Action::Request(ack));
            if status < 300
                && let Ok(far) = self.bargain.read(&answer.body)
            {
                self.turn(far);
            }
        }
        self.settle(status, now);
    }

    /// Ends the call the way it can be ended now.
    pub(super) fn hang_up(&mut self, now: Instant) {
        match self.state {
            State::Ringing { .. } => self.refuse("480 Temporarily Unavailable", EndedBy::Refused, now),
            State::Talking => self.steps = vec![(now, Step::HangUp)],
            State::Refused { .. } | State::Leaving | State::Over => {}
        }
    }

    /// BYE, whatever else is open.
    pub(super) fn leave(&mut self, now: Instant) {
        self.ask(Step::HangUp, now);
    }

    /// Whether a request of ours may go out: no other is on its way, no 200 waits for its ACK.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.state, State::Talking) && self.asked.is_none() && self.unacknowledged.is_none()
    }

    pub(super) fn ask_what_is_due(&mut self, now: Instant) {
        if self.is_free() && self.steps.first().is_some_and(|(due, _)| *due <= now) {
            let (_, step) = self.steps.remove(0);
            self.ask(step, now);
        }
    }

    fn ask(&mut self, step: Step, now: Instant) {
        self.cseq += 1;
        let (own, method) = (branch(), step.method());
        let text = match step {
            Step::Hold | Step::Resume => {
                self.bargain.holding = step == Step::Hold;
                let offer = self.bargain.offer();
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
                self.unacknowledged = None;
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

    /// The final answer to what we asked, or 408 for none.
    pub(super) fn settle(&mut self, status: u16, now: Instant) {
        let Some(Asked { step, .. }) = self.asked.take() else { return };
        match step {
            Step::Hold | Step::Resume => {
                self.facts.holds.push(status);
                let holding = (step == Step::Hold) == (status < 300);
                self.bargain.holding = holding;
                self.actions.push_back(Action::Hold(holding));
                if status == 491 {
                    // Both asked at once; the called side waits up to two seconds, and its other steps with it.
                    self.steps.insert(0, (now + Duration::from_millis(fastrand::u64(0..2_000)), step));
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

    /// How a transfer goes on (RFC 3515 §2.4.5); once it is done, the seat is free.
    pub(super) fn notified(&mut self, notify: &Message, now: Instant) {
        let said = notify.body.lines().next().and_then(|line| line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok());
        let Some(status) = said.filter(|_| self.facts.transfer.len() < MOST_NOTED) else { return };
        self.facts.transfer.push(status);
        if (200..300).contains(&status) {
            self.hang_up(now);
        }
    }
}
