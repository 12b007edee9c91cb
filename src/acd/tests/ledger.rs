//! Who is where, kept from events and orders alone, and what has to be true of it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::*;
use crate::domain::seat::SeatId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Waiting,
    Ringing(SeatId),
    Talking(SeatId),
    Gone(Gone),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    Left,
    Talked,
    GivenUp,
    Dropped,
}

#[derive(Clone, Debug)]
pub struct Known {
    pub place: Place,
    desk: DeskId,
    priority: u8,
    wanted: Skills,
    since: Instant,
    ticket: usize,
    noted: bool,
    offered: bool,
    asked: bool,
}

#[derive(Clone, Debug, Default)]
struct Chair {
    present: bool,
    engaged: bool,
    paused: Option<Pause>,
    skills: Skills,
    misses: u32,
    rest: Option<Instant>,
    wrap_up: Option<Instant>,
}

#[derive(Debug)]
pub struct Ledger {
    pub now: Instant,
    pub plan: Plan,
    pub calls: BTreeMap<CallId, Known>,
    /// Telephones that ring, as their owners hear them: for which call, and until when.
    pub phones: BTreeMap<SeatId, (CallId, Instant)>,
    chairs: BTreeMap<SeatId, Chair>,
    /// What was told of each seat.
    shown: BTreeMap<SeatId, SeatState>,
    closed: BTreeSet<DeskId>,
    /// Who came with this event.
    newcomer: Option<CallId>,
    /// Who has to be noted by the end of this step.
    promised: Vec<CallId>,
    /// A plan that came later may know of less room than there was.
    replanned: bool,
}

impl Ledger {
    pub fn new(plan: Plan, now: Instant) -> Self {
        Self {
            now,
            plan,
            calls: BTreeMap::new(),
            phones: BTreeMap::new(),
            chairs: BTreeMap::new(),
            shown: BTreeMap::new(),
            closed: BTreeSet::new(),
            newcomer: None,
            promised: Vec::new(),
            replanned: false,
        }
    }

    /// What an event says by itself.
    pub fn before(&mut self, event: &Event) {
        match event {
            Event::Came(caller) | Event::CallBackOwed(caller) => self.came(caller),
            Event::Left { call } => self.left(*call),
            Event::CallBackAsked { call } => {
                let known = self.calls.get_mut(call).filter(|known| known.offered && !known.noted);
                if let Some(known) = known.filter(|known| matches!(known.place, Place::Ringing(_))) {
                    known.asked = true;
                }
            }
            Event::CallBackDropped { call } => {
                let owed =
                    |known: &&mut Known| known.noted && !matches!(known.place, Place::Talking(_) | Place::Gone(_));
                if let Some(known) = self.calls.get_mut(call).filter(owed) {
                    known.place = Place::Gone(Gone::Dropped);
                }
            }
            Event::TalkEnded { call } => self.talked(*call),
            Event::Answered { call, seat } => {
                if self.phones.get(seat).is_some_and(|(ringing, _)| ringing == call) {
                    self.phones.remove(seat);
                    self.known(*call).place = Place::Talking(seat.clone());
                    self.chair(seat).misses = 0;
                }
            }
            Event::Refused { call, seat, how } => {
                if self.phones.get(seat).is_some_and(|(ringing, _)| ringing == call) {
                    self.phones.remove(seat);
                    self.back_to_line(*call);
                    self.rang_in_vain(seat, how.is_miss());
                }
            }
            Event::DeskOpened { desk } => _ = self.closed.remove(desk),
            Event::DeskClosed { desk } => _ = self.closed.insert(desk.clone()),
            Event::PlanChanged(_) => self.replanned = true,
            event => self.seat_event(event),
        }
    }

    pub fn before_timeout(&mut self) {
        let now = self.now;
        for chair in self.chairs.values_mut() {
            chair.rest = chair.rest.filter(|until| *until > now);
            chair.wrap_up = chair.wrap_up.filter(|until| *until > now);
        }
    }

    /// Follows the orders; each has to be possible where things stand.
    ///
    /// * `event` — what they answer; nothing if it was time alone.
    pub fn after(&mut self, event: Option<&Event>, orders: &[Order]) {
        self.closed.retain(|desk| self.plan.desk(desk).is_some());
        let mut relaxed = event.is_some();
        for order in orders {
            // Telephones are stopped first; then wishes end, then somebody may be rung for.
            let stops =
                matches!(order, Order::StopRinging { .. } | Order::SeatChanged { .. } | Order::NoteCallBack { .. });
            if !relaxed && !stops {
                self.relax();
                relaxed = true;
            }
            self.follow(event, order);
        }
        if !relaxed {
            self.relax();
        }
        if let Some(known) = self.newcomer.take().map(|call| &self.calls[&call]) {
            let stays = !known.noted && known.place == Place::Waiting;
            let desk = self.plan.desk(&known.desk).expect("a desk of the plan");
            assert!(!stays || !self.closed.contains(&desk.id), "{known:?} waits at a closed desk");
            assert!(!stays || self.callers(&desk.id) <= desk.capacity, "{known:?} waits at a full desk");
        }
        for call in std::mem::take(&mut self.promised) {
            assert!(self.calls[&call].noted, "{call} pressed the key and is not noted");
        }
    }

