//! People with a log-in: their roles, their passwords and their second factor.

use std::collections::BTreeMap;

use sqlx::FromRow;

use super::{
    Store, StoreError, Tx,
    codec::{from_json, from_word, id, json, signed, word},
    database::Dialect,
    sql::{Place, sql},
};
use crate::{
    domain::{ids::UserId, role::Role, time::UnixMs},
    telemetry::Private,
};

const AT: &str = "users";

/// Key of the advisory lock under which PostgreSQL counts administrators: `people` in ASCII.
const ADMINISTRATORS: i64 = 0x7065_6f70_6c65;

/// One person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    pub id: UserId,
    pub name: String,
    /// In the order of [`Role::ALL`]; a new person has none until somebody grants them.
    pub roles: Vec<Role>,
    /// `WATER` or `371526-ZJ`.
    pub unit: Option<String>,
    /// Seat.
    pub extension: Option<String>,
    /// What they are good at, as desks ask for it.
    pub skills: Vec<String>,
    /// Argon2id, PHC form.
    pub password: Option<String>,
    pub password_set: Option<UnixMs>,
    /// The password was made by the program and has to be changed.
    pub one_time: bool,
    /// Whether a log-in needs a code of the second factor.
    pub totp: bool,
    /// Whether no log-in and no token of theirs is taken.
    pub disabled: bool,
    /// Grows with every change of name, unit, extension, skills, roles or state.
    pub version: u64,
    pub created: UnixMs,
}

/// A person's second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotpRow {
    /// Sealed.
    pub secret: Private<String>,
    /// Whether it is in force, or waits for its first code.
    pub on: bool,
}

/// Somebody asked to take a second factor away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryRow {
    pub asked_by: UserId,
    pub asked: UnixMs,
}

impl Tx {
    /// Adds a person. [`StoreError::Duplicate`] when the name or the extension is taken.
    pub async fn add_user(&mut self, user: &UserRow) -> Result<(), StoreError> {
        sql("INSERT INTO users (id, name, unit, extension, one_time, disabled, version, created, skills)
             VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8)")
        .bind(user.id.to_string())
        .bind(&user.name)
        .bind(&user.unit)
        .bind(&user.extension)
        .bind(i64::from(user.disabled))
        .bind(signed(user.version))
        .bind(user.created.0)
        .bind(json(&user.skills))
        .execute(self.connection())
        .await
        .map_err(StoreError::at("adding a user with this name or extension"))?;
        self.put_roles(user.id, &user.roles).await?;
        match &user.password {
            Some(password) => self.put_password(user.id, password, user.one_time).await,
            None => Ok(()),
        }
    }

    /// The person, kept from other writers until this transaction ends.
    pub async fn user(&mut self, user: UserId) -> Result<Option<UserRow>, StoreError> {
        if self.dialect() == Dialect::Postgres {
            sql("SELECT id FROM users WHERE id = $1 FOR UPDATE")
                .bind(user.to_string())
                .execute(self.connection())
                .await
                .map_err(StoreError::at("locking a user"))?;
        }
        let rows = sql("SELECT * FROM users WHERE id = $1").bind(user.to_string()).fetch_all(self.connection()).await;
        let rows: Vec<Row> = rows.map_err(StoreError::at("reading a user"))?;
        let roles = roles_between(self.connection(), &rows).await?;
        Ok(with_roles(rows, roles)?.pop())
    }

    /// Changes name, unit, extension, skills, state and roles, if the version is still the one given; the version grows by one.
    /// [`StoreError::Duplicate`] when the name or the extension is taken.
    ///
    /// * returns — `false`: somebody else was faster, nothing was changed.
    pub async fn update_user(&mut self, user: &UserRow, version: u64) -> Result<bool, StoreError> {
        let changed = sql("UPDATE users SET name = $1, unit = $2, extension = $3, disabled = $4, skills = $5,
             version = version + 1 WHERE id = $6 AND version = $7")
        .bind(&user.name)
        .bind(&user.unit)
        .bind(&user.extension)
        .bind(i64::from(user.disabled))
        .bind(json(&user.skills))
        .bind(user.id.to_string())
        .bind(signed(version))
        .execute(self.connection())
        .await
        .map_err(StoreError::at("changing a user to this name or extension"))?;
        if changed == 0 {
            return Ok(false);
        }
        self.put_roles(user.id, &user.roles).await?;
        Ok(true)
    }

    async fn put_roles(&mut self, user: UserId, roles: &[Role]) -> Result<(), StoreError> {
        sql("DELETE FROM user_roles WHERE user_id = $1")
            .bind(user.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("taking roles"))?;
        for role in roles {
            sql("INSERT INTO user_roles (user_id, role) VALUES ($1, $2)")
                .bind(user.to_string())
                .bind(word(role))
                .execute(self.connection())
                .await
                .map_err(StoreError::at("giving a role"))?;
        }
        Ok(())
    }

    /// Lets one transaction at a time decide about administrators, so that two of them cannot disable each other.
    /// SQLite's one writer does so anyway.
    pub async fn lock_administrators(&mut self) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Postgres {
            sql("SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)")
                .bind(ADMINISTRATORS)
                .execute(self.connection())
                .await
                .map_err(StoreError::at("locking the administrators"))?;
        }
        Ok(())
    }

