//! Words that mean something only together: 井盖 and 不见了, in any order, near each other, matched by sound.

use std::ops::Range;

use super::{
    heard::Said,
    sound::{Reading, readings},
};

/// Cost per phrase up to which it is heard.
const PHRASE_COST: f32 = 0.3;
/// Syllables between the two halves of a pair.
const PAIR_REACH: usize = 15;

/// Sets of words, one of each within reach of the others.
#[derive(Clone, Debug)]
pub(super) struct Together {
    parts: Vec<Vec<Part>>,
}

/// How a word of one syllable is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syllable {
    /// 坑 is heard in 吭 as well: danger errs to the safe side.
    BySound,
    /// 往 is not 网.
    ToTheLetter,
}

#[derive(Clone, Debug)]
struct Part {
    sounds: Vec<Reading>,
    written: Vec<char>,
    syllable: Syllable,
}

impl Together {
    /// * `parts` — sets of words; one of each has to be near the others.
    pub fn new<'a>(syllable: Syllable, parts: impl IntoIterator<Item = impl IntoIterator<Item = &'a str>>) -> Self {
        let part = |word: &'a str| Part { sounds: readings(word), written: word.chars().collect(), syllable };
        Self { parts: parts.into_iter().map(|words| words.into_iter().map(part).collect()).collect() }
    }

    /// The stretch that holds one word of each part.
    pub fn find(&self, said: &Said) -> Option<Range<usize>> {
        let (first, others) = self.parts.split_first()?;
        // Of several words one may be wholly misheard (景概 for 井盖) if another is heard to the letter.
        let alone = others.is_empty();
        let everywhere = 0..said.sounds.len();
        for anchor in first.iter().flat_map(|part| part.all(said, &everywhere)).filter(|hit| hit.enough || !alone) {
            let mut whole = anchor.range.clone();
            let mut literal = anchor.literal;
            let mut enough = anchor.enough;
            let near = anchor.reach(said);
            let complete = others.iter().all(|words| {
                let hits =
                    words.iter().flat_map(|part| part.all(said, &near)).filter(|hit| anchor.is_apart(&hit.range));
                let Some(hit) = hits.max_by_key(|hit| (hit.literal, hit.enough)) else { return false };
                whole = whole.start.min(hit.range.start)..whole.end.max(hit.range.end);
                literal |= hit.literal;
                enough &= hit.enough;
                true
            });
            if complete && (enough || literal) {
                return Some(whole);
            }
        }
        None
    }
}

/// Where a word was heard.
#[derive(Clone, Debug)]
struct Hit {
    range: Range<usize>,
    /// Heard to the letter.
    literal: bool,
    /// Enough of its own characters were heard to count alone: 吃到 is not 持刀.
    enough: bool,
}

impl Hit {
    /// The sounds among which the other words have to lie.
    fn reach(&self, said: &Said) -> Range<usize> {
        self.range.start.saturating_sub(PAIR_REACH)..(self.range.end + PAIR_REACH).min(said.sounds.len())
    }

    fn is_apart(&self, other: &Range<usize>) -> bool {
        other.start >= self.range.end || other.end <= self.range.start
    }
}

impl Part {
    /// Every place inside the sounds where the word is heard.
    fn all<'a>(&'a self, said: &'a Said, inside: &Range<usize>) -> impl Iterator<Item = Hit> + use<'a> {
        let length = self.sounds.len();
        let (limit, needed) = match length {
            1 | 2 => (0.01, 1),
            3 => (PHRASE_COST, 1),
            _ => (PHRASE_COST, 0),
        };
        let last = if length == 0 { inside.start } else { (inside.end + 1).saturating_sub(length) };
        (inside.start..last).filter_map(move |start| {
            let here = &said.sounds[start..start + length];
            let mut cost = 0.0;
            for (sound, wanted) in here.iter().zip(&self.sounds) {
                cost += sound.reading.cost(*wanted);
                if cost > limit {
                    return None;
                }
            }
            let shared = here.iter().zip(&self.written).filter(|(sound, wanted)| sound.character == **wanted).count();
            if length == 1 && shared == 0 && self.syllable == Syllable::ToTheLetter {
                return None;
            }
            Some(Hit { range: start..start + length, literal: shared == length, enough: shared >= needed })
        })
    }
}
