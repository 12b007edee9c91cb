//! From words to the fields of a case: text in, values with confidence, evidence and alternatives out.
//!
//! Pure but for loading and saving the classifier. What a recogniser gets wrong is expected: names and triggers are
//! matched by sound (toneless pinyin), numbers in every reading, and a caller's correction beats what stood before.
//! What was not said stays `None`; nothing is made up.

mod address;
mod category;
mod classifier;
mod gazetteer;
mod heard;
mod numerals;
mod phone;
mod place_words;
mod places;
mod request;
mod sound;
mod title;
mod urgency;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use classifier::{Classifier, ClassifierError, Example, Scores, Training, city_examples, garble, read_examples};
pub use places::PlaceFinder;

use crate::domain::{
    city::City,
    draft::{Alternative, Draft, Field, Source},
    time::UnixMs,
    transcript::{Channel, Transcript},
};
use heard::Heard;
use places::Findings;
use urgency::Senses;

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
    places: PlaceFinder,
    senses: Senses,
}

impl Drafter {
    /// * `classifier` — one whose categories are leaf codes of `city`; others are ignored.
    pub fn new(city: Arc<City>, classifier: Classifier) -> Self {
        let places = PlaceFinder::new(&city);
        let senses = Senses::new(&city.urgent_triggers);
        Self { city, classifier, places, senses }
    }

    /// The fields that can be filled from what was said so far.
    pub fn draft(&self, transcript: &Transcript, facts: &CallFacts<'_>) -> Draft {
        let heard = Heard::new(transcript);
        let spoke = heard.of(Channel::Caller).any(|(_, said)| !said.sounds.is_empty());
        let mut draft = Draft { callback_phone: phone::find(&heard, facts.caller_id), ..Draft::default() };
        if !spoke {
            return draft;
        }
        let matter = category::judge(&heard, &self.city, &self.classifier);
        let leaf = matter.field.value.as_deref().and_then(|code| self.city.leaf(code));
        draft.request_type = request::judge(&heard, &self.city, leaf);
        draft.urgency = self.senses.judge(&heard, request::praises(&heard));
        let findings = self.places.locate(&heard);
        draft.place = self.place(&heard, &findings);
        let address = self.address(&heard, &findings);
        let chosen = findings.chosen.as_ref().map(|located| &self.places.gazetteer.places[located.place]);
        let estate = chosen.is_some_and(gazetteer::Place::is_estate);
        let road = address.field.value.as_deref().filter(|_| !estate && address.building.is_none());
        draft.title = title::title(
            &heard,
            &title::Parts {
                place: road.or(chosen.map(|place| place.name.as_str())),
                building: address.building.as_deref(),
                leaf,
                request_type: draft.request_type.value.as_deref(),
                clause: matter.clause.as_ref(),
            },
        );
        draft.description = title::description(&heard);
        draft.address = address.field;
        draft.category = matter.field;
        draft
    }

    fn place(&self, heard: &Heard, findings: &Findings) -> Field<String> {
        let places = &self.places.gazetteer.places;
        let alternatives = findings
            .others
            .iter()
            .map(|(place, confidence)| Alternative { value: places[*place].id.clone(), confidence: *confidence })
            .collect();
        match &findings.chosen {
            None => Field { alternatives, ..Field::default() },
            Some(located) => Field {
                value: Some(places[located.place].id.clone()),
                confidence: located.confidence,
                source: Some(Source::Speech),
                evidence: located.spans.iter().map(|span| heard.evidence(span)).collect(),
                alternatives,
            },
        }
    }

    fn address(&self, heard: &Heard, findings: &Findings) -> address::Address {
        let places = &self.places.gazetteer.places;
        let chosen = findings.chosen.as_ref();
        let known = address::Known {
            name: chosen.map(|located| places[located.place].name.as_str()),
            estate: chosen.is_some_and(|located| places[located.place].is_estate()),
            confidence: chosen.map_or(0.0, |located| located.confidence),
            spans: chosen.map(|located| located.spans.as_slice()).unwrap_or_default(),
            destination: findings.destination.map(|place| places[place].name.as_str()),
        };
        address::find(heard, &known)
    }
}
