//! API tokens. Their owner holds 32 random bytes, the row their SHA-256.

use sqlx::FromRow;

use super::{
    Store, StoreError, Tx, UserRow,
    codec::{from_json, id, json},
    sql::sql,
};
use crate::domain::{
    ids::{TokenId, UserId},
    time::UnixMs,
};

const AT: &str = "tokens";

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    pub id: TokenId,
    pub user: UserId,
    /// What it is for, in its owner's words; may be empty.
    pub name: String,
    /// Names of rights; nothing: all that its person has.
    pub scope: Option<Vec<String>>,
    pub created: UnixMs,
    pub ends: UnixMs,
    /// The city's day it was last used on, `20261123`.
    pub used_day: Option<String>,
}

impl Tx {
    /// Keeps a token.
    ///
    /// * `hash` — SHA-256 of what its owner holds, in hex.
    pub async fn add_token(&mut self, token: &TokenRow, hash: &str) -> Result<(), StoreError> {
        sql("INSERT INTO tokens (id, hash, user_id, name, scope, created, ends) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(token.id.to_string())
            .bind(hash)
            .bind(token.user.to_string())
            .bind(&token.name)
            .bind(token.scope.as_ref().map(json))
            .bind(token.created.0)
            .bind(token.ends.0)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("adding a token"))?;
        Ok(())
    }

    /// How many tokens of a person are still taken; ended ones are forgotten.
    pub async fn count_tokens(&mut self, user: UserId) -> Result<i64, StoreError> {
        let now = self.now();
        sql("DELETE FROM tokens WHERE user_id = $1 AND ends <= $2")
            .bind(user.to_string())
            .bind(now.0)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("forgetting ended tokens"))?;
        let (count,): (i64,) = sql("SELECT CAST(COUNT(*) AS BIGINT) FROM tokens WHERE user_id = $1")
            .bind(user.to_string())
            .fetch_one(self.connection())
            .await
            .map_err(StoreError::at("counting tokens"))?;
        Ok(count)
    }

    /// Notes the day a token was used on.
    pub async fn token_used(&mut self, token: TokenId, day: &str) -> Result<(), StoreError> {
        sql("UPDATE tokens SET used_day = $1 WHERE id = $2")
            .bind(day)
            .bind(token.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("noting the use of a token"))?;
        Ok(())
    }

    /// Takes a person's token back.
    ///
    /// * returns — `false`: they have no such one.
    pub async fn remove_token(&mut self, user: UserId, token: TokenId) -> Result<bool, StoreError> {
        let removed = sql("DELETE FROM tokens WHERE id = $1 AND user_id = $2")
            .bind(token.to_string())
            .bind(user.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("removing a token"))?;
        Ok(removed > 0)
    }
}

impl Store {
    /// The token with this hash and its person, ended or not.
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<(UserRow, TokenRow)>, StoreError> {
        let row: Option<Row> =
            sql("SELECT id, user_id, name, scope, created, ends, used_day FROM tokens WHERE hash = $1")
                .bind(hash)
                .fetch_optional(self.readers())
                .await
                .map_err(StoreError::at("reading a token"))?;
        let Some(token) = row.map(token).transpose()? else { return Ok(None) };
        Ok(self.user(token.user).await?.map(|user| (user, token)))
    }

    /// The tokens of a person, oldest first, ended or not.
    pub async fn tokens(&self, user: UserId) -> Result<Vec<TokenRow>, StoreError> {
        let rows: Vec<Row> = sql("SELECT id, user_id, name, scope, created, ends, used_day FROM tokens
             WHERE user_id = $1 ORDER BY id")
        .bind(user.to_string())
        .fetch_all(self.readers())
        .await
        .map_err(StoreError::at("listing tokens"))?;
        rows.into_iter().map(token).collect()
    }
}

fn token(row: Row) -> Result<TokenRow, StoreError> {
    Ok(TokenRow {
        id: id(AT, &row.id)?,
        user: id(AT, &row.user_id)?,
        name: row.name,
        scope: row.scope.map(|scope| from_json(AT, &scope)).transpose()?,
        created: UnixMs(row.created),
        ends: UnixMs(row.ends),
        used_day: row.used_day,
    })
}

#[derive(FromRow)]
struct Row {
    id: String,
    user_id: String,
    name: String,
    scope: Option<String>,
    created: i64,
    ends: i64,
    used_day: Option<String>,
}
