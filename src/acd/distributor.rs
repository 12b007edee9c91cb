//! The door of the room: events in, orders out, and what is known.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{
    Event, Order, Plan, RingFailure,
    queue::{Queue, Skills, Stage},
    seat::{Seat, SeatState},
};
use crate::domain::{
    ids::CallId,
    seat::{DeskId, SeatId},
};

/// Gives calls to seats.
///
/// Pure: the runner feeds it one event or a timeout and `now`, then drains [`Distributor::poll_order`]. A decision costs
/// waiting callers × free seats at most, and nothing where nobody waits or no seat is free.
#[derive(Debug)]
pub struct Distributor {
    pub(super) plan: Plan,
    pub(super) closed: BTreeSet<DeskId>,
    pub(super) queue: Queue,
    pub(super) orders: VecDeque<Order>,
    seats: BTreeMap<SeatId, Seat>,
}

/// One seat as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatView<'a> {
    pub seat: &'a SeatId,
    pub skills: &'a Skills,
    pub state: SeatState,
    pub since: Instant,
}

/// One desk as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskView {
    pub open: bool,
    /// Callers in the line.
    pub waiting: usize,
    /// Callers for whom a seat rings.
    pub ringing: usize,
    /// Call-backs that are noted and that no seat has taken yet.
    pub call_backs: usize,
    /// Longest wait of a caller who is not answered yet.
    pub longest: Duration,
}

/// One call as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallView {
    pub desk: DeskId,
    pub stage: Stage,
    /// The caller is not on the line: the call-back is noted or under way.
    pub call_back: bool,
    pub since: Instant,
    /// In the line of its desk, from 1.
    pub position: Option<usize>,
}

