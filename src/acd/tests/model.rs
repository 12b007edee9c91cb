//! Random events in any order, sensible and not, against a ledger that knows the rules in other words.
//!
//! 20,000 steps in `cargo test`; `./dev soak` sets `HOTLINE_ACD_STEPS` to 1,000,000.

use proptest::prelude::*;

use super::{
    ledger::{Gone, Ledger, Place},
    *,
};
use crate::domain::seat::SeatId;

/// Steps of one walk, at most; half as many on average.
const WALK: usize = 200;
const SEATS: [&str; 5] = ["8001", "8002", "8003", "8004", "8005"];
const DESKS: [&str; 4] = ["main", "fund", "night", "nowhere"];
const SKILLS: [&str; 4] = ["", "fund", "hakka", "fund,hakka"];
const PLANS: [&str; 4] = [
    r#"
    callback_after_seconds = 10
    position_every_seconds = 20
    relax_after_seconds = 25
    overflow_after_seconds = 30
    give_up_after_seconds = 120
    capacity = 3
    desks = [
        { id = "main", overflow = "night" },
        { id = "fund", skills = ["fund"], overflow = "main", priority = 2 },
        { id = "night", overflow = "main", capacity = 2 },
    ]
    "#,
    r"
    misses = 1
    wrap_up_seconds = 0
    callback_after_seconds = 30
    position_every_seconds = 10
    give_up_after_seconds = 60
    capacity = 5
    ",
    r#"
    ring_seconds = 40
    misses = 0
    relax_after_seconds = 0
    give_up_after_seconds = 600
    overflow_after_seconds = 5
    desks = [{ id = "night", capacity = 1, overflow = "fund" }, { id = "fund", capacity = 2, overflow = "night" }]
    "#,
    r#"
    position_every_seconds = 15
    callback_after_seconds = 15
    give_up_after_seconds = 300
    capacity = 1
    desks = [{ id = "main", priority = 1 }, { id = "night" }]
    "#,
];

/// One step; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Come {
        desk: usize,
        wanted: usize,
        priority: u8,
        prefers: Option<usize>,
        owed: bool,
    },
    /// With an identity that was here already.
    ComeAgain(usize),
    Leave(usize),
    PressKey(usize),
    Drop(usize),
    End(usize),
    Present {
        seat: usize,
        skills: usize,
    },
    Seat {
        seat: usize,
        what: usize,
    },
    /// The seat that rings does what it should.
    Answer(usize),
    Refuse(usize, RingFailure),
    /// Any seat says this of any call.
    AnswerWildly(usize, usize),
    RefuseWildly(usize, usize, RingFailure),
    Open(usize),
    Close(usize),
    Plan(usize),
    /// Timers run as they are due.
    Wait(u64),
    /// The runner is late: time passes and no timer runs.
    Sleep(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let any = 0..1000_usize;
    let how = prop::sample::select(vec![
        RingFailure::Busy,
        RingFailure::Declined,
        RingFailure::NoAnswer,
        RingFailure::Unreachable,
    ]);
    let come =
        (0..DESKS.len(), 0..SKILLS.len() * 2, 0..3_u8, prop::option::of(0..SEATS.len()), prop::bool::weighted(0.1));
    prop_oneof![
        8 => come.prop_map(|(desk, wanted, priority, prefers, owed)| {
            // Half of the callers have no wishes.
            Step::Come { desk, wanted: if wanted < SKILLS.len() { wanted } else { 0 }, priority, prefers, owed }
        }),
        1 => any.clone().prop_map(Step::ComeAgain),
        2 => any.clone().prop_map(Step::Leave),
        3 => any.clone().prop_map(Step::PressKey),
        1 => any.clone().prop_map(Step::Drop),
        4 => any.clone().prop_map(Step::End),
        4 => (0..SEATS.len(), 0..SKILLS.len()).prop_map(|(seat, skills)| Step::Present { seat, skills }),
        5 => (0..SEATS.len(), 0..7_usize).prop_map(|(seat, what)| Step::Seat { seat, what }),
        6 => any.clone().prop_map(Step::Answer),
        3 => (any.clone(), how.clone()).prop_map(|(which, how)| Step::Refuse(which, how)),
        1 => (any.clone(), 0..SEATS.len()).prop_map(|(call, seat)| Step::AnswerWildly(call, seat)),
        1 => (any, 0..SEATS.len(), how).prop_map(|(call, seat, how)| Step::RefuseWildly(call, seat, how)),
        1 => (0..DESKS.len()).prop_map(Step::Open),
        1 => (0..DESKS.len()).prop_map(Step::Close),
        1 => (0..PLANS.len()).prop_map(Step::Plan),
        10 => (0..40_u64).prop_map(Step::Wait),
        1 => (0..40_u64).prop_map(Step::Sleep),
    ]
}

