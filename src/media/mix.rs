//! Several voices as one: what a party hears of two or more others. A plain bridge forwards packets as they come; a mix needs the
//! samples, so it alone waits a little for packets that are late.

use super::{Party, sender::FRAME};

/// Samples that are waited for before a voice begins, or begins anew: 40 ms.
const LEAD: usize = 2 * FRAME;
/// Samples kept of a voice; whoever sends faster than 8 kHz loses the oldest.
const MOST: usize = 8 * FRAME;

/// The voices of all parties.
#[derive(Debug, Default)]
pub struct Mix([Voice; Party::MOST]);

/// What one party said and nobody heard yet.
#[derive(Debug)]
struct Voice {
    ring: Box<[i16; MOST]>,
    first: usize,
    length: usize,
    runs: bool,
}

impl Default for Voice {
    fn default() -> Self {
        Self { ring: Box::new([0; MOST]), first: 0, length: 0, runs: false }
    }
}

impl Mix {
    /// Takes what a party says.
    pub fn put(&mut self, speaker: Party, samples: impl Iterator<Item = i16>) {
        self.0[speaker.index()].put(samples);
    }

    /// The next 20 ms of all voices together; silence where nobody speaks.
    pub fn take(&mut self) -> [i16; FRAME] {
        let mut frame = [0; FRAME];
        self.0.iter_mut().for_each(|voice| voice.add_to(&mut frame));
        frame
    }
}

impl Voice {
    fn put(&mut self, samples: impl Iterator<Item = i16>) {
        for sample in samples {
            if self.length == MOST {
                // Back to a short wait at once: one gap instead of many.
                self.drop_first(MOST - LEAD);
            }
            self.ring[(self.first + self.length) % MOST] = sample;
            self.length += 1;
        }
    }

    fn add_to(&mut self, frame: &mut [i16; FRAME]) {
        self.runs |= self.length >= LEAD;
        if !self.runs {
            return;
        }
        let count = self.length.min(FRAME);
        for (at, sum) in frame.iter_mut().take(count).enumerate() {
            *sum = sum.saturating_add(self.ring[(self.first + at) % MOST]);
        }
        self.drop_first(count);
        // Whoever has paused is waited for again.
        self.runs = count == FRAME;
    }

    fn drop_first(&mut self, count: usize) {
        self.first = (self.first + count) % MOST;
        self.length -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(mix: &mut Mix, party: Party, level: i16) {
        mix.put(party, std::iter::repeat_n(level, FRAME));
    }

    #[test]
    fn two_voices_are_heard_together_and_none_louder_than_loud() {
        let mut mix = Mix::default();
        let (first, second) = (Party::CALLER, Party::OPERATOR);
        says(&mut mix, first, 1_000);
        assert_eq!(mix.take(), [0; FRAME], "it is waited for");
        for _ in 0..3 {
            says(&mut mix, first, 1_000);
            says(&mut mix, second, -300);
        }
        assert_eq!(mix.take(), [700; FRAME]);
        for _ in 0..4 {
            says(&mut mix, first, 30_000);
            says(&mut mix, second, 30_000);
        }
        for _ in 0..3 {
            mix.take();
        }
        assert_eq!(mix.take(), [i16::MAX; FRAME]);
    }

    #[test]
    fn a_voice_that_pauses_leaves_the_other_alone_and_is_waited_for_again() {
        let mut mix = Mix::default();
        for _ in 0..2 {
            says(&mut mix, Party::CALLER, 500);
            says(&mut mix, Party::OPERATOR, 100);
        }
        assert_eq!(mix.take(), [600; FRAME]);
        for _ in 0..3 {
            says(&mut mix, Party::CALLER, 500);
        }
        assert_eq!(mix.take(), [600; FRAME]);
        assert_eq!(mix.take(), [500; FRAME]);
        says(&mut mix, Party::OPERATOR, 100);
        assert_eq!(mix.take(), [500; FRAME], "20 ms are not enough");
    }

    #[test]
    fn whoever_sends_too_much_is_cut_short_and_nothing_grows() {
        let mut mix = Mix::default();
        for level in 0..1_000 {
            says(&mut mix, Party::CALLER, level);
        }
        assert!(mix.take()[0] >= 990);
        assert!(mix.0[0].length <= MOST);
    }

    #[test]
    fn nobody_is_silence() {
        assert_eq!(Mix::default().take(), [0; FRAME]);
    }
}
