//! Measures that prove what was heard: alignment by cross-correlation, tones by Goertzel, loudness.

use serde::Serialize;

use super::RATE;

/// Where one sound lies in another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Alignment {
    /// Sample of `heard` at which sample 0 of `sent` stands; negative when its start is missing.
    pub offset: i64,
    /// Normalised cross-correlation there, -1 to 1; 1 is the same shape.
    pub correlation: f64,
}

/// Samples put together for the first, rough search.
const COARSE: usize = 8;
/// A rough maximum under this is not trusted, and every shift is tried.
const TRUSTED: f64 = 0.5;

/// Finds `sent` in `heard`.
///
/// * `furthest` — largest shift tried, in samples to either side.
/// * returns — the best shift; correlation 0 where one of them is silent. Shifts at which less than half of the
///   shorter sound overlaps are not looked at.
pub fn align(sent: &[i16], heard: &[i16], furthest: usize) -> Alignment {
    let furthest = i64::try_from(furthest).unwrap_or(i64::MAX / 4);
    let (rough_sent, rough_heard) = (thinned(sent), thinned(heard));
    let step = i64::try_from(COARSE).unwrap_or(8);
    let rough = search(&rough_sent, &rough_heard, -furthest / step - 1..=furthest / step + 1);
    let (sent, heard): (Vec<f32>, Vec<f32>) = (floats(sent), floats(heard));
    if rough.correlation < TRUSTED {
        return search(&sent, &heard, -furthest..=furthest);
    }
    let near = rough.offset * step;
    search(&sent, &heard, (near - 2 * step).max(-furthest)..=(near + 2 * step).min(furthest))
}

fn search(sent: &[f32], heard: &[f32], shifts: std::ops::RangeInclusive<i64>) -> Alignment {
    let mut best = Alignment { offset: 0, correlation: 0.0 };
    for offset in shifts {
        let skip_sent = usize::try_from(-offset).unwrap_or(0).min(sent.len());
        let skip_heard = usize::try_from(offset).unwrap_or(0).min(heard.len());
        let (a, b) = (&sent[skip_sent..], &heard[skip_heard..]);
        let shared = a.len().min(b.len());
        if shared * 2 < sent.len().min(heard.len()) {
            continue;
        }
        let correlation = correlation(&a[..shared], &b[..shared]);
        if correlation > best.correlation {
            best = Alignment { offset, correlation };
        }
    }
    best
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let (mut both, mut left, mut right) = (0.0_f64, 0.0_f64, 0.0_f64);
    // Sums of short stretches in f32 (the compiler makes vectors of them), their sum in f64.
    for (a, b) in a.chunks(256).zip(b.chunks(256)) {
        let mut lanes = [[0.0_f32; 8]; 3];
        for (a, b) in a.chunks(8).zip(b.chunks(8)) {
            for (lane, (a, b)) in a.iter().zip(b).enumerate() {
                lanes[0][lane] += a * b;
                lanes[1][lane] += a * a;
                lanes[2][lane] += b * b;
            }
        }
        both += f64::from(lanes[0].iter().sum::<f32>());
        left += f64::from(lanes[1].iter().sum::<f32>());
        right += f64::from(lanes[2].iter().sum::<f32>());
    }
    if left == 0.0 || right == 0.0 { 0.0 } else { both / (left * right).sqrt() }
}

fn floats(pcm: &[i16]) -> Vec<f32> {
    pcm.iter().map(|sample| f32::from(*sample) / 32_768.0).collect()
}

fn thinned(pcm: &[i16]) -> Vec<f32> {
    pcm.chunks(COARSE).map(|chunk| chunk.iter().map(|sample| f32::from(*sample)).sum::<f32>() / 32_768.0).collect()
}

