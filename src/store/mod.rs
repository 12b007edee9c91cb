//! Rows: one file an aggregate, one SQL text for every database, no rules.
//!
//! Reads go to a pool of readers, as methods of [`Store`]. Everything that writes is a method of [`Tx`], so a service
//! decides what belongs together: it begins, appends events and the jobs they cause, and commits. A `Tx` that is
//! dropped, for instance because the request was cancelled, rolls back.
//!
//! SQLite: write-ahead log, one writer connection that begins with `BEGIN IMMEDIATE` (so two writers wait for each other
//! instead of failing half-way), many readers. `synchronous = FULL`: a case that was confirmed to a caller survives a
//! power cut; at about ten commits a call the extra flush costs nothing that anybody notices.

mod callbacks;
mod calls;
mod cases;
mod codec;
mod error;
mod jobs;
mod migrations;
mod transcripts;
mod tx;
mod users;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::watch;

pub use callbacks::{CallbackKind, CallbackRow, CallbackState};
pub use calls::{CallRow, StoredRecording};
pub use cases::{CaseFilter, CaseRow, StoredEvent};
pub use error::StoreError;
pub use jobs::{JobRow, JobState};
pub use tx::Tx;
pub use users::UserRow;

use crate::clock::Clock;

/// Connections that read at once.
const READERS: u32 = 8;
/// How long a writer waits for another process (a second `hotline` command) before it gives up.
const BUSY: Duration = Duration::from_secs(10);
/// How long a task waits for a connection of the pool.
const PATIENCE: Duration = Duration::from_secs(30);

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: SqlitePool,
    readers: SqlitePool,
    clock: Clock,
    /// Counts commits that left jobs behind, so that a waiting worker wakes up.
    jobs: watch::Sender<u64>,
}

impl Store {
    /// Opens the database, makes its folder and file if they are not there, and brings its tables up to date.
    ///
    /// * `url` — `sqlite://var/hotline.db` (relative to the working directory) or `sqlite:///absolute/file.db`.
    ///
    /// # Errors
    /// An unusable address or file, or tables newer than this program.
    pub async fn open(url: &str, clock: Clock) -> Result<Self, StoreError> {
        let file = file_of(url)?;
        prove_writable(&file).await?;
        let opened = |source| StoreError::Open { file: file.clone(), source };
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true);
        let pool = || SqlitePoolOptions::new().acquire_timeout(PATIENCE).idle_timeout(None).max_lifetime(None);
        let writer = pool().max_connections(1).connect_with(options.clone()).await.map_err(opened)?;
        migrations::run(&writer, &file, &clock).await?;
        let readers = pool().max_connections(READERS);
        let readers = readers.connect_with(options.pragma("query_only", "ON")).await.map_err(opened)?;
        let (jobs, _) = watch::channel(0);
        Ok(Self(Arc::new(Inner { writer, readers, clock, jobs })))
    }

    /// Begins to write; waits for the writer before it.
    ///
    /// # Errors
    /// When the database is away, or somebody else kept it for too long.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let inner = self.0.writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::at("beginning to write"))?;
        Ok(Tx::new(inner, self.0.clock.clone(), self.0.jobs.clone()))
    }

    /// Whether the database answers and can be written.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn ready(&self) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        tx.roll_back().await
    }

    /// Waits for running statements and closes all connections.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }

    /// The clock that stamps rows.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Changes whenever a commit left a job behind. In this process only; other processes are found by polling.
    pub fn jobs_left(&self) -> watch::Receiver<u64> {
        self.0.jobs.subscribe()
    }

    fn readers(&self) -> &SqlitePool {
        &self.0.readers
    }
}

/// The file that an address names.
fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    match url.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() && !path.contains(['?', '#']) && path != ":memory:" => Ok(path.into()),
        _ => Err(StoreError::Url(url.to_owned())),
    }
}

/// SQLite says "unable to open database file" for everything; this names the folder or file and the reason.
async fn prove_writable(file: &Path) -> Result<(), StoreError> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|source| StoreError::Unwritable { path: folder.to_owned(), source })?;
    }
    tokio::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .await
        .map_err(|source| StoreError::Unwritable { path: file.to_owned(), source })?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
