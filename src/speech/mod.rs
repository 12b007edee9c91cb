//! From sound to words: models, voice detection, utterances, Whisper.
//!
//! [`models`] installs and checks the files. A [`Recognizer`] hears one side of a call at a time: the voice detector
//! cuts utterances, whisper.cpp reads each, guards throw away what was only invented. Since a broken model may take the
//! whole process with it, calls are heard in a child process.

pub mod cer;
mod convert;
mod error;
mod hear;
pub mod models;
pub mod work;

pub use error::SpeechError;
pub use hear::{Recognizer, Skip, Stretch, check_processor, simplify};
pub use models::{ModelFile, ModelFiles};
