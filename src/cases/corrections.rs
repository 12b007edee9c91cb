//! Operators' edits as pairs of what was heard and what was meant: the examples that hearing and drafting are improved
//! with. A view of the edits; whose name, number and address it was is in none of them, and nothing of a secret caller.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    CaseError, Cases, history,
    sight::{PERSONAL, Sight},
    snapshot::case_of,
};
use crate::{
    domain::{
        audit::Action,
        calendar::WorkCalendar,
        case::{Actor, Case, Event, Recorded},
        draft::{Field, Source},
        ids::CaseId,
    },
    store::{AuditEntry, CorrectionRow, CorrectionsAfter, Heard, Tx},
};

/// Fields that people fill with words, in which anything may be repeated.
const IN_WORDS: [&str; 4] = ["title", "description", "wanted", "occurred_at"];

/// One field that an operator corrected.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Correction {
    #[schema(format = Uuid)]
    pub case_id: String,
    /// The event that corrected.
    pub seq: u64,
    pub field: String,
    /// The machine's value; null where it had heard nothing.
    pub heard: Option<Value>,
    /// How sure the machine was, 0 to 1.
    pub confidence: f64,
    /// The words that it was heard in, one stretch a line.
    pub words: String,
    /// The operator's value; null where the field was emptied.
    pub meant: Option<Value>,
    pub at: String,
}

impl Cases {
    /// Corrections, oldest first. Names, numbers and addresses that words repeat are masked.
    ///
    /// * `field` — only this field's.
    /// * returns — the page, and where the next one goes on if there is more.
    pub async fn corrections(
        &self,
        field: Option<&str>,
        after: Option<&CorrectionsAfter>,
        limit: u32,
    ) -> Result<(Vec<Correction>, Option<CorrectionsAfter>), CaseError> {
        let mut rows = self.store.corrections(field, after, limit + 1).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().map(CorrectionRow::after).filter(|_| more);
        let mut cases = BTreeMap::new();
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            if let Entry::Vacant(place) = cases.entry(row.case) {
                let stored = self.store.case_row(row.case).await?.ok_or(CaseError::NotFound(row.case))?;
                place.insert(case_of(&self.store, stored).await?);
            }
            page.push(Correction::of(row, &cases)?);
        }
        Ok((page, next))
    }

    /// Keeps for ever that corrections were given out.
    ///
    /// * `by` — absent: somebody at the command line.
    pub async fn corrections_given(&self, by: Option<&Actor>, field: Option<&str>) -> Result<(), CaseError> {
        let by = by.map(|actor| actor.acting_as(None));
        let (user, name) = by.map_or((None, "command line".to_owned()), |by| (by.user, by.name));
        let mut tx = self.store.begin().await?;
        let detail = json!({ "field": field });
        tx.audit(AuditEntry { user, name, action: Action::Export, subject: "corrections".into(), detail });
        Ok(tx.commit().await?)
    }
}

impl Correction {
    fn of(row: CorrectionRow, cases: &BTreeMap<CaseId, Case>) -> Result<Self, CaseError> {
        let hidden = |text: String| match cases.get(&row.case) {
            Some(case) => Sight::Masked.words(text, case).unwrap_or_default(),
            None => String::new(),
        };
        let value = |json: Option<String>| -> Result<Option<Value>, CaseError> {
            let Some(json) = json else { return Ok(None) };
            let mut value: Value = serde_json::from_str(&json).map_err(CaseError::Unreadable)?;
            let text = if value.is_object() { value.get_mut("text") } else { Some(&mut value) };
            if let Some(Value::String(text)) = text.filter(|_| IN_WORDS.contains(&row.field.as_str())) {
                *text = hidden(std::mem::take(text));
            }
            Ok(Some(value))
        };
        Ok(Self {
            case_id: row.case.to_string(),
            seq: row.seq,
            heard: value(row.heard.value)?,
            #[expect(clippy::cast_precision_loss, reason = "at most 1000")]
            confidence: row.heard.permille as f64 / 1000.0,
            words: hidden(row.heard.words),
            meant: value(row.meant)?,
            at: WorkCalendar::rfc3339(row.at),
            field: row.field,
        })
    }
}

