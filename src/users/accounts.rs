//! Accounts: made, changed, closed and opened again, given roles and one-time passwords.
//!
//! The administrators are separate: the system administrator makes and closes accounts, the security administrator gives
//! roles and passwords. Which of them asks is the door's business; that nobody does it to himself and that each kind
//! keeps somebody is decided here.

use super::{By, FirstAdministrator, NewSeat, UserError, Users, give_one_time, lockout::Lockout, password, trail};
use crate::{
    domain::{audit::Action, ids::UserId, role::Role},
    store::{StoreError, Tx, UserRow},
    telemetry::Private,
};

/// Somebody to be added with roles, on the machine itself.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    pub name: String,
    pub roles: Vec<Role>,
    /// `WATER` or `371526-ZJ`; whether there is such a unit is the caller's to check.
    pub unit: Option<String>,
    pub extension: Option<String>,
    /// What they are good at, as desks ask for it.
    pub skills: Vec<String>,
    /// What the telephone of this extension shows; without it none may register.
    pub seat: Option<NewSeat>,
    pub password: Option<Private<String>>,
}

/// An account that is to be opened: it has no roles and no password until the security administrator gives them.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    pub name: String,
    /// As [`NewUser::unit`].
    pub unit: Option<String>,
    pub extension: Option<String>,
    pub skills: Vec<String>,
}

/// What is to be changed of an account; `Some(None)` empties.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub name: Option<String>,
    /// As [`NewUser::unit`].
    pub unit: Option<Option<String>>,
    pub extension: Option<Option<String>>,
    pub skills: Option<Vec<String>>,
}

impl Users {
    /// Adds a person.
    ///
    /// # Errors
    /// What is wrong with the name, the roles or the password, or that the name is taken.
    pub async fn add(&self, new: NewUser) -> Result<UserRow, UserError> {
        let NewUser { name, roles, unit, extension, skills, seat, password } = new;
        let mut row = self.row(Opening { name, unit, extension, skills }, roles)?;
        Role::check(&row.roles, row.unit.as_deref())?;
        if let Some(password) = password {
            row.password = Some(self.usable(&row.name, None, password).await?);
        }
        let (by, mut tx) = (By::machine(), self.store.begin().await?);
        insert(&mut tx, &by, &row).await?;
        if let Some(seat) = seat {
            seat.put(&mut tx, &by, &row).await?;
        }
        tx.commit().await?;
        Ok(row)
    }

