//! How many fields of the drafts are right, and whether each value stands on the seconds it was said in.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::manifest::{Call, Expected};
use crate::{
    domain::{
        city::City,
        draft::{Draft, Field},
    },
    speech::cer::{Errors, fold},
};

/// Likeness from which a text is right.
const ENOUGH: f64 = 0.5;
/// Evidence may begin and end this much outside its turn, seconds.
const SLACK: f64 = 0.5;

/// Figures of one field over all calls.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Score {
    /// Calls in which the value (or its absence) is right.
    pub(super) right: usize,
    /// Calls in which a value is given although the manifest has none.
    pub(super) invented: usize,
    /// Calls in which the right value is missing.
    pub(super) missing: usize,
    /// Calls in which the right value is among the first three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top3: Option<usize>,
    /// Free text: mean likeness over the calls that expect a text; of `wanted` and `occurred_at` the overlap of
    /// characters, else one minus the edits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) likeness: Option<f64>,
    #[serde(skip)]
    likenesses: Vec<f64>,
}

/// Values from speech, and those whose evidence lies outside the turns of their speaker.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Evidence {
    pub(super) values: usize,
    /// `call field`.
    pub(super) wrong: Vec<String>,
}

/// Everything that was counted.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Scores {
    pub(super) fields: BTreeMap<&'static str, Score>,
    pub(super) evidence: Evidence,
}

impl Scores {
    /// Counts one call in.
    ///
    /// * returns — the fields that are wrong, `field: given instead of expected`.
    pub(super) fn add(&mut self, call: &Call, draft: &Draft, city: &City) -> Vec<String> {
        let expected = &call.expected;
        let mut wrong = Vec::new();
        self.category(expected, draft, &mut wrong);
        let place = expected_place(expected, city);
        let urgency = draft.urgency.value.and_then(|urgency| word(&urgency)).unwrap_or_else(|| "none".into());
        let secret = draft.secret.value.unwrap_or(false);
        for (name, given, wanted) in [
            ("request_type", draft.request_type.value.clone(), Some(expected.request_type.clone())),
            ("place", draft.place.value.clone(), place),
            ("callback_phone", draft.callback_phone.value.clone(), expected.phone.clone()),
            ("caller_name", draft.caller_name.value.clone(), expected.caller_name.clone()),
            ("urgency", Some(urgency), Some(expected.urgency.clone())),
            ("secret", Some(secret.to_string()), Some(expected.secret.to_string())),
        ] {
            self.exact(name, given.as_deref(), wanted.as_deref(), &mut wrong);
        }
        for (name, given, wanted) in [
            ("title", draft.title.value.as_deref(), expected.title.as_deref()),
            ("address", draft.address.value.as_deref(), expected.place.address.as_deref()),
        ] {
            self.text(name, given, wanted, agreement, &mut wrong);
        }
        let Draft { wanted, occurred_at, .. } = draft;
        self.text("wanted", wanted.value.as_deref(), expected.wanted.as_deref(), overlap, &mut wrong);
        self.offered("wanted", wanted, expected.wanted.as_deref());
        let occurred = occurred_at.value.as_ref().map(|occurred| occurred.text.as_str());
        self.text("occurred_at", occurred, expected.occurred.as_deref(), overlap, &mut wrong);
        self.evidence(call, draft);
        wrong
    }

    fn category(&mut self, expected: &Expected, draft: &Draft, wrong: &mut Vec<String>) {
        let score = self.fields.entry("category").or_default();
        let accepted = |code: &String| expected.category_accept.contains(code);
        let Field { value, alternatives, .. } = &draft.category;
        let ranked = value.iter().chain(alternatives.iter().map(|other| &other.value));
        *score.top3.get_or_insert(0) += usize::from(ranked.take(3).any(accepted));
        match value {
            Some(code) if accepted(code) => score.right += 1,
            Some(code) => wrong.push(format!("category: {code} instead of {}", expected.category_accept.join("/"))),
            None => score.missing += 1,
        }
    }

    fn exact(&mut self, name: &'static str, given: Option<&str>, wanted: Option<&str>, wrong: &mut Vec<String>) {
        let score = self.fields.entry(name).or_default();
        if given == wanted {
            score.right += 1;
            return;
        }
        score.invented += usize::from(wanted.is_none());
        score.missing += usize::from(given.is_none());
        wrong.push(format!("{name}: {} instead of {}", given.unwrap_or("nothing"), wanted.unwrap_or("nothing")));
    }

    /// Free text has many right answers; it counts as right when it is at least [`ENOUGH`] like the expected one.
    fn text(
        &mut self,
        name: &'static str,
        given: Option<&str>,
        wanted: Option<&str>,
        likeness: fn(&str, &str) -> f64,
        wrong: &mut Vec<String>,
    ) {
        let score = self.fields.entry(name).or_default();
        let likeness = match (given, wanted) {
            (None, None) => 1.0,
            (Some(_), None) => {
                score.invented += 1;
                0.0
            }
            (given, Some(wanted)) => {
                let likeness = given.map_or(0.0, |given| likeness(given, wanted));
                score.missing += usize::from(given.is_none());
                score.likenesses.push(likeness);
                #[expect(clippy::cast_precision_loss, reason = "a few calls")]
                let mean = score.likenesses.iter().sum::<f64>() / score.likenesses.len() as f64;
                score.likeness = Some(mean);
                likeness
            }
        };
        score.right += usize::from(likeness >= ENOUGH);
        if likeness < ENOUGH {
            wrong.push(format!("{name}: {} for {}", given.unwrap_or("nothing"), wanted.unwrap_or("nothing")));
        }
    }

