//! A busy quarter of the line in simulated time: operators who answer, let it ring or decline, callers who lose patience.
//! Everything comes from a seed, so that a run can be told again.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use super::*;
use crate::domain::seat::SeatId;

/// Mean of a talk. Source: Changzhou 2021, 150 s.
const TALK: u64 = 150_000;

/// What is going to happen, by the call's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Coming {
    Caller(usize),
    /// The operator reaches for the telephone; the number of the ring tells an old one.
    Reaction(usize, u32),
    EndOfTalk(usize),
    EndOfPatience(usize),
    Ready(usize),
}

/// How calls ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    came: usize,
    talked: usize,
    called_back: usize,
    left: usize,
    given_up: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Line,
    Noted,
    Rung,
    Talk,
    Over,
}

struct Afternoon {
    acd: Distributor,
    start: Instant,
    /// Milliseconds since the start.
    now: u64,
    seed: u64,
    coming: BinaryHeap<Reverse<(u64, Coming)>>,
    calls: BTreeMap<usize, (Place, bool)>,
    rings: BTreeMap<usize, (SeatId, u32)>,
    busy: BTreeSet<SeatId>,
    /// Who waits or was rung for and not answered, first come first: nobody is rung for before the first of the line.
    line: BTreeSet<usize>,
    figures: Figures,
    ring: u32,
    /// Sixty callers stay sixty: who is through is followed by another until then.
    refill_until: u64,
    longest_wait: Duration,
}

impl Afternoon {
    fn new(seed: u64, seats: usize, settings: &str) -> Self {
        let (mut acd, start) = (Distributor::new(plan(settings)), now());
        for seat in 0..seats {
            acd.handle(Event::SeatPresent { seat: seat_of(seat), skills: Skills::new() }, start);
        }
        Self {
            acd,
            start,
            now: 0,
            seed,
            coming: BinaryHeap::new(),
            calls: BTreeMap::new(),
            rings: BTreeMap::new(),
            busy: BTreeSet::new(),
            line: BTreeSet::new(),
            figures: Figures::default(),
            ring: 0,
            refill_until: 0,
            longest_wait: Duration::ZERO,
        }
    }

    /// Runs until nothing is to come and no timer is due.
    fn run(&mut self) -> Figures {
        self.follow();
        loop {
            let due = self.acd.poll_timeout().map(|due| self.ms(due));
            match (self.coming.peek().map(|Reverse((at, _))| *at), due) {
                (None, None) => break,
                (Some(at), due) if due.is_none_or(|due| at < due) => {
                    self.now = at;
                    if let Some(Reverse((_, coming))) = self.coming.pop() {
                        self.happen(coming);
                    }
                }
                (_, due) => {
                    self.now = due.expect("a timer");
                    self.acd.handle_timeout(self.at());
                }
            }
            self.follow();
        }
        self.figures
    }

    fn happen(&mut self, coming: Coming) {
        match coming {
            Coming::Caller(number) => {
                self.figures.came += 1;
                self.calls.insert(number, (Place::Line, false));
                self.line.insert(number);
                let patience = 60_000 + self.random(600_000);
                self.soon(patience, Coming::EndOfPatience(number));
                self.tell(Event::Came(Caller {
                    call: call(number),
                    desk: "main".into(),
                    wanted: Skills::new(),
                    priority: 0,
                    preferred: Vec::new(),
                }));
            }
            Coming::Reaction(number, ring) => {
                if let Some((seat, _)) = self.rings.get(&number).filter(|(_, now)| *now == ring).cloned() {
                    self.react(number, seat);
                }
            }
            Coming::EndOfTalk(number) => {
                let seat = match self.acd.call(call(number)).map(|view| view.stage) {
                    Some(Stage::Talking(seat)) => seat,
                    other => panic!("call {number} talks, not {other:?}"),
                };
                assert!(self.busy.remove(&seat));
                let called_back = self.calls[&number].1;
                *(if called_back { &mut self.figures.called_back } else { &mut self.figures.talked }) += 1;
                self.over(number);
                self.tell(Event::TalkEnded { call: call(number) });
            }
            Coming::EndOfPatience(number) => {
                if matches!(self.calls[&number].0, Place::Line | Place::Rung) && !self.calls[&number].1 {
                    self.figures.left += 1;
                    self.over(number);
                    self.tell(Event::Left { call: call(number) });
                }
            }
            Coming::Ready(seat) => self.tell(Event::SeatReady { seat: seat_of(seat) }),
        }
    }