    /// Opens an account.
    pub async fn open(&self, by: &By, opening: Opening) -> Result<UserRow, UserError> {
        let row = self.row(opening, Vec::new())?;
        let mut tx = self.store.begin().await?;
        insert(&mut tx, by, &row).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Makes the first administrator with a one-time password, if there is nobody yet.
    ///
    /// * returns — `None` when there are people already; then nothing was changed.
    pub async fn init(&self) -> Result<Option<FirstAdministrator>, UserError> {
        let mut tx = self.store.begin().await?;
        if tx.count_users().await? > 0 {
            return Ok(None);
        }
        tx.roll_back().await?;
        // Hashing takes a while on purpose; the writer is not kept waiting for it.
        let clock = self.store.clock();
        let password = password::one_time(clock);
        let opening = Opening { name: Self::FIRST.into(), ..Opening::default() };
        let mut row = self.row(opening, vec![Role::Sysadmin])?;
        row.password = Some(password::hash(password.clone(), clock.random()).await?);
        row.one_time = true;
        let mut tx = self.store.begin().await?;
        tx.lock_administrators().await?;
        if tx.count_users().await? > 0 {
            return Ok(None);
        }
        insert(&mut tx, &By::machine(), &row).await?;
        tx.commit().await?;
        Ok(Some(FirstAdministrator { name: row.name, password }))
    }

    /// Changes name, unit, extension or skills.
    ///
    /// * `version` — the one that was seen.
    pub async fn change(&self, by: &By, user: UserId, version: u64, change: Change) -> Result<UserRow, UserError> {
        let mut tx = self.store.begin().await?;
        let before = other(&mut tx, by, user).await?;
        let mut after = before.clone();
        after.name = change.name.unwrap_or(after.name);
        after.unit = change.unit.unwrap_or(after.unit);
        after.extension = change.extension.unwrap_or(after.extension);
        after.skills = change.skills.unwrap_or(after.skills);
        check(&after.name, after.extension.as_deref())?;
        check_skills(&after.skills)?;
        if !after.roles.is_empty() {
            Role::check(&after.roles, after.unit.as_deref())?;
        }
        update(&mut tx, &mut after, version).await?;
        if after.extension != before.extension {
            // Its secret was made for the old one, which may be somebody else's tomorrow.
            tx.remove_seats(user).await?;
        }
        trail::changed(&mut tx, by, &before, &after);
        tx.commit().await?;
        Ok(after)
    }

    /// Gives a person exactly these roles. Their log-ins end.
    ///
    /// * `version` — the one that was seen.
    pub async fn set_roles(
        &self,
        by: &By,
        user: UserId,
        version: u64,
        mut roles: Vec<Role>,
    ) -> Result<UserRow, UserError> {
        roles.sort_unstable();
        roles.dedup();
        let mut tx = self.store.begin().await?;
        tx.lock_administrators().await?;
        let before = other(&mut tx, by, user).await?;
        if !roles.is_empty() {
            Role::check(&roles, before.unit.as_deref())?;
        }
        let mut after = UserRow { roles, ..before.clone() };
        update(&mut tx, &mut after, version).await?;
        keeps_administrators(&mut tx, &before).await?;
        tx.end_sessions(user, 0).await?;
        trail::roles_changed(&mut tx, by, &before, &after);
        tx.commit().await?;
        Ok(after)
    }

    /// Closes an account: no log-in and no token of it is taken any more.
    pub async fn disable(&self, by: &By, user: UserId) -> Result<UserRow, UserError> {
        self.set_disabled(by, user, true).await
    }

    /// Opens an account again.
    pub async fn enable(&self, by: &By, user: UserId) -> Result<UserRow, UserError> {
        self.set_disabled(by, user, false).await
    }

    async fn set_disabled(&self, by: &By, user: UserId, disabled: bool) -> Result<UserRow, UserError> {
        let mut tx = self.store.begin().await?;
        tx.lock_administrators().await?;
        let before = other(&mut tx, by, user).await?;
        if before.disabled == disabled {
            return Ok(before);
        }
        let mut after = UserRow { disabled, ..before.clone() };
        update(&mut tx, &mut after, before.version).await?;
        keeps_administrators(&mut tx, &before).await?;
        tx.end_sessions(user, 0).await?;
        let action = if disabled { Action::UserDisabled } else { Action::UserEnabled };
        trail::done(&mut tx, by, action, &after);
        tx.commit().await?;
        Ok(after)
    }

    /// Lets a person try again at once who gave wrong passwords too often.
    pub async fn unlock(&self, by: &By, user: UserId) -> Result<UserRow, UserError> {
        let mut tx = self.store.begin().await?;
        let row = other(&mut tx, by, user).await?;
        Lockout::clear(&mut tx, &row.name).await?;
        trail::done(&mut tx, by, Action::Unlock, &row);
        tx.commit().await?;
        Ok(row)
    }

    /// Gives a person a one-time password. Their log-ins end, a lock too.
    pub async fn reset_password(&self, by: &By, user: UserId) -> Result<Private<String>, UserError> {
        let clock = self.store.clock();
        let password = password::one_time(clock);
        let hash = password::hash(password.clone(), clock.random()).await?;
        let mut tx = self.store.begin().await?;
        let row = other(&mut tx, by, user).await?;
        give_one_time(&mut tx, &row, &hash).await?;
        Lockout::clear(&mut tx, &row.name).await?;
        trail::done(&mut tx, by, Action::PasswordReset, &row);
        tx.commit().await?;
        Ok(password)
    }

    /// Sets a password on the machine itself. Their log-ins end, a lock too.
    pub async fn set_password(&self, user: &UserRow, password: Private<String>) -> Result<(), UserError> {
        let hash = self.usable(&user.name, Some(user.id), password).await?;
        let mut tx = self.store.begin().await?;
        tx.put_password(user.id, &hash, false).await?;
        tx.end_sessions(user.id, 0).await?;
        Lockout::clear(&mut tx, &user.name).await?;
        trail::done(&mut tx, &By::machine(), Action::PasswordReset, user);
        Ok(tx.commit().await?)
    }

    fn row(&self, opening: Opening, mut roles: Vec<Role>) -> Result<UserRow, UserError> {
        let Opening { name, unit, extension, skills } = opening;
        check(&name, extension.as_deref())?;
        check_skills(&skills)?;
        roles.sort_unstable();
        roles.dedup();
        let clock = self.store.clock();
        Ok(UserRow {
            id: UserId::new(clock.uuid()),
            name,
            roles,
            unit,
            extension,
            skills,
            password: None,
            password_set: None,
            one_time: false,
            totp: false,
            disabled: false,
            version: 1,
            created: clock.now(),
        })
    }
}

async fn insert(tx: &mut Tx, by: &By, row: &UserRow) -> Result<(), UserError> {
    tx.add_user(row).await.map_err(|error| taken(error, &row.name))?;
    trail::added(tx, by, row);
    Ok(())
}

async fn update(tx: &mut Tx, row: &mut UserRow, version: u64) -> Result<(), UserError> {
    let known = row.version;
    if known != version || !tx.update_user(row, version).await.map_err(|error| taken(error, &row.name))? {
        return Err(UserError::Stale { id: row.id, version: known });
    }
    row.version += 1;
    Ok(())
}

/// The account, which is not the asking person's own.
async fn other(tx: &mut Tx, by: &By, user: UserId) -> Result<UserRow, UserError> {
    let row = tx.user(user).await?.ok_or(UserError::NotFound(user))?;
    if by.user == Some(user) { Err(UserError::Oneself) } else { Ok(row) }
}

/// Whether there is still somebody of each kind that `before` was of, after the change that was made.
async fn keeps_administrators(tx: &mut Tx, before: &UserRow) -> Result<(), UserError> {
    for role in [Role::Sysadmin, Role::Secadmin] {
        if !before.disabled && before.roles.contains(&role) && tx.count_active(role).await? == 0 {
            return Err(UserError::Last { id: before.id, role });
        }
    }
    Ok(())
}

fn check(name: &str, extension: Option<&str>) -> Result<(), UserError> {
    let usable = |sign: char| sign.is_alphanumeric() || matches!(sign, '.' | '_' | '-');
    if name.is_empty() || name.chars().count() > 64 || !name.chars().all(usable) {
        return Err(UserError::Name(name.to_owned()));
    }
    let usable = |text: &str| (1..=16).contains(&text.len()) && text.bytes().all(|sign| sign.is_ascii_digit());
    match extension {
        Some(extension) if !usable(extension) => Err(UserError::Extension(extension.to_owned())),
        _ => Ok(()),
    }
}

/// At most sixteen names of a word each.
fn check_skills(skills: &[String]) -> Result<(), UserError> {
    let usable = |name: &String| {
        let signs = name.chars().all(|sign| sign.is_alphanumeric() || matches!(sign, '_' | '-'));
        (1..=32).contains(&name.chars().count()) && signs
    };
    match skills.iter().find(|name| !usable(name)) {
        Some(name) => Err(UserError::Skill(name.clone())),
        None if skills.len() > 16 => Err(UserError::Skill(format!("{} skills", skills.len()))),
        None => Ok(()),
    }
}

fn taken(error: StoreError, name: &str) -> UserError {
    match error {
        StoreError::Duplicate { .. } => UserError::Taken(name.to_owned()),
        error => error.into(),
    }
}
