//! Sound of the telephone: 8 kHz, one channel, 16 bit; files, G.711, and measures that prove what was heard.

mod g711;
mod measure;
mod wav;

pub use g711::Codec;
pub use measure::{Alignment, align, loudness_dbfs, tone, tone_share};
pub use wav::{Side, WavError, read, read_both, write};

/// Samples a second, everywhere.
pub const RATE: u32 = 8000;
/// Samples in the 20 ms of one packet.
pub const FRAME: usize = 160;
