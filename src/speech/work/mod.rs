//! Hearing in a child process: a broken model or a crash inside whisper.cpp ends a worker, never a call.
//!
//! The parent writes one JSON line a [`Task`], the child answers with lines (`Line`) on its standard output and logs on
//! its standard error. The child ends when its input does, so it never outlives its parent.

mod child;
mod ear;
mod health;
mod live;
mod process;
mod supervisor;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use child::serve;
pub use health::Health;
pub use live::{Live, listen_loop};
pub use process::{Program, Worker, WorkerError};
pub use supervisor::supervise;

use super::{Skip, Stretch};
use crate::domain::transcript::Utterance;

/// Longest line a child reads: a path and the announcements of a call.
const LONGEST_TASK: u64 = 1 << 20;
/// Longest line a parent reads: four hours of talk are about 1 MiB.
const LONGEST_ANSWER: u64 = 16 << 20;

/// One recording to hear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Comes back with every answer.
    pub id: String,
    pub wav: PathBuf,
    #[serde(default)]
    pub skip: Vec<Skip>,
    #[serde(default)]
    pub stretch: Stretch,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// In the order they began.
    pub utterances: Vec<Utterance>,
    /// From where each channel is to be heard next, milliseconds since the start of the recording.
    pub until: [u32; 2],
}

/// What a child says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    /// The models are loaded.
    Ready,
    /// The models cannot be loaded; the child ends.
    Unfit { reason: String },
    /// Still at work.
    Beat { id: String },
    /// Done.
    Heard { id: String, utterances: Vec<Utterance>, until: [u32; 2] },
    /// Not to be done; whether another attempt may help.
    Failed { id: String, error: String, retry: bool },
}

/// The error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