    /// What has to be true after each step.
    pub fn compare(&self, acd: &Distributor) {
        let here = self.calls.iter().filter(|(_, known)| !matches!(known.place, Place::Gone(_)));
        assert_eq!(acd.calls().count(), here.clone().count(), "as many as the ledger has, none twice");
        for (id, known) in here {
            let view = acd.call(*id).unwrap_or_else(|| panic!("{id} is lost: {known:?}"));
            let stage = match &known.place {
                Place::Ringing(seat) => Stage::Ringing(seat.clone()),
                Place::Talking(seat) => Stage::Talking(seat.clone()),
                _ => Stage::Waiting,
            };
            assert_eq!((&view.stage, view.call_back), (&stage, known.noted), "{id}");
            assert!(matches!(stage, Stage::Talking(_)) || view.desk == known.desk, "{id} waits at {}", view.desk);
            assert_eq!(view.position, (stage == Stage::Waiting).then(|| self.position(known)), "{id}");
            if let Place::Ringing(seat) = &known.place {
                assert_eq!(self.phones.get(seat).map(|(call, _)| *call), Some(*id), "its telephone rings");
            }
        }
        let ringing = self.calls.values().filter(|known| matches!(known.place, Place::Ringing(_))).count();
        assert_eq!(self.phones.len(), ringing, "no telephone rings for nobody");
        for view in acd.seats() {
            assert_eq!(view.state, self.state(view.seat), "{}", view.seat);
            assert_eq!(view.state, self.told(view.seat), "{} was told of", view.seat);
        }
        self.compare_bounds();
        for known in self.calls.values().filter(|known| self.is_ready(known)) {
            let idle = self.free_seat_for(known);
            assert!(idle.is_none(), "{known:?} waits while {idle:?} is free");
        }
    }

    fn compare_bounds(&self) {
        for desk in &self.plan.desks {
            let noted = self.owed(&desk.id);
            let fits = self.callers(&desk.id) <= desk.capacity + self.chairs.len() && noted <= desk.capacity;
            assert!(
                self.replanned || fits,
                "{} has {noted} call-backs and {} callers",
                desk.id,
                self.callers(&desk.id)
            );
        }
    }

    fn follow(&mut self, event: Option<&Event>, order: &Order) {
        let now = self.now;
        match order {
            Order::Ring { call, seat } | Order::DialBack { call, seat } => self.ring(order, *call, seat),
            Order::StopRinging { call, seat } => {
                let (rang, until) = self.phones.remove(seat).expect("a telephone that does not ring is not stopped");
                assert_eq!(rang, *call, "{seat} rings for another call");
                if event.is_none() {
                    assert!(until <= now, "stopped too early");
                    self.rang_in_vain(seat, true);
                }
                if self.known(*call).place == Place::Ringing(seat.clone()) {
                    self.back_to_line(*call);
                }
            }
            Order::SayPosition { call, position, offered } => {
                let known = &self.calls[call];
                assert!(known.place == Place::Waiting && !known.noted, "{order:?} to {known:?}");
                assert_eq!((*position, *offered), (self.position(known), known.offered));
            }
            Order::OfferCallBack { call } => {
                let known = self.known(*call);
                assert!(known.place == Place::Waiting && !known.noted && !known.offered, "{order:?} to {known:?}");
                known.offered = true;
            }
            Order::NoteCallBack { call } => {
                let owed = matches!(event, Some(Event::CallBackOwed(_)));
                let known = self.known(*call);
                assert!(
                    known.place == Place::Waiting && !known.noted && (known.offered || owed),
                    "{order:?} of {known:?}"
                );
                known.noted = true;
            }
            Order::HandOver { call, from, to } => self.hand_over(event, *call, from, to),
            Order::GiveUp { call, reason } => {
                let known = &self.calls[call];
                let new = matches!(event, Some(Event::Came(it) | Event::CallBackOwed(it)) if it.call == *call);
                let right = match reason {
                    GivenUp::Closed => new && self.closed.contains(&known.desk),
                    // Who can be rung for at once needs no room.
                    GivenUp::Full if matches!(event, Some(Event::Came(_))) => {
                        new && self.free_seat_for(known).is_none()
                    }
                    GivenUp::Full => new,
                    GivenUp::TooLong => self.plan.give_up_after.is_some_and(|wait| known.since + wait <= now),
                };
                assert!(right && known.place == Place::Waiting && !known.noted, "{order:?} of {known:?}");
                self.known(*call).place = Place::Gone(Gone::GivenUp);
            }
            Order::SeatChanged { seat, state } => {
                assert_ne!(self.told(seat), *state, "{seat} changes into what it is");
                self.shown.insert(seat.clone(), *state);
            }
        }
    }

