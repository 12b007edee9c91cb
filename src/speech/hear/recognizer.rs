//! One side of a call from sound to utterances.

use std::path::Path;

use super::{
    engine::{Decoded, Engine},
    guard::{self, Claim},
    resample::Upsampler,
    text,
    vad::{self, FRAME_MS, Span},
};
use crate::{
    domain::transcript::{Channel, Transcript, Utterance},
    recording::wav,
    speech::{ModelFiles, SpeechError},
};

/// Sound before and after an utterance that goes to the model with it.
const MARGIN_MS: u32 = 200;
/// The detector runs over pieces of this length, so that a long call needs no more memory than a short one.
const PIECE_MS: u32 = 60_000;
/// The detector listens to this much before each piece, since it starts with no memory.
const WARM_UP_MS: u32 = 1024;
/// No louder than this (-66 dB below full scale, twice the step of A-law) is silence, whatever is in it.
const HUSH: u16 = 16;
/// Silence of this length needs no detector.
const PAUSE_MS: u32 = 2 * WARM_UP_MS;

/// Hears; one per thread. [`Recognizer::fork`] shares the weights.
pub struct Recognizer {
    engine: Engine,
    prompt: String,
}

/// A stretch of one channel that is not to be heard: an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Skip {
    pub channel: Channel,
    /// Milliseconds since the start of the recording.
    pub start_ms: u32,
    /// Milliseconds since the start of the recording.
    pub end_ms: u32,
}

/// What of a recording is to be heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stretch {
    /// From where on: the caller's channel, the operator's; milliseconds since the start of the recording.
    pub from: [u32; 2],
    /// The call goes on: an utterance that may go on too is left for later.
    pub grows: bool,
}

impl Recognizer {
    /// Checks the processor and the files' hashes, then loads them.
    ///
    /// * `prompt` — first words for the model: simplified Chinese with punctuation.
    pub fn open(files: &ModelFiles, prompt: &str) -> Result<Self, SpeechError> {
        check_processor()?;
        files.verify()?;
        Ok(Self { engine: Engine::load(files, prompt)?, prompt: prompt.to_owned() })
    }

    /// Another one for another thread, over the same weights.
    pub fn fork(&self) -> Result<Self, SpeechError> {
        Ok(Self { engine: self.engine.fork()?, prompt: self.prompt.clone() })
    }

