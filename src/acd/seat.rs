//! One seat: present or not, what it does, since when.

use std::time::{Duration, Instant};

use super::{Plan, queue::Skills};
use crate::domain::ids::CallId;

/// What a seat does, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatState {
    Offline,
    Idle,
    /// Reserved: no other call rings here.
    Ringing {
        call: CallId,
    },
    /// With this call, or with one that is none of ours.
    Talking {
        call: Option<CallId>,
    },
    WrapUp,
    Paused {
        reason: Pause,
    },
}

/// Why a seat takes no calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The distributor's own: several calls in a row rang in vain.
    NoAnswer,
    /// 小休.
    Rest,
    /// 用餐.
    Meal,
    /// 整理工单.
    Paperwork,
    /// 会议.
    Meeting,
    /// 培训.
    Training,
    Other,
}

/// What the distributor knows of a seat.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub skills: Skills,
    work: Work,
    present: bool,
    /// Speaks on a call that is none of ours.
    engaged: bool,
    pause: Option<Pause>,
    /// Calls in a row that rang in vain.
    misses: u32,
    /// Not rung before.
    rest: Option<Instant>,
    /// Where it stands among the idle ones. A ring that the caller ended does not cost the place.
    idle_since: Instant,
    shown: SeatState,
    since: Instant,
}

/// What one of our calls makes it do.
#[derive(Clone, Copy, Debug)]
enum Work {
    None,
    Ringing { call: CallId, until: Instant },
    Talking { call: CallId },
    WrapUp { until: Instant },
}

impl SeatState {
    /// As in requests, events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Idle => "idle",
            Self::Ringing { .. } => "ringing",
            Self::Talking { .. } => "talking",
            Self::WrapUp => "wrap_up",
            Self::Paused { .. } => "paused",
        }
    }
}

impl SeatState {
    /// The call of ours that it is about.
    pub const fn call(self) -> Option<CallId> {
        match self {
            Self::Ringing { call } => Some(call),
            Self::Talking { call } => call,
            _ => None,
        }
    }
}

impl Pause {
    pub const ALL: [Self; 7] =
        [Self::NoAnswer, Self::Rest, Self::Meal, Self::Paperwork, Self::Meeting, Self::Training, Self::Other];

    /// As in requests, events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::Rest => "rest",
            Self::Meal => "meal",
            Self::Paperwork => "paperwork",
            Self::Meeting => "meeting",
            Self::Training => "training",
            Self::Other => "other",
        }
    }

    /// Reads what [`Pause::name`] wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl Seat {
    /// One that nobody sits at.
    pub fn new(now: Instant) -> Self {
        Self {
            skills: Skills::default(),
            work: Work::None,
            present: false,
            engaged: false,
            pause: None,
            misses: 0,
            rest: None,
            idle_since: now,
            shown: SeatState::Offline,
            since: now,
        }
    }

    /// What people see, and since when.
    pub const fn shown(&self) -> (SeatState, Instant) {
        (self.shown, self.since)
    }

    /// Whether a call may ring here now.
    pub fn is_free(&self) -> bool {
        self.shown == SeatState::Idle && self.rest.is_none()
    }

    pub const fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// The call that rings here.
    pub const fn ringing(&self) -> Option<CallId> {
        match self.work {
            Work::Ringing { call, .. } => Some(call),
            _ => None,
        }
    }

    /// The call that has rung here for long enough.
    pub fn overdue(&self, now: Instant) -> Option<CallId> {
        match self.work {
            Work::Ringing { call, until } if until <= now => Some(call),
            _ => None,
        }
    }

    /// When time alone changes something.
    pub fn due(&self) -> Option<Instant> {
        let work = match self.work {
            Work::Ringing { until, .. } | Work::WrapUp { until } => Some(until),
            Work::None | Work::Talking { .. } => None,
        };
        work.into_iter().chain(self.rest).min()
    }

    /// Ends a wrap-up and a rest whose time has come.
    pub fn pass(&mut self, now: Instant) {
        if matches!(self.work, Work::WrapUp { until } if until <= now) {
            self.work = Work::None;
        }
        self.rest = self.rest.filter(|until| *until > now);
    }

    pub fn come(&mut self, skills: Skills) {
        self.present = true;
        self.skills = skills;
    }

    pub fn go(&mut self) {
        self.present = false;
        self.wrapped_up();
    }

    pub fn paused(&mut self, reason: Pause) {
        self.pause = Some(reason);
        self.wrapped_up();
    }

    pub fn ready(&mut self) {
        self.pause = None;
        self.misses = 0;
        self.rest = None;
        self.wrapped_up();
    }

    pub fn engage(&mut self, engaged: bool) {
        self.engaged = engaged;
        if engaged {
            self.wrapped_up();
        }
    }

    pub fn wrapped_up(&mut self) {
        if matches!(self.work, Work::WrapUp { .. }) {
            self.work = Work::None;
        }
    }

    pub fn ring(&mut self, call: CallId, until: Instant) {
        self.work = Work::Ringing { call, until };
    }

    /// The ring is over and nobody here is to blame.
    pub fn stop_ringing(&mut self) {
        self.work = Work::None;
    }

    pub fn answer(&mut self, call: CallId) {
        self.work = Work::Talking { call };
        self.misses = 0;
    }

    /// The operator did not want the call.
    pub fn refuse(&mut self, now: Instant) {
        self.work = Work::None;
        self.rest = Some(now + Plan::REST);
        self.idle_since = now;
    }

    /// Nobody reacted.
    ///
    /// * `most` — misses in a row that pause the seat; 0: none do.
    pub fn miss(&mut self, now: Instant, most: u32) {
        self.refuse(now);
        self.misses = self.misses.saturating_add(1);
        if most > 0 && self.misses >= most {
            self.misses = 0;
            self.pause = Some(Pause::NoAnswer);
        }
    }

    pub fn end_talk(&mut self, now: Instant, wrap_up: Duration) {
        // Whoever is gone writes no notes, and whoever speaks elsewhere writes them later.
        let writes = self.present && !self.engaged && !wrap_up.is_zero();
        self.work = if writes { Work::WrapUp { until: now + wrap_up } } else { Work::None };
    }

    /// What people see now, if that is something else than before.
    pub fn settle(&mut self, now: Instant) -> Option<SeatState> {
        let state = self.state();
        if state == self.shown {
            return None;
        }
        if state == SeatState::Idle && !matches!(self.shown, SeatState::Ringing { .. }) {
            self.idle_since = now;
        }
        self.shown = state;
        self.since = now;
        Some(state)
    }

    fn state(&self) -> SeatState {
        match (self.work, self.pause) {
            (Work::Talking { call }, _) => SeatState::Talking { call: Some(call) },
            (Work::Ringing { call, .. }, _) => SeatState::Ringing { call },
            _ if self.engaged => SeatState::Talking { call: None },
            _ if !self.present => SeatState::Offline,
            (Work::WrapUp { .. }, _) => SeatState::WrapUp,
            (Work::None, Some(reason)) => SeatState::Paused { reason },
            (Work::None, None) => SeatState::Idle,
        }
    }
}