    fn ring(&mut self, order: &Order, call: CallId, seat: &SeatId) {
        let known = &self.calls[&call];
        assert_eq!(matches!(order, Order::DialBack { .. }), known.noted, "{order:?} for {known:?}");
        assert!(self.is_ready(known), "{order:?} for {known:?}");
        assert!(self.is_free(seat), "{order:?} while it is {:?}", self.state(seat));
        let chair = &self.chairs[seat];
        assert!(self.fits(known, chair), "{order:?} for {known:?} at {chair:?}");
        for other in self.calls.values().filter(|other| self.rank(other) < self.rank(known)) {
            assert!(!self.is_ready(other) || !self.fits(other, chair), "{order:?} for {known:?} overtakes {other:?}");
        }
        assert!(self.phones.insert(seat.clone(), (call, self.now + self.plan.ring)).is_none(), "{seat} rings twice");
        self.known(call).place = Place::Ringing(seat.clone());
    }

    fn hand_over(&mut self, event: Option<&Event>, call: CallId, from: &DeskId, to: &DeskId) {
        let known = self.known(call);
        assert!(!matches!(known.place, Place::Talking(_) | Place::Gone(_)) && known.desk == *from, "{known:?}");
        known.desk = to.clone();
        let desk = self.plan.desk(to).expect("a desk of the plan");
        if matches!(event, Some(Event::PlanChanged(_))) {
            assert!(self.plan.desk(from).is_none());
        } else {
            assert!(!self.closed.contains(to) && self.callers(to) <= desk.capacity, "{to} is closed or full");
        }
    }

    fn came(&mut self, caller: &Caller) {
        let desk = self.plan.desk(&caller.desk).or(self.plan.desks.first()).expect("a desk");
        if !self.calls.contains_key(&caller.call) {
            self.newcomer = Some(caller.call);
        }
        let known = Known {
            place: Place::Waiting,
            desk: desk.id.clone(),
            priority: caller.priority,
            wanted: caller.wanted.clone(),
            since: self.now,
            ticket: self.calls.len(),
            noted: false,
            offered: false,
            asked: false,
        };
        self.calls.entry(caller.call).or_insert(known);
    }

    fn left(&mut self, call: CallId) {
        let room = self.calls.get(&call).and_then(|known| self.plan.desk(&known.desk));
        let room = room.is_some_and(|desk| self.owed(&desk.id) < desk.capacity);
        match self.calls.get_mut(&call) {
            Some(Known { place: Place::Talking(_), .. }) => self.talked(call),
            // Is noted as soon as the telephone is stopped.
            Some(Known { place: Place::Ringing(_), asked: true, .. }) if room => {}
            Some(known) if !known.noted && !matches!(known.place, Place::Gone(_)) => {
                known.place = Place::Gone(Gone::Left);
            }
            _ => {}
        }
    }

    fn talked(&mut self, call: CallId) {
        let Some(Place::Talking(seat)) = self.calls.get(&call).map(|known| known.place.clone()) else { return };
        self.known(call).place = Place::Gone(Gone::Talked);
        let until = Some(self.now + self.plan.wrap_up).filter(|until| *until > self.now);
        let chair = self.chair(&seat);
        chair.wrap_up = until.filter(|_| chair.present && !chair.engaged);
    }

    fn seat_event(&mut self, event: &Event) {
        let (Event::SeatPresent { seat, .. }
        | Event::SeatAbsent { seat }
        | Event::SeatPaused { seat, .. }
        | Event::SeatReady { seat }
        | Event::SeatBusy { seat }
        | Event::SeatFree { seat }
        | Event::WrappedUp { seat }) = event
        else {
            return;
        };
        let chair = self.chairs.entry(seat.clone()).or_default();
        match event {
            Event::SeatPresent { skills, .. } => (chair.present, chair.skills) = (true, skills.clone()),
            Event::SeatAbsent { .. } => chair.present = false,
            Event::SeatPaused { reason, .. } => chair.paused = Some(*reason),
            Event::SeatReady { .. } => (chair.paused, chair.misses, chair.rest) = (None, 0, None),
            Event::SeatBusy { .. } => chair.engaged = true,
            Event::SeatFree { .. } => chair.engaged = false,
            _ => {}
        }
        if !matches!(event, Event::SeatPresent { .. } | Event::SeatFree { .. }) {
            chair.wrap_up = None;
        }
    }

