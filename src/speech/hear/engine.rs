//! whisper.cpp behind plain functions: nothing else in the house names its crate.

use std::sync::{Arc, Once};

use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState, WhisperVadContext,
    WhisperVadContextParams, install_logging_hooks,
};

use super::resample::MODEL_RATE;
use crate::speech::{ModelFiles, SpeechError};

/// Whisper's encoder makes this many steps a second.
const STEPS: f32 = 50.0;
/// Steps added behind the sound; the decoder needs silence to see the end.
const MARGIN_STEPS: u32 = 128;
/// Steps of the whole 30-second window.
const ALL_STEPS: u32 = 1500;
/// whisper.cpp wants at least a second.
const LEAST_SAMPLES: usize = MODEL_RATE as usize;
/// Tokens a second of sound may give. People say up to eight characters a second, of one to three tokens each; a model that
/// writes more has lost its way and would go on to the end of its memory, six times over.
const TOKENS_PER_SECOND: f32 = 20.0;
/// Prompt tokens at most; half of the text context is the prompt's.
const MOST_PROMPT_TOKENS: usize = 224;

/// whisper.cpp's word for no bound of our own on the tokens.
const UNBOUND: i32 = 0;

/// The model's weights and the voice detector, loaded once.
pub(super) struct Engine {
    context: Arc<WhisperContext>,
    state: WhisperState,
    detector: WhisperVadContext,
    detector_path: String,
    /// Initial prompt as the model's own tokens.
    prompt: Vec<i32>,
    parameters: FullParams<'static, 'static>,
}

/// What the model wrote for one utterance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decoded {
    /// As written, not tidied.
    pub(super) text: String,
    /// Mean probability of its tokens, 0 to 1.
    pub(super) confidence: f32,
}

impl Engine {
    /// Loads both models; the files' hashes were checked before.
    pub(super) fn load(files: &ModelFiles, prompt: &str) -> Result<Self, SpeechError> {
        static QUIET: Once = Once::new();
        // whisper.cpp's own lines go to `tracing`.
        QUIET.call_once(install_logging_hooks);
        let refused = |what: &str, error: &dyn std::fmt::Display| SpeechError::Engine(format!("load {what}: {error}"));
        let path = &files.recognizer.path;
        let mut parameters = WhisperContextParameters::default();
        parameters.use_gpu(false);
        let context = WhisperContext::new_with_params(path, parameters)
            .map_err(|error| refused(&path.display().to_string(), &error))?;
        let detector_path = files.detector.path.to_string_lossy().into_owned();
        let detector = open_detector(&detector_path)?;
        let state = context.create_state().map_err(|error| refused("a decoder", &error))?;
        let prompt = if prompt.is_empty() {
            Vec::new()
        } else {
            context
                .tokenize(&prompt.replace('\0', ""), MOST_PROMPT_TOKENS)
                .map_err(|error| SpeechError::Engine(format!("read speech.prompt: {error}")))?
        };
        Ok(Self { context: Arc::new(context), state, detector, detector_path, prompt, parameters: parameters_zh() })
    }

    /// Another decoder over the same weights, for another thread.
    pub(super) fn fork(&self) -> Result<Self, SpeechError> {
        let state = self
            .context
            .create_state()
            .map_err(|error| SpeechError::Engine(format!("make another decoder: {error}")))?;
        Ok(Self {
            context: Arc::clone(&self.context),
            state,
            detector: open_detector(&self.detector_path)?,
            detector_path: self.detector_path.clone(),
            prompt: self.prompt.clone(),
            parameters: self.parameters.clone(),
        })
    }

    /// Probability of speech for every 512 samples (32 ms).
    ///
    /// * `sound` — 16 kHz, -1 to 1.
    pub(super) fn detect(&mut self, sound: &[f32]) -> Result<Vec<f32>, SpeechError> {
        if sound.is_empty() {
            return Ok(Vec::new());
        }
        self.detector
            .detect_speech(sound)
            .map_err(|error| SpeechError::Engine(format!("run the voice detector: {error}")))?;
        Ok(self.detector.probabilities().to_vec())
    }

    /// Reads one utterance.
    ///
    /// * `sound` — 16 kHz, -1 to 1, at most 30 seconds.
    pub(super) fn decode(&mut self, sound: Vec<f32>) -> Result<Decoded, SpeechError> {
        let (window, tokens) = (audio_context(sound.len()), most_tokens(sound.len()));
        self.decode_within(window, tokens, sound)
    }

