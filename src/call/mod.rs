//! One call from INVITE to the row that says how it ended: joins [`crate::sip`], [`crate::media`], [`crate::recording`]
//! and [`crate::store`].
//!
//! [`core`] decides, as a pure state machine, and [`desk`] within it about operators; [`line`] carries out and reports
//! back. The line itself answers: it plays `welcome`, records both sides, and asks the [`crate::switchboard`] for an operator,
//! whose telephone `seat` rings; the media plane passes on what one side says to the other. Where nobody sits the caller
//! speaks to the recording alone. It ends with BYE, silence or the longest allowed time, which is announced with `goodbye`.
//! A call that a switch forks to us is recorded without a word. A database that is away stops nothing: the sealed recording and its sidecar are the truth.

mod announcement;
pub mod core;
pub mod desk;
mod ledger;
mod line;
mod quality;
mod run;
mod seat;
#[cfg(test)]
mod tests;

pub use announcement::Announcement;
pub use line::{Line, LineError, Parts, Prompts};
pub use seat::Phones;
