//! People who log in: their roles, their passwords and the tokens of the systems that act for them.
//!
//! A token is 32 random bytes; only its SHA-256 is stored, so looking one up compares hashes and takes the same path
//! whatever was sent. A password is stored as Argon2id. Both are shown once, when they are made.

mod password;

use sha2::{Digest, Sha256};

use crate::{
    domain::{
        ids::UserId,
        role::{Role, RoleError},
    },
    store::{Store, StoreError, Tx, UserRow},
    telemetry::Private,
};

pub use password::verify;

/// Services over the people with a log-in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Users {
    store: Store,
}

/// Somebody to be added.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    pub name: String,
    pub roles: Vec<Role>,
    /// `WATER` or `371526-ZJ`; whether there is such a unit is the caller's to check.
    pub unit: Option<String>,
    pub extension: Option<String>,
    pub password: Option<Private<String>>,
}

/// The first administrator, with the password that is printed once.
#[derive(Clone, Debug)]
pub struct FirstAdministrator {
    pub name: String,
    pub password: Private<String>,
}

/// Why a person was not added or not found.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("user name `{0}` is not usable: 1 to 64 letters, digits, `.`, `_` or `-`")]
    Name(String),
    #[error("extension `{0}` is not usable: 1 to 16 digits")]
    Extension(String),
    #[error(
        "the password is shorter than {} characters or longer than {} bytes",
        password::SHORTEST,
        password::LONGEST
    )]
    Password,
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error("user `{0}` is there already, or the extension belongs to somebody else")]
    Taken(String),
    #[error("there is no user `{0}`")]
    Unknown(String),
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Users {
    /// Name of the first administrator.
    pub const FIRST: &str = "admin";

    /// Services over the store.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Adds a person.
    ///
    /// # Errors
    /// What is wrong with the name, the roles or the password, or that the name is taken.
    pub async fn add(&self, new: NewUser) -> Result<UserRow, UserError> {
        let row = self.row(new, false).await?;
        let mut tx = self.store.begin().await?;
        add(&mut tx, &row).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Makes a token for a person.
    ///
    /// * returns — the token, 64 hex digits; it is not kept.
    pub async fn issue_token(&self, name: &str) -> Result<Private<String>, UserError> {
        let user = self.store.user_named(name).await?.ok_or_else(|| UserError::Unknown(name.to_owned()))?;
        let token = hex::encode(self.store.clock().random::<32>());
        let mut tx = self.store.begin().await?;
        tx.add_token(user.id, &hash(&token)).await?;
        tx.commit().await?;
        Ok(Private(token))
    }

    /// Whom a token stands for; `None` for any other text.
    pub async fn by_token(&self, token: &str) -> Result<Option<UserRow>, StoreError> {
        // A token of any other length cannot be ours; hashing megabytes that a stranger sent would be work for nothing.
        if token.len() != 64 {
            return Ok(None);
        }
        self.store.user_by_token(&hash(token)).await
    }

    /// Makes the first administrator with a one-time password, if there is nobody yet.
    ///
    /// * returns — `None` when there are people already; then nothing was changed.
    pub async fn init(&self) -> Result<Option<FirstAdministrator>, UserError> {
        let password = Private(hex::encode(self.store.clock().random::<10>()));
        let new = NewUser {
            name: Self::FIRST.into(),
            roles: vec![Role::Sysadmin],
            password: Some(password.clone()),
            ..NewUser::default()
        };
        let mut tx = self.store.begin().await?;
        if tx.count_users().await? > 0 {
            return Ok(None);
        }
        tx.roll_back().await?;
        // Hashing takes a while on purpose; the writer is not kept waiting for it.
        let row = self.row(new, true).await?;
        let mut tx = self.store.begin().await?;
        if tx.count_users().await? > 0 {
            return Ok(None);
        }
        add(&mut tx, &row).await?;
        tx.commit().await?;
        Ok(Some(FirstAdministrator { name: row.name, password }))
    }

    async fn row(&self, new: NewUser, one_time: bool) -> Result<UserRow, UserError> {
        let NewUser { name, mut roles, unit, extension, password } = new;
        let usable = |sign: char| sign.is_alphanumeric() || matches!(sign, '.' | '_' | '-');
        if name.is_empty() || name.chars().count() > 64 || !name.chars().all(usable) {
            return Err(UserError::Name(name));
        }
        if let Some(extension) = extension.as_ref()
            && !((1..=16).contains(&extension.len()) && extension.bytes().all(|sign| sign.is_ascii_digit()))
        {
            return Err(UserError::Extension(extension.clone()));
        }
        roles.sort_unstable();
        roles.dedup();
        Role::check(&roles, unit.as_deref())?;
        let clock = self.store.clock();
        let password = match password {
            Some(password) => Some(password::hash(password, clock.random()).await?),
            None => None,
        };
        let id = UserId::new(clock.uuid());
        Ok(UserRow { id, name, roles, unit, extension, password, one_time, created: clock.now() })
    }
}

async fn add(tx: &mut Tx, row: &UserRow) -> Result<(), UserError> {
    tx.add_user(row).await.map_err(|error| match error {
        StoreError::Duplicate { .. } => UserError::Taken(row.name.clone()),
        error => error.into(),
    })
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::TestStore;

    fn person(name: &str, roles: &[Role]) -> NewUser {
        NewUser { name: name.into(), roles: roles.into(), ..NewUser::default() }
    }

    #[tokio::test]
    async fn a_token_is_shown_once_and_stored_as_a_hash_only() {
        let test = TestStore::sqlite().await;
        let users = Users::new(test.store.clone());
        let li = users.add(person("li", &[Role::Dispatcher, Role::Agent])).await.expect("added");
        assert_eq!(li.roles, [Role::Agent, Role::Dispatcher]);
        let token = users.issue_token("li").await.expect("a token");
        let found = users.by_token(token.reveal()).await.expect("a look").expect("li");
        assert_eq!(found, li);
        assert_eq!(users.by_token(&"0".repeat(64)).await.expect("a look"), None);
        assert_eq!(users.by_token("").await.expect("a look"), None);
        test.store.close().await;
        let file = std::fs::read(test.file()).expect("the database file");
        let holds = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds(&hash(token.reveal())) && !holds(token.reveal()), "only the hash is in the file");
    }

    #[tokio::test]
    async fn names_and_extensions_belong_to_one_person() {
        let test = TestStore::sqlite().await;
        let users = Users::new(test.store.clone());
        users.add(NewUser { extension: Some("8001".into()), ..person("li", &[Role::Agent]) }).await.expect("added");
        assert!(matches!(users.add(person("li", &[Role::Qc])).await, Err(UserError::Taken(name)) if name == "li"));
        let same_seat = NewUser { extension: Some("8001".into()), ..person("wang", &[Role::Agent]) };
        assert!(matches!(users.add(same_seat).await, Err(UserError::Taken(_))));
        assert_eq!(users.store.user_named("wang").await.expect("a look"), None, "nothing is left of the refused one");
        assert!(matches!(users.issue_token("wang").await, Err(UserError::Unknown(_))));
    }

    #[tokio::test]
    async fn unusable_people_are_refused_with_the_reason() {
        let test = TestStore::sqlite().await;
        let users = Users::new(test.store.clone());
        let short = NewUser { password: Some(Private("123".into())), ..person("li", &[Role::Agent]) };
        assert!(matches!(users.add(short).await, Err(UserError::Password)));
        assert!(matches!(users.add(person("l i", &[Role::Agent])).await, Err(UserError::Name(_))));
        assert!(matches!(users.add(person("li", &[])).await, Err(UserError::Role(RoleError::Missing))));
        let both = person("li", &[Role::Sysadmin, Role::Agent]);
        assert!(matches!(users.add(both).await, Err(UserError::Role(RoleError::Exclusive(..)))));
    }

    #[tokio::test]
    async fn the_first_administrator_is_made_once() {
        let test = TestStore::sqlite().await;
        let users = Users::new(test.store.clone());
        let first = users.init().await.expect("an empty house").expect("an administrator");
        let row = users.store.user_named(&first.name).await.expect("a look").expect("the administrator");
        assert_eq!((row.roles.as_slice(), row.one_time), ([Role::Sysadmin].as_slice(), true));
        let stored = row.password.expect("a hash");
        assert!(verify(&stored, first.password.clone()).await.expect("a hash that can be read"));
        assert!(!verify(&stored, Private("something else".into())).await.expect("a hash that can be read"));
        assert!(users.init().await.expect("a look").is_none(), "there is somebody now");
    }
}
