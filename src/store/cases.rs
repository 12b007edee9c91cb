//! Cases: the event list, which is the truth, and a row to find a case by, which is a view of it.

use sqlx::FromRow;

use super::{
    Store, StoreError, Tx,
    codec::{id, maybe_id},
    database::Dialect,
    sql::sql,
};
use crate::domain::{
    ids::{CallId, CaseId},
    time::UnixMs,
};

const AT: &str = "cases";

/// What a list finds a case by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseRow {
    pub id: CaseId,
    /// `20261123-000017`.
    pub number: String,
    pub version: u64,
    /// Name of the state, `draft`.
    pub state: String,
    pub channel: String,
    pub call_id: Option<CallId>,
    /// When the leading unit's answer is due.
    pub unit_due: Option<UnixMs>,
    /// Text that `q` is looked for in.
    pub search: String,
}

/// One event as stored; the documents are the domain's to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// 1, 2, 3 … within the case.
    pub seq: u64,
    /// The case's version once the event is in.
    pub version: u64,
    pub at: UnixMs,
    /// JSON.
    pub actor: String,
    /// JSON.
    pub body: String,
}

/// Which cases a list wants.
#[derive(Clone, Debug, Default)]
pub struct CaseFilter {
    pub state: Option<String>,
    /// Only those in which this unit has a part.
    pub unit: Option<String>,
    /// Words to be found in number, title, description or address.
    pub q: Option<String>,
    /// Only those whose unit is late at this moment.
    pub overdue_at: Option<UnixMs>,
    /// The last case of the page before.
    pub after: Option<CaseId>,
    /// Rows, at most 500.
    pub limit: u32,
}

impl Tx {
    /// Gives the next number of a day.
    ///
    /// * `day` — the city's day, `20261123`.
    pub async fn next_case_number(&mut self, day: &str) -> Result<String, StoreError> {
        let (last,): (i64,) = sql("INSERT INTO case_numbers (day, last) VALUES ($1, 1)
             ON CONFLICT (day) DO UPDATE SET last = case_numbers.last + 1 RETURNING last")
        .bind(day)
        .fetch_one(self.connection())
        .await
        .map_err(StoreError::at("giving a case number"))?;
        Ok(format!("{day}-{last:06}"))
    }

    /// Makes other writers of this case wait until this transaction ends. SQLite's one writer does so anyway.
    pub async fn lock_case(&mut self, case: CaseId) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Postgres {
            sql("SELECT id FROM cases WHERE id = $1 FOR UPDATE")
                .bind(case.to_string())
                .execute(self.connection())
                .await
                .map_err(StoreError::at("locking a case"))?;
        }
        Ok(())
    }

    /// Adds the row of a new case. [`StoreError::Duplicate`] when its call has a case already.
    pub async fn add_case(&mut self, row: &CaseRow) -> Result<(), StoreError> {
        let now = self.now().0;
        sql("INSERT INTO cases (id, number, version, state, channel, call_id, unit_due, search, created, updated)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)")
        .bind(row.id.to_string())
        .bind(&row.number)
        .bind(signed(row.version))
        .bind(&row.state)
        .bind(&row.channel)
        .bind(row.call_id.map(|id| id.to_string()))
        .bind(row.unit_due.map(|at| at.0))
        .bind(row.search.to_lowercase())
        .bind(now)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("adding a case for this call"))?;
        Ok(())
    }

    /// Brings the row up to the events.
    ///
    /// * `before` — the version the events were decided on.
    /// * returns — false if the case has another version by now; then nothing was changed.
    pub async fn update_case(&mut self, row: &CaseRow, before: u64) -> Result<bool, StoreError> {
        let now = self.now().0;
        let done = sql("UPDATE cases SET version = $2, state = $3, unit_due = $4, search = $5, updated = $6
             WHERE id = $1 AND version = $7")
        .bind(row.id.to_string())
        .bind(signed(row.version))
        .bind(&row.state)
        .bind(row.unit_due.map(|at| at.0))
        .bind(row.search.to_lowercase())
        .bind(now)
        .bind(signed(before))
        .execute(self.connection())
        .await
        .map_err(StoreError::at("updating a case"))?;
        Ok(done == 1)
    }

    /// Says which units have a part in a case.
    pub async fn put_case_units(&mut self, case: CaseId, units: &[&str]) -> Result<(), StoreError> {
        let failed = StoreError::at("noting the units of a case");
        let gone = sql("DELETE FROM case_units WHERE case_id = $1").bind(case.to_string());
        gone.execute(self.connection()).await.map_err(&failed)?;
        for unit in units {
            sql("INSERT INTO case_units (unit, case_id) VALUES ($1, $2)")
                .bind(*unit)
                .bind(case.to_string())
                .execute(self.connection())
                .await
                .map_err(&failed)?;
        }
        Ok(())
    }

    /// Appends to the history of a case. [`StoreError::Duplicate`] when somebody else has used the number.
    pub async fn append_event(&mut self, case: CaseId, event: &StoredEvent) -> Result<(), StoreError> {
        sql("INSERT INTO case_events (case_id, seq, version, at, actor, body) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(case.to_string())
            .bind(signed(event.seq))
            .bind(signed(event.version))
            .bind(event.at.0)
            .bind(&event.actor)
            .bind(&event.body)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("appending to a case"))?;
        Ok(())
    }

    /// The history of a case as this transaction sees it.
    pub async fn case_events(&mut self, case: CaseId) -> Result<Vec<StoredEvent>, StoreError> {
        events(sql(EVENTS).bind(case.to_string()).fetch_all(self.connection()).await)
    }

    /// The case that a call made.
    pub async fn case_of_call(&mut self, call: CallId) -> Result<Option<CaseId>, StoreError> {
        let row: Option<(String,)> = sql("SELECT id FROM cases WHERE call_id = $1")
            .bind(call.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::at("finding a call's case"))?;
        row.map(|(text,)| id(AT, &text)).transpose()
    }
}

