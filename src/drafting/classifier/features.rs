//! From a text to weighted n-grams: characters 1 to 3 and toneless syllables 1 to 3, so that a homophone costs little.

use std::collections::BTreeMap;

use crate::drafting::sound::Reading;

/// Longest n-gram.
const LONGEST: usize = 3;
/// Weight of a syllable n-gram against one of characters.
const SYLLABLE: f32 = 0.7;
/// Characters of a text that are read.
const MAX_CHARACTERS: usize = 20_000;

/// Hashes of the n-grams with 1 + ln(times), ascending.
pub(super) fn count(text: &str) -> Vec<(u32, f32)> {
    let characters: Vec<char> =
        text.chars().take(MAX_CHARACTERS).filter(|character| character.is_alphanumeric()).collect();
    let written: Vec<u32> = characters.iter().map(|character| u32::from(lower(*character))).collect();
    let spoken: Vec<u32> = characters
        .iter()
        .map(|character| Reading::of(*character).map_or(u32::from(*character), |reading| u32::from(reading.code())))
        .collect();
    let mut counts: BTreeMap<u32, (u16, f32)> = BTreeMap::new();
    for (kind, row, weight) in [(1, &written, 1.0), (2, &spoken, SYLLABLE)] {
        for length in 1..=LONGEST {
            for gram in row.windows(length) {
                let entry = counts.entry(hash(kind, gram)).or_insert((0, weight));
                entry.0 = entry.0.saturating_add(1);
            }
        }
    }
    counts.into_iter().map(|(key, (times, weight))| (key, weight * (1.0 + ln(times)))).collect()
}

/// Scales a vector to length 1.
pub(super) fn normalise<K>(vector: &mut [(K, f32)]) {
    let length = vector.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
    if length > 0.0 {
        for (_, weight) in vector {
            *weight /= length;
        }
    }
}

/// How much an n-gram in `df` of `n` texts says.
pub(super) fn rarity(n: usize, df: usize) -> f32 {
    let ratio = (1.0 + wide(n)) / (1.0 + wide(df));
    narrow(ratio.ln() + 1.0)
}

fn ln(times: u16) -> f32 {
    narrow(f64::from(times).ln())
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is meant")]
fn narrow(value: f64) -> f32 {
    value as f32
}

fn wide(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn lower(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

/// FNV-1a over 64 bits, folded to 32.
fn hash(kind: u32, gram: &[u32]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for value in std::iter::once(&kind).chain(gram) {
        for byte in value.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let folded = (hash >> 32) ^ (hash & 0xffff_ffff);
    u32::try_from(folded).unwrap_or_default()
}
