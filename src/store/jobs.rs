//! Rows of the durable queue. What they mean is decided in [`crate::jobs`].

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Store, StoreError, Tx,
    codec::{from_word, id, maybe_id, word},
    database::Dialect,
    sql::sql,
};
use crate::domain::{ids::JobId, time::UnixMs};

const AT: &str = "jobs";

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Waiting,
    Leased,
    Done,
    /// Given up; kept with the reason until a person looks.
    Dead,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    pub id: JobId,
    pub kind: String,
    pub key: String,
    pub state: JobState,
    /// Leases taken so far.
    pub attempts: u32,
    /// Not before.
    pub run_at: UnixMs,
    /// Names the present lease.
    pub lease: Option<Uuid>,
    pub worker: Option<String>,
    pub leased_until: Option<UnixMs>,
    /// What went wrong last.
    pub error: Option<String>,
    pub created: UnixMs,
}

/// What is over by now.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    pub now: UnixMs,
    /// Nothing ends later; what seems to is over as well.
    pub far: UnixMs,
    /// Whether the ends of leases say anything at the moment.
    pub leases: bool,
}

impl Due {
    /// As SQL compares it.
    fn leases(self) -> i64 {
        i64::from(self.leases)
    }
}

/// `$lock` lets two workers of PostgreSQL take two jobs instead of waiting for one.
macro_rules! lease {
    ($lock:literal) => {
        concat!(
            "UPDATE jobs SET state = 'leased', attempts = attempts + 1, lease = $3, worker = $4, leased_until = $5,
                 updated = $2
             WHERE id = (SELECT id FROM jobs
                 WHERE kind = $1 AND ((state = 'waiting' AND (run_at <= $2 OR run_at > $6))
                     OR (state = 'leased' AND CAST($7 AS BIGINT) = 1 AND (leased_until <= $2 OR leased_until > $6)))
                 ORDER BY created, id LIMIT 1",
            $lock,
            ") RETURNING *"
        )
    };
}

impl Tx {
    /// Adds a job unless one of the same kind and key is there, whatever its state.
    ///
    /// * returns — whether it was new.
    pub async fn add_job(&mut self, kind: &str, key: &str) -> Result<bool, StoreError> {
        let (id, now) = (self.clock().uuid(), self.now().0);
        let done = sql("INSERT INTO jobs (id, kind, key, state, attempts, run_at, created, updated)
             VALUES ($1, $2, $3, 'waiting', 0, $4, $4, $4) ON CONFLICT (kind, key) DO NOTHING")
        .bind(id.to_string())
        .bind(kind)
        .bind(key)
        .bind(now)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("adding a job"))?;
        self.leaves_job();
        Ok(done == 1)
    }

    /// Buries jobs whose lease ran out at their last attempt.
    ///
    /// * returns — their keys.
    pub async fn bury_expired(
        &mut self,
        kind: &str,
        due: Due,
        attempts: u32,
        reason: &str,
    ) -> Result<Vec<String>, StoreError> {
        let keys: Vec<(String,)> = sql(
            "UPDATE jobs SET state = 'dead', lease = NULL, leased_until = NULL, error = COALESCE(error, $4), updated = $2
             WHERE kind = $1 AND state = 'leased' AND CAST($6 AS BIGINT) = 1
                 AND (leased_until <= $2 OR leased_until > $5) AND attempts >= $3
             RETURNING key",
        )
        .bind(kind)
        .bind(due.now.0)
        .bind(i64::from(attempts))
        .bind(reason)
        .bind(due.far.0)
        .bind(due.leases())
        .fetch_all(self.connection())
        .await
        .map_err(StoreError::at("burying jobs"))?;
        Ok(keys.into_iter().map(|(key,)| key).collect())
    }

    /// Takes the oldest job that may run: one that waits, or one whose lease ran out.
    pub async fn lease_job(
        &mut self,
        kind: &str,
        due: Due,
        worker: &str,
        until: UnixMs,
    ) -> Result<Option<JobRow>, StoreError> {
        let lease = self.clock().uuid();
        let row: Option<Row> = sql(match self.dialect() {
            Dialect::Sqlite => lease!(""),
            Dialect::Postgres => lease!(" FOR UPDATE SKIP LOCKED"),
        })
        .bind(kind)
        .bind(due.now.0)
        .bind(lease.to_string())
        .bind(worker)
        .bind(until.0)
        .bind(due.far.0)
        .bind(due.leases())
        .fetch_optional(self.connection())
        .await
        .map_err(StoreError::at("leasing a job"))?;
        row.map(Row::read).transpose()
    }

    /// Moves the end of a lease. False: the lease is no longer ours.
    pub async fn extend_lease(&mut self, job: JobId, lease: Uuid, until: UnixMs) -> Result<bool, StoreError> {
        let now = self.now().0;
        let done =
            sql("UPDATE jobs SET leased_until = $3, updated = $4 WHERE id = $1 AND lease = $2 AND state = 'leased'")
                .bind(job.to_string())
                .bind(lease.to_string())
                .bind(until.0)
                .bind(now)
                .execute(self.connection())
                .await
                .map_err(StoreError::at("extending a lease"))?;
        Ok(done == 1)
    }

    /// Ends a lease with a new state. False: the lease is no longer ours and nothing was changed.
    ///
    /// * `attempts` — what the counter says afterwards.
    pub async fn end_lease(
        &mut self,
        job: JobId,
        lease: Uuid,
        state: JobState,
        attempts: u32,
        run_at: UnixMs,
        error: Option<&str>,
    ) -> Result<bool, StoreError> {
        let now = self.now().0;
        let done =
            sql("UPDATE jobs SET state = $3, attempts = $4, run_at = $5, error = COALESCE($6, error), lease = NULL,
                 worker = NULL, leased_until = NULL, updated = $7
             WHERE id = $1 AND lease = $2 AND state = 'leased'")
            .bind(job.to_string())
            .bind(lease.to_string())
            .bind(word(&state))
            .bind(i64::from(attempts))
            .bind(run_at.0)
            .bind(error)
            .bind(now)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("ending a lease"))?;
        if state == JobState::Waiting {
            self.leaves_job();
        }
        Ok(done == 1)
    }

    /// Gives a dead job three new attempts. False: there is no such dead job.
    pub async fn revive_job(&mut self, job: JobId) -> Result<bool, StoreError> {
        let now = self.now().0;
        let done = sql(
            "UPDATE jobs SET state = 'waiting', attempts = 0, run_at = $2, updated = $2 WHERE id = $1 AND state = 'dead'",
        )
        .bind(job.to_string())
        .bind(now)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("reviving a job"))?;
        self.leaves_job();
        Ok(done == 1)
    }
}

