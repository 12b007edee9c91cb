//! Many callers in simulated time: operators who answer, let it ring or decline, callers who lose patience or would rather
//! be called back. Everything comes from a seed, so that what went wrong can be seen again.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use super::*;
use crate::{clock::thread_time, domain::seat::SeatId};

/// Longest talk, ms; half of it is the mean. Source: Changzhou 2021, mean 150 s.
const TALK: u64 = 300_000;
/// Percent of a day's calls in each hour. Source: 11 % in the busy one (handbook's plan for a line); the rest by habit.
const HOURS: [u64; 24] = [1, 1, 1, 1, 1, 1, 2, 4, 9, 11, 9, 6, 4, 6, 9, 8, 7, 5, 4, 3, 3, 2, 1, 1];
const SETTINGS: &str = "position_every_seconds = 45\ncallback_after_seconds = 60\ngive_up_after_seconds = 1800";

#[test]
fn sixty_callers_on_twenty_seats_keep_their_order_and_none_is_lost() {
    for seed in 1..=5 {
        let mut afternoon = Afternoon::new(seed, 20);
        afternoon.refill_until = 300_000;
        for _ in 0..60 {
            let at = afternoon.random(10_000);
            afternoon.calls_at.push(at);
        }
        let figures = afternoon.run();
        println!("seed {seed}: {figures:?}");
        assert_eq!(figures.talked + figures.called_back, figures.came, "everybody was patient and was answered");
        assert!(figures.came > 80, "one caller after the other: {figures:?}");
    }
}

#[test]
fn a_days_calls_keep_their_order_and_none_is_lost() {
    let mut day = Afternoon::new(20_261_126, 40);
    day.patience = Some(600_000);
    for (hour, percent) in (0..).zip(HOURS) {
        for _ in 0..57 * percent {
            let at = hour * 3_600_000 + day.random(3_600_000);
            day.calls_at.push(at);
        }
    }
    let before = thread_time();
    let figures = day.run();
    let spent = thread_time().saturating_sub(before);
    println!("{figures:?}; {} steps, {:?} each with the simulation", day.steps, spent / day.steps);
    assert_eq!(figures.came, 5_700);
    assert_eq!(figures.talked + figures.called_back + figures.left + figures.given_up, 5_700);
    // GB/T 33358-2016: answer rate ≥ 95 %, answered within 15 s.
    let percent = |part: usize| part * 100 / figures.came;
    assert!(percent(figures.talked + figures.called_back) >= 95, "{figures:?}");
    assert!(percent(figures.soon) >= 80, "{figures:?}");
}

/// What is going to happen to a call, or to a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Coming {
    Caller(usize),
    /// The operator reaches for the telephone; the second number tells this ring from others.
    Reaction(usize, u32),
    EndOfTalk(usize),
    EndOfPatience(usize),
    Key(usize),
    HangUp(usize),
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
    /// Answered within 15 s.
    soon: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Line,
    Rung,
    Talk,
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    place: Place,
    noted: bool,
    /// Milliseconds since the start.
    came: u64,
}

struct Afternoon {
    acd: Distributor,
    start: Instant,
    /// Milliseconds since the start.
    now: u64,
    seed: u64,
    /// When callers come, in any order.
    calls_at: Vec<u64>,
    /// Longest patience, ms; without it nobody leaves.
    patience: Option<u64>,
    /// Until then whoever is through is followed by another caller at once.
    refill_until: u64,
    coming: BinaryHeap<Reverse<(u64, Coming)>>,
    calls: BTreeMap<usize, Known>,
    /// Not answered yet, first come first.
    line: BTreeSet<usize>,
    phones: BTreeMap<SeatId, (usize, u32)>,
    talks: BTreeMap<SeatId, usize>,
    rings: u32,
    steps: u32,
    figures: Figures,
}

impl Afternoon {
    fn new(seed: u64, seats: usize) -> Self {
        let (mut acd, start) = (Distributor::new(plan(SETTINGS)), now());
        for seat in 0..seats {
            acd.handle(Event::SeatPresent { seat: seat_of(seat), skills: Skills::new() }, start);
        }
        Self {
            acd,
            start,
            now: 0,
            seed,
            calls_at: Vec::new(),
            patience: None,
            refill_until: 0,
            coming: BinaryHeap::new(),
            calls: BTreeMap::new(),
            line: BTreeSet::new(),
            phones: BTreeMap::new(),
            talks: BTreeMap::new(),
            rings: 0,
            steps: 0,
            figures: Figures::default(),
        }
    }

    /// Runs until nothing is to come and no timer is due.
    fn run(&mut self) -> Figures {
        self.calls_at.sort_unstable();
        for (number, at) in self.calls_at.clone().into_iter().enumerate() {
            self.coming.push(Reverse((at, Coming::Caller(number))));
        }
        loop {
            self.steps += 1;
            self.follow();
            let due = self.acd.poll_timeout().map(|due| self.ms(due));
            let next = self.coming.peek().map(|Reverse((at, _))| *at);
            match (next, due) {
                (None, None) => break,
                (Some(at), due) if due.is_none_or(|due| at < due) => {
                    let Some(Reverse((_, coming))) = self.coming.pop() else { break };
                    self.now = at;
                    self.happen(coming);
                }
                (_, due) => {
                    self.now = due.expect("a timer");
                    self.acd.handle_timeout(self.at());
                }
            }
        }
        assert_eq!((self.acd.calls().count(), self.line.len(), self.phones.len(), self.talks.len()), (0, 0, 0, 0));
        assert!(self.calls.values().all(|known| known.place == Place::Over), "each came to one end");
        self.figures
    }