/// How much of the sound's energy lies at one frequency.
///
/// * `frequency` — Hz, 0 to 4000.
/// * returns — 0 (none) to 1 (a pure tone); 0 for silence.
///
/// Source: Goertzel's algorithm, Hann window over blocks of 50 ms, energies summed.
pub fn tone_share(pcm: &[i16], frequency: f64) -> f64 {
    const BLOCK: usize = 400;
    let coefficient = 2.0 * (std::f64::consts::TAU * frequency / f64::from(RATE)).cos();
    let (mut at_tone, mut whole) = (0.0, 0.0);
    let (blocks, _) = pcm.as_chunks::<BLOCK>();
    for block in blocks {
        let (mut before, mut last) = (0.0, 0.0);
        for (index, sample) in (0_u32..).zip(block) {
            let window = 0.5 - 0.5 * (std::f64::consts::TAU * f64::from(index) / 400.0).cos();
            let value = f64::from(*sample) * window;
            whole += value * value;
            (before, last) = (last, value + coefficient * last - before);
        }
        at_tone += last * last + before * before - coefficient * last * before;
    }
    // A pure tone of amplitude A gives (A/2 · 200)² at its frequency and A²/2 · 150 as its windowed energy.
    if whole == 0.0 { 0.0 } else { (at_tone * 150.0 * 2.0 / (200.0 * 200.0) / whole).min(1.0) }
}

/// A pure tone.
///
/// * `amplitude` — 0 to 1 of full scale.
pub fn tone(frequency: f64, amplitude: f64, samples: usize) -> Vec<i16> {
    (0_u32..)
        .take(samples)
        .map(|index| {
            let value = (std::f64::consts::TAU * frequency * f64::from(index) / f64::from(RATE)).sin();
            #[expect(clippy::cast_possible_truncation, reason = "the product lies within 16 bit")]
            let sample = (value * amplitude.clamp(0.0, 1.0) * 32_767.0) as i16;
            sample
        })
        .collect()
}

/// Loudness (root mean square) in dB below full scale; -100 for silence.
pub fn loudness_dbfs(pcm: &[i16]) -> f64 {
    let energy: f64 = pcm.iter().map(|sample| (f64::from(*sample) / 32_768.0).powi(2)).sum();
    let count = u32::try_from(pcm.len()).unwrap_or(u32::MAX).max(1);
    (10.0 * (energy / f64::from(count)).max(1e-10).log10()).max(-100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Codec, Side, read};

    #[test]
    fn a_shifted_copy_is_found_to_the_sample() {
        let sent = read("../tests/calls/s01.wav".as_ref(), Side::Left).unwrap();
        for shift in [0_usize, 1, 7, 163, 2_500] {
            let mut heard = vec![0; shift];
            heard.extend(sent.iter().map(|sample| Codec::Alaw.decode(Codec::Alaw.encode(*sample))));
            let found = align(&sent, &heard, 4_000);
            assert_eq!(found.offset, i64::try_from(shift).unwrap());
            assert!(found.correlation > 0.99, "{found:?}");
            let cut = align(&sent, &sent[shift..], 4_000);
            assert_eq!(cut.offset, -i64::try_from(shift).unwrap());
        }
    }

    #[test]
    fn two_calls_do_not_pass_for_each_other() {
        let one = read("../tests/calls/s01.wav".as_ref(), Side::Left).unwrap();
        let other = read("../tests/calls/s02.wav".as_ref(), Side::Left).unwrap();
        assert!(align(&one, &other, 2_000).correlation < 0.3);
        assert!(align(&one, &vec![0; one.len()], 2_000).correlation.abs() < f64::EPSILON, "silence matches nothing");
    }

    #[test]
    fn a_high_tone_is_aligned_too() {
        let mut sent = tone(3_400.0, 0.5, 8_000);
        sent.extend(vec![0; 8_000]);
        let mut heard = vec![0; 321];
        heard.extend(&sent);
        let found = align(&sent, &heard, 1_000);
        assert!(found.correlation > 0.99 && found.offset == 321, "{found:?}");
    }

    #[test]
    fn a_tone_holds_all_its_energy_at_its_frequency() {
        let pcm = tone(440.0, 0.5, 16_000);
        assert!(tone_share(&pcm, 440.0) > 0.95);
        assert!(tone_share(&pcm, 620.0) < 0.01);
        assert!((loudness_dbfs(&pcm) + 9.03).abs() < 0.1);
        assert!(tone_share(&[0; 800], 440.0).abs() < f64::EPSILON);
    }
}
