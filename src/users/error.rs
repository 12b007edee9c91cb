//! Why something was not done to an account, or with one.

use std::time::Duration;

use super::policy::Weak;
use crate::{
    domain::{
        ids::UserId,
        role::{Role, RoleError},
        rota::RotaError,
    },
    store::StoreError,
    vault::VaultError,
};

#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("user name `{0}` is not usable: 1 to 64 letters, digits, `.`, `_` or `-`")]
    Name(String),
    #[error("extension `{0}` is not usable: 1 to 16 digits")]
    Extension(String),
    #[error("skill `{0}` is not usable: at most 16, each of 1 to 32 letters, digits, `_` or `-`")]
    Skill(String),
    /// What is wrong with a day's turns.
    #[error(transparent)]
    Rota(#[from] RotaError),
    #[error(transparent)]
    Weak(#[from] Weak),
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error("user `{0}` is there already, or the extension belongs to somebody else")]
    Taken(String),
    #[error("there is no user `{0}`")]
    Unknown(String),
    #[error("user `{0}` has no extension, and so no telephone that could have a secret")]
    NoSeat(String),
    #[error("there is no user {0}")]
    NotFound(UserId),
    #[error("user {id} was changed by somebody else meanwhile")]
    Stale { id: UserId, version: u64 },
    #[error("nobody does this to their own account")]
    Oneself,
    #[error("user {id} is the last {role} who can log in")]
    Last { id: UserId, role: Role },
    /// Whichever of them: nothing is told about it.
    #[error("the name, the password or the code is wrong")]
    Wrong,
    /// The name and the password are right.
    #[error("the code of the second factor is needed")]
    CodeNeeded,
    #[error("too many log-ins failed")]
    Locked { wait: Duration },
    #[error("the code is wrong, or was used already")]
    Code,
    #[error("the second factor is {0}")]
    Totp(&'static str),
    #[error("the recovery cannot be approved: {}", .0.words())]
    Recovery(NoRecovery),
    #[error("a token's name has at most 64 signs, its days are 1 to {0}")]
    Token(u32),
    #[error("a token cannot make one that may more than itself: `{0}`")]
    Scope(String),
    #[error("there are {0} tokens already; take one back first")]
    TooManyTokens(i64),
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
    #[error("the second factor cannot be built: {0}")]
    Factor(String),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why one administrator may not approve what another one asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRecovery {
    /// Nobody has asked, or too long ago, or somebody who is no administrator any more.
    NotAsked,
    SamePerson,
    SameKind,
}

impl NoRecovery {
    /// For programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::SamePerson => "same_person",
            Self::SameKind => "same_kind",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::NotAsked => "no administrator has asked for it within 24 hours",
            Self::SamePerson => "another person has to approve it",
            Self::SameKind => "an administrator of another kind has to approve it",
        }
    }
}
