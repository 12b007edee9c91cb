//! Log-ins of browsers. The browser holds 32 random bytes, the row their SHA-256.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, UserRow, codec::id, sql::sql};
use crate::domain::{
    ids::{SessionId, UserId},
    time::UnixMs,
};

const AT: &str = "sessions";

/// One log-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    pub id: SessionId,
    pub user: UserId,
    pub created: UnixMs,
    /// The latest request, to the minute.
    pub seen: UnixMs,
    /// When it ends, whatever happens.
    pub ends: UnixMs,
}

impl Tx {
    /// Keeps a log-in.
    ///
    /// * `hash` — SHA-256 of what the browser holds, in hex.
    pub async fn add_session(&mut self, session: &SessionRow, hash: &str) -> Result<(), StoreError> {
        sql("INSERT INTO sessions (id, hash, user_id, created, seen, ends) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(session.id.to_string())
            .bind(hash)
            .bind(session.user.to_string())
            .bind(session.created.0)
            .bind(session.seen.0)
            .bind(session.ends.0)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("adding a session"))?;
        Ok(())
    }

    /// Notes that a request came.
    pub async fn session_seen(&mut self, session: SessionId) -> Result<(), StoreError> {
        let now = self.now();
        sql("UPDATE sessions SET seen = $1 WHERE id = $2")
            .bind(now.0)
            .bind(session.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("noting a request of a session"))?;
        Ok(())
    }

    /// Ends one log-in of a person.
    ///
    /// * returns — `false`: they have no such one.
    pub async fn end_session(&mut self, user: UserId, session: SessionId) -> Result<bool, StoreError> {
        let ended = sql("DELETE FROM sessions WHERE id = $1 AND user_id = $2")
            .bind(session.to_string())
            .bind(user.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("ending a session"))?;
        Ok(ended > 0)
    }

    /// Ends the log-in with this hash, whosever it is.
    pub async fn end_session_of(&mut self, hash: &str) -> Result<(), StoreError> {
        sql("DELETE FROM sessions WHERE hash = $1")
            .bind(hash)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("ending the session before"))?;
        Ok(())
    }

    /// Ends all log-ins of a person but the latest ones.
    pub async fn end_sessions(&mut self, user: UserId, keep: i64) -> Result<(), StoreError> {
        sql("DELETE FROM sessions WHERE user_id = $1 AND id NOT IN
             (SELECT id FROM sessions WHERE user_id = $1 ORDER BY created DESC, id DESC LIMIT $2)")
        .bind(user.to_string())
        .bind(keep)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("ending sessions"))?;
        Ok(())
    }

    /// Forgets log-ins that are over.
    pub async fn forget_ended_sessions(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        sql("DELETE FROM sessions WHERE ends <= $1")
            .bind(now.0)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("forgetting ended sessions"))?;
        Ok(())
    }
}

impl Store {
    /// The log-in with this hash and its person, ended or not.
    pub async fn session_by_hash(&self, hash: &str) -> Result<Option<(UserRow, SessionRow)>, StoreError> {
        let row: Option<Row> = sql("SELECT id, user_id, created, seen, ends FROM sessions WHERE hash = $1")
            .bind(hash)
            .fetch_optional(self.readers())
            .await
            .map_err(StoreError::at("reading a session"))?;
        let Some(session) = row.as_ref().map(session).transpose()? else { return Ok(None) };
        Ok(self.user(session.user).await?.map(|user| (user, session)))
    }

    /// The log-ins of a person, oldest first, ended or not.
    pub async fn sessions(&self, user: UserId) -> Result<Vec<SessionRow>, StoreError> {
        let rows: Vec<Row> =
            sql("SELECT id, user_id, created, seen, ends FROM sessions WHERE user_id = $1 ORDER BY created, id")
                .bind(user.to_string())
                .fetch_all(self.readers())
                .await
                .map_err(StoreError::at("listing sessions"))?;
        rows.iter().map(session).collect()
    }
}

fn session(row: &Row) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        id: id(AT, &row.id)?,
        user: id(AT, &row.user_id)?,
        created: UnixMs(row.created),
        seen: UnixMs(row.seen),
        ends: UnixMs(row.ends),
    })
}

#[derive(FromRow)]
struct Row {
    id: String,
    user_id: String,
    created: i64,
    seen: i64,
    ends: i64,
}