/// Writes down what an edit corrects.
///
/// * `case` — with the edit in it.
pub(super) async fn note(tx: &mut Tx, case: &Case, recorded: &Recorded) -> Result<(), CaseError> {
    let Event::Edit { fields, was } = &recorded.event else { return Ok(()) };
    if fields.secret.is_some() {
        tx.clear_corrections(case.id).await?;
        let all = all(case, &history(tx.case_events(case.id).await?)?);
        return Ok(tx.add_corrections(&all).await?);
    }
    if is_secret(case) {
        return Ok(());
    }
    let mut first = BTreeMap::new();
    for (field, was) in texts(was) {
        if is_typed(&was) {
            first.extend(tx.first_heard(case.id, &field).await?.map(|heard| (field, heard)));
        }
    }
    Ok(tx.add_corrections(&pairs(case, recorded, &mut first)).await?)
}

/// All corrections that a history tells of.
///
/// * `case` — with the whole history in it.
pub(super) fn all(case: &Case, history: &[Recorded]) -> Vec<CorrectionRow> {
    if is_secret(case) {
        return Vec::new();
    }
    let mut first = BTreeMap::new();
    history.iter().flat_map(|recorded| pairs(case, recorded, &mut first)).collect()
}

/// The pairs of one event.
///
/// * `first` — what was heard of fields that were corrected before; those of this event are added.
fn pairs(case: &Case, recorded: &Recorded, first: &mut BTreeMap<String, Heard>) -> Vec<CorrectionRow> {
    let Event::Edit { fields, was } = &recorded.event else { return Vec::new() };
    let meant: BTreeMap<String, Value> = texts(fields).collect();
    let mut rows = Vec::new();
    for (field, was) in texts(was).filter(|(field, _)| !PERSONAL.contains(&field.as_str())) {
        // A second thought corrects what was heard, not what somebody typed; and without anything heard nothing.
        let heard = match first.get(&field) {
            Some(heard) => heard.clone(),
            None if is_typed(&was) => continue,
            None => heard(&was),
        };
        first.insert(field.clone(), heard.clone());
        let meant = meant.get(&field).filter(|meant| !meant.is_null()).map(Value::to_string);
        rows.push(CorrectionRow { case: case.id, seq: recorded.seq, field, at: recorded.at, heard, meant });
    }
    rows.sort_by(|one, other| one.field.cmp(&other.field));
    rows
}

fn heard(was: &Value) -> Heard {
    let Ok(field) = serde_json::from_value::<Field<Value>>(was.clone()) else { return Heard::default() };
    let words: Vec<_> = field.evidence.iter().map(|stretch| stretch.text.as_str()).collect();
    #[expect(clippy::cast_possible_truncation, reason = "0 to 1000")]
    let permille = (f64::from(field.confidence.clamp(0.0, 1.0)) * 1000.0).round() as i64;
    Heard { value: field.value.map(|value| value.to_string()), permille, words: words.join("\n") }
}

/// Whether a person wrote it: there is nothing heard to be corrected.
fn is_typed(was: &Value) -> bool {
    let source = was.get("source").cloned().and_then(|source| serde_json::from_value(source).ok());
    matches!(source, Some(Source::Operator | Source::Import))
}

fn is_secret(case: &Case) -> bool {
    case.fields.secret.value == Some(true)
}

/// The fields of an edit by name.
fn texts(of: &impl Serialize) -> impl Iterator<Item = (String, Value)> {
    let Ok(Value::Object(fields)) = serde_json::to_value(of) else { unreachable!("an edit is a JSON object") };
    fields.into_iter()
}