/// The distributor and the ledger beside it.
struct Walk {
    acd: Distributor,
    ledger: Ledger,
    came: usize,
}

impl Walk {
    fn new(first: usize) -> Self {
        let acd = Distributor::new(plan(PLANS[first]));
        let ledger = Ledger::new(acd.plan().clone(), now());
        Self { acd, ledger, came: 0 }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Wait(span) => self.wait(span),
            Step::Sleep(span) => self.ledger.now += seconds(span),
            ref step => {
                if let Some(event) = self.event(step) {
                    self.tell(&event);
                }
            }
        }
    }

    /// Feeds one event and compares everything.
    fn tell(&mut self, event: &Event) {
        self.ledger.before(event);
        self.acd.handle(event.clone(), self.ledger.now);
        self.ledger.plan = self.acd.plan().clone();
        let orders = drain(&mut self.acd);
        self.ledger.after(Some(event), &orders);
        self.ledger.compare(&self.acd);
    }

    fn wait(&mut self, span: u64) {
        let until = self.ledger.now + seconds(span);
        while let Some(due) = self.acd.poll_timeout().filter(|due| *due <= until) {
            self.ledger.now = self.ledger.now.max(due);
            self.ledger.before_timeout();
            self.acd.handle_timeout(self.ledger.now);
            let orders = drain(&mut self.acd);
            self.ledger.after(None, &orders);
            self.ledger.compare(&self.acd);
            let next = self.acd.poll_timeout();
            assert!(next.is_none_or(|next| next > self.ledger.now), "a timer that never ends, after {orders:?}");
        }
        self.ledger.now = until;
    }

    fn event(&mut self, step: &Step) -> Option<Event> {
        let live: Vec<CallId> = self.acd.calls().collect();
        // Mostly a call that is still here.
        let any = |which: usize| match live.get(which / 8 % live.len().max(1)) {
            Some(call) if !which.is_multiple_of(8) => *call,
            _ => call(1 + which % self.came.max(1)),
        };
        let seat = |which: usize| SeatId::from(SEATS[which]);
        let ringing = |which: usize| {
            let ringing: Vec<_> = self.ledger.phones.iter().collect();
            ringing.get(which % ringing.len().max(1)).map(|(seat, (call, _))| ((*seat).clone(), *call))
        };
        Some(match *step {
            Step::Come { desk, wanted, priority, prefers, owed } => {
                let preferred = prefers.map(seat).into_iter().collect();
                self.came += 1;
                let caller = Caller {
                    call: call(self.came),
                    desk: DESKS[desk].into(),
                    wanted: skills(SKILLS[wanted]),
                    priority,
                    preferred,
                };
                if owed { Event::CallBackOwed(caller) } else { Event::Came(caller) }
            }
            Step::ComeAgain(which) => {
                let call = any(which);
                // An identity that is gone for good does not come back.
                self.ledger.calls.get(&call).filter(|known| !matches!(known.place, Place::Gone(_)))?;
                Event::Came(Caller {
                    call,
                    desk: "main".into(),
                    wanted: Skills::new(),
                    priority: 9,
                    preferred: Vec::new(),
                })
            }
            Step::Leave(which) => Event::Left { call: any(which) },
            Step::PressKey(which) => Event::CallBackAsked { call: any(which) },
            Step::Drop(which) => Event::CallBackDropped { call: any(which) },
            Step::End(which) => Event::TalkEnded { call: any(which) },
            Step::Present { seat: which, skills: names } => {
                Event::SeatPresent { seat: seat(which), skills: skills(SKILLS[names]) }
            }
            Step::Seat { seat: which, what } => match (seat(which), what) {
                (seat, 0) => Event::SeatAbsent { seat },
                (seat, 1) => Event::SeatPaused { seat, reason: Pause::Rest },
                (seat, 2 | 3) => Event::SeatReady { seat },
                (seat, 4) => Event::SeatBusy { seat },
                (seat, 5) => Event::SeatFree { seat },
                (seat, _) => Event::WrappedUp { seat },
            },
            Step::Answer(which) => ringing(which).map(|(seat, call)| Event::Answered { call, seat })?,
            Step::Refuse(which, how) => ringing(which).map(|(seat, call)| Event::Refused { call, seat, how })?,
            Step::AnswerWildly(which, other) => Event::Answered { call: any(which), seat: seat(other) },
            Step::RefuseWildly(which, other, how) => Event::Refused { call: any(which), seat: seat(other), how },
            Step::Open(which) => Event::DeskOpened { desk: DESKS[which].into() },
            Step::Close(which) => Event::DeskClosed { desk: DESKS[which].into() },
            Step::Plan(which) => Event::PlanChanged(plan(PLANS[which])),
            Step::Wait(_) | Step::Sleep(_) => return None,
        })
    }

    /// Every operator comes and answers: then nobody stays behind.
    fn everybody_is_answered(&mut self) {
        for desk in DESKS {
            self.tell(&Event::DeskOpened { desk: desk.into() });
        }
        for seat in SEATS.map(SeatId::from) {
            self.tell(&Event::SeatPresent { seat: seat.clone(), skills: skills("fund,hakka") });
            self.tell(&Event::SeatFree { seat: seat.clone() });
            self.tell(&Event::SeatReady { seat });
        }
        // A talk and its notes take six rounds, and there are five seats.
        for _ in 0..20 + self.came * 2 {
            for call in self.acd.calls().collect::<Vec<_>>() {
                match self.acd.call(call).map(|view| view.stage) {
                    Some(Stage::Ringing(seat)) => self.tell(&Event::Answered { call, seat }),
                    Some(Stage::Talking(_)) => self.tell(&Event::TalkEnded { call }),
                    _ => {}
                }
            }
            self.wait(5);
        }
        assert_eq!(self.acd.calls().count(), 0, "somebody stayed behind");
        let ends = |gone: Gone| self.ledger.calls.values().filter(|known| known.place == Place::Gone(gone)).count();
        let all = [Gone::Left, Gone::Talked, Gone::GivenUp, Gone::Dropped].map(ends);
        assert_eq!(all.iter().sum::<usize>(), self.came, "each comes to one end");
    }
}

fn walks() -> u32 {
    let steps: usize = std::env::var("HOTLINE_ACD_STEPS").map_or(20_000, |text| text.parse().expect("a number"));
    u32::try_from(steps / (WALK / 2)).expect("fewer walks").max(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(walks()))]

    #[test]
    fn no_walk_loses_or_doubles_a_caller_or_lets_anybody_overtake(
        first in 0..PLANS.len(), steps in prop::collection::vec(any_step(), 1..WALK)
    ) {
        let mut walk = Walk::new(first);
        for step in &steps {
            walk.take(step);
        }
        walk.everybody_is_answered();
    }
}
