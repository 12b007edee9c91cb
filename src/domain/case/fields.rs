//! Edits of a case's fields: what a person typed, checked against the city, with the machine's value kept beside it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::{
    city::City,
    draft::{Draft, Field, Occurred, Source, Urgency},
};

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    pub field: &'static str,
    pub problem: String,
}

macro_rules! fields {
    ($($name:ident: $type:ty),+ $(,)?) => {
        /// New values. A field that is absent stays; `null` empties it. A value may also come as `{"value": …}`.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Edits {
            $(
                #[serde(default, deserialize_with = "loose", skip_serializing_if = "Option::is_none")]
                #[schema(value_type = Option<$type>)]
                pub $name: Option<Option<$type>>,
            )+
        }

        /// The fields as they were before an edit, with the machine's confidence and evidence.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
        pub struct Was {
            $(
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $name: Option<Field<$type>>,
            )+
        }

        impl Edits {
            /// Names of the fields that change.
            pub fn names(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$name.is_some() { names.push(stringify!($name)); })+
                names
            }

            /// Leaves out what would not change anything.
            #[must_use]
            pub fn without_echoes(mut self, draft: &Draft) -> Self {
                $(if self.$name.as_ref() == Some(&draft.$name.value) { self.$name = None; })+
                self
            }

            /// The fields that would change, as they are.
            pub fn was(&self, draft: &Draft) -> Was {
                Was { $($name: self.$name.is_some().then(|| draft.$name.clone()),)+ }
            }

            /// Puts the values in: certain, and proven by no recording.
            ///
            /// * `source` — a person who typed them, or the request that brought them.
            pub fn apply(&self, draft: &mut Draft, source: Source) {
                $(if let Some(value) = &self.$name { draft.$name = typed(value.clone(), source); })+
            }
        }
    };
}

fields! {
    title: String,
    description: String,
    category: String,
    request_type: String,
    place: String,
    address: String,
    caller_name: String,
    callback_phone: String,
    occurred_at: Occurred,
    wanted: String,
    urgency: Urgency,
    secret: bool,
}

impl Edits {
    /// Trims texts, empties those with nothing in them, and checks every value against the city.
    ///
    /// # Errors
    /// Every field that cannot be taken, with the reason.
    pub fn checked(mut self, city: &City) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Vec::new();
        for (field, value, longest) in [
            ("title", &mut self.title, 100),
            ("description", &mut self.description, 5000),
            ("category", &mut self.category, 16),
            ("request_type", &mut self.request_type, 16),
            ("place", &mut self.place, 64),
            ("address", &mut self.address, 200),
            ("caller_name", &mut self.caller_name, 50),
            ("callback_phone", &mut self.callback_phone, 32),
            ("wanted", &mut self.wanted, 1000),
        ] {
            let Some(text) = value else { continue };
            *text = text.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
            if text.as_ref().is_some_and(|text| text.chars().count() > longest) {
                problems.push(FieldProblem { field, problem: format!("is longer than {longest} characters") });
            }
        }
        let mut wrong = |field, problem: String| problems.push(FieldProblem { field, problem });
        if let Some(Some(code)) = &self.category
            && city.leaf(code).is_none()
        {
            wrong("category", format!("`{code}` is no leaf of the city's categories, for instance 0202"));
        }
        if let Some(Some(name)) = &self.request_type
            && !city.request_types.iter().any(|known| known.name == *name)
        {
            let names: Vec<_> = city.request_types.iter().map(|known| known.name.as_str()).collect();
            wrong("request_type", format!("`{name}` is none of {}", names.join(" ")));
        }
        if let Some(Some(place)) = &self.place
            && city.area_of_place(place).is_none()
        {
            wrong("place", format!("`{place}` is no area, area/town or estate of the city"));
        }
        if let Some(Some(phone)) = &self.callback_phone
            && !((3..=15).contains(&phone.len()) && phone.bytes().all(|sign| sign.is_ascii_digit()))
        {
            wrong("callback_phone", "is not 3 to 15 digits".into());
        }
        if let Some(Some(occurred)) = &self.occurred_at {
            if occurred.text.chars().count() > 200 {
                wrong("occurred_at", "is longer than 200 characters".into());
            }
            if let (Some(from), Some(to)) = (occurred.from, occurred.to)
                && from > to
            {
                wrong("occurred_at", "ends before it begins".into());
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }
}

fn typed<T>(value: Option<T>, source: Source) -> Field<T> {
    let confidence = if value.is_some() { 1.0 } else { 0.0 };
    Field { value, confidence, source: Some(source), ..Field::default() }
}

/// A value of a field as people and programs write it.
trait Loose: Sized {
    fn read(value: Value) -> Result<Self, String>;
}

macro_rules! plain {
    ($($type:ty),+) => {$(
        impl Loose for $type {
            fn read(value: Value) -> Result<Self, String> {
                serde_json::from_value(value).map_err(|error| error.to_string())
            }
        }
    )+};
}
plain!(String, Urgency, bool);

impl Loose for Occurred {
    /// The words alone, or with the span as milliseconds or RFC 3339.
    fn read(value: Value) -> Result<Self, String> {
        if let Value::String(text) = value {
            return Ok(Self { text, from: None, to: None });
        }
        let moment = |key: &str| match value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(ms)) => ms.as_i64().map(Some).ok_or_else(|| format!("`{key}` is no whole number")),
            Some(Value::String(text)) => {
                let at: jiff::Timestamp = text.parse().map_err(|_| format!("`{key}` is no RFC 3339 time"))?;
                Ok(Some(at.as_millisecond()))
            }
            Some(_) => Err(format!("`{key}` is no time")),
        };
        let text = value.get("text").and_then(Value::as_str).ok_or("it needs `text`, the caller's words")?;
        Ok(Self { text: text.to_owned(), from: moment("from")?, to: moment("to")? })
    }
}

