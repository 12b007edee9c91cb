//! How much of a case its reader sees: clear for those who write the draft, masked for all others, and for the units a
//! secret caller's case without anything that the caller said.

use serde_json::{Map, Value};

use super::{
    CaseError, Cases,
    view::{Fields, OccurredView},
};
use crate::domain::{
    case::{Actor, Case, Persons},
    city::City,
    draft::{Evidence, Field},
    ids::CaseId,
    mask,
    transcript::{Transcript, Utterance},
};

/// Fields that name a person or a door.
pub const PERSONAL: [&str; 3] = ["caller_name", "callback_phone", "address"];
/// Keys of events whose texts are the words of people.
const WORDS: [&str; 8] = ["title", "description", "wanted", "occurred_at", "original", "answer_text", "path", "text"];
/// Keys whose evidence quotes what was said.
const QUOTED: [&str; 5] = ["category", "request_type", "place", "urgency", "secret"];

/// How a reader sees a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Clear,
    Masked,
    Redacted,
}

impl Sight {
    pub(super) fn of(case: &Case, actor: &Actor) -> Self {
        if actor.is_of_unit() && case.fields.secret.value == Some(true) && !case.is_upload_of(actor) {
            Self::Redacted
        } else if case.is_drafted_by(actor) {
            Self::Clear
        } else {
            Self::Masked
        }
    }

    /// Makes the fields what the reader may see.
    ///
    /// * returns — names of the fields that are not shown as they are.
    pub(super) fn dim(self, fields: &mut Fields, case: &Case, city: &City) -> Vec<&'static str> {
        match self {
            Self::Clear => Vec::new(),
            Self::Masked => mask_fields(fields, &Known(&case.persons)),
            Self::Redacted => redact(fields, city),
        }
    }

    /// Makes a text of people's words what the reader may see.
    pub(super) fn words(self, text: String, case: &Case) -> Option<String> {
        match self {
            Self::Clear => Some(text),
            Self::Masked => Some(Known(&case.persons).hide(&text)),
            Self::Redacted => None,
        }
    }

    /// The same for an event's data.
    pub(super) fn dim_event(self, data: &mut Map<String, Value>, case: &Case) {
        match self {
            Self::Clear => {}
            Self::Masked => mask_object(data, &Known(&case.persons)),
            Self::Redacted => {
                for key in ["fields", "was", "original", "answer_text", "path"] {
                    data.remove(key);
                }
            }
        }
    }
}

