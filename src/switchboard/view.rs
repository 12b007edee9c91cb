//! The switchboard as people see it.

use super::Runner;
use crate::{
    acd::{DeskView, SeatState},
    domain::{seat::DeskId, seat::SeatId, time::UnixMs},
};

/// One seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    pub seat: SeatId,
    /// What whoever sits there is good at.
    pub skills: Vec<String>,
    pub state: SeatState,
    /// When this state began.
    pub since: UnixMs,
}

/// One desk and who waits at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub desk: DeskId,
    /// The line's numbers that lead here.
    pub numbers: Vec<String>,
    pub view: DeskView,
}

impl Runner {
    pub(super) fn view(&self) -> (Vec<Seat>, Vec<Queue>) {
        let (now, wall) = (self.clock.instant(), self.clock.now());
        let seats = self.acd.seats().map(|it| {
            let ago = i64::try_from(now.saturating_duration_since(it.since).as_millis()).unwrap_or(i64::MAX);
            let skills = it.skills.iter().map(ToString::to_string).collect();
            Seat { seat: it.seat.clone(), skills, state: it.state, since: UnixMs(wall.0.saturating_sub(ago)) }
        });
        let queues = self.acd.plan().desks.iter().map(|desk| Queue {
            desk: desk.id.clone(),
            numbers: desk.numbers.clone(),
            view: self.acd.waiting(&desk.id, now),
        });
        (seats.collect(), queues.collect())
    }
}