    /// Most operators answer within seconds, a few decline or do not hear it.
    fn react(&mut self, number: usize, seat: SeatId) {
        if self.random(100) < 3 {
            self.rings.remove(&number);
            self.place(number, Place::Line);
            return self.tell(Event::Refused { call: call(number), seat, how: RingFailure::Declined });
        }
        self.rings.remove(&number);
        self.place(number, Place::Talk);
        self.line.remove(&number);
        assert!(self.busy.insert(seat.clone()), "{seat} has a talk already");
        let talk = 10_000 + self.random(2 * (TALK - 10_000));
        self.soon(talk, Coming::EndOfTalk(number));
        self.tell(Event::Answered { call: call(number), seat });
    }

    fn tell(&mut self, event: Event) {
        self.acd.handle(event, self.at());
    }

    fn follow(&mut self) {
        for order in drain(&mut self.acd) {
            match order {
                Order::Ring { call, seat } | Order::DialBack { call, seat } => self.ring(number_of(call), seat),
                Order::StopRinging { call, seat } => {
                    let number = number_of(call);
                    let rang = self.rings.remove(&number);
                    assert_eq!(rang.map(|(seat, _)| seat), Some(seat));
                    if self.calls[&number].0 == Place::Rung {
                        self.place(number, Place::Line);
                    }
                }
                Order::OfferCallBack { call } if self.random(100) < 30 => {
                    self.tell(Event::CallBackAsked { call });
                    return self.follow();
                }
                Order::NoteCallBack { call } => {
                    self.place(number_of(call), Place::Noted);
                    self.calls.entry(number_of(call)).and_modify(|known| known.1 = true);
                    self.tell(Event::Left { call });
                }
                Order::GiveUp { call, .. } => {
                    self.figures.given_up += 1;
                    self.over(number_of(call));
                }
                Order::SeatChanged { seat, state: SeatState::Paused { .. } } => {
                    let number = seat.as_str().parse::<usize>().expect("an extension") - 8000;
                    self.soon(60_000, Coming::Ready(number));
                }
                _ => {}
            }
        }
    }

    /// The first of the line is rung for, whoever else waits.
    fn ring(&mut self, number: usize, seat: SeatId) {
        assert!(matches!(self.calls[&number].0, Place::Line | Place::Noted), "{number} waits");
        let first = self.line.iter().find(|other| self.calls[other].0 != Place::Rung);
        assert_eq!(first, Some(&number), "{number} overtakes");
        assert!(!self.busy.contains(&seat) && self.rings.values().all(|(other, _)| *other != seat), "{seat} is free");
        let since = self.acd.call(call(number)).expect("it is here").since;
        self.longest_wait = self.longest_wait.max(self.at() - since);
        self.ring += 1;
        self.rings.insert(number, (seat, self.ring));
        self.place(number, Place::Rung);
        // One in twenty does not hear it.
        if self.random(100) >= 5 {
            let reaction = 1_000 + self.random(6_000);
            self.soon(reaction, Coming::Reaction(number, self.ring));
        }
    }

    fn over(&mut self, number: usize) {
        self.place(number, Place::Over);
        self.line.remove(&number);
        self.rings.retain(|other, _| *other != number || self.acd.call(call(number)).is_some());
        if self.now < self.refill_until {
            self.soon(0, Coming::Caller(self.calls.len() + 1));
            self.calls.entry(self.calls.len() + 1).or_insert((Place::Line, false));
        }
    }

    fn place(&mut self, number: usize, place: Place) {
        self.calls.entry(number).and_modify(|known| known.0 = place);
    }

    fn soon(&mut self, span: u64, coming: Coming) {
        self.coming.push(Reverse((self.now + span, coming)));
    }

    /// xorshift64*; below the bound.
    fn random(&mut self, bound: u64) -> u64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound.max(1)
    }

    fn at(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn ms(&self, at: Instant) -> u64 {
        u64::try_from((at - self.start).as_millis()).expect("a day")
    }
}

fn seat_of(number: usize) -> SeatId {
    SeatId::from((8000 + number).to_string().as_str())
}

fn number_of(call: CallId) -> usize {
    usize::try_from(call.as_u128()).expect("a number")
}
