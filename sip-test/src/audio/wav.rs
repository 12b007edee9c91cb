//! WAV files of 8 kHz PCM16.

use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::RATE;

/// Longest file taken, in samples of one channel: two hours.
const LONGEST: u32 = 2 * 3600 * RATE;

/// Which channel of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    #[default]
    Left,
    Right,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    #[error("{path}: not a readable WAV file")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: hound::Error,
    },
    #[error("{path}: is {found}; needed is {needed}")]
    Unfit { path: PathBuf, found: String, needed: &'static str },
    #[error("{path}: cannot be written")]
    Unwritable {
        path: PathBuf,
        #[source]
        source: hound::Error,
    },
}

/// One channel of a file. A mono file has only [`Side::Left`].
pub fn read(path: &Path, side: Side) -> Result<Vec<i16>, WavError> {
    let (left, right) = channels(path)?;
    match (side, right) {
        (Side::Left, _) => Ok(left),
        (Side::Right, Some(right)) => Ok(right),
        (Side::Right, None) => {
            Err(WavError::Unfit { path: path.into(), found: "mono".into(), needed: "a second channel for `right`" })
        }
    }
}

/// Both channels of a stereo file.
pub fn read_both(path: &Path) -> Result<(Vec<i16>, Vec<i16>), WavError> {
    match channels(path)? {
        (left, Some(right)) => Ok((left, right)),
        (_, None) => Err(WavError::Unfit { path: path.into(), found: "mono".into(), needed: "two channels" }),
    }
}

/// Writes a mono file.
pub fn write(path: &Path, pcm: &[i16]) -> Result<(), WavError> {
    let wrong = |source| WavError::Unwritable { path: path.into(), source };
    let spec = WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut file = WavWriter::create(path, spec).map_err(wrong)?;
    for sample in pcm {
        file.write_sample(*sample).map_err(wrong)?;
    }
    file.finalize().map_err(wrong)
}

fn channels(path: &Path) -> Result<(Vec<i16>, Option<Vec<i16>>), WavError> {
    let unreadable = |source| WavError::Unreadable { path: path.into(), source };
    let mut file = WavReader::open(path).map_err(unreadable)?;
    let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = file.spec();
    let fits = (1..=2).contains(&channels)
        && sample_rate == RATE
        && bits_per_sample == 16
        && sample_format == SampleFormat::Int
        && file.duration() <= LONGEST;
    if !fits {
        let found = format!(
            "{sample_rate} Hz, {bits_per_sample} bit {sample_format:?}, {channels} channels, {} samples",
            file.duration()
        );
        return Err(WavError::Unfit {
            path: path.into(),
            found,
            needed: "8000 Hz, 16 bit Int, 1 or 2 channels, at most two hours",
        });
    }
    let samples = file.samples::<i16>().collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if channels == 1 {
        return Ok((samples, None));
    }
    let (pairs, _) = samples.as_chunks::<2>();
    Ok((pairs.iter().map(|pair| pair[0]).collect(), Some(pairs.iter().map(|pair| pair[1]).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_rate_is_refused_with_what_it_is() {
        let path = std::env::temp_dir().join(format!("sip-test-rate-{}.wav", std::process::id()));
        let spec = WavSpec { channels: 1, sample_rate: 16_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        WavWriter::create(&path, spec).unwrap().finalize().unwrap();
        let error = read(&path, Side::Left).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("16000 Hz") && error.contains("needed is 8000 Hz"), "{error}");
    }

    #[test]
    fn a_mono_file_has_no_right_channel() {
        let path = std::env::temp_dir().join(format!("sip-test-mono-{}.wav", std::process::id()));
        write(&path, &[1, -2, 3]).unwrap();
        assert_eq!(read(&path, Side::Left).unwrap(), [1, -2, 3]);
        assert!(read(&path, Side::Right).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