    /// How many people who may log in hold a role.
    pub async fn count_active(&mut self, role: Role) -> Result<i64, StoreError> {
        let (count,): (i64,) = sql("SELECT CAST(COUNT(*) AS BIGINT) FROM users
             JOIN user_roles ON user_roles.user_id = users.id WHERE user_roles.role = $1 AND users.disabled = 0")
        .bind(word(&role))
        .fetch_one(self.connection())
        .await
        .map_err(StoreError::at("counting the holders of a role"))?;
        Ok(count)
    }

    /// How many people there are.
    pub async fn count_users(&mut self) -> Result<i64, StoreError> {
        let (count,): (i64,) = sql("SELECT CAST(COUNT(*) AS BIGINT) FROM users")
            .fetch_one(self.connection())
            .await
            .map_err(StoreError::at("counting users"))?;
        Ok(count)
    }

    /// Sets a password and remembers it among the former ones, of which [`Store::PASSWORDS_KEPT`] stay.
    ///
    /// * `one_time` — has to be changed at the first log-in.
    pub async fn put_password(&mut self, user: UserId, hash: &str, one_time: bool) -> Result<(), StoreError> {
        let (now, row) = (self.now(), self.clock().uuid().to_string());
        sql("UPDATE users SET password = $1, one_time = $2, password_set = $3 WHERE id = $4")
            .bind(hash)
            .bind(i64::from(one_time))
            .bind(now.0)
            .bind(user.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("setting a password"))?;
        sql("INSERT INTO passwords (id, user_id, hash) VALUES ($1, $2, $3)")
            .bind(row)
            .bind(user.to_string())
            .bind(hash)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("remembering a password"))?;
        sql("DELETE FROM passwords WHERE user_id = $1 AND id NOT IN
             (SELECT id FROM passwords WHERE user_id = $1 ORDER BY id DESC LIMIT $2)")
        .bind(user.to_string())
        .bind(Store::PASSWORDS_KEPT)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("forgetting old passwords"))?;
        Ok(())
    }

    /// Keeps a second factor that is not in force yet, or takes it away.
    ///
    /// * `secret` — sealed.
    pub async fn put_totp(&mut self, user: UserId, secret: Option<&str>) -> Result<(), StoreError> {
        sql("UPDATE users SET totp_secret = $1, totp_on = 0, totp_step = 0 WHERE id = $2")
            .bind(secret)
            .bind(user.to_string())
            .execute(self.connection())
            .await
            .map_err(StoreError::at("keeping a second factor"))?;
        Ok(())
    }

    /// Puts a second factor in force, or uses it: notes the step of the code that was given.
    ///
    /// * returns — `false`: a code of this step or of a later one was taken already.
    pub async fn use_totp(&mut self, user: UserId, step: i64) -> Result<bool, StoreError> {
        let changed = sql("UPDATE users SET totp_on = 1, totp_step = $1
             WHERE id = $2 AND totp_secret IS NOT NULL AND totp_step < $1")
        .bind(step)
        .bind(user.to_string())
        .execute(self.connection())
        .await
        .map_err(StoreError::at("using a second factor"))?;
        Ok(changed > 0)
    }

    /// Notes that somebody asks to take a second factor away; an older wish of anybody is replaced.
    pub async fn ask_recovery(&mut self, user: UserId, by: UserId) -> Result<(), StoreError> {
        let now = self.now();
        sql("INSERT INTO totp_recoveries (user_id, asked_by, asked) VALUES ($1, $2, $3)
             ON CONFLICT (user_id) DO UPDATE SET asked_by = excluded.asked_by, asked = excluded.asked")
        .bind(user.to_string())
        .bind(by.to_string())
        .bind(now.0)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("asking for a recovery"))?;
        Ok(())
    }

    /// The open wish, which ends with this.
    pub async fn take_recovery(&mut self, user: UserId) -> Result<Option<RecoveryRow>, StoreError> {
        let row: Option<(String, i64)> =
            sql("DELETE FROM totp_recoveries WHERE user_id = $1 RETURNING asked_by, asked")
                .bind(user.to_string())
                .fetch_optional(self.connection())
                .await
                .map_err(StoreError::at("taking a recovery"))?;
        row.map(|(by, asked)| Ok(RecoveryRow { asked_by: id(AT, &by)?, asked: UnixMs(asked) })).transpose()
    }
}

impl Store {
    /// Former passwords that are remembered, the current one among them.
    pub const PASSWORDS_KEPT: i64 = 5;

