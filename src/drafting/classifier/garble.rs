//! Texts as a recogniser would get them wrong: characters replaced by others of the same sound.

use std::{collections::HashMap, sync::LazyLock};

use encoding_rs::GBK;

use crate::drafting::sound::Reading;

/// Common characters (GB 2312 level 1) by sound.
static HOMOPHONES: LazyLock<HashMap<u16, Vec<char>>> = LazyLock::new(|| {
    let mut table: HashMap<u16, Vec<char>> = HashMap::new();
    for lead in 0xB0..=0xD7_u8 {
        for trail in 0xA1..=0xFE_u8 {
            let bytes = [lead, trail];
            let (text, _, broken) = GBK.decode(&bytes);
            if let (Some(character), false) = (text.chars().next(), broken)
                && let Some(reading) = Reading::of(character)
            {
                table.entry(reading.code()).or_default().push(character);
            }
        }
    }
    table
});

/// A small generator of reproducible choices (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (which is not 0).
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.roll() % bound).unwrap_or(0)
    }
}

/// Each character is replaced, in `percent` of 100 cases, by another of the same toneless sound.
pub fn garble(text: &str, percent: usize, seed: u64) -> String {
    let mut dice = Dice::new(seed);
    text.chars()
        .map(|character| {
            let hit = dice.below(100) < percent;
            let choice = dice.roll();
            if !hit {
                return character;
            }
            let others = Reading::of(character).and_then(|reading| HOMOPHONES.get(&reading.code()));
            let others: Vec<char> = others.into_iter().flatten().copied().filter(|other| *other != character).collect();
            if others.is_empty() {
                return character;
            }
            let index = usize::try_from(choice % others.len() as u64).unwrap_or(0);
            others[index]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_garbled_text_sounds_the_same_and_comes_out_the_same_every_time() {
        let text = "小区里的路灯坏了半个月没人修";
        let garbled = garble(text, 50, 7);
        assert_ne!(garbled, text);
        assert_eq!(garbled, garble(text, 50, 7));
        for (a, b) in text.chars().zip(garbled.chars()) {
            let (a, b) = (Reading::of(a).expect("spoken"), Reading::of(b).expect("spoken"));
            assert_eq!(a.code(), b.code());
        }
        assert_eq!(garble(text, 0, 7), text);
    }
}
