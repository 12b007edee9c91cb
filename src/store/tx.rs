//! A piece of writing that happens wholly or not at all.

use super::{
    AuditEntry, Bells, Once, StoreError,
    database::{Dialect, Writing},
    listen, ring,
    sql::{Place, sql},
};
use crate::{
    clock::Clock,
    domain::{announcement::Announcement, time::UnixMs},
};

/// An open write. Dropping it without [`Tx::commit`] undoes everything.
///
/// Hold it only across statements, never across network, file or recognition work: SQLite has one writer.
#[derive(Debug)]
pub struct Tx {
    pub(super) inner: Writing,
    clock: Clock,
    bells: Bells,
    left_jobs: bool,
    /// For the audit, once everything else is written.
    pub(super) entries: Vec<AuditEntry>,
    /// For the stream, at the very end.
    pub(super) announcements: Vec<Announcement>,
    /// Requests that are done with this.
    pub(super) settled: Vec<Once>,
}

impl Tx {
    pub(super) fn new(inner: Writing, clock: Clock, bells: Bells) -> Self {
        let (entries, announcements, settled) = (Vec::new(), Vec::new(), Vec::new());
        Self { inner, clock, bells, left_jobs: false, entries, announcements, settled }
    }

    /// Makes everything lasting, then wakes who waits for it.
    ///
    /// What is appended to a chain comes last, and in one order: others who append wait from there to the end.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.append_settled().await?;
        if self.left_jobs {
            self.tell(listen::JOBS).await?;
        }
        self.append_audit().await?;
        let announced = self.append_stream().await?;
        if announced {
            self.tell(listen::NEWS).await?;
        }
        self.inner.commit().await.map_err(StoreError::at("committing"))?;
        if self.left_jobs {
            ring(&self.bells.jobs);
        }
        if announced {
            ring(&self.bells.news);
        }
        Ok(())
    }

    /// Wakes other processes once this is committed; SQLite's find out by themselves.
    async fn tell(&mut self, channel: &'static str) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Postgres {
            let tell = sql("SELECT CAST(pg_notify($1, current_schema()) AS TEXT)").bind(channel);
            tell.execute(self.connection()).await.map_err(StoreError::at("telling other processes"))?;
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