    fn rang_in_vain(&mut self, seat: &SeatId, missed: bool) {
        let (now, most) = (self.now, self.plan.misses);
        let chair = self.chair(seat);
        chair.rest = Some(now + Plan::REST);
        chair.misses += u32::from(missed);
        if missed && most > 0 && chair.misses >= most {
            (chair.misses, chair.paused) = (0, Some(Pause::NoAnswer));
        }
    }

    fn back_to_line(&mut self, call: CallId) {
        let known = &self.calls[&call];
        let room = self.plan.desk(&known.desk).is_some_and(|desk| self.owed(&desk.id) < desk.capacity);
        if known.asked && room {
            self.promised.push(call);
        }
        let known = self.known(call);
        (known.place, known.asked) = (Place::Waiting, false);
    }

    fn relax(&mut self) {
        let Some(wait) = self.plan.relax else { return };
        for known in self.calls.values_mut().filter(|known| known.place == Place::Waiting) {
            if known.since + wait <= self.now {
                known.wanted.clear();
            }
        }
    }

    /// Who goes first.
    fn rank(&self, known: &Known) -> (Reverse<u16>, usize) {
        let desk = self.plan.desk(&known.desk).map_or(0, |desk| desk.priority);
        (Reverse(u16::from(desk) + u16::from(known.priority)), known.ticket)
    }

    /// Whether a seat may ring for it.
    fn is_ready(&self, known: &Known) -> bool {
        known.place == Place::Waiting && !(known.noted && self.closed.contains(&known.desk))
    }

    fn owed(&self, desk: &DeskId) -> usize {
        let over = |known: &Known| matches!(known.place, Place::Talking(_) | Place::Gone(_));
        self.calls.values().filter(|known| known.noted && known.desk == *desk && !over(known)).count()
    }

    fn fits(&self, known: &Known, chair: &Chair) -> bool {
        let desk = self.plan.desk(&known.desk).expect("a desk of the plan");
        desk.skills.union(&known.wanted).all(|skill| chair.skills.contains(skill))
    }

    fn position(&self, known: &Known) -> usize {
        let waits = |other: &&Known| other.place == Place::Waiting && other.desk == known.desk;
        self.calls.values().filter(waits).filter(|other| self.rank(other) <= self.rank(known)).count()
    }

    fn callers(&self, desk: &DeskId) -> usize {
        let waits = |known: &&Known| known.place == Place::Waiting && known.desk == *desk && !known.noted;
        self.calls.values().filter(waits).count()
    }

    fn free_seat_for(&self, known: &Known) -> Option<(&SeatId, &Chair)> {
        self.chairs.iter().find(|(seat, chair)| self.is_free(seat) && self.fits(known, chair))
    }

    fn is_free(&self, seat: &SeatId) -> bool {
        self.state(seat) == SeatState::Idle && self.chairs[seat].rest.is_none()
    }

    fn state(&self, seat: &SeatId) -> SeatState {
        let talking = self.calls.iter().find(|(_, known)| known.place == Place::Talking(seat.clone()));
        let chair = self.chairs.get(seat).cloned().unwrap_or_default();
        match (talking, self.phones.get(seat)) {
            (Some((call, _)), None) => SeatState::Talking { call: Some(*call) },
            (None, Some((call, _))) => SeatState::Ringing { call: *call },
            (Some(_), Some(_)) => panic!("{seat} has two calls"),
            _ if chair.engaged => SeatState::Talking { call: None },
            _ if !chair.present => SeatState::Offline,
            _ if chair.wrap_up.is_some() => SeatState::WrapUp,
            _ => chair.paused.map_or(SeatState::Idle, |reason| SeatState::Paused { reason }),
        }
    }

    fn told(&self, seat: &SeatId) -> SeatState {
        self.shown.get(seat).copied().unwrap_or(SeatState::Offline)
    }

    fn known(&mut self, call: CallId) -> &mut Known {
        self.calls.get_mut(&call).expect("a call that came")
    }

    fn chair(&mut self, seat: &SeatId) -> &mut Chair {
        self.chairs.get_mut(seat).expect("a seat that was heard of")
    }
}
