//! Brings telephone sound to the 16 kHz the models were trained on.

use rubato::{
    Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType,
    audioadapter_buffers::direct::InterleavedSlice,
};

use crate::speech::SpeechError;

/// Samples a second the models want.
pub(in crate::speech) const MODEL_RATE: u32 = 16_000;
/// Frames a step.
const CHUNK: usize = 1024;

/// Windowed-sinc resampler of one channel; whole pieces in, whole pieces out, delay taken off.
pub(super) struct Upsampler {
    /// `None` when the sound has the right rate already.
    inner: Option<Async<f32>>,
}

impl Upsampler {
    /// * `rate` — of what comes in, hertz.
    pub(super) fn new(rate: u32) -> Result<Self, SpeechError> {
        if rate == MODEL_RATE {
            return Ok(Self { inner: None });
        }
        let ratio = f64::from(MODEL_RATE) / f64::from(rate);
        let mut parameters = SincInterpolationParameters::default();
        if MODEL_RATE.is_multiple_of(rate) {
            // Every sample wanted stands in the table already: looking between its rows would cost four times as much.
            parameters.interpolation = SincInterpolationType::Nearest;
        }
        let inner = Async::new_sinc(ratio, 1.1, &parameters, CHUNK, 1, FixedAsync::Input)
            .map_err(|error| SpeechError::Engine(format!("resample from {rate} Hz: {error}")))?;
        Ok(Self { inner: Some(inner) })
    }

    /// * `pcm` — sound at the rate given to [`Upsampler::new`].
    /// * returns — the same span at 16 kHz, -1 to 1.
    pub(super) fn convert(&mut self, pcm: &[i16]) -> Result<Vec<f32>, SpeechError> {
        let sound: Vec<f32> = pcm.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
        let Some(inner) = &mut self.inner else { return Ok(sound) };
        if sound.is_empty() {
            return Ok(sound);
        }
        let wrong = |error: &dyn std::fmt::Display| SpeechError::Engine(format!("resample: {error}"));
        let input = InterleavedSlice::new(&sound, 1, sound.len()).map_err(|error| wrong(&error))?;
        let output = inner.process_all(&input, sound.len(), None).map_err(|error| wrong(&error))?;
        Ok(output.take_data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a test's tone")]
    fn a_tone_keeps_its_length_height_and_place() {
        let tone = |rate: f32, index: usize| (index as f32 * 440.0 * std::f32::consts::TAU / rate).sin();
        let pcm: Vec<i16> = (0..8000).map(|index| (tone(8000.0, index) * 16_000.0) as i16).collect();
        let out = Upsampler::new(8000).expect("8 kHz").convert(&pcm).expect("resampled");
        assert_eq!(out.len(), 16_000);
        let off = |shift: usize| {
            let pairs = out.iter().skip(1000).take(14_000).zip(1000 + shift..);
            pairs.map(|(sample, index)| (sample - tone(16_000.0, index - 1) * 0.488_28).abs()).fold(0.0, f32::max)
        };
        let best = (0..=2).map(off).fold(f32::MAX, f32::min);
        assert!(best < 0.01, "at most one sample early or late, it is off by {best}");
    }
}
