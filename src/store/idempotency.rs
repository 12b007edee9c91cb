//! Answers to creating calls, so that one that was sent twice creates once.

use std::time::Duration;

use sqlx::FromRow;

use super::{Store, StoreError, Tx, sql::sql};
use crate::domain::{ids::UserId, time::UnixMs};

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_hours(24);

/// A request that may come again: who sends it and under which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    pub user: UserId,
    pub key: String,
    /// SHA-256 of what is asked for, hex.
    pub request: String,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody sent it before: do it.
    New,
    /// It is being done.
    Running,
    /// The key was used for another request.
    Other,
    /// It was done; the answer is not to be had any more.
    Done,
    /// It was done, with this answer.
    Answered { status: u16, kind: String, body: String },
}

impl Tx {
    /// Notes in this very transaction that the request is done: it will never be done again, whatever becomes of the
    /// answer.
    pub fn settles(&mut self, once: &Once) {
        self.settled.push(once.clone());
    }

    /// Claims a request.
    ///
    /// * `abandoned` — a claim from before this moment that was not settled belongs to nobody any more.
    pub async fn claim(&mut self, once: &Once, abandoned: UnixMs) -> Result<Claim, StoreError> {
        let now = self.now().0;
        let failed = StoreError::at("claiming a request");
        let expired = now.saturating_sub(i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX));
        let gone = sql("DELETE FROM idempotency WHERE user_id = $1 AND key = $2
             AND (created < $3 OR (state = 'running' AND created < $4))");
        gone.bind(once.user.to_string())
            .bind(&once.key)
            .bind(expired)
            .bind(abandoned.0)
            .execute(self.connection())
            .await
            .map_err(&failed)?;
        let new = sql("INSERT INTO idempotency (user_id, key, request, state, created)
             VALUES ($1, $2, $3, 'running', $4) ON CONFLICT (user_id, key) DO NOTHING")
        .bind(once.user.to_string())
        .bind(&once.key)
        .bind(&once.request)
        .bind(now)
        .execute(self.connection())
        .await
        .map_err(&failed)?;
        if new == 1 {
            return Ok(Claim::New);
        }
        let row: Row =
            sql("SELECT request, state, status, kind, body FROM idempotency WHERE user_id = $1 AND key = $2")
                .bind(once.user.to_string())
                .bind(&once.key)
                .fetch_one(self.connection())
                .await
                .map_err(failed)?;
        Ok(row.read(&once.request))
    }

    pub(super) async fn append_settled(&mut self) -> Result<(), StoreError> {
        for once in std::mem::take(&mut self.settled) {
            sql("UPDATE idempotency SET state = 'done' WHERE user_id = $1 AND key = $2 AND state = 'running'")
                .bind(once.user.to_string())
                .bind(once.key)
                .execute(self.connection())
                .await
                .map_err(StoreError::at("settling a request"))?;
        }
        Ok(())
    }
}

impl Store {
    /// Keeps the answer to a request.
    ///
    /// * `answer` — status, content type and body; nothing when it holds a secret: then only that it was done.
    pub async fn answered(&self, once: &Once, answer: Option<(u16, &str, &str)>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sql("UPDATE idempotency SET state = $3, status = $4, kind = $5, body = $6 WHERE user_id = $1 AND key = $2")
            .bind(once.user.to_string())
            .bind(&once.key)
            .bind(if answer.is_some() { "answered" } else { "done" })
            .bind(answer.map(|(status, ..)| i64::from(status)))
            .bind(answer.map(|(_, kind, _)| kind))
            .bind(answer.map(|(.., body)| body))
            .execute(tx.connection())
            .await
            .map_err(StoreError::at("keeping an answer"))?;
        tx.commit().await
    }

    /// Gives a claim back: nothing was done.
    pub async fn unclaim(&self, once: &Once) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sql("DELETE FROM idempotency WHERE user_id = $1 AND key = $2 AND state = 'running'")
            .bind(once.user.to_string())
            .bind(&once.key)
            .execute(tx.connection())
            .await
            .map_err(StoreError::at("giving a request back"))?;
        tx.commit().await
    }
}

#[derive(FromRow)]
struct Row {
    request: String,
    state: String,
    status: Option<i64>,
    kind: Option<String>,
    body: Option<String>,
}

impl Row {
    fn read(self, request: &str) -> Claim {
        if self.request != request {
            return Claim::Other;
        }
        match (self.state.as_str(), self.status, self.kind, self.body) {
            ("running", ..) => Claim::Running,
            ("answered", Some(status), Some(kind), Some(body)) => {
                Claim::Answered { status: u16::try_from(status).unwrap_or(200), kind, body }
            }
            _ => Claim::Done,
        }
    }
}
