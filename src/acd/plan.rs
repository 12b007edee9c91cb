//! The rules of distribution as numbers.

use std::time::Duration;

use super::queue::Skills;
use crate::{
    config,
    domain::{
        hours::Hours,
        seat::{DeskId, Skill},
    },
};

/// How calls are given to seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How long a seat rings before the next one does.
    pub ring: Duration,
    /// Time for notes after a talk; nothing: the next call may come at once.
    pub wrap_up: Duration,
    /// Calls in a row that a seat lets ring before it is paused; 0: it never is.
    pub misses: u32,
    /// Wait after which a caller's own wishes (dialect, topic) no longer count; the desk's skills always do.
    pub relax: Option<Duration>,
    /// From the arrival to the first telling of the position.
    pub first_position: Duration,
    /// From one telling to the next; without it there is none.
    pub position_every: Option<Duration>,
    /// Wait after which a call-back is offered; without it there is none.
    pub call_back_after: Option<Duration>,
    /// Wait after which a caller is given up, over all desks; without it nobody is.
    pub give_up_after: Option<Duration>,
    /// At least one; the first takes what belongs to none.
    pub desks: Vec<Desk>,
}

/// What callers wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desk {
    pub id: DeskId,
    /// The line's numbers that lead here.
    pub numbers: Vec<String>,
    /// What a seat needs for any call of this desk.
    pub skills: Skills,
    /// A higher one goes first, whatever the desk.
    pub priority: u8,
    /// Callers who may wait; and, counted apart, call-backs that may be noted.
    pub capacity: usize,
    pub overflow: Option<Overflow>,
    /// The runner looks at the clock and tells [`Event::DeskOpened`](super::Event::DeskOpened) and
    /// [`Event::DeskClosed`](super::Event::DeskClosed).
    pub hours: Hours,
}

/// The desk that helps out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overflow {
    pub desk: DeskId,
    /// Wait at the first desk.
    pub after: Duration,
}

impl Plan {
    /// The plan that the settings say.
    ///
    /// * `numbers` — all that the line answers; those no desk names belong to the first desk.
    pub fn of(acd: &config::Acd, numbers: &[String]) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let unless_zero = |value: u32| (value > 0).then(|| seconds(value));
        let desk = |desk: &config::AcdDesk| Desk {
            id: desk.id.as_str().into(),
            numbers: desk.numbers.clone(),
            skills: desk.skills.iter().map(|skill| Skill::from(skill.as_str())).collect(),
            priority: desk.priority,
            capacity: desk.capacity.unwrap_or(acd.capacity),
            overflow: desk.overflow.as_deref().map(|other| Overflow {
                desk: other.into(),
                after: seconds(desk.overflow_after_seconds.unwrap_or(acd.overflow_after_seconds)),
            }),
            hours: desk.hours,
        };
        let mut plan = Self {
            ring: seconds(acd.ring_seconds),
            wrap_up: seconds(acd.wrap_up_seconds),
            misses: acd.misses,
            relax: unless_zero(acd.relax_after_seconds),
            first_position: seconds(acd.first_position_seconds),
            position_every: unless_zero(acd.position_every_seconds),
            call_back_after: unless_zero(acd.callback_after_seconds),
            give_up_after: unless_zero(acd.give_up_after_seconds),
            desks: acd.desks().iter().map(desk).collect(),
        };
        let named: Vec<String> = plan.desks.iter().flat_map(|desk| desk.numbers.clone()).collect();
        if let Some(first) = plan.desks.first_mut() {
            first.numbers.extend(numbers.iter().filter(|number| !named.contains(number)).cloned());
        }
        plan
    }

    /// A desk by its name.
    pub fn desk(&self, id: &DeskId) -> Option<&Desk> {
        self.desks.iter().find(|desk| desk.id == *id)
    }

    /// The desk that a number of the line leads to, as the settings write the number.
    pub fn desk_of(&self, number: &str) -> Option<&Desk> {
        self.desks.iter().find(|desk| desk.numbers.iter().any(|own| own == number)).or(self.desks.first())
    }

    /// The plan with spans that let time pass and with a desk, whoever made it: else timers would be due for ever.
    pub(super) fn sound(mut self) -> Self {
        let least = |span: Duration| span.max(Duration::from_secs(1));
        self.ring = least(self.ring);
        self.position_every = self.position_every.map(least);
        if self.desks.is_empty() {
            self.desks = Self::of(&config::Acd::default(), &[]).desks;
        }
        for desk in &mut self.desks {
            desk.capacity = desk.capacity.max(1);
            if let Some(overflow) = &mut desk.overflow {
                overflow.after = least(overflow.after);
            }
        }
        self
    }

    /// The desk that takes what belongs to none.
    pub(super) fn first(&self) -> DeskId {
        self.desks.first().map_or_else(|| DeskId::from(""), |desk| desk.id.clone())
    }

    /// How long a seat that refused or missed a call is left in peace, so that a telephone which refuses at once is not
    /// rung a hundred times a second; and after how long is looked again where a full desk had no room.
    pub const REST: Duration = Duration::from_secs(5);

    /// Most seats; those beyond are not known, and their telephones do not ring.
    pub const SEATS: usize = 2_000;
}

impl Default for Plan {
    /// As without any settings, for no number.
    fn default() -> Self {
        Self::of(&config::Acd::default(), &[])
    }
}
