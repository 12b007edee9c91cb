//! What was heard and what the operators meant: a view of the edits in the cases' histories.

use std::{fmt, str::FromStr};

use sqlx::FromRow;

use super::{
    Store, StoreError, Tx,
    codec::{id, signed, unsigned},
    sql::{Sql, Value, built, sql},
};
use crate::domain::{ids::CaseId, time::UnixMs};

const AT: &str = "corrections";
/// Rows of a page at most.
const LARGEST_PAGE: u32 = 1000;

/// One field of one edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrectionRow {
    pub case: CaseId,
    /// The event that corrected.
    pub seq: u64,
    pub field: String,
    pub at: UnixMs,
    pub heard: Heard,
    /// JSON; `None` where the field was emptied.
    pub meant: Option<String>,
}

/// What the machine had made of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// JSON; `None` where it had heard nothing.
    pub value: Option<String>,
    /// How sure it was, 0 to 1000.
    pub permille: i64,
    /// The words it was heard in, one stretch a line.
    pub words: String,
}

/// The last row of a page: where the next one goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrectionsAfter {
    pub at: UnixMs,
    pub case: CaseId,
    pub seq: u64,
    pub field: String,
}

impl Tx {
    /// Adds corrections.
    pub async fn add_corrections(&mut self, rows: &[CorrectionRow]) -> Result<(), StoreError> {
        for row in rows {
            sql("INSERT INTO corrections (case_id, seq, field, at, heard, permille, words, meant)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(row.case.to_string())
            .bind(signed(row.seq))
            .bind(&row.field)
            .bind(row.at.0)
            .bind(&row.heard.value)
            .bind(row.heard.permille)
            .bind(&row.heard.words)
            .bind(&row.meant)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("noting a correction"))?;
        }
        Ok(())
    }

    /// Forgets the corrections of a case.
    pub async fn clear_corrections(&mut self, case: CaseId) -> Result<(), StoreError> {
        let gone = sql("DELETE FROM corrections WHERE case_id = $1").bind(case.to_string());
        gone.execute(self.connection()).await.map_err(StoreError::at("forgetting corrections"))?;
        Ok(())
    }

    /// What the machine had heard before anybody corrected a field; nothing where it was not corrected yet.
    pub async fn first_heard(&mut self, case: CaseId, field: &str) -> Result<Option<Heard>, StoreError> {
        let row: Option<(Option<String>, i64, String)> = sql("SELECT heard, permille, words FROM corrections
             WHERE case_id = $1 AND field = $2 ORDER BY seq LIMIT 1")
        .bind(case.to_string())
        .bind(field)
        .fetch_optional(self.connection())
        .await
        .map_err(StoreError::at("reading a correction"))?;
        Ok(row.map(|(value, permille, words)| Heard { value, permille, words }))
    }

    /// Corrections of the cases from one to another, by case and event.
    pub(super) async fn corrections_between(
        &mut self,
        first: &str,
        last: &str,
    ) -> Result<Vec<CorrectionRow>, StoreError> {
        let rows: Vec<Row> =
            sql("SELECT * FROM corrections WHERE case_id BETWEEN $1 AND $2 ORDER BY case_id, seq, field")
                .bind(first)
                .bind(last)
                .fetch_all(self.connection())
                .await
                .map_err(StoreError::at("reading corrections"))?;
        rows.into_iter().map(Row::read).collect()
    }
}

impl Store {
    /// Corrections, oldest first.
    ///
    /// * `field` — only this field's.
    /// * `limit` — at most 1000.
    pub async fn corrections(
        &self,
        field: Option<&str>,
        after: Option<&CorrectionsAfter>,
        limit: u32,
    ) -> Result<Vec<CorrectionRow>, StoreError> {
        let mut values: Vec<Value> = Vec::new();
        let mut conditions = Vec::new();
        if let Some(field) = field {
            values.push(field.into());
            conditions.push("field = $1".to_owned());
        }
        if let Some(after) = after {
            let next = values.len() + 1;
            conditions.push(format!(
                "(at, case_id, seq, field) > (${next}, ${}, ${}, ${})",
                next + 1,
                next + 2,
                next + 3
            ));
            values.extend([
                Value::from(after.at.0),
                after.case.to_string().into(),
                signed(after.seq).into(),
                (&after.field).into(),
            ]);
        }
        let only = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        values.push(i64::from(limit.min(LARGEST_PAGE)).into());
        let text = format!("SELECT * FROM corrections {only} ORDER BY at, case_id, seq, field LIMIT ${}", values.len());
        let page = values.into_iter().fold(built(text), Sql::bind);
        let rows: Vec<Row> = page.fetch_all(self.readers()).await.map_err(StoreError::at("listing corrections"))?;
        rows.into_iter().map(Row::read).collect()
    }
}

impl CorrectionRow {
    /// Where a page that ends with this one goes on.
    pub fn after(&self) -> CorrectionsAfter {
        CorrectionsAfter { at: self.at, case: self.case, seq: self.seq, field: self.field.clone() }
    }
}

impl fmt::Display for CorrectionsAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.at.0, self.case, self.seq, self.field)
    }
}

impl FromStr for CorrectionsAfter {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let mut parts = text.splitn(4, ':');
        let mut part = || parts.next().ok_or(NoPlace);
        Ok(Self {
            at: UnixMs(part()?.parse().map_err(|_| NoPlace)?),
            case: part()?.parse().map_err(|_| NoPlace)?,
            seq: part()?.parse().map_err(|_| NoPlace)?,
            field: part()?.to_owned(),
        })
    }
}

/// A text that names no place in the list of corrections.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("is no place in the list of corrections")]
pub struct NoPlace;

#[derive(FromRow)]
struct Row {
    case_id: String,
    seq: i64,
    field: String,
    at: i64,
    heard: Option<String>,
    permille: i64,
    words: String,
    meant: Option<String>,
}

impl Row {
    fn read(self) -> Result<CorrectionRow, StoreError> {
        Ok(CorrectionRow {
            case: id(AT, &self.case_id)?,
            seq: unsigned(self.seq),
            field: self.field,
            at: UnixMs(self.at),
            heard: Heard { value: self.heard, permille: self.permille, words: self.words },
            meant: self.meant,
        })
    }
}
