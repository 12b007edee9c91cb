//! From the detector's probabilities to utterances: where somebody speaks, joined over breaths, cut at pauses.
//!
//! Pure. One probability stands for [`FRAME_MS`] milliseconds, counted from the start of the recording.

/// Milliseconds of sound behind one probability: 512 samples at 16 kHz.
pub(super) const FRAME_MS: u32 = 32;
/// Speech begins at this probability. Silero's default.
const SPEECH: f32 = 0.5;
/// Speech ends below this probability. Silero's default.
const SILENCE: f32 = 0.35;
/// Shorter speech is a click or a cough. Silero's default.
const SHORTEST_MS: u32 = 250;
/// A shorter silence does not end speech. Silero's default.
const BREATH_MS: u32 = 100;
/// Added before and after. Silero's default.
const PAD_MS: u32 = 30;
/// Two stretches nearer than this are one utterance: a sentence read whole is read better, and people pause for
/// about this long inside a sentence, longer between turns.
pub(super) const JOIN_MS: u32 = 700;
/// Longest utterance; with its margins it stays below Whisper's window even when somebody talks without a pause.
pub(super) const LONGEST_MS: u32 = 24_600;

/// A stretch of speech, milliseconds since the start of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start_ms: u32,
    pub(super) end_ms: u32,
}

impl Span {
    const fn length(self) -> u32 {
        self.end_ms - self.start_ms
    }
}

/// All utterances in order; none longer than [`LONGEST_MS`], none overlapping.
///
/// * `probabilities` — of speech, one a frame.
pub(super) fn utterances(probabilities: &[f32]) -> Vec<Span> {
    let mut utterances = Vec::new();
    let stretches = stretches(probabilities);
    let mut rest = stretches.as_slice();
    while !rest.is_empty() {
        let joined = rest.windows(2).take_while(|pair| pair[1].start_ms - pair[0].end_ms < JOIN_MS).count() + 1;
        let (group, others) = rest.split_at(joined);
        divide(group, probabilities, &mut utterances);
        rest = others;
    }
    utterances
}

/// Silero's own segmentation: hysteresis, minimum lengths, padding.
fn stretches(probabilities: &[f32]) -> Vec<Span> {
    let time = |frame: usize| u32::try_from(frame).unwrap_or(u32::MAX).saturating_mul(FRAME_MS);
    let mut found: Vec<Span> = Vec::new();
    let (mut start, mut silent_since) = (None, None);
    let mut close = |start_ms: u32, end_ms: u32| {
        if end_ms - start_ms >= SHORTEST_MS {
            let after = found.last().map_or(0, |last| last.end_ms);
            found.push(Span { start_ms: start_ms.saturating_sub(PAD_MS).max(after), end_ms: end_ms + PAD_MS });
        }
    };
    for (frame, probability) in probabilities.iter().enumerate() {
        let now = time(frame);
        match start {
            None if *probability >= SPEECH => start = Some(now),
            Some(_) if *probability >= SPEECH => silent_since = None,
            Some(begun) if *probability < SILENCE || silent_since.is_some() => {
                let since = *silent_since.get_or_insert(now);
                if now - since >= BREATH_MS {
                    close(begun, since);
                    (start, silent_since) = (None, None);
                }
            }
            None | Some(_) => {}
        }
    }
    if let Some(begun) = start {
        close(begun, silent_since.unwrap_or_else(|| time(probabilities.len())));
    }
    found
}

/// Halves a group at its longest pause until every part is short enough.
fn divide(group: &[Span], probabilities: &[f32], out: &mut Vec<Span>) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let whole = Span { start_ms: first.start_ms, end_ms: last.end_ms };
    if whole.length() <= LONGEST_MS {
        out.push(whole);
        return;
    }
    let longest_pause = (1..group.len()).max_by_key(|index| group[*index].start_ms - group[*index - 1].end_ms);
    if let Some(index) = longest_pause {
        divide(&group[..index], probabilities, out);
        divide(&group[index..], probabilities, out);
    } else {
        let middle = quietest(whole, probabilities);
        divide(&[Span { end_ms: middle, ..whole }], probabilities, out);
        divide(&[Span { start_ms: middle, ..whole }], probabilities, out);
    }
}

/// The least speech-like moment in the middle half of a stretch nobody paused in.
fn quietest(span: Span, probabilities: &[f32]) -> u32 {
    let frame = |ms: u32| usize::try_from(ms / FRAME_MS).unwrap_or(usize::MAX);
    let quarter = span.length() / 4;
    let (from, to) = (frame(span.start_ms + quarter), frame(span.end_ms - quarter));
    let weight = |at: usize| -> f32 { probabilities.iter().skip(at.saturating_sub(2)).take(5).sum() };
    let best = (from..to).min_by(|left, right| weight(*left).total_cmp(&weight(*right))).unwrap_or(from);
    u32::try_from(best).unwrap_or(u32::MAX).saturating_mul(FRAME_MS).clamp(span.start_ms + 1, span.end_ms - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `(seconds, probability)` pieces.
    fn sound(pieces: &[(f32, f32)]) -> Vec<f32> {
        pieces.iter().flat_map(|(seconds, p)| vec![*p; frames(*seconds)]).collect()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few seconds")]
    fn frames(seconds: f32) -> usize {
        (seconds * 1000.0 / 32.0).round() as usize
    }

    #[test]
    fn nobody_speaks_in_silence() {
        assert_eq!(utterances(&sound(&[(60.0, 0.1)])), []);
        assert_eq!(utterances(&[]), []);
        assert_eq!(utterances(&sound(&[(1.0, 0.0), (0.2, 0.9), (1.0, 0.0)])), [], "a click is no speech");
    }

    #[test]
    fn breaths_join_and_turns_part() {
        let found = utterances(&sound(&[(1.0, 0.0), (2.0, 0.9), (0.4, 0.1), (2.0, 0.9), (1.5, 0.1), (1.0, 0.9)]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].start_ms.abs_diff(970) <= 32 && found[0].end_ms.abs_diff(5430) <= 64, "{found:?}");
    }

    #[test]
    fn a_long_speech_is_cut_at_its_longest_pause() {
        let found = utterances(&sound(&[(15.0, 0.9), (0.2, 0.1), (4.0, 0.9), (0.5, 0.1), (12.0, 0.9)]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].end_ms.abs_diff(19_230) <= 64, "{found:?}");
    }

    #[test]
    fn a_speech_without_pause_is_cut_where_it_is_quietest() {
        let found = utterances(&sound(&[(18.0, 0.9), (0.16, 0.6), (12.0, 0.9)]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].end_ms.abs_diff(18_080) <= 64, "{found:?}");
    }

    proptest! {
        #[test]
        fn utterances_are_ordered_short_and_inside(
            pieces in prop::collection::vec((0.03_f32..40.0, 0.0_f32..1.0), 0..12),
        ) {
            let sound = sound(&pieces);
            let mut before = 0;
            for span in utterances(&sound) {
                prop_assert!(span.start_ms >= before && span.end_ms > span.start_ms);
                prop_assert!(span.length() <= LONGEST_MS);
                prop_assert!(span.end_ms <= u32::try_from(sound.len()).unwrap() * FRAME_MS + PAD_MS);
                before = span.end_ms;
            }
        }
    }
}