    /// Hears a whole recording: left the caller, right everybody else; a mono file is the caller.
    ///
    /// * `progress` — called after every minute searched and every utterance read.
    pub fn transcribe(
        &mut self,
        file: &Path,
        skip: &[Skip],
        progress: &mut dyn FnMut(),
    ) -> Result<Transcript, SpeechError> {
        let (utterances, _) = self.listen(file, skip, Stretch::default(), progress)?;
        Ok(Transcript { utterances, r#final: true })
    }

    /// Hears the rest of a recording, or what has come so far of one that grows.
    ///
    /// * returns — the utterances in the order they began, and from where each channel is to be heard next.
    pub fn listen(
        &mut self,
        file: &Path,
        skip: &[Skip],
        stretch: Stretch,
        progress: &mut dyn FnMut(),
    ) -> Result<(Vec<Utterance>, [u32; 2]), SpeechError> {
        let format = wav::format(file)?;
        let (mut utterances, mut until) = (Vec::new(), stretch.from);
        for (channel, until) in [Channel::Caller, Channel::Operator].into_iter().zip(&mut until) {
            if channel == Channel::Operator && format.channels < 2 {
                continue;
            }
            let from = *until;
            let spans: Vec<_> = skip
                .iter()
                .filter(|skip| skip.channel == channel && skip.end_ms > from)
                .map(|skip| (skip.start_ms.saturating_sub(from), skip.end_ms - from))
                .collect();
            let pcm = wav::read_slice(file, channel, from, u32::MAX)?;
            let side = Side { pcm: &pcm, rate: format.rate, skip: &spans };
            let mut upsampler = Upsampler::new(format.rate)?;
            let mut found = self.spans(&side, &mut upsampler, progress)?;
            *until = from + side.length_ms();
            if stretch.grows {
                let settled = settled(&found, side.length_ms());
                let open = found.drain(settled..).next().map(|span| span.start_ms.saturating_sub(MARGIN_MS));
                let last = found.last().map_or(0, |span| span.end_ms);
                // Whoever begins to speak just now is heard from the beginning.
                let next = open.unwrap_or(side.length_ms().saturating_sub(PAUSE_MS)).max(last);
                // In whole frames of the detector, so that it sees what it sees when it hears the whole.
                *until = (from + next) / FRAME_MS * FRAME_MS;
            }
            for mut heard in self.read_spans(channel, &side, &found, &mut upsampler, progress)? {
                (heard.start_ms, heard.end_ms) = (heard.start_ms + from, heard.end_ms + from);
                utterances.push(heard);
            }
        }
        utterances.sort_by_key(|utterance| (utterance.start_ms, utterance.channel));
        Ok((utterances, until))
    }

    /// Hears one side.
    ///
    /// * `rate` — samples a second, 8000 to 48000.
    /// * `skip` — spans in milliseconds that are not to be heard.
    /// * `progress` — called after every minute searched and every utterance read.
    pub fn hear(
        &mut self,
        channel: Channel,
        pcm: &[i16],
        rate: u32,
        skip: &[(u32, u32)],
        progress: &mut dyn FnMut(),
    ) -> Result<Vec<Utterance>, SpeechError> {
        let mut upsampler = Upsampler::new(rate)?;
        let side = Side { pcm, rate, skip };
        let spans = self.spans(&side, &mut upsampler, progress)?;
        self.read_spans(channel, &side, &spans, &mut upsampler, progress)
    }

    /// Reads what is said in these spans.
    fn read_spans(
        &mut self,
        channel: Channel,
        side: &Side<'_>,
        spans: &[Span],
        upsampler: &mut Upsampler,
        progress: &mut dyn FnMut(),
    ) -> Result<Vec<Utterance>, SpeechError> {
        let mut utterances = Vec::new();
        for span in spans.iter().copied() {
            let sound = side.cut_around(span);
            let decoded = self.engine.decode(upsampler.convert(&sound)?)?;
            progress();
            if let Some(text) = self.believe(&decoded, span, &sound, side.rate) {
                let (start_ms, end_ms) = (span.start_ms, span.end_ms.min(side.length_ms()));
                utterances.push(Utterance { channel, start_ms, end_ms, text, confidence: decoded.confidence });
            }
        }
        Ok(utterances)
    }

    /// The bare model on a piece of sound: no detector, no guards, no bound but its own.
    pub fn read(&mut self, pcm: &[i16], rate: u32) -> Result<String, SpeechError> {
        let sound = Upsampler::new(rate)?.convert(pcm)?;
        Ok(self.engine.decode_raw(sound)?.text)
    }

    /// The sound of the utterances that [`Recognizer::hear`] reads of one side, as the model takes it: what the bare model
    /// is given when the two are compared.
    pub fn cut(&mut self, pcm: &[i16], rate: u32) -> Result<Vec<Vec<f32>>, SpeechError> {
        let mut upsampler = Upsampler::new(rate)?;
        let side = Side { pcm, rate, skip: &[] };
        let spans = self.spans(&side, &mut upsampler, &mut || {})?;
        spans.into_iter().map(|span| upsampler.convert(&side.cut_around(span))).collect()
    }

    /// The bare model on sound from [`Recognizer::cut`].
    pub fn read_bare(&mut self, sound: Vec<f32>) -> Result<(), SpeechError> {
        self.engine.decode_raw(sound).map(drop)
    }

    /// The bare model on a whole side, in windows of 30 seconds as whisper.cpp itself cuts them.
    pub fn read_whole(&mut self, pcm: &[i16], rate: u32) -> Result<(), SpeechError> {
        let sound = Upsampler::new(rate)?.convert(pcm)?;
        self.engine.decode_whole(sound).map(drop)
    }

    /// Where somebody speaks.
    fn spans(
        &mut self,
        side: &Side<'_>,
        upsampler: &mut Upsampler,
        progress: &mut dyn FnMut(),
    ) -> Result<Vec<Span>, SpeechError> {
        Ok(vad::utterances(&self.detect(side, upsampler, progress)?))
    }

    /// The probability of speech for every frame of a side; nothing where there is no sound at all.
    fn detect(
        &mut self,
        side: &Side<'_>,
        upsampler: &mut Upsampler,
        progress: &mut dyn FnMut(),
    ) -> Result<Vec<f32>, SpeechError> {
        let frame = |ms: u32| usize::try_from(ms / FRAME_MS).unwrap_or(usize::MAX);
        let mut probabilities = vec![0.0; frame(side.length_ms().next_multiple_of(FRAME_MS))];
        for Span { start_ms, end_ms } in side.sounding() {
            let mut start = start_ms;
            while start < end_ms {
                let (warm_up, end) = (start.min(WARM_UP_MS), end_ms.min(start + PIECE_MS));
                let sound = upsampler.convert(&side.cut(start - warm_up, end))?;
                let found = self.engine.detect(&sound)?;
                let places = probabilities.iter_mut().skip(frame(start));
                for (place, probability) in places.zip(found.iter().skip(frame(warm_up)).take(frame(PIECE_MS))) {
                    *place = *probability;
                }
                start = end;
                progress();
            }
        }
        side.mask(&mut probabilities);
        Ok(probabilities)
    }

    fn believe(&self, decoded: &Decoded, span: Span, sound: &[i16], rate: u32) -> Option<String> {
        let text = text::tidy(&decoded.text);
        #[expect(clippy::cast_precision_loss, reason = "at most 25 000 ms")]
        let seconds = (span.end_ms - span.start_ms) as f32 / 1000.0;
        let (confidence, level_db) = (decoded.confidence, loudest_db(sound, rate));
        match guard::believe(Claim { text: &text, prompt: &self.prompt, seconds, confidence, level_db }) {
            Ok(text) => Some(text),
            Err(doubt) => {
                tracing::debug!(?doubt, seconds, confidence, level_db, start_ms = span.start_ms, "not believed");
                None
            }
        }
    }
}

/// How many of these utterances have ended for certain in sound of this length: nothing that comes joins them.
fn settled(spans: &[Span], length_ms: u32) -> usize {
    let open = spans.last().is_some_and(|last| last.end_ms + vad::JOIN_MS > length_ms);
    spans.len() - usize::from(open)
}

/// One channel and what of it is not to be heard.
struct Side<'a> {
    pcm: &'a [i16],
    rate: u32,
    skip: &'a [(u32, u32)],
}

impl Side<'_> {
    fn length_ms(&self) -> u32 {
        let ms = self.pcm.len() as u64 * 1000 / u64::from(self.rate);
        u32::try_from(ms).unwrap_or(u32::MAX)
    }

