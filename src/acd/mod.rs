//! Who takes which call: desks with callers in line, seats with operators. Pure: no tasks, sockets or clocks.
//!
//! [`Distributor`] is fed with what happened ([`Event`]) and the time, and drained of what is to be done ([`Order`]).
//! [`Plan`] has the rules as numbers. Four promises hold whatever happens in whatever order: a caller is in exactly one
//! place until it left, was given up or is called back; a seat has one call at most, from its first ring on; who came
//! earlier with the same needs is rung for earlier; and a desk's line has an end.

mod calls;
mod distributor;
mod event;
mod plan;
mod queue;
mod seat;
#[cfg(test)]
mod tests;

pub use distributor::{CallView, DeskView, Distributor, SeatView};
pub use event::{Caller, Event, GivenUp, Order, RingFailure};
pub use plan::{Desk, Overflow, Plan};
pub use queue::{Skills, Stage};
pub use seat::{Pause, SeatState};