    fn happen(&mut self, coming: Coming) {
        match coming {
            Coming::Caller(number) => self.come(number),
            Coming::Reaction(number, ring) => {
                let phone = self.phones.iter().find(|(_, rings)| **rings == (number, ring));
                if let Some(seat) = phone.map(|(seat, _)| seat.clone()) {
                    self.react(number, seat);
                }
            }
            Coming::EndOfTalk(number) => {
                self.talks.retain(|_, call| *call != number);
                let noted = self.calls[&number].noted;
                *(if noted { &mut self.figures.called_back } else { &mut self.figures.talked }) += 1;
                self.over(number);
                self.tell(Event::TalkEnded { call: call(number) });
            }
            Coming::EndOfPatience(number) => {
                let Known { place, noted, .. } = self.calls[&number];
                if !noted && matches!(place, Place::Line | Place::Rung) {
                    self.figures.left += 1;
                    self.over(number);
                    self.tell(Event::Left { call: call(number) });
                }
            }
            Coming::Key(number) if self.calls[&number].place == Place::Line => {
                self.tell(Event::CallBackAsked { call: call(number) });
            }
            // Whoever hears the telephone ring waits for it.
            Coming::Key(_) => {}
            Coming::HangUp(number) if self.calls[&number].place == Place::Over => {}
            Coming::HangUp(number) if self.calls[&number].place == Place::Talk => {}
            Coming::HangUp(number) => self.tell(Event::Left { call: call(number) }),
            Coming::Ready(seat) => self.tell(Event::SeatReady { seat: seat_of(seat) }),
        }
    }

    fn come(&mut self, number: usize) {
        self.figures.came += 1;
        self.calls.insert(number, Known { place: Place::Line, noted: false, came: self.now });
        self.line.insert(number);
        if let Some(longest) = self.patience {
            let patience = 30_000 + self.random(longest);
            self.soon(patience, Coming::EndOfPatience(number));
        }
        self.tell(Event::Came(Caller {
            call: call(number),
            desk: "main".into(),
            wanted: Skills::new(),
            priority: 0,
            preferred: Vec::new(),
        }));
    }

    /// Most operators answer, a few decline.
    fn react(&mut self, number: usize, seat: SeatId) {
        self.phones.remove(&seat);
        if self.random(100) < 3 {
            self.known(number).place = Place::Line;
            return self.tell(Event::Refused { call: call(number), seat, how: RingFailure::Declined });
        }
        self.known(number).place = Place::Talk;
        self.line.remove(&number);
        let waited = self.now - self.calls[&number].came;
        self.figures.soon += usize::from(waited <= 15_000);
        assert_eq!(self.talks.insert(seat.clone(), number), None, "{seat} has a talk already");
        let talk = 5_000 + self.random(TALK - 10_000);
        self.soon(talk, Coming::EndOfTalk(number));
        self.tell(Event::Answered { call: call(number), seat });
    }

    fn tell(&mut self, event: Event) {
        self.acd.handle(event, self.at());
    }

    fn follow(&mut self) {
        for order in drain(&mut self.acd) {
            match order {
                Order::Ring { call, seat } | Order::DialBack { call, seat } => self.ring(number_of(call), &seat),
                Order::StopRinging { call, seat } => {
                    let number = number_of(call);
                    assert_eq!(self.phones.remove(&seat).map(|(call, _)| call), Some(number));
                    if self.calls[&number].place == Place::Rung {
                        self.known(number).place = Place::Line;
                    }
                }
                // Three in ten would rather be called back.
                Order::OfferCallBack { call } if self.random(100) < 30 => {
                    self.soon(3_000, Coming::Key(number_of(call)));
                }
                Order::NoteCallBack { call } => {
                    self.known(number_of(call)).noted = true;
                    self.soon(5_000, Coming::HangUp(number_of(call)));
                }
                Order::GiveUp { call, .. } => {
                    self.figures.given_up += 1;
                    self.over(number_of(call));
                }
                Order::SeatChanged { seat, state: SeatState::Paused { .. } } => {
                    let extension: usize = seat.as_str().parse().expect("an extension");
                    self.soon(60_000, Coming::Ready(extension - 8000));
                }
                _ => {}
            }
        }
    }

    /// The first of the line is rung for, whoever else waits.
    fn ring(&mut self, number: usize, seat: &SeatId) {
        let first = self.line.iter().find(|other| self.calls[other].place == Place::Line);
        assert_eq!(first, Some(&number), "{number} overtakes");
        assert!(!self.talks.contains_key(seat), "{seat} talks");
        self.rings += 1;
        assert_eq!(self.phones.insert(seat.clone(), (number, self.rings)), None, "{seat} rings already");
        self.known(number).place = Place::Rung;
        // One in twenty does not hear it.
        if self.random(100) >= 5 {
            let reaction = 1_000 + self.random(6_000);
            self.soon(reaction, Coming::Reaction(number, self.rings));
        }
    }

    fn over(&mut self, number: usize) {
        self.known(number).place = Place::Over;
        self.line.remove(&number);
        if self.now < self.refill_until {
            let next = self.calls_at.len();
            self.calls_at.push(self.now);
            self.soon(0, Coming::Caller(next));
        }
    }

    fn known(&mut self, number: usize) -> &mut Known {
        self.calls.get_mut(&number).expect("a call that came")
    }

    fn soon(&mut self, span: u64, coming: Coming) {
        self.coming.push(Reverse((self.now + span, coming)));
    }

    /// xorshift64*, below the bound.
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
