//! The durable queue: work that has to happen even if the process that caused it dies.
//!
//! A job is its kind and its key; adding it twice adds it once. A worker takes a job for a while (the lease), says that it
//! is alive (the heartbeat) and finishes it in the same transaction as its effect. A lease that runs out means that the
//! worker died: the job runs again. After [`Queue::ATTEMPTS`] attempts it becomes a dead letter with the reason, which a
//! person may revive.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{
        announcement::Announcement,
        call::{EndReason, RecordingState},
        ids::{CallId, JobId},
        quality::Quality,
        time::UnixMs,
        transcript::Transcript,
    },
    store::{CallbackKind, Due, JobRow, JobState, Store, StoreError, StoredRecording, Tx},
};

/// Kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Hear a sealed recording; the key is the call.
    Transcribe,
    /// Hear a recording as a whole that was heard in pieces while the call went on; the key is the call.
    Rehear,
    /// Draft a case from a transcript; the key is the call.
    Draft,
    /// Bring the dates of open cases to a new calendar; the key is its revision.
    Recalculate,
}

/// A job that is ours until the lease runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub kind: Kind,
    pub key: String,
    /// 1 for the first.
    pub attempt: u32,
    lease: Uuid,
}

/// What became of a failed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It runs again, not before.
    Again(UnixMs),
    /// It is a dead letter now.
    Dead,
}

/// Why the queue refused.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("job {0}: the lease ran out and somebody else has it; the work was dropped")]
    LeaseLost(JobId),
    #[error("job {0} is no dead letter")]
    NotDead(JobId),
    #[error("job {id}: `{key}` is no call id")]
    Key { id: JobId, key: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    store: Store,
    /// A call of this process is over and its end could not be written.
    owed: Arc<AtomicBool>,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Transcribe, Self::Rehear, Self::Draft];

    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transcribe => "transcribe",
            Self::Rehear => "rehear",
            Self::Draft => "draft",
            Self::Recalculate => "recalculate",
        }
    }

    /// Whether nobody knows what the caller wanted when it cannot be done.
    const fn owes(self) -> bool {
        matches!(self, Self::Transcribe | Self::Draft)
    }
}

impl Job {
    /// The call that the job is about.
    pub fn call(&self) -> Result<CallId, JobError> {
        self.key.parse().map_err(|_| JobError::Key { id: self.id, key: self.key.clone() })
    }
}

impl Tx {
    /// Leaves a job behind once this transaction commits.
    ///
    /// * returns — whether it was new.
    pub async fn enqueue(&mut self, kind: Kind, key: impl ToString) -> Result<bool, StoreError> {
        self.add_job(kind.as_str(), &key.to_string()).await
    }
}

impl Queue {
    /// Attempts before a job becomes a dead letter.
    pub const ATTEMPTS: u32 = 3;
    /// How often an idle worker looks by itself, for work of other processes and for leases that ran out.
    pub const POLL: Duration = Duration::from_secs(5);
    /// No lease and no wait before another attempt reaches further; what does was stored before the clock was set back.
    pub const FURTHEST: Duration = Duration::from_mins(2);

    /// A queue over the store.
    pub fn new(store: Store) -> Self {
        Self { store, owed: Arc::default() }
    }

    /// The store under the queue.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Adds a job by itself.
    ///
    /// * returns — whether it was new.
    pub async fn enqueue(&self, kind: Kind, key: impl ToString + Send) -> Result<bool, JobError> {
        let key = key.to_string();
        let mut tx = self.store.begin().await?;
        let new = tx.enqueue(kind, key).await?;
        tx.commit().await?;
        Ok(new)
    }

