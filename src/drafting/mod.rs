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
mod matters;
mod name;
mod numerals;
mod occurred;
mod phone;
mod place_words;
mod places;
mod request;
mod secret;
mod sound;
mod title;
mod together;
mod urgency;
mod wanted;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use classifier::{Classifier, ClassifierError, Example, Scores, Training, city_examples, garble, read_examples};
pub use places::PlaceFinder;

use crate::domain::{
    city::City,
    draft::{Alternative, Draft, Field, Source, Urgency},
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
        draft.urgency = self.senses.judge(&heard, request::praises(&heard));
        let emergency = draft.urgency.value == Some(Urgency::EmergencyNow);
        draft.request_type = request::judge(&heard, &self.city, &matter.field, emergency);
        let asks =
            draft.request_type.value.as_deref() == Some("咨询") && draft.request_type.source == Some(Source::Speech);
        let kind = draft.request_type.value.as_deref();
        draft.caller_name = name::find(&heard);
        draft.occurred_at = occurred::find(&heard, facts.started, asks);
        let named =
            if kind == Some("表扬") { matters::praised(&heard) } else { matters::matter(&heard, leaf, emergency) };
        draft.wanted = wanted::find(&heard, kind, named.as_ref().and_then(|(matter, _)| matter.remedy));
        draft.secret = secret::find(&heard);
        let findings = self.places.locate(&heard);
        draft.place = self.place(&heard, &findings);
        let address = self.address(&heard, &findings);
        let chosen = findings.chosen.as_ref().map(|located| self.places.gazetteer.places[located.place].name.as_str());
        draft.title = title::title(
            &heard,
            &title::Parts {
                spot: address.spot.as_deref(),
                place: chosen,
                leaf,
                request_type: kind,
                matter: named.as_ref(),
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
