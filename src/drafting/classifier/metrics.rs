//! Figures about a classifier.

use serde::Serialize;

use super::{Classifier, Example};

/// Bins of the calibration error, of equal width.
const BINS: usize = 15;

/// How well a classifier does on labelled rows; shares from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    pub n: usize,
    pub accuracy: f64,
    /// Mean F1 over the categories that occur.
    pub macro_f1: f64,
    /// The right answer is among the first three.
    pub top3: f64,
    /// Expected calibration error, 15 equal bins.
    pub ece: f64,
}

pub(super) fn evaluate(model: &Classifier, examples: &[Example]) -> Scores {
    let width = model.categories.len();
    let (mut hits, mut top3) = (0, 0);
    let mut table = vec![[0_usize; 3]; width];
    let mut unknown = 0;
    let mut bins = [(0_usize, 0_usize, 0.0_f64); BINS];
    for example in examples {
        let chances = softmax(&model.margins(&model.vector(&example.text)), model.temperature);
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| chances[*b].total_cmp(&chances[*a]));
        let Some(best) = order.first().copied() else { continue };
        let truth = model.categories.iter().position(|name| *name == example.category);
        let hit = truth == Some(best);
        hits += usize::from(hit);
        top3 += usize::from(order.iter().take(3).any(|index| Some(*index) == truth));
        match truth {
            Some(truth) if truth == best => table[best][0] += 1,
            Some(truth) => {
                table[best][1] += 1;
                table[truth][2] += 1;
            }
            None => {
                table[best][1] += 1;
                unknown += 1;
            }
        }
        let chance = f64::from(chances[best]);
        let bin = bin_of(chance);
        bins[bin].0 += 1;
        bins[bin].1 += usize::from(hit);
        bins[bin].2 += chance;
    }
    let n = examples.len();
    let mut sum = 0.0;
    let mut seen = usize::from(unknown > 0);
    for [right, wrong, missed] in table {
        if right + missed > 0 {
            seen += 1;
            sum += 2.0 * wide(right) / wide(2 * right + wrong + missed);
        }
    }
    let ece = bins.iter().filter(|bin| bin.0 > 0).map(|(_, hits, sum)| (wide(*hits) - sum).abs()).sum::<f64>();
    let share = |part: f64| if n == 0 { 0.0 } else { part / wide(n) };
    Scores {
        n,
        accuracy: share(wide(hits)),
        macro_f1: if seen == 0 { 0.0 } else { sum / wide(seen) },
        top3: share(wide(top3)),
        ece: share(ece),
    }
}

/// Probabilities of margins.
pub(super) fn softmax(margins: &[f32], temperature: f32) -> Vec<f32> {
    let highest = margins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = margins.iter().map(|margin| ((margin - highest) / temperature.max(1e-3)).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn bin_of(chance: f64) -> usize {
    let bins = f64::from(u32::try_from(BINS).unwrap_or(1));
    (1..BINS).take_while(|edge| chance > f64::from(u32::try_from(*edge).unwrap_or(1)) / bins).count()
}

fn wide(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
