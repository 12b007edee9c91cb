//! A caller on the way to an operator, as a state machine: in the line, while a seat rings, in the talk, and back in the
//! line when the operator is lost. Pure, a part of [`super::core`].

use std::collections::VecDeque;

use super::{announcement::Announcement, core::Action};
use crate::{
    acd::{GivenUp, RingFailure},
    domain::{call::EndReason, seat::SeatId},
    sip::{LegEnd, sdp::Agreed},
    switchboard::{Control, Part},
};

/// What happened on the operators' side.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The call stands in the line.
    Queued {
        attended: bool,
    },
    /// The switchboard wants this seat to ring, or no longer.
    Ring(SeatId),
    StopRinging(SeatId),
    /// So many callers are before this one.
    Ahead(usize),
    GivenUp {
        why: GivenUp,
        attended: bool,
    },
    /// The seat's telephone answered, or refused with this status.
    Answered(Agreed),
    Refused(u16),
    /// Offer and answer settled something new with the seat: a hold, mostly.
    Settled(Agreed),
    /// The seat's dialog is over.
    Ended(LegEnd),
    /// No RTP and no RTCP of the seat's for too long.
    Silent,
    /// The seat's place in the media plane is free again.
    PlaceFree,
    /// A person wants something done with the talk.
    Asked(Control),
    /// The telephone of a third.
    Guest(Guest),
    /// The operator's telephone wants the caller passed on (REFER, RFC 3515).
    ///
    /// * `there` — whether such a seat has a telephone.
    Referred {
        to: SeatId,
        there: bool,
    },
}

/// What happened to a third who is to take part, or does.
#[derive(Clone, Debug, PartialEq)]
pub enum Guest {
    Answered(Agreed),
    Refused,
    Settled(Agreed),
    Ended,
    /// No RTP and no RTCP for too long.
    Silent,
    /// The place in the media plane is free again.
    PlaceFree,
}

/// Who hears whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Caller and operator hear each other.
    pub talk: bool,
    /// The operator is there.
    pub operator: bool,
    pub guest: Option<Part>,
}

/// What the switchboard has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A seat is busy with a talk of another, or no longer.
    Busy(SeatId),
    Free(SeatId),
    Answered(SeatId),
    Refused(SeatId, RingFailure),
    TalkEnded,
}

/// What comes of it for the call as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    GoesOn,
    /// Hang up.
    HangUp(EndReason),
    /// Say this and hang up.
    Part(Announcement, EndReason),
}

/// The operators' side of one call.
#[derive(Debug)]
pub struct Desk {
    stage: Stage,
    /// Nobody is there to be waited for: the caller speaks to the recording, and nothing is said.
    quiet: bool,
    background: Option<Announcement>,
    /// Endless announcements that were begun and have not ended.
    playing: u32,
    third: Third,
}

/// A third at the talk.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Third {
    Nobody,
    Ringing(SeatId, Part),
    Here(SeatId, Part),
    /// The place is being freed.
    Leaving,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Not in the line, or no longer.
    Closed,
    Waiting,
    Ringing(SeatId),
    /// The place of a seat is being freed; another may ring then.
    Clearing(Option<SeatId>),
    Talking {
        seat: SeatId,
        hold: Hold,
    },
    /// The operator has left the caller to the third.
    Handed,
}

/// Who keeps the caller on hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hold {
    /// The telephone, by what it offers.
    telephone: bool,
    /// Somebody, by request.
    person: bool,
}

impl Hold {
    const fn is_on(self) -> bool {
        self.telephone || self.person
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self { stage: Stage::Closed, quiet: true, background: None, playing: 0, third: Third::Nobody }
    }
}

impl Desk {
    /// The caller has heard who this is and asks for an operator.
    pub fn enter(&mut self, actions: &mut VecDeque<Action>) {
        self.stage = Stage::Waiting;
        actions.push_back(Action::Enter { again: false, to: None });
    }

    /// Whether the caller waits for somebody.
    pub const fn is_waited_at(&self) -> bool {
        !self.quiet && matches!(self.stage, Stage::Waiting | Stage::Ringing(_) | Stage::Clearing(_))
    }

