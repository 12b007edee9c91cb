//! Which category a text belongs to: a linear model over hashed character and pinyin n-grams.

use std::path::{Path, PathBuf};

/// Why a classifier could not be trained, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    #[error("classifier {path}: cannot be read or written")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("classifier {path}: {problem}")]
    Damaged { path: PathBuf, problem: String },
}

/// A trained, calibrated model. Nothing in it changes after loading.
#[derive(Clone, Debug, Default)]
pub struct Classifier {}

impl Classifier {
    /// Reads the model of folder `dir` (`Settings.city.classifier`).
    pub fn load(dir: &Path) -> Result<Self, ClassifierError> {
        let _ = dir;
        Ok(Self {})
    }

    /// Every category with its probability, best first; they sum to 1.
    pub fn classify(&self, text: &str) -> Vec<(String, f32)> {
        let _ = (self, text);
        Vec::new()
    }
}
