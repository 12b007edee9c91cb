//! Brings the dates of open cases to a new calendar: in batches, each lasting by itself, so that a process that dies goes on
//! where it was; once a case, since what is counted was noted with it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{CaseError, Cases, append, history};
use crate::{
    domain::{
        calendar::WorkCalendar,
        case::{Actor, Case},
        ids::CaseId,
    },
    jobs::{Failed, Job, JobError, Kind, Queue},
    store::{Recalculation, RecalculationState, Tx},
};

/// Cases a transaction: SQLite's other writers wait for it, a few hundredths of a second.
const BATCH: u32 = 50;
/// A batch takes a moment; a lease this long survives a busy machine.
const LEASE: Duration = Duration::from_mins(1);
/// How long to wait when the database is away.
const PAUSE: Duration = Duration::from_secs(2);

/// Does `recalculate` jobs until it is told to stop.
pub async fn recalculator_loop(cases: Cases, queue: Queue, stopping: CancellationToken) {
    loop {
        match queue.next(Kind::Recalculate, "calendar", LEASE, &stopping).await {
            Ok(None) => return,
            Ok(Some(job)) => {
                let stop = || stopping.is_cancelled();
                if let Err(error) = cases.settle(&queue, &job, stop, |_| ()).await {
                    tracing::error!(job.id = %job.id, %error, "calendar: open cases could not be recalculated");
                }
            }
            Err(error) => {
                tracing::error!(%error, "calendar: no jobs can be taken");
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
}

/// Why open cases were not brought to a calendar.
#[derive(Debug, thiserror::Error)]
pub enum RecalculateError {
    #[error("there is no calendar revision `{0}`")]
    NoRevision(String),
    #[error(transparent)]
    Case(#[from] CaseError),
    #[error(transparent)]
    Job(#[from] JobError),
}

impl Cases {
    /// Takes a waiting recalculation and does it here, for a command that waits for its end.
    ///
    /// * `progress` — told after each batch.
    /// * returns — whether there was one.
    pub async fn recalculate_next(
        &self,
        queue: &Queue,
        progress: impl FnMut(&Recalculation),
    ) -> Result<bool, RecalculateError> {
        let Some(job) = queue.lease(Kind::Recalculate, "command", LEASE).await? else { return Ok(false) };
        self.settle(queue, &job, || false, progress).await?;
        Ok(true)
    }

    async fn settle(
        &self,
        queue: &Queue,
        job: &Job,
        stop: impl Fn() -> bool,
        mut progress: impl FnMut(&Recalculation),
    ) -> Result<(), RecalculateError> {
        let outcome = self.recalculate(queue, job, &stop, &mut progress).await;
        match outcome {
            Ok(Some(end)) => {
                queue.done(job).await?.commit().await.map_err(JobError::from)?;
                let (changed, unchanged) = (end.changed, end.unchanged);
                tracing::info!(revision = job.key, changed, unchanged, state = ?end.state, "calendar: recalculated");
                Ok(())
            }
            Ok(None) => Ok(queue.release(job).await?),
            // Somebody else has it and goes on where the last batch ended.
            Err(RecalculateError::Job(JobError::LeaseLost(_))) => Ok(()),
            Err(error) => {
                let retry = !matches!(error, RecalculateError::NoRevision(_));
                if queue.fail(job, &error.to_string(), retry).await? == Failed::Dead {
                    tracing::error!(revision = job.key, "calendar: gave up; dates of open cases may be of the old one");
                }
                Err(error)
            }
        }
    }

    /// * returns — the end, or nothing if it was stopped before.
    async fn recalculate(
        &self,
        queue: &Queue,
        job: &Job,
        stop: &impl Fn() -> bool,
        progress: &mut impl FnMut(&Recalculation),
    ) -> Result<Option<Recalculation>, RecalculateError> {
        let revision = job.key.parse().map_err(|_| RecalculateError::NoRevision(job.key.clone()))?;
        loop {
            queue.heartbeat(job, LEASE).await?;
            let now = self.batch(revision).await?.ok_or_else(|| RecalculateError::NoRevision(job.key.clone()))?;
            progress(&now);
            if now.state != RecalculationState::Running {
                return Ok(Some(now));
            }
            if stop() {
                return Ok(None);
            }
        }
    }

    /// Looks at the next open cases and notes how far it is, all in one transaction.
    pub(super) async fn batch(&self, revision: u64) -> Result<Option<Recalculation>, CaseError> {
        let mut tx = self.store.begin().await?;
        tx.keep_calendar().await?;
        let (latest, calendar) = (tx.calendar_revision().await?, self.calendars.within(&mut tx).await?);
        let Some(mut now) = tx.recalculation(revision).await? else { return Ok(None) };
        if now.state != RecalculationState::Running {
            return Ok(Some(now));
        }
        if latest > revision {
            // The later one looks at every case anyway.
            now.state = RecalculationState::Superseded;
        } else {
            let ids = tx.cases_with_orders(now.reached, BATCH).await?;
            for id in &ids {
                let changed = self.recalculate_case(&mut tx, *id, &calendar).await?;
                now.changed += u64::from(changed);
                now.unchanged += u64::from(!changed);
            }
            match ids.last() {
                Some(last) => now.reached = Some(*last),
                None => now.state = RecalculationState::Done,
            }
        }
        tx.put_recalculation(revision, &now).await?;
        tx.commit().await?;
        Ok(Some(now))
    }

    /// * returns — whether the case has new dates.
    async fn recalculate_case(&self, tx: &mut Tx, id: CaseId, calendar: &WorkCalendar) -> Result<bool, CaseError> {
        tx.lock_case(id).await?;
        let mut case = match history(tx.case_events(id).await?).and_then(|events| Ok(Case::replay(id, events)?)) {
            Ok(case) => case,
            // One damaged case must not keep all others from their dates.
            Err(error @ (CaseError::Damaged(_) | CaseError::Unreadable(_))) => {
                tracing::error!(case.id = %id, %error, "calendar: a case cannot be recalculated");
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let Some(event) = case.recalculate(calendar, &self.city) else { return Ok(false) };
        let now = tx.now();
        append(tx, &mut case, event, Actor::System.acting_as(None), now).await?;
        tracing::info!(case.id = %id, "calendar: a case has new dates");
        Ok(true)
    }
}
