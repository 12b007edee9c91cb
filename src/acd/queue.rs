//! All calls that are in the house, and the line of those that wait.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{Caller, Plan};
use crate::domain::{
    ids::CallId,
    seat::{DeskId, SeatId, Skill},
};

/// What a seat is good at, or a call needs.
pub type Skills = BTreeSet<Skill>;

/// How far a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In the line: the caller, or a noted call-back.
    Waiting,
    Ringing(SeatId),
    Talking(SeatId),
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub desk: DeskId,
    /// Desks it waited at before; it comes back to none of them, so desks that help each other toss nobody to and fro.
    pub been: Vec<DeskId>,
    /// What the caller wishes beyond the desk's skills; empty once that no longer counts.
    pub wanted: Skills,
    pub preferred: Vec<SeatId>,
    /// Seats that rang in vain for it: they come after all others, preferred or not.
    pub tried: Vec<SeatId>,
    pub since: Instant,
    /// The caller is not on the line; somebody calls back.
    pub noted: bool,
    /// The key for a call-back was offered.
    pub offered: bool,
    /// The key was pressed while a seat rang: noted if the seat does not answer.
    pub asked: bool,
    stage: Stage,
    own_priority: u8,
    place: Place,
    at_desk_since: Instant,
    pub terms: Terms,
}

/// When waiting alone changes something; nothing: never, or not again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    /// The caller's wishes no longer count.
    pub relax: Option<Instant>,
    pub say_position: Option<Instant>,
    pub offer: Option<Instant>,
    pub overflow: Option<Instant>,
    pub give_up: Option<Instant>,
}

/// Higher priority first, then who came earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(Reverse<u16>, u64);

/// Calls by their ids, and those that wait by their places.
#[derive(Debug, Default)]
pub(super) struct Queue {
    calls: BTreeMap<CallId, Call>,
    line: BTreeMap<Place, CallId>,
    next: u64,
}

impl Call {
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether a caller waits on the line.
    pub fn is_caller_waiting(&self) -> bool {
        self.stage == Stage::Waiting && !self.noted
    }

    /// Whether somebody still has to be called back.
    pub const fn is_owed(&self) -> bool {
        self.noted && !matches!(self.stage, Stage::Talking(_))
    }

    /// When time alone changes something while it waits.
    pub fn due(&self) -> Option<Instant> {
        let Terms { relax, say_position, offer, overflow, give_up } = self.terms;
        [relax, say_position, offer, overflow, give_up].into_iter().flatten().min()
    }

    /// Who keeps no line busy is promised a call-back, and waits for nothing else than a seat.
    pub fn note(&mut self) {
        self.noted = true;
        self.asked = false;
        self.terms = Terms { relax: self.terms.relax, ..Terms::default() };
    }

    /// Sets what waiting leads to, by the plan and the desk it waits at.
    pub fn set_terms(&mut self, plan: &Plan) {
        let relax = plan.relax.filter(|_| !self.wanted.is_empty()).map(|wait| self.since + wait);
        if self.noted {
            self.terms = Terms { relax, ..Terms::default() };
            return;
        }
        let overflow = plan.desk(&self.desk).and_then(|desk| desk.overflow.as_ref());
        self.terms = Terms {
            relax,
            // What was said is not said again because the plan has changed.
            say_position: plan
                .position_every
                .map(|_| self.terms.say_position.unwrap_or(self.since + plan.first_position)),
            offer: plan.call_back_after.filter(|_| !self.offered).map(|wait| self.since + wait),
            overflow: overflow.map(|overflow| self.at_desk_since + overflow.after),
            give_up: plan.give_up_after.map(|wait| self.since + wait),
        };
    }
}

impl Queue {
    /// Takes a call at the end of its priority's line.
    pub fn add(&mut self, caller: Caller, plan: &Plan, now: Instant) {
        self.next += 1;
        let mut call = Call {
            desk: caller.desk,
            been: Vec::new(),
            wanted: caller.wanted,
            preferred: caller.preferred,
            tried: Vec::new(),
            since: now,
            noted: false,
            offered: false,
            asked: false,
            stage: Stage::Waiting,
            own_priority: caller.priority,
            place: Place(Reverse(0), self.next),
            at_desk_since: now,
            terms: Terms::default(),
        };
        call.place = call.place_in(plan);
        call.set_terms(plan);
        self.line.insert(call.place, caller.call);
        self.calls.insert(caller.call, call);
    }

    pub fn get(&self, id: CallId) -> Option<&Call> {
        self.calls.get(&id)
    }

    pub fn get_mut(&mut self, id: CallId) -> Option<&mut Call> {
        self.calls.get_mut(&id)
    }

    pub fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.line.remove(&call.place);
        Some(call)
    }

    /// Moves a call out of the line, or back to its place in it.
    pub fn set_stage(&mut self, id: CallId, stage: Stage) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if stage == Stage::Waiting {
            self.line.insert(call.place, id);
        } else {
            self.line.remove(&call.place);
        }
        call.stage = stage;
    }

    /// Moves a call to another desk; it keeps its place by the time it came.
    pub fn set_desk(&mut self, id: CallId, desk: DeskId, plan: &Plan, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.been.push(std::mem::replace(&mut call.desk, desk));
        call.at_desk_since = now;
        self.re_place(id, plan);
    }

    /// Takes the plan's priorities and spans for a call that is here already.
    pub fn re_place(&mut self, id: CallId, plan: &Plan) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let waits = self.line.remove(&call.place).is_some();
        call.place = call.place_in(plan);
        call.set_terms(plan);
        if waits {
            self.line.insert(call.place, id);
        }
    }

    /// Those that wait, first come first.
    pub fn line(&self) -> impl Iterator<Item = (CallId, &Call)> {
        self.line.values().filter_map(|id| Some((*id, self.calls.get(id)?)))
    }

    /// All calls, also those that ring and talk.
    pub fn calls(&self) -> impl Iterator<Item = (CallId, &Call)> {
        self.calls.iter().map(|(id, call)| (*id, call))
    }

    /// How many are first at the same desk, with the call itself.
    pub fn position(&self, id: CallId) -> Option<usize> {
        let call = self.calls.get(&id).filter(|call| call.stage == Stage::Waiting)?;
        let first = self.line.range(..call.place).filter_map(|(_, other)| self.calls.get(other));
        Some(1 + first.filter(|other| other.desk == call.desk).count())
    }

    /// Callers who wait on the line at a desk.
    pub fn callers(&self, desk: &DeskId) -> usize {
        self.line().filter(|(_, call)| call.desk == *desk && !call.noted).count()
    }

    /// Call-backs that a desk owes.
    pub fn owed(&self, desk: &DeskId) -> usize {
        self.calls.values().filter(|call| call.desk == *desk && call.is_owed()).count()
    }

    /// The same, with those who may still ask for one.
    pub fn owed_or_offered(&self, desk: &DeskId) -> usize {
        let may = |call: &&Call| call.is_owed() || (call.offered && !matches!(call.stage, Stage::Talking(_)));
        self.calls.values().filter(|call| call.desk == *desk).filter(may).count()
    }
}

impl Call {
    fn place_in(&self, plan: &Plan) -> Place {
        let desk = plan.desk(&self.desk).map_or(0, |desk| desk.priority);
        Place(Reverse(u16::from(desk) + u16::from(self.own_priority)), self.place.1)
    }
}
