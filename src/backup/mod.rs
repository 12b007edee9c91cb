//! Everything a line is, in one file: `hotline backup` and `hotline restore`.
//!
//! The file is a tar archive that any tool can list. It holds the database as of one moment in a form that both databases
//! read ([`crate::store::Frozen`]), an index of the recordings and, if wished, the sealed recordings themselves, the city's
//! file, and, sealed with a passphrase, the keys. Last come the manifest, which names every part with its
//! length and SHA-256, and the manifest's own hash: a file without them was not finished, and is no backup.
//!
//! It is written under another name, made safe on disk, and gets its name last. It holds callers' names, numbers and words
//! as the database does: it is made for the line's user alone to read, and has to be kept like the database.

mod lines;
mod make;
mod manifest;
mod reader;
mod restore;
mod writer;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

pub use make::{Made, Making, make, target};
pub use manifest::Manifest;
pub use reader::Backup;
pub use restore::{Restored, Restoring, restore};

use crate::{
    audit::AuditError,
    cases::RebuildError,
    recording::RecordingError,
    store::StoreError,
    vault::{VaultError, Wrong},
};

/// Version of the file's form.
const FORMAT: u32 = 1;

/// How far a long step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    pub what: &'a str,
    pub done: u64,
    pub of: u64,
}

/// Why a backup was not made or not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{path}: name a folder, or a file that ends in .tar", path = .0.display())]
    Target(PathBuf),
    #[error("{path} is there already; name another", path = .0.display())]
    Exists(PathBuf),
    #[error("{path} is being written by another backup", path = .0.display())]
    Busy(PathBuf),
    #[error("{path}", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is no finished backup: its manifest is missing; it was cut off, or is something else", path = .0.display())]
    Unfinished(PathBuf),
    #[error("{path} is damaged: {part}; take another backup", path = path.display())]
    Damaged { path: PathBuf, part: String },
    #[error("the backup was made by a newer hotline ({0}); restore it with that version or a later one")]
    Newer(String),
    #[error("{place} is not empty: {found}; {wish}")]
    Occupied { place: String, found: String, wish: &'static str },
    #[error("the keys in the backup are sealed: give its passphrase, or leave them out with --without-keys")]
    NoPassphrase,
    #[error(
        "the backup holds no keys, for it was made without a passphrase: say --without-keys, and put the line's keys back by hand"
    )]
    NoKeys,
    #[error("{0}")]
    Passphrase(#[from] Wrong),
    #[error("{what}: {there} in the backup, {here} restored")]
    Differs { what: String, there: String, here: String },
    #[error("the keys in vault.keys are not those of the database in the backup; put its own there, and restore again")]
    OtherKeys,
    #[error("the index of recordings cannot be read: {0}")]
    Index(String),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Cases(#[from] RebuildError),
}