    /// Takes the oldest job that may run now, if there is one.
    ///
    /// After the clock was set, leases are left alone for as long as one lasts: whoever lives renews theirs meanwhile.
    ///
    /// * `worker` — who takes it, for people who look.
    /// * `ttl` — how long it is ours without a heartbeat.
    pub async fn lease(&self, kind: Kind, worker: &str, ttl: Duration) -> Result<Option<Job>, JobError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        let due = Due { now, far: now + Self::FURTHEST, leases: !self.store.clock().was_set_within(ttl) };
        let buried = tx.bury_expired(kind.as_str(), due, Self::ATTEMPTS, "the worker died at every attempt").await?;
        for key in buried.iter().filter(|_| kind.owes()) {
            owe_call(&mut tx, key).await?;
        }
        let row = tx.lease_job(kind.as_str(), due, worker, now + ttl).await?;
        tx.commit().await?;
        for key in buried {
            metrics::counter!("hotline_jobs_dead_total", "kind" => kind.as_str()).increment(1);
            tracing::error!(job.kind = kind.as_str(), job.key = key, "a job became a dead letter: its workers died");
        }
        Ok(row.and_then(|row| Job::of(kind, row)))
    }

    /// Waits for a job: woken by this process's commits, else by looking every [`Queue::POLL`].
    ///
    /// * returns — `None` once `stopping`.
    pub async fn next(
        &self,
        kind: Kind,
        worker: &str,
        ttl: Duration,
        stopping: &CancellationToken,
    ) -> Result<Option<Job>, JobError> {
        self.next_of(&[kind], worker, ttl, stopping).await
    }

    /// The same for several kinds, the first one first.
    pub async fn next_of(
        &self,
        kinds: &[Kind],
        worker: &str,
        ttl: Duration,
        stopping: &CancellationToken,
    ) -> Result<Option<Job>, JobError> {
        let mut left = self.store.jobs_left();
        loop {
            left.mark_unchanged();
            if stopping.is_cancelled() {
                return Ok(None);
            }
            for kind in kinds {
                if let Some(job) = self.lease(*kind, worker, ttl).await? {
                    return Ok(Some(job));
                }
            }
            tokio::select! {
                () = stopping.cancelled() => return Ok(None),
                // The store that is asked holds the sender, so it never closes.
                _ = left.changed() => {}
                () = tokio::time::sleep(Self::POLL) => {}
            }
        }
    }

    /// Says that the worker is alive.
    ///
    /// # Errors
    /// [`JobError::LeaseLost`]: stop working on it.
    pub async fn heartbeat(&self, job: &Job, ttl: Duration) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let until = tx.now() + ttl;
        if !tx.extend_lease(job.id, job.lease, until).await? {
            return Err(JobError::LeaseLost(job.id));
        }
        Ok(tx.commit().await?)
    }

    /// Finishes a job: the transaction in which it is done, to which the caller adds the effect before committing.
    ///
    /// # Errors
    /// [`JobError::LeaseLost`]: somebody else does it; drop the effect.
    pub async fn done(&self, job: &Job) -> Result<Tx, JobError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        if !tx.end_lease(job.id, job.lease, JobState::Done, job.attempt, now, None).await? {
            return Err(JobError::LeaseLost(job.id));
        }
        Ok(tx)
    }

    /// The attempt failed.
    ///
    /// * `retry` — false when another attempt cannot help (a damaged file): straight to the dead letters.
    pub async fn fail(&self, job: &Job, error: &str, retry: bool) -> Result<Failed, JobError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        let outcome = if retry && job.attempt < Self::ATTEMPTS {
            Failed::Again(now + back_off(job.attempt))
        } else {
            Failed::Dead
        };
        let (state, run_at) = match outcome {
            Failed::Again(at) => (JobState::Waiting, at),
            Failed::Dead => (JobState::Dead, now),
        };
        if !tx.end_lease(job.id, job.lease, state, job.attempt, run_at, Some(error)).await? {
            return Err(JobError::LeaseLost(job.id));
        }
        if outcome == Failed::Dead && job.kind.owes() {
            owe_call(&mut tx, &job.key).await?;
        }
        tx.commit().await?;
        if outcome == Failed::Dead {
            metrics::counter!("hotline_jobs_dead_total", "kind" => job.kind.as_str()).increment(1);
            tracing::error!(job.kind = job.kind.as_str(), job.key, error, "a job became a dead letter");
        }
        Ok(outcome)
    }

    /// Gives a job back untouched, because the worker is told to stop: the attempt does not count.
    pub async fn release(&self, job: &Job) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        if !tx.end_lease(job.id, job.lease, JobState::Waiting, job.attempt.saturating_sub(1), now, None).await? {
            return Err(JobError::LeaseLost(job.id));
        }
        Ok(tx.commit().await?)
    }

    /// A call is over: its row gets its end, and what has to follow is left behind, all at once.
    ///
    /// A sealed recording will be heard. Without one nobody knows what the caller wanted, so they are called back; the
    /// same if the line broke down in the call.
    pub async fn call_ended(
        &self,
        call: CallId,
        at: UnixMs,
        reason: EndReason,
        state: RecordingState,
        recording: Option<&StoredRecording>,
        quality: Option<&Quality>,
    ) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let known = tx.call(call).await?;
        tx.call_ended(call, at, reason, state, recording).await?;
        if let Some(quality) = quality {
            tx.call_quality(call, quality).await?;
        }
        if known.as_ref().is_some_and(|call| call.ended.is_none()) {
            tx.announce(Announcement::call_ended(call, reason));
        }
        if recording.is_some() {
            tx.enqueue(Kind::Transcribe, call).await?;
        }
        if recording.is_none() || reason.is_missed() {
            let caller = known.and_then(|row| row.caller);
            let why = if reason == EndReason::Cancelled || reason.is_missed() { reason.name() } else { "not_recorded" };
            tx.add_callback(CallbackKind::Missed, Some(call), None, caller.as_ref(), why).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The end of a call could not be written while the database was away: whoever imports recordings will see to it.
    pub fn owe(&self) {
        self.owed.store(true, Ordering::Release);
    }

    /// Whether ends of calls are owed; the asker now sees to them.
    pub fn take_owed(&self) -> bool {
        self.owed.swap(false, Ordering::AcqRel)
    }

    /// Finishes a `transcribe` or `rehear` job: the transcript is stored and the draft asked for, all at once. One that is not
    /// final yet will be heard again as a whole.
    pub async fn transcribed(&self, job: &Job, transcript: &Transcript) -> Result<(), JobError> {
        let call = job.call()?;
        let mut tx = self.done(job).await?;
        tx.put_transcript(call, transcript).await?;
        tx.announce(Announcement::transcript(call, transcript.r#final));
        tx.enqueue(Kind::Draft, call).await?;
        if !transcript.r#final {
            tx.enqueue(Kind::Rehear, call).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Jobs that were given up, oldest first.
    pub async fn dead_letters(&self) -> Result<Vec<JobRow>, JobError> {
        Ok(self.store.jobs(JobState::Dead).await?)
    }

    /// Gives a dead letter three new attempts.
    pub async fn revive(&self, job: JobId) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        if !tx.revive_job(job).await? {
            return Err(JobError::NotDead(job));
        }
        Ok(tx.commit().await?)
    }
}

impl Job {
    fn of(kind: Kind, row: JobRow) -> Option<Self> {
        Some(Self { id: row.id, kind, key: row.key, attempt: row.attempts, lease: row.lease? })
    }
}

/// A call that cannot be heard or drafted: nobody knows what the caller wanted, so they are called back.
async fn owe_call(tx: &mut Tx, key: &str) -> Result<(), StoreError> {
    let Ok(id) = key.parse() else { return Ok(()) };
    if let Some(call) = tx.call(id).await? {
        tx.add_callback(CallbackKind::Missed, Some(id), None, call.caller.as_ref(), "not_heard").await?;
    }
    Ok(())
}

/// How long to wait before the next attempt: 2 s after the first, 8 s after the second.
fn back_off(attempt: u32) -> Duration {
    Duration::from_secs(2 * 4_u64.pow(attempt.saturating_sub(1).min(6)))
}

#[cfg(test)]
mod tests;