impl Distributor {
    /// No calls, no seats, all desks open.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan: plan.sound(),
            closed: BTreeSet::new(),
            queue: Queue::default(),
            orders: VecDeque::new(),
            seats: BTreeMap::new(),
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, event: Event, now: Instant) {
        use Event as E;
        match event {
            E::Came(caller) => self.came(caller, now),
            E::Left { call } => self.left(call, now),
            E::CallBackAsked { call } => self.call_back_asked(call),
            E::CallBackOwed(caller) => self.call_back_owed(caller, now),
            E::CallBackDropped { call } => self.call_back_dropped(call, now),
            E::SeatPresent { seat, skills } => self.change_new(&seat, now, |seat| seat.come(skills)),
            E::SeatAbsent { seat } => self.change_and_stop(&seat, now, Seat::go),
            E::SeatPaused { seat, reason } => self.change_and_stop(&seat, now, |seat| seat.paused(reason)),
            E::SeatReady { seat } => self.change(&seat, now, Seat::ready),
            E::SeatBusy { seat } => self.change_and_stop(&seat, now, |seat| seat.engage(true)),
            E::SeatFree { seat } => self.change(&seat, now, |seat| seat.engage(false)),
            E::Answered { call, seat } => self.answered(call, &seat, now),
            E::Refused { call, seat, how } => self.refused(call, &seat, how, now),
            E::TalkEnded { call } => self.talk_ended(call, now),
            E::WrappedUp { seat } => self.change(&seat, now, Seat::wrapped_up),
            E::DeskOpened { desk } => _ = self.closed.remove(&desk),
            E::DeskClosed { desk } => {
                if self.plan.desk(&desk).is_some() {
                    self.closed.insert(desk);
                }
            }
            E::PlanChanged(plan) => self.plan_changed(plan, now),
        }
        self.pair(now);
    }

    /// Takes the time when [`Distributor::poll_timeout`] was due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<SeatId> = self.due_seats(now);
        for id in due {
            if let Some(call) = self.seats.get(&id).and_then(|seat| seat.overdue(now)) {
                self.orders.push_back(Order::StopRinging { call, seat: id.clone() });
                self.rang_in_vain(call, &id, RingFailure::NoAnswer, now);
            }
            self.change(&id, now, |seat| seat.pass(now));
        }
        self.relax(now);
        // Whom a seat can take now needs no announcement and no other desk.
        self.pair(now);
        self.tend(now);
        self.pair(now);
    }

    /// When to call [`Distributor::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let seats = self.seats.values().filter_map(Seat::due);
        self.queue.line().filter_map(|(_, call)| call.due()).chain(seats).min()
    }

    /// The next thing to do.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What waits at a desk; nothing does at one that is not in the plan.
    pub fn waiting(&self, desk: &DeskId, now: Instant) -> DeskView {
        let mut view = DeskView {
            open: self.is_open(desk),
            waiting: 0,
            ringing: 0,
            call_backs: self.queue.owed(desk),
            longest: Duration::ZERO,
        };
        for (_, call) in self.queue.calls().filter(|(_, call)| call.desk == *desk && !call.noted) {
            match call.stage() {
                Stage::Waiting => view.waiting += 1,
                Stage::Ringing(_) => view.ringing += 1,
                Stage::Talking(_) => continue,
            }
            view.longest = view.longest.max(now.saturating_duration_since(call.since));
        }
        view
    }

    /// Every seat that was ever heard of, by its extension.
    pub fn seats(&self) -> impl Iterator<Item = SeatView<'_>> {
        self.seats.iter().map(|(id, seat)| {
            let (state, since) = seat.shown();
            SeatView { seat: id, skills: &seat.skills, state, since }
        })
    }

    /// Every call that is here.
    pub fn calls(&self) -> impl Iterator<Item = CallId> {
        self.queue.calls().map(|(id, _)| id)
    }

    /// Where a call is; nothing if it is not here, or no longer.
    pub fn call(&self, id: CallId) -> Option<CallView> {
        let call = self.queue.get(id)?;
        Some(CallView {
            desk: call.desk.clone(),
            stage: call.stage().clone(),
            call_back: call.noted,
            since: call.since,
            position: self.queue.position(id),
        })
    }

    pub(super) fn is_open(&self, desk: &DeskId) -> bool {
        !self.closed.contains(desk) && self.plan.desk(desk).is_some()
    }

    /// Rings free seats for those who wait, first come first, until nothing fits any more.
    pub(super) fn pair(&mut self, now: Instant) {
        while let Some((call, seat)) = self.next_pair() {
            let call_back = self.queue.get(call).is_some_and(|call| call.noted);
            self.queue.set_stage(call, Stage::Ringing(seat.clone()));
            self.orders.push_back(match seat.clone() {
                seat if call_back => Order::DialBack { call, seat },
                seat => Order::Ring { call, seat },
            });
            let until = now + self.plan.ring;
            self.change(&seat, now, |seat| seat.ring(call, until));
        }
    }

    fn next_pair(&self) -> Option<(CallId, SeatId)> {
        let free: Vec<_> = self.seats.iter().filter(|(_, seat)| seat.is_free()).collect();
        if free.is_empty() {
            return None;
        }
        // Nobody is called back at night by a desk that works by day.
        let ready = self.queue.line().filter(|(_, call)| !call.noted || self.is_open(&call.desk));
        ready.into_iter().find_map(|(id, call)| {
            let needed = self.plan.desk(&call.desk).map(|desk| &desk.skills);
            let fits = |seat: &Seat| {
                call.wanted.is_subset(&seat.skills) && needed.is_none_or(|needed| needed.is_subset(&seat.skills))
            };
            let first = free.iter().filter(|(_, seat)| fits(seat)).min_by_key(|(id, seat)| {
                (call.tried.contains(id), !call.preferred.contains(id), seat.idle_since(), *id)
            });
            first.map(|(seat, _)| (id, (*seat).clone()))
        })
    }

    /// Changes a seat that is known, and tells if people see it.
    pub(super) fn change(&mut self, id: &SeatId, now: Instant, change: impl FnOnce(&mut Seat)) {
        let Some(seat) = self.seats.get_mut(id) else { return };
        change(seat);
        if let Some(state) = seat.settle(now) {
            self.orders.push_back(Order::SeatChanged { seat: id.clone(), state });
        }
    }

    /// The same for one that may be new.
    fn change_new(&mut self, id: &SeatId, now: Instant, change: impl FnOnce(&mut Seat)) {
        if self.seats.len() < Plan::SEATS && !self.seats.contains_key(id) {
            self.seats.insert(id.clone(), Seat::new(now));
        }
        self.change(id, now, change);
    }

    /// The same for a change after which no call may ring there.
    fn change_and_stop(&mut self, id: &SeatId, now: Instant, change: impl FnOnce(&mut Seat)) {
        let ringing = self.seats.get(id).and_then(Seat::ringing);
        if let Some(call) = ringing {
            self.orders.push_back(Order::StopRinging { call, seat: id.clone() });
        }
        self.change_new(id, now, |seat| {
            if ringing.is_some() {
                seat.stop_ringing();
            }
            change(seat);
        });
        if let Some(call) = ringing {
            self.back_to_line(call, id, now);
        }
    }

    fn answered(&mut self, call: CallId, id: &SeatId, now: Instant) {
        if self.queue.get(call).is_some_and(|call| *call.stage() == Stage::Ringing(id.clone())) {
            self.queue.set_stage(call, Stage::Talking(id.clone()));
            self.change(id, now, |seat| seat.answer(call));
        }
    }

    fn refused(&mut self, call: CallId, id: &SeatId, how: RingFailure, now: Instant) {
        if self.queue.get(call).is_some_and(|call| *call.stage() == Stage::Ringing(id.clone())) {
            self.rang_in_vain(call, id, how, now);
        }
    }

    fn rang_in_vain(&mut self, call: CallId, id: &SeatId, how: RingFailure, now: Instant) {
        let most = self.plan.misses;
        self.change(id, now, |seat| if how.is_miss() { seat.miss(now, most) } else { seat.refuse(now) });
        self.back_to_line(call, id, now);
    }

    fn due_seats(&self, now: Instant) -> Vec<SeatId> {
        let due = |seat: &Seat| seat.due().is_some_and(|due| due <= now);
        self.seats.iter().filter(|(_, seat)| due(seat)).map(|(id, _)| id.clone()).collect()
    }
}
