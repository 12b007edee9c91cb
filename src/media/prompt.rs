//! Announcements, read once and shared by all calls.

use std::path::Path;

use super::{MediaError, SAMPLE_RATE};

/// One announcement.
#[derive(Clone, PartialEq, Eq)]
pub struct Prompt {
    /// File name without its ending; the recording's sidecar says `prompt:<name>`.
    pub name: String,
    /// 8 kHz mono.
    pub pcm: Vec<i16>,
}

impl Prompt {
    /// Longest announcement, seconds.
    pub const LONGEST: u32 = 300;

    /// Reads an 8 kHz mono PCM16 WAV of at most [`Prompt::LONGEST`].
    pub fn load(path: &Path) -> Result<Self, MediaError> {
        let wrong = |problem: String| MediaError::Prompt { path: path.to_owned(), problem };
        let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| wrong("has no name".into()))?;
        let mut reader = hound::WavReader::open(path).map_err(|error| wrong(error.to_string()))?;
        let spec = reader.spec();
        let fits = spec.channels == 1
            && spec.sample_rate == SAMPLE_RATE
            && spec.bits_per_sample == 16
            && spec.sample_format == hound::SampleFormat::Int;
        if !fits {
            let (rate, bits) = (spec.sample_rate, spec.bits_per_sample);
            return Err(wrong(format!(
                "is {rate} Hz, {} channels, {bits} bits; want 8000 Hz mono PCM16",
                spec.channels
            )));
        }
        if reader.duration() > Self::LONGEST * SAMPLE_RATE {
            return Err(wrong(format!("is longer than {} s", Self::LONGEST)));
        }
        let pcm = reader.samples::<i16>().collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { name: name.to_owned(), pcm })
    }
}

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prompt({}, {} samples)", self.name, self.pcm.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_is_eight_kilohertz_mono() {
        let prompt = Prompt::load(Path::new("config/prompts/welcome.wav")).expect("the demo has a welcome");
        assert_eq!(prompt.name, "welcome");
        assert_eq!(prompt.pcm.len(), 52_635);
    }

    #[test]
    fn a_stereo_file_is_refused_by_name() {
        let error = Prompt::load(Path::new("tests/calls/s01.wav")).expect_err("two channels are no announcement");
        assert!(error.to_string().contains("tests/calls/s01.wav"), "{error}");
    }
}