    /// Reads one utterance with no bound but whisper.cpp's own: the baseline of [`Engine::decode`].
    ///
    /// * `sound` — 16 kHz, -1 to 1, at most 30 seconds.
    pub(super) fn decode_raw(&mut self, sound: Vec<f32>) -> Result<Decoded, SpeechError> {
        let window = audio_context(sound.len());
        self.decode_within(window, UNBOUND, sound)
    }

    /// Reads sound of any length with the whole window of 30 seconds, as whisper.cpp does by itself.
    ///
    /// * `sound` — 16 kHz, -1 to 1.
    pub(super) fn decode_whole(&mut self, sound: Vec<f32>) -> Result<Decoded, SpeechError> {
        self.decode_within(audio_context(usize::MAX), UNBOUND, sound)
    }

    fn decode_within(&mut self, window: i32, tokens: i32, mut sound: Vec<f32>) -> Result<Decoded, SpeechError> {
        let mut parameters = self.parameters.clone();
        parameters.set_audio_ctx(window);
        parameters.set_max_tokens(tokens);
        parameters.set_tokens(&self.prompt);
        if sound.len() < LEAST_SAMPLES {
            sound.resize(LEAST_SAMPLES, 0.0);
        }
        self.state
            .full(parameters, &sound)
            .map_err(|error| SpeechError::Engine(format!("decode an utterance: {error}")))?;
        let first_special = self.context.token_eot();
        let (mut bytes, mut sum, mut count) = (Vec::new(), 0.0_f32, 0.0_f32);
        for segment in self.state.as_iter() {
            for index in 0..segment.n_tokens() {
                let Some(token) = segment.get_token(index) else { continue };
                if token.token_id() >= first_special {
                    continue;
                }
                // A token may be half a character: bytes are joined before they are read as text.
                if let Ok(part) = token.to_bytes() {
                    bytes.extend_from_slice(part);
                }
                sum += token.token_probability();
                count += 1.0;
            }
        }
        let confidence = if count > 0.0 { (sum / count).clamp(0.0, 1.0) } else { 0.0 };
        Ok(Decoded { text: String::from_utf8_lossy(&bytes).into_owned(), confidence })
    }
}

fn open_detector(path: &str) -> Result<WhisperVadContext, SpeechError> {
    if path.contains('\0') {
        return Err(SpeechError::Engine(format!("open {path:?}")));
    }
    let mut parameters = WhisperVadContextParams::default();
    parameters.set_n_threads(1);
    WhisperVadContext::new(path, parameters).map_err(|error| SpeechError::Engine(format!("load {path}: {error}")))
}

/// Mandarin, greedy, one thread, nothing printed, no memory of the utterance before.
fn parameters_zh() -> FullParams<'static, 'static> {
    let mut parameters = FullParams::new(SamplingStrategy::Greedy { best_of: 5 });
    parameters.set_n_threads(1);
    parameters.set_language(Some("zh"));
    parameters.set_translate(false);
    parameters.set_no_context(true);
    parameters.set_temperature(0.0);
    parameters.set_print_special(false);
    parameters.set_print_progress(false);
    parameters.set_print_realtime(false);
    parameters.set_print_timestamps(false);
    parameters
}

/// `min(1500, round_up_8(⌈seconds · 50⌉ + 128))`: short utterances cost less.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 30 s of samples"
)]
fn audio_context(samples: usize) -> i32 {
    let steps = (samples as f32 / MODEL_RATE as f32 * STEPS).ceil().min(1e6) as u32;
    i32::try_from((steps + MARGIN_STEPS).next_multiple_of(8).min(ALL_STEPS)).unwrap_or(1500)
}

/// What may be written for sound of this length.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "at most 30 s of samples")]
fn most_tokens(samples: usize) -> i32 {
    (samples.max(LEAST_SAMPLES) as f32 / MODEL_RATE as f32 * TOKENS_PER_SECOND).ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_with_the_utterance() {
        assert_eq!(audio_context(16_000), 184);
        assert_eq!(audio_context(160_000), 632);
        assert_eq!(audio_context(480_000), 1500);
    }

    #[test]
    fn a_model_that_never_ends_is_stopped_by_the_length_of_what_was_said() {
        assert_eq!(most_tokens(0), 20);
        assert_eq!(most_tokens(40_000), 50);
        assert_eq!(most_tokens(480_000), 600);
    }
}