    fn sample(&self, ms: u32) -> usize {
        let sample = u64::from(ms) * u64::from(self.rate) / 1000;
        usize::try_from(sample).unwrap_or(usize::MAX).min(self.pcm.len())
    }

    /// An utterance with its margins.
    fn cut_around(&self, span: Span) -> Vec<i16> {
        self.cut(span.start_ms.saturating_sub(MARGIN_MS), span.end_ms.saturating_add(MARGIN_MS))
    }

    /// The sound between two times, silent where it is to be skipped.
    fn cut(&self, from_ms: u32, to_ms: u32) -> Vec<i16> {
        let (from, to) = (self.sample(from_ms), self.sample(to_ms));
        let mut sound = self.pcm.get(from..to).unwrap_or_default().to_vec();
        for (start, end) in self.skip {
            let (start, end) = (self.sample(*start).max(from), self.sample(*end).min(to));
            if start < end {
                sound[start - from..end - from].fill(0);
            }
        }
        sound
    }

    /// Stretches in which anything sounds, in whole frames. A side on which nobody speaks is often digital silence: while
    /// the other one talks, or because nobody else was there.
    fn sounding(&self) -> Vec<Span> {
        let mut found: Vec<Span> = Vec::new();
        let mut start_ms = 0;
        while start_ms < self.length_ms() {
            let end_ms = start_ms + FRAME_MS;
            if self.cut(start_ms, end_ms).iter().any(|sample| sample.unsigned_abs() > HUSH) {
                match found.last_mut().filter(|last| start_ms - last.end_ms <= PAUSE_MS) {
                    Some(last) => last.end_ms = end_ms,
                    None => found.push(Span { start_ms, end_ms }),
                }
            }
            start_ms = end_ms;
        }
        found
    }

