//! Rows: one file an aggregate, one SQL text for every database, no rules.
//!
//! Reads go to a pool of readers, as methods of [`Store`]. Everything that writes is a method of [`Tx`], so a service
//! decides what belongs together: it begins, appends events and the jobs they cause, and commits. A `Tx` that is
//! dropped, for instance because the request was cancelled, rolls back.
//!
//! SQLite: write-ahead log, one writer connection that begins with `BEGIN IMMEDIATE` (so two writers wait for each other
//! instead of failing half-way), many readers. `synchronous = FULL`: a case that was confirmed to a caller survives a
//! power cut; at about ten commits a call the extra flush costs nothing that anybody notices.
//!
//! PostgreSQL: one pool, read committed; writers of one case take turns by [`Tx::lock_case`], workers take jobs past each
//! other (`SKIP LOCKED`), and processes wake each other with `NOTIFY`. What differs stands in `database`.

mod audit;
mod calendar;
mod callbacks;
mod calls;
mod cases;
mod codec;
mod corrections;
mod database;
mod dump;
mod error;
mod failures;
mod idempotency;
mod jobs;
mod listen;
mod marks;
mod migrations;
mod retention;
mod rota;
mod search;
mod seats;
mod sessions;
mod sql;
mod stream;
mod tokens;
mod transcripts;
mod tx;
mod users;
mod views;

use std::sync::Arc;

use tokio::sync::watch;

pub use audit::{AuditEntry, AuditExport, AuditFilter, AuditRow};
pub use calendar::{Recalculation, RecalculationState, YearOrigin, YearRow};
pub use callbacks::{CallbackKind, CallbackRow, CallbackState};
pub use calls::{CallRow, StoredRecording};
pub use cases::{CaseFilter, CaseRow, StoredEvent};
pub use corrections::{CorrectionRow, CorrectionsAfter, Heard};
pub use dump::{Column, ColumnKind, Filling, Frozen, TableForm};
pub use error::StoreError;
pub use failures::FailureRow;
pub use idempotency::{Claim, Once};
pub use jobs::{Due, JobRow, JobState};
pub use retention::OldRecording;
pub use rota::{SignIn, TurnRow};
pub use seats::SeatRow;
pub use sessions::SessionRow;
pub use stream::{StreamBounds, StreamRow};
pub use tokens::TokenRow;
pub use tx::Tx;
pub use users::{RecoveryRow, TotpRow, UserRow};
pub use views::{CaseAsStored, Which};

use crate::clock::Clock;
use database::Database;
use sql::{Place, sql};

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    clock: Clock,
    bells: Bells,
    place: String,
}

/// Rung by commits, so that who waits for something looks.
#[derive(Clone, Debug)]
struct Bells {
    /// Counts commits that left jobs behind.
    jobs: watch::Sender<u64>,
    /// Counts commits that announced something.
    news: watch::Sender<u64>,
}

impl Default for Bells {
    fn default() -> Self {
        Self { jobs: watch::channel(0).0, news: watch::channel(0).0 }
    }
}

fn ring(bell: &watch::Sender<u64>) {
    bell.send_modify(|commits| *commits = commits.wrapping_add(1));
}

impl Store {
    /// Opens the database, makes its folder and file if they are not there, and brings its tables up to date.
    ///
    /// * `url` — `sqlite://var/hotline.db` (relative to the working directory), `sqlite:///absolute/file.db` or
    ///   `postgres://user:password@host:5432/database`.
    ///
    /// # Errors
    /// An unusable address or file, a database that does not answer, or tables newer than this program.
    pub async fn open(url: &str, clock: Clock) -> Result<Self, StoreError> {
        Self::open_until(url, clock, migrations::LATEST).await
    }

    /// The same with the tables of an earlier version of the program, so that its backup can be put in;
    /// [`Store::bring_up_to_date`] follows.
    ///
    /// # Errors
    /// As of [`Store::open`], and tables that are newer already.
    pub async fn open_until(url: &str, clock: Clock, schema: i64) -> Result<Self, StoreError> {
        let place = database::place(url)?;
        let database = Box::pin(Database::open(url)).await?;
        dump::refuse_unfinished(&database, &place).await?;
        migrations::run(&database, &place, &clock, schema).await?;
        Ok(Self(Arc::new(Inner { database, clock, bells: Bells::default(), place })))
    }

    /// The same with the tables as they are, for a backup before an upgrade.
    ///
    /// # Errors
    /// As of [`Store::open`], and a database without tables.
    pub async fn open_as_it_is(url: &str, clock: Clock) -> Result<Self, StoreError> {
        let place = database::place(url)?;
        let database = Box::pin(Database::open_existing(url)).await?;
        dump::refuse_unfinished(&database, &place).await?;
        migrations::check(&database, &place).await?;
        Ok(Self(Arc::new(Inner { database, clock, bells: Bells::default(), place })))
    }

    /// Brings the tables up to date.
    pub async fn bring_up_to_date(&self) -> Result<(), StoreError> {
        migrations::run(&self.0.database, &self.0.place, &self.0.clock, migrations::LATEST).await
    }

    /// Where the database is, for people.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// The number of the newest tables that this program knows.
    pub const LATEST: i64 = migrations::LATEST;

    /// Begins to write; on SQLite it waits for the writer before it.
    ///
    /// # Errors
    /// When the database is away, or somebody else kept it for too long.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let inner = self.0.database.begin().await.map_err(StoreError::at("beginning to write"))?;
        Ok(Tx::new(inner, self.0.clock.clone(), self.0.bells.clone()))
    }

    /// Whether the database answers and can be written.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn ready(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sql("UPDATE migrations SET applied = applied WHERE number = 0")
            .execute(tx.connection())
            .await
            .map_err(StoreError::at("proving that it can be written"))?;
        tx.roll_back().await
    }

    /// Waits for running statements and closes all connections.
    pub async fn close(&self) {
        self.0.database.close().await;
    }

    /// The pools of connections: name, how many are open, how many of them are idle.
    pub fn connections(&self) -> Vec<(&'static str, u32, u32)> {
        self.0.database.connections()
    }

    /// The clock that stamps rows.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Changes whenever a commit left a job behind: in this process, and with [`Store::listen`] in others.
    pub fn jobs_left(&self) -> watch::Receiver<u64> {
        self.0.bells.jobs.subscribe()
    }

    /// Changes whenever a commit announced something: in this process, and with [`Store::listen`] in others.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.bells.news.subscribe()
    }

    fn dialect(&self) -> database::Dialect {
        self.0.database.dialect()
    }

    fn readers(&self) -> Place<'_> {
        self.0.database.readers()
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