    /// The call ends, or says its last words: whoever takes part is let go.
    pub fn quit(&mut self, actions: &mut VecDeque<Action>) {
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Closed => return,
            Stage::Ringing(_) => actions.push_back(Action::StopRinging),
            Stage::Talking { .. } => actions.push_back(Action::LetSeatGo),
            Stage::Waiting | Stage::Clearing(_) | Stage::Handed => {}
        }
        self.part_with_third(actions);
        self.background = None;
        actions.push_back(Action::LeaveLine);
    }

    /// An announcement was said to its end or was cut.
    pub fn said(&mut self, which: Announcement, actions: &mut VecDeque<Action>) {
        if which.is_endless() {
            self.playing = self.playing.saturating_sub(1);
            if self.playing == 0 {
                self.play_on(actions);
            }
        }
    }

    /// Takes what happened. What comes too late changes nothing.
    pub fn handle(&mut self, event: Event, actions: &mut VecDeque<Action>) -> Outcome {
        use {Event as E, Stage as S};
        match (self.stage.clone(), event) {
            (S::Waiting, E::Queued { attended: true }) => {
                self.quiet = false;
                self.say(Announcement::Wait, actions);
                self.set_background(Announcement::Music, actions);
            }
            (S::Waiting, E::Ring(seat)) | (S::Clearing(Some(seat)), E::PlaceFree) => self.ring(seat, actions),
            (S::Clearing(_), E::Ring(seat)) => self.stage = S::Clearing(Some(seat)),
            (S::Clearing(None), E::PlaceFree) => self.stage = S::Waiting,
            (S::Clearing(Some(next)), E::StopRinging(seat)) if next == seat => self.stage = S::Clearing(None),
            (S::Ringing(rung), E::StopRinging(seat)) if rung == seat => {
                actions.push_back(Action::StopRinging);
                self.wait_on(actions);
            }
            (S::Ringing(seat), E::Answered(agreed)) => self.talk(seat, agreed, actions),
            (S::Ringing(seat), E::Refused(status)) => {
                self.wait_on(actions);
                actions.push_back(Action::Tell(Told::Refused(seat, failure(status))));
            }
            (S::Talking { hold, .. }, E::Settled(agreed)) => {
                let telephone = !agreed.send;
                actions.push_back(Action::ConnectSeat(agreed));
                self.set_hold(Hold { telephone, ..hold }, actions);
            }
            (S::Talking { hold, .. }, E::Asked(Control::Hold)) => {
                self.set_hold(Hold { person: true, ..hold }, actions);
            }
            (S::Talking { hold, .. }, E::Asked(Control::Resume)) => {
                self.set_hold(Hold { person: false, ..hold }, actions);
            }
            (S::Talking { .. }, E::Asked(Control::Transfer(to))) => self.pass_on(to, actions),
            (S::Talking { seat, .. }, E::Asked(Control::Join(third, part))) if seat != third => {
                self.join(third, part, actions);
            }
            (_, E::Guest(event)) => return self.handle_guest(event, actions),
            (S::Talking { seat, .. }, E::Referred { to, there }) => {
                let takes = there && seat != to;
                actions.push_back(Action::ReportTransfer(takes));
                if takes {
                    self.pass_on(to, actions);
                }
            }
            // Answered at the moment when we stopped ringing: the switchboard counts on another seat already.
            (S::Talking { seat, .. }, E::StopRinging(stopped)) if seat == stopped => {
                actions.push_back(Action::LetSeatGo);
                self.wait_on(actions);
            }
            (S::Talking { .. }, E::Ended(_)) if matches!(self.third, Third::Here(_, Part::Conference)) => {
                self.hand_over(actions);
            }
            (S::Talking { .. }, E::Ended(_)) if matches!(self.third, Third::Ringing(_, Part::Conference)) => {
                self.leave_to_ringing(actions);
            }
            (_, E::Asked(Control::HangUp)) | (S::Talking { .. }, E::Ended(LegEnd::FarHungUp)) => {
                return Outcome::HangUp(EndReason::LineHungUp);
            }
            (S::Talking { .. }, E::Ended(_)) => self.lose(actions),
            (S::Talking { .. }, E::Silent) => {
                actions.push_back(Action::LetSeatGo);
                self.lose(actions);
            }
            (S::Waiting | S::Clearing(_), E::Ahead(callers)) if !self.quiet => {
                self.say(Announcement::ahead(callers), actions);
            }
            (S::Waiting | S::Clearing(_), E::GivenUp { why, attended }) => {
                // The switchboard has forgotten the call.
                self.stage = S::Closed;
                self.background = None;
                if attended || !self.quiet || why == GivenUp::Closed {
                    return Outcome::Part(Announcement::given_up(why), EndReason::GivenUp);
                }
            }
            _ => {}
        }
        Outcome::GoesOn
    }

    fn ring(&mut self, seat: SeatId, actions: &mut VecDeque<Action>) {
        self.quiet = false;
        self.stage = Stage::Ringing(seat.clone());
        self.set_background(Announcement::Ringback, actions);
        actions.push_back(Action::Ring(seat));
    }

    /// A third is to take part.
    fn join(&mut self, seat: SeatId, part: Part, actions: &mut VecDeque<Action>) {
        match &mut self.third {
            Third::Nobody => {
                self.third = Third::Ringing(seat.clone(), part);
                actions.extend([Action::Tell(Told::Busy(seat.clone())), Action::RingGuest(seat)]);
            }
            Third::Here(known, how) if *known == seat => {
                *how = part;
                self.bridge(actions);
            }
            Third::Ringing(known, how) if *known == seat => *how = part,
            Third::Ringing(..) | Third::Here(..) | Third::Leaving => {}
        }
    }

    fn handle_guest(&mut self, event: Guest, actions: &mut VecDeque<Action>) -> Outcome {
        match (self.third.clone(), event) {
            (Third::Ringing(seat, part), Guest::Answered(agreed)) => {
                self.third = Third::Here(seat, part);
                actions.push_back(Action::ConnectGuest(agreed));
                self.bridge(actions);
            }
            (Third::Here(..), Guest::Settled(agreed)) => actions.push_back(Action::ConnectGuest(agreed)),
            (Third::Ringing(seat, _), Guest::Refused) | (Third::Here(seat, _), Guest::Ended) => {
                self.third_left(seat, actions);
            }
            (Third::Here(seat, _), Guest::Silent) => {
                actions.push_back(Action::LetGuestGo);
                self.third_left(seat, actions);
            }
            (Third::Leaving, Guest::PlaceFree) => self.third = Third::Nobody,
            _ => {}
        }
        let deserted = self.stage == Stage::Handed && !matches!(self.third, Third::Here(..));
        if deserted { Outcome::HangUp(EndReason::LineHungUp) } else { Outcome::GoesOn }
    }

    fn third_left(&mut self, seat: SeatId, actions: &mut VecDeque<Action>) {
        self.third = Third::Leaving;
        actions.extend([Action::FreeGuestPlace, Action::Tell(Told::Free(seat))]);
        self.bridge(actions);
    }

    /// Whoever takes part as a third does so no longer.
    fn part_with_third(&mut self, actions: &mut VecDeque<Action>) {
        match self.third.clone() {
            Third::Ringing(seat, _) => {
                actions.push_back(Action::StopRingingGuest);
                self.third_left(seat, actions);
            }
            Third::Here(seat, _) => {
                actions.push_back(Action::LetGuestGo);
                self.third_left(seat, actions);
            }
            Third::Nobody | Third::Leaving => {}
        }
    }

    /// The operator has left a conference: caller and third go on.
    fn hand_over(&mut self, actions: &mut VecDeque<Action>) {
        if let Third::Here(seat, _) = self.third.clone() {
            if self.background.take().is_some() {
                actions.push_back(Action::StopPlaying);
            }
            actions.extend([Action::FreePlace, Action::Tell(Told::TalkEnded), Action::NoteSeat(seat)]);
            self.stage = Stage::Handed;
            self.bridge(actions);
        }
    }

    /// The operator did not wait for the third to answer: the caller does.
    fn leave_to_ringing(&mut self, actions: &mut VecDeque<Action>) {
        let to = match &self.third {
            Third::Ringing(seat, _) => Some(seat.clone()),
            _ => None,
        };
        self.go_first(to, actions);
    }

    fn bridge(&self, actions: &mut VecDeque<Action>) {
        let guest = if let Third::Here(_, part) = &self.third { Some(*part) } else { None };
        let (talk, operator) = match &self.stage {
            Stage::Talking { hold, .. } => (!hold.is_on(), true),
            Stage::Handed => (true, false),
            _ => return,
        };
        actions.push_back(Action::Bridge(Bridge { talk, operator, guest }));
    }

    /// The seat's part is over before it began: the caller waits for the next one.
    fn wait_on(&mut self, actions: &mut VecDeque<Action>) {
        self.part_with_third(actions);
        self.stage = Stage::Clearing(None);
        actions.push_back(Action::FreePlace);
        self.set_background(Announcement::Music, actions);
    }

    fn talk(&mut self, seat: SeatId, agreed: Agreed, actions: &mut VecDeque<Action>) {
        let hold = Hold { telephone: !agreed.send, person: false };
        self.background = None;
        actions.extend([
            Action::StopPlaying,
            Action::ConnectSeat(agreed),
            Action::NoteSeat(seat.clone()),
            Action::Tell(Told::Answered(seat.clone())),
        ]);
        self.stage = Stage::Talking { seat, hold };
        self.hold(hold.is_on(), actions);
    }

    fn set_hold(&mut self, now: Hold, actions: &mut VecDeque<Action>) {
        if let Stage::Talking { hold, .. } = &mut self.stage {
            let before = std::mem::replace(hold, now);
            if before.is_on() != now.is_on() {
                self.hold(now.is_on(), actions);
            }
        }
    }

    /// Blind transfer: the operator is let go, and the caller, first in the line, waits for another seat.
    fn pass_on(&mut self, to: SeatId, actions: &mut VecDeque<Action>) {
        actions.push_back(Action::LetSeatGo);
        self.go_first(Some(to), actions);
    }

    /// The operator puts the caller on hold, or comes back.
    fn hold(&mut self, held: bool, actions: &mut VecDeque<Action>) {
        self.bridge(actions);
        if held {
            self.say(Announcement::Hold, actions);
            self.set_background(Announcement::Music, actions);
        } else if self.background.take().is_some() {
            actions.push_back(Action::StopPlaying);
        }
    }

    /// The operator is gone without a word: the caller goes back, first in the line.
    fn lose(&mut self, actions: &mut VecDeque<Action>) {
        self.go_first(None, actions);
    }

    /// The operator is gone: the caller waits for a seat, first in the line.
    ///
    /// * `to` — the seat that is asked for.
    fn go_first(&mut self, to: Option<SeatId>, actions: &mut VecDeque<Action>) {
        self.say(Announcement::Hold, actions);
        self.wait_on(actions);
        actions.extend([Action::Tell(Told::TalkEnded), Action::Enter { again: true, to }]);
    }

    /// Says something at once; what goes on endlessly goes on after it.
    fn say(&self, what: Announcement, actions: &mut VecDeque<Action>) {
        if self.background.is_some() {
            actions.push_back(Action::StopPlaying);
        }
        actions.push_back(Action::Play(what));
    }

    fn set_background(&mut self, what: Announcement, actions: &mut VecDeque<Action>) {
        match self.background.replace(what) {
            Some(before) if before == what => return,
            Some(_) => actions.push_back(Action::StopPlaying),
            None => {}
        }
        self.play_on(actions);
    }

    fn play_on(&mut self, actions: &mut VecDeque<Action>) {
        if let Some(what) = self.background {
            self.playing += 1;
            actions.push_back(Action::Play(what));
        }
    }
}

/// What a refusal means (RFC 3261 §21): that the seat speaks, is not there, gave up by itself, or does not want the call.
const fn failure(status: u16) -> RingFailure {
    match status {
        486 | 600 => RingFailure::Busy,
        404 | 408 | 410 | 430 | 500..600 => RingFailure::Unreachable,
        487 => RingFailure::NoAnswer,
        _ => RingFailure::Declined,
    }
}

#[cfg(test)]
mod tests;
