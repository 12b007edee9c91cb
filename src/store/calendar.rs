//! Years of the calendar: every one that was ever in force, and how far open cases were brought to it.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::{
    Store, StoreError, Tx,
    codec::{from_json, from_word, id, json, maybe_id, signed, unsigned, word},
    database::Dialect,
    sql::{Place, built, sql},
};
use crate::domain::{case::State, ids::CaseId, time::UnixMs, year::YearPlan};

const AT: &str = "calendar_years";
/// Key of the advisory lock that keeps PostgreSQL's calendar as it is: `calendar` in ASCII.
const LOCK: i64 = 0x6361_6c65_6e64_6172;

/// A year that is or was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YearRow {
    /// 1, 2, 3 … over all years.
    pub revision: u64,
    pub plan: YearPlan,
    pub origin: YearOrigin,
    /// Who put it there.
    pub made_by: String,
    pub made: UnixMs,
    pub recalculation: Recalculation,
}

/// How a year came into the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum YearOrigin {
    /// The city's settings, read when the program starts.
    Settings,
    /// A person.
    Import,
}

/// How far open cases have been brought to a year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalculation {
    pub state: RecalculationState,
    /// The last case that was looked at.
    pub reached: Option<CaseId>,
    /// Cases that have new dates.
    pub changed: u64,
    /// Cases whose dates stayed.
    pub unchanged: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecalculationState {
    Running,
    Done,
    /// A later revision does it instead.
    Superseded,
}

impl Tx {
    /// Keeps the calendar as it is until this transaction ends: dates that are counted now are counted by what is in force
    /// when they are committed. SQLite's one writer does so anyway.
    ///
    /// Before any lock on a case, so that nobody who changes the calendar waits in a circle.
    pub async fn keep_calendar(&mut self) -> Result<(), StoreError> {
        self.lock("SELECT CAST(pg_advisory_xact_lock_shared($1) AS TEXT)").await
    }

    /// Makes everybody wait who counts dates, until the calendar is changed.
    pub async fn lock_calendar(&mut self) -> Result<(), StoreError> {
        self.lock("SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)").await
    }

    async fn lock(&mut self, statement: &'static str) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Postgres {
            let lock = sql(statement).bind(LOCK);
            lock.execute(self.connection()).await.map_err(StoreError::at("locking the calendar"))?;
        }
        Ok(())
    }

    /// The latest revision; 0 when there is none.
    pub async fn calendar_revision(&mut self) -> Result<u64, StoreError> {
        revision(self.connection()).await
    }

    /// The years in force.
    pub async fn calendar_years(&mut self) -> Result<Vec<YearRow>, StoreError> {
        in_force(self.connection()).await
    }

    /// All that were ever in force for a year, oldest first.
    pub async fn calendar_year_history(&mut self, year: i16) -> Result<Vec<YearRow>, StoreError> {
        let rows = sql("SELECT * FROM calendar_years WHERE year = $1 ORDER BY revision").bind(i64::from(year));
        read(rows.fetch_all(self.connection()).await)
    }

    /// Puts a year into force; open cases have to be brought to it.
    ///
    /// * returns — its revision.
    pub async fn add_calendar_year(
        &mut self,
        plan: &YearPlan,
        origin: YearOrigin,
        by: &str,
    ) -> Result<u64, StoreError> {
        let revision = self.calendar_revision().await? + 1;
        let now = self.now().0;
        sql("INSERT INTO calendar_years (revision, year, body, origin, made_by, made, recalculation, changed, unchanged)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)")
        .bind(signed(revision))
        .bind(i64::from(plan.year))
        .bind(json(plan))
        .bind(word(&origin))
        .bind(by)
        .bind(now)
        .bind(word(&RecalculationState::Running))
        .execute(self.connection())
        .await
        .map_err(StoreError::at("adding a year of the calendar"))?;
        Ok(revision)
    }

    /// How far open cases have been brought to a revision; nothing if there is none.
    pub async fn recalculation(&mut self, revision: u64) -> Result<Option<Recalculation>, StoreError> {
        recalculation(revision, self.connection()).await
    }

    /// Notes how far it is now.
    pub async fn put_recalculation(&mut self, revision: u64, now: &Recalculation) -> Result<(), StoreError> {
        sql("UPDATE calendar_years SET recalculation = $2, reached = $3, changed = $4, unchanged = $5
             WHERE revision = $1")
        .bind(signed(revision))
        .bind(word(&now.state))
        .bind(now.reached.map(|id| id.to_string()))
        .bind(signed(now.changed))
        .bind(signed(now.unchanged))
        .execute(self.connection())
        .await
        .map_err(StoreError::at("noting a recalculation"))?;
        Ok(())
    }

    /// Open cases with orders after this one, by id.
    pub async fn cases_with_orders(&mut self, after: Option<CaseId>, limit: u32) -> Result<Vec<CaseId>, StoreError> {
        let open = State::ALL.iter().filter(|state| state.has_open_orders());
        let states = open.map(|state| format!("'{}'", state.as_str())).collect::<Vec<_>>().join(", ");
        let rows: Vec<(String,)> = built(format!(
            "SELECT id FROM cases WHERE state IN ({states}) AND (CAST($1 AS TEXT) IS NULL OR id > $1)
             ORDER BY id LIMIT $2"
        ))
        .bind(after.map(|id| id.to_string()))
        .bind(i64::from(limit))
        .fetch_all(self.connection())
        .await
        .map_err(StoreError::at("listing cases with orders"))?;
        rows.into_iter().map(|(text,)| id("cases", &text)).collect()
    }
}