impl Store {
    /// The job of this kind and key.
    pub async fn job(&self, kind: &str, key: &str) -> Result<Option<JobRow>, StoreError> {
        let row: Option<Row> = sql("SELECT * FROM jobs WHERE kind = $1 AND key = $2")
            .bind(kind)
            .bind(key)
            .fetch_optional(self.readers())
            .await
            .map_err(StoreError::at("reading a job"))?;
        row.map(Row::read).transpose()
    }

    /// Jobs in a state, oldest first, at most 1,000.
    pub async fn jobs(&self, state: JobState) -> Result<Vec<JobRow>, StoreError> {
        let rows: Vec<Row> = sql("SELECT * FROM jobs WHERE state = $1 ORDER BY created, id LIMIT 1000")
            .bind(word(&state))
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("listing jobs"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// How many jobs of a kind stand where, done ones apart, and when the oldest of them was made.
    pub async fn count_jobs(&self, kind: &str) -> Result<Vec<(JobState, i64, UnixMs)>, StoreError> {
        let rows: Vec<(String, i64, i64)> =
            sql("SELECT state, CAST(COUNT(*) AS BIGINT), CAST(MIN(created) AS BIGINT) FROM jobs
             WHERE kind = $1 AND state IN ('waiting', 'leased', 'dead') GROUP BY state ORDER BY state")
            .bind(kind)
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("counting jobs"))?;
        rows.into_iter().map(|(state, count, oldest)| Ok((from_word(AT, state)?, count, UnixMs(oldest)))).collect()
    }
}

#[derive(FromRow)]
struct Row {
    id: String,
    kind: String,
    key: String,
    state: String,
    attempts: i64,
    run_at: i64,
    lease: Option<String>,
    worker: Option<String>,
    leased_until: Option<i64>,
    error: Option<String>,
    created: i64,
}

impl Row {
    fn read(self) -> Result<JobRow, StoreError> {
        Ok(JobRow {
            id: id(AT, &self.id)?,
            kind: self.kind,
            key: self.key,
            state: from_word(AT, self.state)?,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            run_at: UnixMs(self.run_at),
            lease: maybe_id(AT, self.lease.as_deref())?,
            worker: self.worker,
            leased_until: self.leased_until.map(UnixMs),
            error: self.error,
            created: UnixMs(self.created),
        })
    }
}
