//! The media thread's end of a recording.

use crate::domain::transcript::Channel;

/// Takes the sound of one call; dropping it ends the recording. Never waits: what it cannot take it counts.
#[derive(Debug)]
pub struct Tap;

impl Tap {
    /// Puts sound on a channel.
    ///
    /// * `at` — position of the first sample since the start of the recording, at 8 kHz.
    pub fn push(&mut self, _channel: Channel, _at: u64, _pcm: &[i16]) {}

    /// Notes who is to be heard on a channel from sample `from` to sample `to`. A second note with the same channel,
    /// name and `from` moves the end.
    pub fn speaker(&mut self, _channel: Channel, _who: &str, _from: u64, _to: u64) {}
}