    /// Nobody speaks where it is to be skipped.
    fn mask(&self, probabilities: &mut [f32]) {
        let frames = probabilities.len();
        let frame = |ms: u32| usize::try_from(ms / FRAME_MS).unwrap_or(usize::MAX).min(frames);
        for (start, end) in self.skip {
            let (start, end) = (frame(*start), frame(end.saturating_add(FRAME_MS - 1)));
            if let Some(skipped) = probabilities.get_mut(start..end.max(start)) {
                skipped.fill(0.0);
            }
        }
    }
}

/// Root mean square of the loudest 100 ms, decibels below full scale.
fn loudest_db(sound: &[i16], rate: u32) -> f32 {
    let window = usize::try_from(rate / 10).unwrap_or(800).max(1);
    let power = |piece: &[i16]| {
        let sum: f64 = piece.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
        let mean = sum / piece.len() as f64;
        mean / (32_768.0 * 32_768.0)
    };
    let loudest = sound.chunks(window).map(power).fold(1e-12, f64::max);
    #[expect(clippy::cast_possible_truncation, reason = "between -120 and 0")]
    let level = (10.0 * loudest.log10()) as f32;
    level
}

/// Whether whisper.cpp, as it is built here, runs on this machine at all.
pub fn check_processor() -> Result<(), SpeechError> {
    #[cfg(target_arch = "x86_64")]
    for (name, present) in [
        ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
        ("FMA", std::arch::is_x86_feature_detected!("fma")),
        ("F16C", std::arch::is_x86_feature_detected!("f16c")),
    ] {
        if !present {
            return Err(SpeechError::Processor(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_utterance_that_may_go_on_is_left_for_later() {
        let spans = [Span { start_ms: 100, end_ms: 900 }, Span { start_ms: 2_000, end_ms: 3_000 }];
        for (length, wanted) in [(3_000, 1), (3_000 + vad::JOIN_MS - 1, 1), (3_000 + vad::JOIN_MS, 2)] {
            assert_eq!(settled(&spans, length), wanted, "{length}");
        }
        assert_eq!(settled(&[], 0), 0);
    }

    #[test]
    fn only_what_sounds_is_given_to_the_detector() {
        let mut pcm = vec![0; 8000 * 20];
        for (from, to) in [(8000, 8800), (16_000, 24_000), (8000 * 12, 8000 * 13), (8000 * 16, 8000 * 17)] {
            pcm[from..to].fill(500);
        }
        pcm[40_000] = 9; // the line's own hiss
        let side = Side { pcm: &pcm, rate: 8000, skip: &[(15_900, 17_100)] };
        let found: Vec<_> = side.sounding().iter().map(|span| (span.start_ms, span.end_ms)).collect();
        assert_eq!(found, [(992, 3008), (12_000, 13_024)]);
        assert!(Side { pcm: &[0; 8000], ..side }.sounding().is_empty());
    }
}