impl Store {
    /// The latest revision; 0 when there is none.
    pub async fn calendar_revision(&self) -> Result<u64, StoreError> {
        revision(self.readers()).await
    }

    /// The years in force.
    pub async fn calendar_years(&self) -> Result<Vec<YearRow>, StoreError> {
        in_force(self.readers()).await
    }

    /// How far open cases have been brought to a revision; nothing if there is none.
    pub async fn recalculation(&self, revision: u64) -> Result<Option<Recalculation>, StoreError> {
        recalculation(revision, self.readers()).await
    }
}

async fn revision(place: Place<'_>) -> Result<u64, StoreError> {
    let last = sql("SELECT CAST(COALESCE(MAX(revision), 0) AS BIGINT) FROM calendar_years").fetch_one(place);
    let (last,): (i64,) = last.await.map_err(StoreError::at("reading the calendar's revision"))?;
    Ok(unsigned(last))
}

async fn in_force(place: Place<'_>) -> Result<Vec<YearRow>, StoreError> {
    let rows = sql("SELECT * FROM calendar_years
         WHERE revision IN (SELECT MAX(revision) FROM calendar_years GROUP BY year) ORDER BY year");
    read(rows.fetch_all(place).await)
}

async fn recalculation(revision: u64, place: Place<'_>) -> Result<Option<Recalculation>, StoreError> {
    let row = sql("SELECT * FROM calendar_years WHERE revision = $1").bind(signed(revision));
    let row: Option<Row> = row.fetch_optional(place).await.map_err(StoreError::at("reading a recalculation"))?;
    Ok(row.map(Row::read).transpose()?.map(|row| row.recalculation))
}

fn read(rows: Result<Vec<Row>, sqlx::Error>) -> Result<Vec<YearRow>, StoreError> {
    rows.map_err(StoreError::at("reading the calendar"))?.into_iter().map(Row::read).collect()
}

#[derive(FromRow)]
struct Row {
    revision: i64,
    body: String,
    origin: String,
    made_by: String,
    made: i64,
    recalculation: String,
    reached: Option<String>,
    changed: i64,
    unchanged: i64,
}

impl Row {
    fn read(self) -> Result<YearRow, StoreError> {
        Ok(YearRow {
            revision: unsigned(self.revision),
            plan: from_json(AT, &self.body)?,
            origin: from_word(AT, self.origin)?,
            made_by: self.made_by,
            made: UnixMs(self.made),
            recalculation: Recalculation {
                state: from_word(AT, self.recalculation)?,
                reached: maybe_id("cases", self.reached.as_deref())?,
                changed: unsigned(self.changed),
                unchanged: unsigned(self.unchanged),
            },
        })
    }
}
