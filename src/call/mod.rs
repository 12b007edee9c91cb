//! One call from INVITE to the row that says how it ended: joins [`crate::sip`], [`crate::media`], [`crate::recording`]
//! and [`crate::store`].
//!
//! [`core`] decides, as a pure state machine; [`line`] carries out and reports back. Without seats the line itself
//! answers: it plays `welcome`, records both sides, and ends with BYE, silence or the longest allowed time, which it
//! announces with `goodbye`. A call that a switch forks to us is recorded without a word. A database that is away stops nothing: the sealed recording and its sidecar are the truth.

pub mod core;
mod ledger;
mod line;
mod quality;
mod run;
#[cfg(test)]
mod tests;

pub use line::{Line, LineError, Parts, Prompts};
