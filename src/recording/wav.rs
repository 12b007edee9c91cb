//! Reading recordings: one side, or a slice of one side. Works on a file that still grows.

use std::path::Path;

use hound::{SampleFormat, WavReader};

use super::RecordingError;
use crate::domain::transcript::Channel;

/// Longest recording that is read into memory, seconds (four hours: 230 MB for one side).
pub const LONGEST: u32 = 4 * 3600;

/// One side of a WAV with 8 kHz PCM16, one or two channels. A mono file is the caller's side.
pub fn read_channel(path: &Path, channel: Channel) -> Result<Vec<i16>, RecordingError> {
    read_slice(path, channel, 0, u32::MAX)
}

/// One side from `start_ms` to `end_ms` (cut at the end of the file).
pub fn read_slice(path: &Path, channel: Channel, start_ms: u32, end_ms: u32) -> Result<Vec<i16>, RecordingError> {
    let format = |problem: String| RecordingError::Format { path: path.to_owned(), problem };
    let wrong = |error: hound::Error| match error {
        hound::Error::IoError(source) => RecordingError::File { path: path.to_owned(), source },
        other => format(other.to_string()),
    };
    let mut reader = WavReader::open(path).map_err(wrong)?;
    let spec = reader.spec();
    let plain = spec.sample_rate == 8_000 && spec.bits_per_sample == 16 && spec.sample_format == SampleFormat::Int;
    if !plain || !(1..=2).contains(&spec.channels) {
        let (rate, bits, channels) = (spec.sample_rate, spec.bits_per_sample, spec.channels);
        return Err(format(format!("{rate} Hz, {bits} bits, {channels} channels; want 8000 Hz PCM16, mono or stereo")));
    }
    let frame = |ms: u32| u32::try_from(u64::from(ms) * 8).unwrap_or(u32::MAX).min(reader.duration());
    let (from, to) = (frame(start_ms), frame(end_ms));
    if to.saturating_sub(from) > LONGEST * 8_000 {
        return Err(format(format!("longer than {LONGEST} s")));
    }
    let skip = match (channel, spec.channels) {
        (Channel::Operator, 1) => return Ok(Vec::new()),
        (Channel::Operator, _) => 1,
        (Channel::Caller, _) => 0,
    };
    reader.seek(from).map_err(|source| RecordingError::File { path: path.to_owned(), source })?;
    let wanted = to.saturating_sub(from) as usize;
    let step = usize::from(spec.channels);
    let mut pcm = Vec::with_capacity(wanted);
    for sample in reader.samples::<i16>().skip(skip).step_by(step).take(wanted) {
        pcm.push(sample.map_err(wrong)?);
    }
    Ok(pcm)
}
