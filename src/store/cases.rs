//! Cases: the event list, which is the truth, and a row to find a case by, which is a view of it.

use sqlx::FromRow;

use super::{
    Store, StoreError, Tx,
    codec::{id, maybe_id, signed, unsigned},
    database::Dialect,
    search,
    sql::sql,
};
use crate::domain::{
    ids::{CallId, CaseId, UserId},
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
    /// Text that `q` is looked for in, lower case.
    pub search: String,
    /// The case as its events have made it, JSON of the domain.
    pub view: String,
    /// How `view` is written; 0 where it was never made.
    pub shape: i64,
    pub created: UnixMs,
    pub updated: UnixMs,
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
    /// Only those of calls that this official took.
    pub official: Option<UserId>,
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
        sql("INSERT INTO cases (id, number, version, state, channel, call_id, unit_due, search, view, shape, created,
                updated)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
        .bind(row.id.to_string())
        .bind(&row.number)
        .bind(signed(row.version))
        .bind(&row.state)
        .bind(&row.channel)
        .bind(row.call_id.map(|id| id.to_string()))
        .bind(row.unit_due.map(|at| at.0))
        .bind(row.search.to_lowercase())
        .bind(&row.view)
        .bind(row.shape)
        .bind(row.created.0)
        .bind(row.updated.0)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("adding a case for this call"))?;
        self.put_words(row.id, &row.search).await
    }

    /// Brings the row up to the events.
    ///
    /// * `before` — the version the events were decided on.
    /// * returns — false if the case has another version by now; then nothing was changed.
    pub async fn update_case(&mut self, row: &CaseRow, before: u64) -> Result<bool, StoreError> {
        let done = sql("UPDATE cases SET version = $2, state = $3, unit_due = $4, search = $5, view = $6, shape = $7,
                updated = $8
             WHERE id = $1 AND version = $9")
        .bind(row.id.to_string())
        .bind(signed(row.version))
        .bind(&row.state)
        .bind(row.unit_due.map(|at| at.0))
        .bind(row.search.to_lowercase())
        .bind(&row.view)
        .bind(row.shape)
        .bind(row.updated.0)
        .bind(signed(before))
        .execute(self.connection())
        .await
        .map_err(StoreError::at("updating a case"))?;
        if done != 1 {
            return Ok(false);
        }
        sql("UPDATE case_units SET state = $2 WHERE case_id = $1 AND state <> $2")
            .bind(row.id.to_string())
            .bind(&row.state)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("noting the state of a case"))?;
        self.put_words(row.id, &row.search).await?;
        Ok(true)
    }

    /// Says which units have a part in a case.
    pub async fn put_case_units(&mut self, case: CaseId, units: &[&str]) -> Result<(), StoreError> {
        let failed = StoreError::at("noting the units of a case");
        let gone = sql("DELETE FROM case_units WHERE case_id = $1").bind(case.to_string());
        gone.execute(self.connection()).await.map_err(&failed)?;
        for unit in units {
            sql("INSERT INTO case_units (unit, case_id, state) SELECT $1, id, state FROM cases WHERE id = $2")
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

    /// The row of a case as this transaction sees it.
    pub async fn case_row(&mut self, case: CaseId) -> Result<Option<CaseRow>, StoreError> {
        let row: Option<Row> = sql(ROW)
            .bind(case.to_string())
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::at("reading a case"))?;
        row.map(Row::read).transpose()
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
        let row: Option<Row> = sql(ROW)
            .bind(case.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(StoreError::at("reading a case"))?;
        row.map(Row::read).transpose()
    }

    /// Rows of cases, latest first.
    pub async fn case_rows(&self, filter: &CaseFilter) -> Result<Vec<CaseRow>, StoreError> {
        let mut rows: Vec<Row> = Vec::new();
        for page in search::pages(filter, self.dialect()) {
            rows = page.fetch_all(self.readers()).await.map_err(StoreError::at("listing cases"))?;
            if rows.len() >= filter.limit as usize {
                break;
            }
        }
        rows.into_iter().map(Row::read).collect()
    }
}

const EVENTS: &str = "SELECT seq, version, at, actor, body FROM case_events WHERE case_id = $1 ORDER BY seq";

const ROW: &str = "SELECT * FROM cases WHERE id = $1";

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
            seq: unsigned(self.seq),
            version: unsigned(self.version),
            at: UnixMs(self.at),
            actor: self.actor,
            body: self.body,
        }
    }
}

#[derive(FromRow)]
pub(super) struct Row {
    id: String,
    number: String,
    version: i64,
    state: String,
    channel: String,
    call_id: Option<String>,
    unit_due: Option<i64>,
    search: String,
    view: String,
    shape: i64,
    created: i64,
    updated: i64,
}

impl Row {
    pub(super) fn read(self) -> Result<CaseRow, StoreError> {
        Ok(CaseRow {
            id: id(AT, &self.id)?,
            number: self.number,
            version: unsigned(self.version),
            state: self.state,
            channel: self.channel,
            call_id: maybe_id(AT, self.call_id.as_deref())?,
            unit_due: self.unit_due.map(UnixMs),
            search: self.search,
            view: self.view,
            shape: self.shape,
            created: UnixMs(self.created),
            updated: UnixMs(self.updated),
        })
    }
}
