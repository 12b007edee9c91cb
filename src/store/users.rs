//! People with a log-in, their roles and tokens.

use sqlx::FromRow;

use super::{
    Store, StoreError, Tx,
    codec::{from_word, id, word},
    sql::sql,
};
use crate::domain::{ids::UserId, role::Role, time::UnixMs};

const AT: &str = "users";

/// One person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    pub id: UserId,
    pub name: String,
    /// In the order of [`Role::ALL`].
    pub roles: Vec<Role>,
    /// `WATER` or `371526-ZJ`.
    pub unit: Option<String>,
    /// Seat.
    pub extension: Option<String>,
    /// Argon2id, PHC form.
    pub password: Option<String>,
    /// The password was made by the program and has to be changed.
    pub one_time: bool,
    pub created: UnixMs,
}

impl Tx {
    /// Adds a person. [`StoreError::Duplicate`] when the name or the extension is taken.
    pub async fn add_user(&mut self, user: &UserRow) -> Result<(), StoreError> {
        sql("INSERT INTO users (id, name, unit, extension, password, one_time, created)
             VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(user.id.to_string())
        .bind(&user.name)
        .bind(&user.unit)
        .bind(&user.extension)
        .bind(&user.password)
        .bind(i64::from(user.one_time))
        .bind(user.created.0)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("adding a user with this name or extension"))?;
        for role in &user.roles {
            sql("INSERT INTO user_roles (user_id, role) VALUES ($1, $2)")
                .bind(user.id.to_string())
                .bind(word(role))
                .execute(self.connection())
                .await
                .map_err(StoreError::at("giving a role"))?;
        }
        Ok(())
    }

    /// Keeps the hash of a token.
    ///
    /// * `hash` — SHA-256 in hex.
    pub async fn add_token(&mut self, user: UserId, hash: &str) -> Result<(), StoreError> {
        let now = self.now();
        sql("INSERT INTO tokens (hash, user_id, created) VALUES ($1, $2, $3)")
            .bind(hash)
            .bind(user.to_string())
            .bind(now.0)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("adding a token"))?;
        Ok(())
    }

    /// How many people there are.
    pub async fn count_users(&mut self) -> Result<i64, StoreError> {
        let (count,): (i64,) = sql("SELECT CAST(COUNT(*) AS BIGINT) FROM users")
            .fetch_one(self.connection())
            .await
            .map_err(StoreError::at("counting users"))?;
        Ok(count)
    }
}

impl Store {
    /// The person with this name.
    pub async fn user_named(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        let row = sql("SELECT * FROM users WHERE name = $1").bind(name).fetch_optional(self.readers()).await;
        self.with_roles(row).await
    }

    /// The person whose token has this hash.
    pub async fn user_by_token(&self, hash: &str) -> Result<Option<UserRow>, StoreError> {
        let row = sql("SELECT users.* FROM users JOIN tokens ON tokens.user_id = users.id WHERE tokens.hash = $1")
            .bind(hash)
            .fetch_optional(self.readers())
            .await;
        self.with_roles(row).await
    }

    /// All people by name, at most 10,000.
    pub async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        let rows: Vec<Row> = sql("SELECT * FROM users ORDER BY name LIMIT 10000")
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("listing users"))?;
        let mut users = Vec::with_capacity(rows.len());
        for row in rows {
            users.extend(self.with_roles(Ok(Some(row))).await?);
        }
        Ok(users)
    }

    async fn with_roles(&self, row: Result<Option<Row>, sqlx::Error>) -> Result<Option<UserRow>, StoreError> {
        let Some(row) = row.map_err(StoreError::at("reading a user"))? else {
            return Ok(None);
        };
        let roles: Vec<(String,)> = sql("SELECT role FROM user_roles WHERE user_id = $1")
            .bind(&row.id)
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("reading roles"))?;
        let mut roles = roles.into_iter().map(|(word,)| from_word(AT, word)).collect::<Result<Vec<Role>, _>>()?;
        roles.sort_unstable();
        Ok(Some(UserRow {
            id: id(AT, &row.id)?,
            name: row.name,
            roles,
            unit: row.unit,
            extension: row.extension,
            password: row.password,
            one_time: row.one_time != 0,
            created: UnixMs(row.created),
        }))
    }
}

#[derive(FromRow)]
struct Row {
    id: String,
    name: String,
    unit: Option<String>,
    extension: Option<String>,
    password: Option<String>,
    one_time: i64,
    created: i64,
}