impl Store {
    /// The history of a case, oldest first; empty when there is no such case.
    pub async fn case_events(&self, case: CaseId) -> Result<Vec<StoredEvent>, StoreError> {
        events(sql(EVENTS).bind(case.to_string()).fetch_all(self.readers()).await)
    }

    /// The row of a case.
    pub async fn case_row(&self, case: CaseId) -> Result<Option<CaseRow>, StoreError> {
        let row: Option<Row> = sql("SELECT * FROM cases WHERE id = $1")
            .bind(case.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(StoreError::at("reading a case"))?;
        row.map(Row::read).transpose()
    }

    /// Rows of cases, latest first.
    pub async fn case_rows(&self, filter: &CaseFilter) -> Result<Vec<CaseRow>, StoreError> {
        let rows: Vec<Row> = sql(PAGE)
            .bind(&filter.state)
            .bind(&filter.unit)
            .bind(filter.q.as_deref().map(pattern))
            .bind(filter.overdue_at.map(|at| at.0))
            .bind(filter.after.map(|id| id.to_string()))
            .bind(i64::from(filter.limit.min(500)))
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("listing cases"))?;
        rows.into_iter().map(Row::read).collect()
    }
}

const EVENTS: &str = "SELECT seq, version, at, actor, body FROM case_events WHERE case_id = $1 ORDER BY seq";

const PAGE: &str = "SELECT * FROM cases
    WHERE (CAST($1 AS TEXT) IS NULL OR state = $1) AND (CAST($2 AS TEXT) IS NULL OR EXISTS (
            SELECT 1 FROM case_units WHERE case_units.case_id = cases.id AND case_units.unit = $2))
        AND (CAST($3 AS TEXT) IS NULL OR lower(search) LIKE lower($3) ESCAPE '\\')
        AND (CAST($4 AS BIGINT) IS NULL OR unit_due < $4) AND (CAST($5 AS TEXT) IS NULL OR id < $5)
    ORDER BY id DESC LIMIT $6";

/// A `LIKE` pattern that finds `words` anywhere and takes its own signs literally.
fn pattern(words: &str) -> String {
    let mut pattern = String::from("%");
    for sign in words.to_lowercase().chars() {
        if matches!(sign, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(sign);
    }
    pattern.push('%');
    pattern
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn events(rows: Result<Vec<EventRow>, sqlx::Error>) -> Result<Vec<StoredEvent>, StoreError> {
    let rows = rows.map_err(StoreError::at("reading a case's history"))?;
    Ok(rows.into_iter().map(EventRow::read).collect())
}

#[derive(FromRow)]
struct EventRow {
    seq: i64,
    version: i64,
    at: i64,
    actor: String,
    body: String,
}

impl EventRow {
    fn read(self) -> StoredEvent {
        StoredEvent {
            seq: u64::try_from(self.seq).unwrap_or(0),
            version: u64::try_from(self.version).unwrap_or(0),
            at: UnixMs(self.at),
            actor: self.actor,
            body: self.body,
        }
    }
}

#[derive(FromRow)]
struct Row {
    id: String,
    number: String,
    version: i64,
    state: String,
    channel: String,
    call_id: Option<String>,
    unit_due: Option<i64>,
    search: String,
}

impl Row {
    fn read(self) -> Result<CaseRow, StoreError> {
        Ok(CaseRow {
            id: id(AT, &self.id)?,
            number: self.number,
            version: u64::try_from(self.version).unwrap_or(0),
            state: self.state,
            channel: self.channel,
            call_id: maybe_id(AT, self.call_id.as_deref())?,
            unit_due: self.unit_due.map(UnixMs),
            search: self.search,
        })
    }
}
