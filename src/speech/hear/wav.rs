//! One channel of a WAV file, bounded.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use hound::{SampleFormat, WavReader};

use crate::speech::SpeechError;

/// The longest recording that is heard: four hours and a bit, more than the longest call.
const LONGEST_SECONDS: u32 = 15_000;

/// A recording on disk: 16-bit, one or two channels.
pub(in crate::speech) struct Recording {
    path: PathBuf,
    /// Samples a second and channel.
    pub(in crate::speech) rate: u32,
    /// 1 or 2; a mono file is the caller alone.
    pub(in crate::speech) channels: u16,
    /// Samples of one channel.
    pub(in crate::speech) samples: u32,
}

impl Recording {
    /// Reads the header and refuses what cannot be heard.
    pub(in crate::speech) fn open(path: &Path) -> Result<Self, SpeechError> {
        let reader = reader(path)?;
        let spec = reader.spec();
        let wrong = |problem: String| SpeechError::Sound { path: path.into(), problem };
        if spec.sample_format != SampleFormat::Int || spec.bits_per_sample != 16 {
            return Err(wrong(format!("{}-bit sound; a recording is 16-bit PCM", spec.bits_per_sample)));
        }
        if !(1..=2).contains(&spec.channels) || !(8000..=48_000).contains(&spec.sample_rate) {
            let (channels, rate) = (spec.channels, spec.sample_rate);
            return Err(wrong(format!(
                "{channels} channels at {rate} Hz; one or two at 8000 to 48000 Hz can be heard"
            )));
        }
        let samples = reader.duration();
        if samples / spec.sample_rate > LONGEST_SECONDS {
            return Err(wrong(format!("{} seconds, more than {LONGEST_SECONDS}", samples / spec.sample_rate)));
        }
        Ok(Self { path: path.into(), rate: spec.sample_rate, channels: spec.channels, samples })
    }

    /// All samples of one channel; a file that ends early gives what it has.
    pub(in crate::speech) fn channel(&self, channel: u16) -> Result<Vec<i16>, SpeechError> {
        let reader = reader(&self.path)?;
        let mut pcm = Vec::with_capacity(usize::try_from(self.samples).unwrap_or(0));
        let samples = reader.into_samples::<i16>();
        let step = usize::from(self.channels);
        for sample in samples.skip(usize::from(channel)).step_by(step) {
            match sample {
                Ok(sample) => pcm.push(sample),
                // A recording cut off by a power failure is heard up to there.
                Err(_) => break,
            }
        }
        Ok(pcm)
    }
}

fn reader(path: &Path) -> Result<WavReader<BufReader<File>>, SpeechError> {
    let file = File::open(path).map_err(SpeechError::file("cannot open", path))?;
    WavReader::new(BufReader::new(file))
        .map_err(|error| SpeechError::Sound { path: path.into(), problem: format!("not a WAV file: {error}") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_file_is_an_error_or_sound_and_never_a_panic(
            changes in prop::collection::vec((0_usize..60, any::<u8>()), 0..6), keep in 0_usize..200,
        ) {
            let mut bytes = std::fs::read("tests/calls/s01.wav").expect("a sample call");
            for (at, value) in changes {
                bytes[at] = value;
            }
            bytes.truncate(keep);
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("x.wav");
            std::fs::write(&path, bytes).expect("written");
            if let Ok(recording) = Recording::open(&path) {
                let _ = recording.channel(0);
            }
        }
    }

    #[test]
    fn each_side_of_a_call_is_read() {
        let recording = Recording::open(Path::new("tests/calls/s01.wav")).expect("a sample call");
        assert_eq!((recording.rate, recording.channels), (8000, 2));
        let caller = recording.channel(0).expect("read");
        assert_eq!(caller.len(), usize::try_from(recording.samples).expect("small"));
        assert_ne!(caller, recording.channel(1).expect("read"));
    }
}
