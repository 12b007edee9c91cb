//! Hearing: one side of a call in, its utterances out.

mod engine;
mod guard;
mod recognizer;
mod resample;
mod text;
mod vad;

pub use recognizer::{Recognizer, Skip, Stretch, check_processor};
pub use text::simplify;