impl Cases {
    /// A transcript for somebody who may not hear the call: numbers hidden, and of a secret caller nothing.
    pub async fn dim_transcript(
        &self,
        transcript: Transcript,
        case: Option<CaseId>,
        actor: &Actor,
    ) -> Result<Transcript, CaseError> {
        let case = match case {
            Some(id) => Some(self.load(id, actor).await?),
            None => None,
        };
        if case.as_ref().is_some_and(|case| case.fields.secret.value == Some(true)) {
            return Ok(Transcript { utterances: Vec::new(), r#final: transcript.r#final });
        }
        let persons = case.map(|case| case.persons).unwrap_or_default();
        let known = Known(&persons);
        let said = transcript.utterances.into_iter();
        let said = said.map(|said| Utterance { text: known.hide(&said.text), ..said });
        Ok(Transcript { utterances: said.collect(), r#final: transcript.r#final })
    }
}

/// What is known to be personal, so that it is hidden where words repeat it.
struct Known<'a>(&'a Persons);

impl Known<'_> {
    fn hide(&self, text: &str) -> String {
        let mut text = mask::digits(text);
        for address in &self.0.addresses {
            text = mask::known(&text, address, "***");
        }
        for name in &self.0.names {
            text = mask::known(&text, name, &mask::name(name));
        }
        text
    }

    fn hide_all(&self, evidence: &mut [Evidence]) {
        for span in evidence {
            span.text = self.hide(&span.text);
        }
    }
}

/// One personal value as it is shown.
fn shown(field: &str, value: &str) -> String {
    match field {
        "caller_name" => mask::name(value),
        "callback_phone" => mask::number(value),
        _ => "***".into(),
    }
}

fn mask_fields(fields: &mut Fields, known: &Known<'_>) -> Vec<&'static str> {
    let mut masked = Vec::new();
    let personal = [&mut fields.caller_name, &mut fields.callback_phone, &mut fields.address];
    for (name, field) in PERSONAL.into_iter().zip(personal) {
        if let Some(value) = &mut field.value {
            *value = shown(name, value);
            masked.push(name);
        }
        field.evidence.clear();
        field.alternatives.clear();
    }
    for field in [&mut fields.title, &mut fields.description, &mut fields.wanted] {
        if let Some(value) = &mut field.value {
            *value = known.hide(value);
        }
        for other in &mut field.alternatives {
            other.value = known.hide(&other.value);
        }
        known.hide_all(&mut field.evidence);
    }
    if let Some(OccurredView { text, .. }) = &mut fields.occurred_at.value {
        *text = known.hide(text);
    }
    for other in &mut fields.occurred_at.alternatives {
        other.value.text = known.hide(&other.value.text);
    }
    for evidence in [
        &mut fields.category.evidence,
        &mut fields.request_type.evidence,
        &mut fields.place.evidence,
        &mut fields.occurred_at.evidence,
        &mut fields.urgency.evidence,
        &mut fields.secret.evidence,
    ] {
        known.hide_all(evidence);
    }
    masked
}

/// Leaves what a unit has to know to act: what kind of matter, and in which town.
fn redact(fields: &mut Fields, city: &City) -> Vec<&'static str> {
    let leaf = fields.category.value.as_deref().and_then(|code| city.leaf(code)).map_or("", |leaf| leaf.name.as_str());
    let town = fields.place.value.take().and_then(|place| city.town_of_place(&place));
    let title = format!("（保密诉求）{leaf}");
    let description = format!("{title}{}", town.as_deref().map(|town| format!("，{town}")).unwrap_or_default());
    fields.place.value = town;
    bare(&mut fields.category);
    bare(&mut fields.request_type);
    bare(&mut fields.place);
    bare(&mut fields.urgency);
    bare(&mut fields.secret);
    fields.title = Field { value: Some(title), ..Field::default() };
    fields.description = Field { value: Some(description), ..Field::default() };
    fields.wanted = Field::default();
    fields.occurred_at = Field::default();
    fields.caller_name = Field::default();
    fields.callback_phone = Field::default();
    fields.address = Field::default();
    vec!["title", "description", "place", "address", "caller_name", "callback_phone", "occurred_at", "wanted"]
}

/// The value without what proves it.
fn bare<T>(field: &mut Field<T>) {
    field.evidence.clear();
    field.alternatives.clear();
}

fn mask_object(object: &mut Map<String, Value>, known: &Known<'_>) {
    for (key, value) in object.iter_mut() {
        match key.as_str() {
            personal if PERSONAL.contains(&personal) => mask_personal(personal, value),
            words if WORDS.contains(&words) => mask_words(value, known),
            quoted if QUOTED.contains(&quoted) => mask_evidence(value, known),
            _ => {
                if let Value::Object(inner) = value {
                    mask_object(inner, known);
                }
            }
        }
    }
}

/// A personal value, bare or as a field with what proves it.
fn mask_personal(name: &str, value: &mut Value) {
    match value {
        Value::String(text) => *text = shown(name, text),
        Value::Object(field) => {
            if let Some(Value::String(text)) = field.get_mut("value") {
                *text = shown(name, text);
            }
            for list in ["evidence", "alternatives"] {
                if let Some(Value::Array(items)) = field.get_mut(list) {
                    items.clear();
                }
            }
        }
        _ => {}
    }
}

fn mask_words(value: &mut Value, known: &Known<'_>) {
    match value {
        Value::String(text) => *text = known.hide(text),
        Value::Array(items) => items.iter_mut().for_each(|item| mask_words(item, known)),
        Value::Object(inner) => inner.values_mut().for_each(|item| mask_words(item, known)),
        _ => {}
    }
}

fn mask_evidence(value: &mut Value, known: &Known<'_>) {
    if let Some(evidence) = value.get_mut("evidence") {
        mask_words(evidence, known);
    }
}
