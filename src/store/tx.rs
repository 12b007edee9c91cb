//! A piece of writing that happens wholly or not at all.

use tokio::sync::watch;

use super::{
    AuditEntry, StoreError,
    database::{Dialect, Writing},
    listen,
    sql::{Place, sql},
};
use crate::{clock::Clock, domain::time::UnixMs};

/// An open write. Dropping it without [`Tx::commit`] undoes everything.
///
/// Hold it only across statements, never across network, file or recognition work: SQLite has one writer.
#[derive(Debug)]
pub struct Tx {
    inner: Writing,
    clock: Clock,
    jobs: watch::Sender<u64>,
    left_jobs: bool,
    /// For the audit, once everything else is written.
    pub(super) entries: Vec<AuditEntry>,
}

impl Tx {
    pub(super) fn new(inner: Writing, clock: Clock, jobs: watch::Sender<u64>) -> Self {
        Self { inner, clock, jobs, left_jobs: false, entries: Vec::new() }
    }

    /// Makes everything lasting, then wakes workers if jobs were left.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.append_audit().await?;
        if self.left_jobs && self.dialect() == Dialect::Postgres {
            let tell = sql("SELECT CAST(pg_notify($1, current_schema()) AS TEXT)").bind(listen::JOBS);
            tell.execute(self.connection()).await.map_err(StoreError::at("telling other processes"))?;
        }
        self.inner.commit().await.map_err(StoreError::at("committing"))?;
        if self.left_jobs {
            self.jobs.send_modify(|commits| *commits = commits.wrapping_add(1));
        }
        Ok(())
    }

    /// Undoes everything; dropping does the same without waiting for it.
    pub async fn roll_back(self) -> Result<(), StoreError> {
        self.inner.roll_back().await.map_err(StoreError::at("rolling back"))
    }

    /// Wall time, for the rows written here.
    pub fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// An identity nobody has, for a row written here.
    pub fn fresh_id(&self) -> uuid::Uuid {
        self.clock.uuid()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn connection(&mut self) -> Place<'_> {
        self.inner.place()
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    /// A job was written: somebody has to wake up once it is committed.
    pub(super) fn leaves_job(&mut self) {
        self.left_jobs = true;
    }
}