#[expect(clippy::option_option, reason = "absent, null and a value are three different wishes")]
fn loose<'de, T: Loose, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    let mut value = Value::deserialize(deserializer)?;
    if let Value::Object(object) = &mut value
        && !object.contains_key("text")
        && let Some(inner) = object.remove("value")
    {
        value = inner;
    }
    if value.is_null() {
        return Ok(Some(None));
    }
    T::read(value).map(|value| Some(Some(value))).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn city() -> City {
        serde_json::from_str(include_str!("../../../config/demo-city.json")).expect("the demo city is read")
    }

    fn edits(value: Value) -> Edits {
        serde_json::from_value(value).expect("edits")
    }

    #[test]
    fn absent_stays_null_empties_and_a_value_may_be_wrapped() {
        let edits =
            edits(json!({"title": " 停水 ", "address": null, "wanted": {"value": "恢复供水"}, "caller_name": "  "}));
        let edits = edits.checked(&city()).expect("usable");
        assert_eq!(edits.names(), ["title", "address", "caller_name", "wanted"]);
        assert_eq!(edits.title, Some(Some("停水".into())));
        assert_eq!((edits.address, edits.caller_name), (Some(None), Some(None)));
        assert_eq!(edits.wanted, Some(Some("恢复供水".into())));
        assert_eq!(edits.place, None);
    }

    #[test]
    fn every_field_that_cannot_be_taken_is_named() {
        let edits = edits(json!({
            "category": "9999", "request_type": "抱怨", "place": "火星", "callback_phone": "138-0000",
            "title": "长".repeat(101), "occurred_at": {"text": "昨天", "from": 2, "to": 1},
        }));
        let problems = edits.checked(&city()).expect_err("six problems");
        let mut fields: Vec<_> = problems.iter().map(|problem| problem.field).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["callback_phone", "category", "occurred_at", "place", "request_type", "title"]);
    }

    #[test]
    fn an_edit_keeps_what_the_machine_had_heard() {
        let heard =
            Field { value: Some("0501".to_owned()), confidence: 0.6, source: Some(Source::Speech), ..Field::default() };
        let mut draft = Draft { category: heard.clone(), ..Draft::default() };
        let edits = edits(json!({"category": "0502"}));
        assert_eq!(edits.was(&draft), Was { category: Some(heard), ..Was::default() });
        edits.apply(&mut draft, Source::Operator);
        assert_eq!(draft.category.value.as_deref(), Some("0502"));
        assert_eq!(draft.category.source, Some(Source::Operator));
        assert!(edits.without_echoes(&draft).names().is_empty(), "the same value again is no edit");
    }

    #[test]
    fn when_it_happened_may_be_words_or_a_span() {
        assert_eq!(edits(json!({"occurred_at": "昨晚"})).occurred_at.flatten().map(|it| it.text), Some("昨晚".into()));
        let span = edits(json!({"occurred_at": {"text": "昨晚", "from": "2026-11-22T20:00:00+08:00", "to": null}}));
        assert_eq!(span.occurred_at.flatten().and_then(|it| it.from), Some(1_795_348_800_000));
        let wrong: Result<Edits, _> =
            serde_json::from_value(json!({"occurred_at": {"text": "昨晚", "from": "gestern"}}));
        assert!(wrong.is_err());
        let unknown: Result<Edits, _> = serde_json::from_value(json!({"colour": "red"}));
        assert!(unknown.expect_err("no such field").to_string().contains("colour"));
    }

    #[test]
    fn stored_edits_read_back_the_same() {
        let before = edits(
            json!({"title": null, "urgency": "safety_hazard", "secret": true, "occurred_at": {"text": "昨晚", "from": 5, "to": 6}}),
        );
        let text = serde_json::to_string(&before).expect("text");
        assert_eq!(serde_json::from_str::<Edits>(&text).expect("edits"), before);
    }
}
