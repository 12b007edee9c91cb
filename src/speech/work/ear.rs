//! When a growing recording is worth a look: somebody has spoken and paused. Pure, and cheap enough for every call: the voice
//! detector and the model then see only what this lets through.

/// Samples of a frame: 20 ms at 8 kHz.
const FRAME: usize = 160;
const FRAME_MS: u32 = 20;
/// Shorter sound is a click.
const SPOKEN_MS: u32 = 300;
/// After so long a silence an utterance is over for the recogniser too.
const PAUSE_MS: u32 = 800;
/// Somebody who never pauses, or a line that is never quiet, is looked at after so long.
const LONGEST_MS: u32 = 8_000;
/// After a look that found an utterance still going on.
const AGAIN_MS: u32 = 1_000;
/// Mean level of a frame that is silence on any line.
const HUSH: u32 = 40;
/// A frame this many times softer than the loudest of the last seconds is a pause.
const SOFTER: u32 = 8;
/// The loudest is forgotten by this part a frame: to half in seven seconds.
const FADE: u32 = 500;

/// Both channels of one call.
#[derive(Debug, Default)]
pub(super) struct Ear([Side; 2]);

/// One channel.
#[derive(Debug, Default)]
struct Side {
    loudest: u32,
    /// Milliseconds with sound that nobody looked at.
    spoken: u32,
    /// Milliseconds since the last sound.
    quiet: u32,
    /// Not before as much has come.
    rest: u32,
    /// Samples that do not fill a frame yet.
    begun: Vec<i16>,
}

impl Ear {
    /// Takes what has come on a channel: 0 the caller, 1 the operator.
    pub fn take(&mut self, channel: usize, pcm: &[i16]) {
        if let Some(side) = self.0.get_mut(channel) {
            side.begun.extend_from_slice(pcm);
            let whole = side.begun.len() / FRAME * FRAME;
            let frames: Vec<i16> = side.begun.drain(..whole).collect();
            frames.chunks_exact(FRAME).for_each(|frame| side.frame(frame));
        }
    }

    /// Whether there is something to be looked at.
    pub fn is_due(&self) -> bool {
        self.0.iter().any(Side::is_due)
    }

    /// Everything up to now was looked at.
    ///
    /// * `open` — whether an utterance goes on, for each channel.
    pub fn looked(&mut self, open: [bool; 2]) {
        for (side, open) in self.0.iter_mut().zip(open) {
            side.spoken = if open { SPOKEN_MS } else { 0 };
            side.rest = if open { AGAIN_MS } else { 0 };
        }
    }
}

impl Side {
    fn frame(&mut self, frame: &[i16]) {
        let level = frame.iter().map(|sample| u32::from(sample.unsigned_abs())).sum::<u32>() / 160;
        self.loudest = (self.loudest - self.loudest / FADE).max(level);
        self.rest = self.rest.saturating_sub(FRAME_MS);
        if level > HUSH && level > self.loudest / SOFTER {
            self.spoken = self.spoken.saturating_add(FRAME_MS);
            self.quiet = 0;
        } else {
            self.quiet = self.quiet.saturating_add(FRAME_MS);
        }
    }

    const fn is_due(&self) -> bool {
        self.rest == 0 && self.spoken >= SPOKEN_MS && (self.quiet >= PAUSE_MS || self.spoken >= LONGEST_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many milliseconds at this level.
    fn sound(ms: usize, level: i16) -> Vec<i16> {
        (0..ms * 8).map(|at| if at % 2 == 0 { level } else { -level }).collect()
    }

    fn after(pieces: &[(usize, i16)]) -> Ear {
        let mut ear = Ear::default();
        for (ms, level) in pieces {
            ear.take(0, &sound(*ms, *level));
        }
        ear
    }

    #[test]
    fn a_sentence_is_looked_at_when_its_pause_has_come() {
        assert!(!after(&[(2_000, 3_000)]).is_due());
        assert!(!after(&[(2_000, 3_000), (700, 0)]).is_due());
        assert!(after(&[(2_000, 3_000), (800, 0)]).is_due());
        assert!(!after(&[(100, 3_000), (5_000, 0)]).is_due(), "a click");
        assert!(!after(&[(5_000, 20)]).is_due(), "the line's own hiss");
    }

    #[test]
    fn a_pause_is_what_is_much_softer_than_the_voice_on_this_line() {
        assert!(after(&[(2_000, 4_000), (800, 300)]).is_due());
        assert!(!after(&[(2_000, 1_000), (800, 300)]).is_due());
    }

    #[test]
    fn whoever_never_pauses_is_looked_at_all_the_same_and_again_a_second_later() {
        let mut ear = after(&[(8_000, 3_000)]);
        assert!(ear.is_due());
        ear.looked([true, false]);
        assert!(!ear.is_due());
        ear.take(0, &sound(900, 3_000));
        assert!(!ear.is_due());
        ear.take(0, &sound(100, 3_000));
        ear.take(0, &sound(800, 0));
        assert!(ear.is_due());
        ear.looked([false, false]);
        ear.take(0, &sound(60_000, 0));
        assert!(!ear.is_due());
    }

    #[test]
    fn the_channels_are_apart_and_pieces_may_be_of_any_length() {
        let mut ear = Ear::default();
        for piece in sound(2_000, 3_000).chunks(97) {
            ear.take(1, piece);
        }
        for piece in sound(1_000, 0).chunks(333) {
            ear.take(1, piece);
        }
        assert!(ear.is_due());
    }
}