    /// Counts the calls in which the expected text is among the value and its first alternatives.
    fn offered(&mut self, name: &'static str, field: &Field<String>, wanted: Option<&str>) {
        let Some(wanted) = wanted else { return };
        let ranked = field.value.iter().chain(field.alternatives.iter().map(|other| &other.value));
        let near = ranked.take(3).any(|given| overlap(given, wanted) >= ENOUGH);
        *self.fields.entry(name).or_default().top3.get_or_insert(0) += usize::from(near);
    }

    fn evidence(&mut self, call: &Call, draft: &Draft) {
        let Ok(Value::Object(fields)) = serde_json::to_value(draft) else { return };
        for (name, field) in &fields {
            if field["source"] != "speech" || field["value"].is_null() {
                continue;
            }
            self.evidence.values += 1;
            let spans = field["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
            if spans.is_empty() || !spans.iter().all(|span| lies_in_a_turn(span, call)) {
                self.evidence.wrong.push(format!("{} {name}", call.id));
            }
        }
    }
}

/// One minus the edits per expected character: for texts whose order matters.
fn agreement(given: &str, wanted: &str) -> f64 {
    (1.0 - Errors::between(wanted, given).rate()).max(0.0)
}

/// Characters both texts have, whatever their order: twice the common ones by all (Dice), numerals folded. A caller
/// says 让自来水公司快点来修 where the manifest says 尽快修复供水.
#[expect(clippy::cast_precision_loss, reason = "a few characters")]
fn overlap(given: &str, wanted: &str) -> f64 {
    let (given, mut wanted): (Vec<char>, Vec<char>) = (fold(given).chars().collect(), fold(wanted).chars().collect());
    let all = given.len() + wanted.len();
    let mut common = 0;
    for sign in given {
        if let Some(at) = wanted.iter().position(|other| *other == sign) {
            wanted.swap_remove(at);
            common += 1;
        }
    }
    if all == 0 { 1.0 } else { 2.0 * f64::from(common) / all as f64 }
}

fn lies_in_a_turn(span: &Value, call: &Call) -> bool {
    let seconds = |key: &str| span[key].as_f64().map(|ms| ms / 1000.0);
    let (Some(start), Some(end)) = (seconds("start_ms"), seconds("end_ms")) else { return false };
    call.turns.iter().any(|turn| {
        let same = word(&turn.speaker).as_deref() == span["channel"].as_str();
        same && start >= turn.start - SLACK && end <= turn.end + SLACK && start < end
    })
}

/// The most specific id of the names: estate, else town, else area.
fn expected_place(expected: &Expected, city: &City) -> Option<String> {
    let place = &expected.place;
    if let Some(estate) = &place.estate {
        return Some(estate.clone());
    }
    let name = place.area.as_ref()?;
    let area = city.areas.iter().find(|area| area.name == *name)?;
    Some(place.town.as_ref().map_or_else(|| area.code.clone(), |town| format!("{}/{town}", area.code)))
}

/// A unit variant as it stands in JSON.
fn word(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config::Settings,
        domain::{
            draft::{Alternative, Evidence as Span, Source, Urgency},
            transcript::Channel,
        },
    };

    #[test]
    fn values_are_counted_and_evidence_must_lie_in_its_speakers_turn() {
        let city = Settings::default().load_city().expect("the demo city");
        let call = super::super::manifest::read(Path::new("tests/calls")).expect("the manifest").swap_remove(0);
        let span = |channel, start_ms, end_ms| Span { channel, start_ms, end_ms, text: "停水".into() };
        let mut draft = Draft::default();
        draft.category.value = Some("0202".into());
        draft.category.source = Some(Source::Speech);
        draft.category.evidence = vec![span(Channel::Caller, 3590, 12_030)];
        draft.place.value = Some("E003".into());
        draft.place.source = Some(Source::Speech);
        draft.place.evidence = vec![span(Channel::Operator, 3590, 12_030)];
        draft.urgency.value = Some(Urgency::EmergencyNow);
        let mut scores = Scores::default();
        let wrong = scores.add(&call, &draft, &city);
        assert_eq!((scores.fields["category"].right, scores.fields["category"].top3), (1, Some(1)));
        assert_eq!((scores.fields["place"].right, scores.fields["urgency"].right), (1, 0));
        assert_eq!(scores.evidence.values, 2);
        assert_eq!(scores.evidence.wrong, ["s01 place"], "the operator says nothing at that time");
        assert!(wrong.contains(&"urgency: emergency_now instead of none".to_owned()), "{wrong:?}");
    }

    #[test]
    fn wishes_and_times_are_compared_by_the_characters_they_share() {
        assert!(overlap("一个多星期，每天晚上11点以后", "一个多星期以来每晚十一点以后") > 0.8);
        assert!(overlap("早上7点到9点", "早上七点到九点") > 0.99, "numerals are folded");
        assert!(overlap("停水", "修路") < 0.01);
        let city = Settings::default().load_city().expect("the demo city");
        let call = super::super::manifest::read(Path::new("tests/calls")).expect("the manifest").swap_remove(0);
        let mut draft = Draft::default();
        draft.wanted.value = Some("快点来人".into());
        draft.wanted.alternatives = vec![Alternative { value: "尽快恢复供水".into(), confidence: 0.3 }];
        let mut scores = Scores::default();
        let wrong = scores.add(&call, &draft, &city);
        let score = &scores.fields["wanted"];
        assert_eq!((score.right, score.missing, score.top3), (0, 0, Some(1)), "{score:?}");
        assert_eq!((scores.fields["occurred_at"].missing, scores.fields["secret"].right), (1, 1));
        assert!(wrong.contains(&"wanted: 快点来人 for 尽快修复供水".to_owned()), "{wrong:?}");
    }
}
