//! Log-ins that failed, counted by what they named and by where they came from.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, database::Dialect, sql::sql};
use crate::domain::time::UnixMs;

/// What is known about the failures of one name or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRow {
    /// Tries since the last success or lock, those under way among them.
    pub failures: i64,
    /// How often it was locked in a row.
    pub locks: i64,
    pub locked_until: Option<UnixMs>,
    /// The latest try.
    pub latest: UnixMs,
}

impl Tx {
    /// The failures of a subject, kept from other writers until this transaction ends; zero if there were none.
    ///
    /// * `subject` — no text that somebody typed: that may be a password in the wrong field.
    pub async fn failures(&mut self, subject: &str) -> Result<FailureRow, StoreError> {
        let (now, what) = (self.now(), StoreError::at("reading failed log-ins"));
        // The row is there before it is locked, so that two first tries at once are counted as two.
        sql("INSERT INTO failures (subject, failures, locks, latest) VALUES ($1, 0, 0, $2)
             ON CONFLICT (subject) DO NOTHING")
        .bind(subject)
        .bind(now.0)
        .execute(self.connection())
        .await
        .map_err(&what)?;
        if self.dialect() == Dialect::Postgres {
            sql("SELECT subject FROM failures WHERE subject = $1 FOR UPDATE")
                .bind(subject)
                .execute(self.connection())
                .await
                .map_err(&what)?;
        }
        let row: Option<Row> = sql("SELECT failures, locks, locked_until, latest FROM failures WHERE subject = $1")
            .bind(subject)
            .fetch_optional(self.connection())
            .await
            .map_err(&what)?;
        // Gone between the two statements: somebody has just logged in.
        Ok(row.map_or(FailureRow { failures: 0, locks: 0, locked_until: None, latest: now }, |row| failure(&row)))
    }

    /// Keeps what is known about a subject.
    pub async fn put_failures(&mut self, subject: &str, row: FailureRow) -> Result<(), StoreError> {
        sql("INSERT INTO failures (subject, failures, locks, locked_until, latest) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, locks = excluded.locks,
                locked_until = excluded.locked_until, latest = excluded.latest")
        .bind(subject)
        .bind(row.failures)
        .bind(row.locks)
        .bind(row.locked_until.map(|until| until.0))
        .bind(row.latest.0)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("counting failed log-ins"))?;
        Ok(())
    }

    /// Forgets the failures of a subject.
    pub async fn clear_failures(&mut self, subject: &str) -> Result<(), StoreError> {
        sql("DELETE FROM failures WHERE subject = $1")
            .bind(subject)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("clearing failed log-ins"))?;
        Ok(())
    }

    /// Forgets whatever failed last before a moment.
    pub async fn forget_failures(&mut self, before: UnixMs) -> Result<(), StoreError> {
        sql("DELETE FROM failures WHERE latest < $1")
            .bind(before.0)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("forgetting failed log-ins"))?;
        Ok(())
    }
}

impl Store {
    /// Until when a subject is locked, in the past too.
    pub async fn locked_until(&self, subject: &str) -> Result<Option<UnixMs>, StoreError> {
        let row: Option<(Option<i64>,)> = sql("SELECT locked_until FROM failures WHERE subject = $1")
            .bind(subject)
            .fetch_optional(self.readers())
            .await
            .map_err(StoreError::at("reading a lock"))?;
        Ok(row.and_then(|(until,)| until).map(UnixMs))
    }
}

fn failure(row: &Row) -> FailureRow {
    FailureRow {
        failures: row.failures,
        locks: row.locks,
        locked_until: row.locked_until.map(UnixMs),
        latest: UnixMs(row.latest),
    }
}

#[derive(FromRow)]
struct Row {
    failures: i64,
    locks: i64,
    locked_until: Option<i64>,
    latest: i64,
}
