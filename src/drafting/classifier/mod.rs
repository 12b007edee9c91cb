//! Which category a text belongs to: a linear model over hashed character and syllable n-grams.
//!
//! One-against-rest support vectors, made into probabilities by one temperature that is found on texts the model has
//! not seen. Training is a fixed sequence of additions and multiplications with a fixed seed: same rows, same bytes.

mod examples;
mod features;
mod file;
mod garble;
mod metrics;
mod train;

use std::path::PathBuf;

pub use examples::{Example, city_examples, read_examples};
pub use garble::garble;
pub use metrics::Scores;
pub use train::Training;

/// Why a classifier could not be trained, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    #[error("{path}: cannot be read or written")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: {problem}")]
    Damaged { path: PathBuf, problem: String },
    #[error("line {line} of {path}: no row of {{id, text, category}}")]
    Row {
        path: PathBuf,
        line: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("nothing to learn from: {0}")]
    Examples(String),
}

/// A trained, calibrated model. Nothing in it changes after loading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classifier {
    categories: Vec<String>,
    bias: Vec<f32>,
    /// Divides the margins before they become probabilities.
    temperature: f32,
    /// Hashes of the known n-grams, ascending.
    keys: Vec<u32>,
    /// Weight of each n-gram by how rare it is.
    rarity: Vec<f32>,
    /// One row of `categories.len()` for each key.
    weights: Vec<f32>,
}

impl Classifier {
    /// Every category with its probability, best first; they sum to 1. Empty for a model without categories.
    pub fn classify(&self, text: &str) -> Vec<(String, f32)> {
        let margins = self.margins(&self.vector(text));
        let mut ranked: Vec<(String, f32)> =
            self.categories.iter().cloned().zip(metrics::softmax(&margins, self.temperature)).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked
    }

    /// Measures the model on labelled rows.
    pub fn evaluate(&self, examples: &[Example]) -> Scores {
        metrics::evaluate(self, examples)
    }

    /// How strongly a part of a text speaks for a category; the parts' weights are comparable among each other.
    pub(in crate::drafting) fn support(&self, text: &str, category: &str) -> f32 {
        let Some(column) = self.categories.iter().position(|name| name == category) else { return 0.0 };
        let width = self.categories.len();
        let known = features::count(text);
        known
            .iter()
            .filter_map(|(key, weight)| {
                let row = self.keys.binary_search(key).ok()?;
                Some(weight * self.rarity[row] * self.weights[row * width + column])
            })
            .sum()
    }

    /// Known n-grams of a text as (row, weight), of length 1.
    fn vector(&self, text: &str) -> Vec<(usize, f32)> {
        let mut vector: Vec<(usize, f32)> = features::count(text)
            .iter()
            .filter_map(|(key, weight)| self.keys.binary_search(key).ok().map(|row| (row, weight * self.rarity[row])))
            .collect();
        features::normalise(&mut vector);
        vector
    }

    fn margins(&self, vector: &[(usize, f32)]) -> Vec<f32> {
        let width = self.categories.len();
        let mut margins = self.bias.clone();
        for (row, weight) in vector {
            for (margin, factor) in margins.iter_mut().zip(&self.weights[row * width..(row + 1) * width]) {
                *margin += weight * factor;
            }
        }
        margins
    }
}