    /// The person with this id.
    pub async fn user(&self, user: UserId) -> Result<Option<UserRow>, StoreError> {
        let rows = sql("SELECT * FROM users WHERE id = $1").bind(user.to_string()).fetch_all(self.readers()).await;
        Ok(self.people(rows).await?.pop())
    }

    /// The person with this name.
    pub async fn user_named(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        let rows = sql("SELECT * FROM users WHERE name = $1").bind(name).fetch_all(self.readers()).await;
        Ok(self.people(rows).await?.pop())
    }

    /// A page of people, in the order they were added.
    pub async fn users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserRow>, StoreError> {
        let rows = sql("SELECT * FROM users WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await;
        self.people(rows).await
    }

    /// The latest passwords of a person as hashes, latest first.
    pub async fn former_passwords(&self, user: UserId) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = sql("SELECT hash FROM passwords WHERE user_id = $1 ORDER BY id DESC LIMIT $2")
            .bind(user.to_string())
            .bind(Self::PASSWORDS_KEPT)
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("reading former passwords"))?;
        Ok(rows.into_iter().map(|(hash,)| hash).collect())
    }

    /// A person's second factor.
    pub async fn totp(&self, user: UserId) -> Result<Option<TotpRow>, StoreError> {
        let row: Option<(Option<String>, i64)> = sql("SELECT totp_secret, totp_on FROM users WHERE id = $1")
            .bind(user.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(StoreError::at("reading a second factor"))?;
        Ok(row.and_then(|(secret, on)| Some(TotpRow { secret: Private(secret?), on: on != 0 })))
    }

    /// The person behind a row that was found, with their roles.
    pub(super) async fn people(&self, rows: Result<Vec<Row>, sqlx::Error>) -> Result<Vec<UserRow>, StoreError> {
        let rows = rows.map_err(StoreError::at("reading users"))?;
        let roles = roles_between(self.readers(), &rows).await?;
        with_roles(rows, roles)
    }
}

impl Store {
    /// What those are good at who have a seat, by its extension.
    pub async fn skills(&self) -> Result<Vec<(String, Vec<String>)>, StoreError> {
        let rows: Vec<(String, String)> = sql("SELECT extension, skills FROM users WHERE extension IS NOT NULL")
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("reading skills"))?;
        rows.into_iter().map(|(extension, skills)| Ok((extension, from_json(AT, &skills)?))).collect()
    }
}

/// The roles of all people from the first to the last row, which stand in the order of their ids.
async fn roles_between(place: Place<'_>, rows: &[Row]) -> Result<Vec<(String, String)>, StoreError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    sql("SELECT user_roles.user_id, user_roles.role FROM user_roles
         JOIN users ON users.id = user_roles.user_id WHERE users.id >= $1 AND users.id <= $2")
    .bind(&first.id)
    .bind(&last.id)
    .fetch_all(place)
    .await
    .map_err(StoreError::at("reading roles"))
}

fn with_roles(rows: Vec<Row>, roles: Vec<(String, String)>) -> Result<Vec<UserRow>, StoreError> {
    let mut held: BTreeMap<String, Vec<Role>> = BTreeMap::new();
    for (user, role) in roles {
        held.entry(user).or_default().push(from_word(AT, role)?);
    }
    let person = |row: Row| {
        let mut roles = held.remove(&row.id).unwrap_or_default();
        roles.sort_unstable();
        Ok(UserRow {
            id: id(AT, &row.id)?,
            name: row.name,
            roles,
            unit: row.unit,
            extension: row.extension,
            skills: from_json(AT, &row.skills)?,
            password: row.password,
            password_set: row.password_set.map(UnixMs),
            one_time: row.one_time != 0,
            totp: row.totp_on != 0,
            disabled: row.disabled != 0,
            version: u64::try_from(row.version).unwrap_or_default(),
            created: UnixMs(row.created),
        })
    };
    rows.into_iter().map(person).collect()
}

#[derive(FromRow)]
pub(super) struct Row {
    id: String,
    name: String,
    unit: Option<String>,
    extension: Option<String>,
    skills: String,
    password: Option<String>,
    password_set: Option<i64>,
    one_time: i64,
    totp_on: i64,
    disabled: i64,
    version: i64,
    created: i64,
}
