//! Reading recordings: one side, or a slice of one side. Works on a file that still grows.

use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec};

use super::RecordingError;
use crate::domain::transcript::Channel;

/// Longest recording that is read into memory, seconds (four hours: 230 MB for one side).
pub const LONGEST: u32 = 4 * 3600;

/// What a WAV is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Samples a second and channel, 8000 to 48000; recordings of the line have 8000.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u16,
    /// Samples of one channel.
    pub samples: u32,
}

/// Reads the head of a WAV and refuses anything but PCM16 with one or two channels.
pub fn format(path: &Path) -> Result<Format, RecordingError> {
    let reader = WavReader::open(path).map_err(|error| wrong(path, error))?;
    let spec = checked(path, reader.spec())?;
    Ok(Format { rate: spec.sample_rate, channels: spec.channels, samples: reader.duration() })
}

/// One side of a WAV with PCM16, one or two channels. A mono file is the caller's side.
pub fn read_channel(path: &Path, channel: Channel) -> Result<Vec<i16>, RecordingError> {
    read_slice(path, channel, 0, u32::MAX)
}

/// One side from `start_ms` to `end_ms` (cut at the end of the file).
pub fn read_slice(path: &Path, channel: Channel, start_ms: u32, end_ms: u32) -> Result<Vec<i16>, RecordingError> {
    let mut reader = WavReader::open(path).map_err(|error| wrong(path, error))?;
    let spec = checked(path, reader.spec())?;
    let frame = |ms: u32| {
        let frame = u64::from(ms) * u64::from(spec.sample_rate) / 1000;
        u32::try_from(frame).unwrap_or(u32::MAX).min(reader.duration())
    };
    let (from, to) = (frame(start_ms), frame(end_ms));
    if to.saturating_sub(from) > LONGEST * spec.sample_rate {
        return Err(RecordingError::Format { path: path.into(), problem: format!("longer than {LONGEST} s") });
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
        pcm.push(sample.map_err(|error| wrong(path, error))?);
    }
    Ok(pcm)
}

fn checked(path: &Path, spec: WavSpec) -> Result<WavSpec, RecordingError> {
    let plain = spec.bits_per_sample == 16 && spec.sample_format == SampleFormat::Int;
    if plain && (8_000..=48_000).contains(&spec.sample_rate) && (1..=2).contains(&spec.channels) {
        return Ok(spec);
    }
    let (rate, bits, channels) = (spec.sample_rate, spec.bits_per_sample, spec.channels);
    let problem =
        format!("{rate} Hz, {bits} bits, {channels} channels; want PCM16 at 8000 to 48000 Hz, mono or stereo");
    Err(RecordingError::Format { path: path.into(), problem })
}

fn wrong(path: &Path, error: hound::Error) -> RecordingError {
    match error {
        hound::Error::IoError(source) => RecordingError::File { path: path.into(), source },
        other => RecordingError::Format { path: path.into(), problem: other.to_string() },
    }
}
