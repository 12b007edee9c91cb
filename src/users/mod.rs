//! People who log in: their accounts, roles, passwords and sessions, and the tokens of the systems that act for them.
//!
//! What a browser or a system holds is 32 random bytes; only their SHA-256 is stored, so looking one up compares hashes
//! and takes the same path whatever was sent. A password is stored as Argon2id, the secret of a second factor sealed by
//! the vault; so is what an operator's telephone shows when it registers. Everything that happens to an account is noted in the audit, in the transaction that does it.

mod accounts;
mod error;
mod lockout;
mod password;
mod policy;
mod recovery;
mod rota;
mod seats;
mod sessions;
mod tokens;
mod totp;
mod trail;

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{
    config::People,
    domain::{audit::Action, ids::UserId, role::Role, time::UnixMs},
    store::{SessionRow, Store, TokenRow, Tx, UserRow},
    telemetry::Private,
};
use lockout::Lockout;

pub use accounts::{Change, NewUser, Opening};
pub use error::UserError;
pub use password::verify;
pub use policy::Weak;
pub use seats::{Loan, NewSeat, Seats};
pub use sessions::{LogIn, Sessions};
pub use tokens::NewToken;
pub use totp::Enrolment;

/// Services over the people with a log-in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Users {
    store: Store,
    people: Arc<People>,
    lockout: Lockout,
}

/// The first administrator, with the password that is printed once.
#[derive(Clone, Debug)]
pub struct FirstAdministrator {
    pub name: String,
    pub password: Private<String>,
}

/// Who does something to an account, as the audit keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Nobody: an operator on the machine itself.
    pub user: Option<UserId>,
    pub name: String,
}

impl By {
    /// An operator on the machine itself.
    pub fn machine() -> Self {
        Self { user: None, name: "machine".into() }
    }
}

impl From<&UserRow> for By {
    fn from(user: &UserRow) -> Self {
        Self { user: Some(user.id), name: user.name.clone() }
    }
}

/// Somebody who has shown who they are.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user: UserRow,
    pub shown: Credential,
}

/// What they have shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    Session(SessionRow),
    Token(TokenRow),
}

/// What somebody has to do before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// The password was made by the program, or is too old.
    Password,
    /// Their role asks for a second factor, and they have none.
    Totp,
}

impl Users {
    /// Name of the first administrator.
    pub const FIRST: &str = "admin";

    /// Services over the store.
    pub fn new(store: Store, people: &People) -> Self {
        let lockout = Lockout::new(store.clone(), people);
        Self { store, people: Arc::new(people.clone()), lockout }
    }

    /// What a person has to do before anything else.
    pub fn owes(&self, user: &UserRow) -> Option<Owed> {
        let too_old = match (self.people.password_age(), user.password_set) {
            (Some(age), Some(set)) => set + age <= self.store.clock().now(),
            _ => false,
        };
        if user.one_time || too_old {
            return Some(Owed::Password);
        }
        (!user.totp && self.needs_totp(&user.roles)).then_some(Owed::Totp)
    }

    /// Whether one of the roles asks for a second factor.
    pub fn needs_totp(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.people.totp_required_for.contains(role))
    }

    /// The person with this id.
    pub async fn get(&self, user: UserId) -> Result<UserRow, UserError> {
        self.store.user(user).await?.ok_or(UserError::NotFound(user))
    }

    /// The person with this name.
    pub async fn named(&self, name: &str) -> Result<UserRow, UserError> {
        self.store.user_named(name).await?.ok_or_else(|| UserError::Unknown(name.to_owned()))
    }

    /// A page of people, in the order they were added.
    pub async fn list(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserRow>, UserError> {
        Ok(self.store.users(after, limit).await?)
    }

    /// Until when wrong passwords have locked a person's log-in.
    pub async fn locked_until(&self, user: &UserRow) -> Result<Option<UnixMs>, UserError> {
        self.lockout.locked_until(&user.name).await
    }

    /// Changes a person's own password. All their log-ins end.
    ///
    /// # Errors
    /// [`UserError::Wrong`] when `old` is not the password, [`UserError::Weak`] when the new one may not be used.
    pub async fn change_password(
        &self,
        user: &UserRow,
        old: Private<String>,
        new: Private<String>,
    ) -> Result<(), UserError> {
        self.prove(user, old).await?;
        let hash = self.usable(&user.name, Some(user.id), new).await?;
        let mut tx = self.store.begin().await?;
        tx.user(user.id).await?.filter(|now| now.password == user.password).ok_or(UserError::Wrong)?;
        tx.put_password(user.id, &hash, false).await?;
        tx.end_sessions(user.id, 0).await?;
        trail::done(&mut tx, &By::from(user), Action::PasswordChanged, user);
        Ok(tx.commit().await?)
    }

    /// Whether a person knows their password; a wrong one counts as a failed log-in.
    async fn prove(&self, user: &UserRow, password: Private<String>) -> Result<(), UserError> {
        let stored = user.password.as_deref().ok_or(UserError::Wrong)?;
        self.lockout.admit(&user.name, None).await?;
        let right = password::verify(stored, password).await?;
        let mut tx = self.store.begin().await?;
        if right {
            self.lockout.passed(&mut tx, &user.name, None).await?;
        } else {
            let locked = self.lockout.failed(&mut tx, &user.name, None).await?;
            trail::failed(&mut tx, Some(user), "password", locked);
        }
        tx.commit().await?;
        if right { Ok(()) } else { Err(UserError::Wrong) }
    }

    /// A password that somebody of this name may have, as a hash.
    async fn usable(&self, name: &str, user: Option<UserId>, password: Private<String>) -> Result<String, UserError> {
        policy::check(password.reveal(), name, self.people.password_length)?;
        if let Some(user) = user {
            for former in self.store.former_passwords(user).await? {
                if password::verify(&former, password.clone()).await? {
                    return Err(Weak::Former.into());
                }
            }
        }
        password::hash(password, self.store.clock().random()).await
    }
}

/// Sets a password that is shown once. Log-ins end.
async fn give_one_time(tx: &mut Tx, user: &UserRow, hash: &str) -> Result<(), UserError> {
    tx.put_password(user.id, hash, true).await?;
    tx.end_sessions(user.id, 0).await?;
    Ok(())
}

/// What is kept of a secret.
fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

#[cfg(test)]
mod tests;
