//! Crypto behind one door: what the line stores is sealed here, numbers are hashed, the audit's head is signed.
//!
//! The keys lie in a folder of their own (`Keyring`); what is sealed says with which key and with which family of
//! algorithms (`suite::Suite`), so that a key or a family can be changed and the old remains readable. How a sealed
//! object looks stands in [`format`]. Nobody outside this room sees a key.

mod files;
mod format;
#[cfg(test)]
mod fuzz;
mod keyring;
mod passphrase;
mod phone;
mod suite;

#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use ed25519_dalek::{Signature, Signer};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use format::{CHUNK, HEAD, Opener, Sealer, is_sealed};
use format::{LONGEST, Made};
pub use keyring::{KeyFacts, KeyState};
use keyring::{Keyring, pem};
pub use passphrase::{Passphrase, Wrong, opened, sealed};
pub use suite::Refused;
use suite::suite;

use crate::{
    clock::Clock,
    config::{self, CipherSuite},
};

/// All keys of a line and what is done with them. Cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    clock: Clock,
    ring: RwLock<Ring>,
}

struct Ring {
    keys: Keyring,
    /// Of the file that they were read from.
    stamp: Option<(u64, i64, i64)>,
}

/// The public half of the key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub id: Uuid,
    /// SubjectPublicKeyInfo, for any other tool.
    pub pem: String,
}

/// Who signed, and the signature in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub key: Uuid,
    pub signature: String,
}

/// Why something could not be sealed, opened or signed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("vault.keys: folder {path} cannot be made; make its parent writable or name another", path = path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("vault.keys: {path}", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("vault.keys: {path} is missing; put it back from the backup, for without it nothing sealed can be read", path = .0.display())]
    Missing(PathBuf),
    #[error("vault.keys: there are no keys in {path} yet; the first `hotline serve` makes them", path = .0.display())]
    NoKeys(PathBuf),
    #[error("vault.keys: {path} may be read by others (mode {mode:o}); run `chmod 600` on it", path = path.display())]
    OpenToOthers { path: PathBuf, mode: u32 },
    #[error("vault.keys: {path} is damaged: {problem}; put it back from the backup", path = path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("vault.keys: key {id} is not in {folder}; copy its master.json from where the key was made", folder = folder.display())]
    UnknownKey { id: Uuid, folder: PathBuf },
    #[error("vault.keys: there are keys in {path} already; name a folder without any", path = .0.display())]
    Present(PathBuf),
    #[error("the copy of the keys is damaged: {0}")]
    Copy(String),
    #[error("`{0}` is not what was sealed: it was changed, cut or exchanged")]
    Changed(String),
    #[error("`{0}` is sealed in a way that this program does not know; it was written by a newer one")]
    Unknown(String),
    #[error("`{name}` has {size} bytes, too many to be sealed")]
    TooLong { name: String, size: u64 },
}

impl VaultError {
    fn damaged(path: &Path, problem: &str) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.to_owned() }
    }
}

impl Vault {
    /// Reads the keys. The first start makes them.
    pub fn open(settings: &config::Vault, clock: Clock) -> Result<Self, VaultError> {
        let config::Vault { keys: folder, suite } = settings;
        if Keyring::is_absent(folder) {
            Keyring::make(folder, *suite, &clock)?;
        }
        Self::existing(folder, clock)
    }

    /// Keys below a folder, for a test.
    #[cfg(test)]
    pub(crate) fn in_folder(folder: &Path, clock: Clock) -> Self {
        let settings = config::Vault { keys: folder.join("keys"), ..config::Settings::default().vault };
        Self::open(&settings, clock).expect("keys")
    }

    /// Reads the keys that are there, and makes none.
    pub fn existing(folder: &Path, clock: Clock) -> Result<Self, VaultError> {
        if Keyring::is_absent(folder) {
            return Err(VaultError::NoKeys(folder.to_owned()));
        }
        let ring = RwLock::new(Ring::read(folder)?);
        Ok(Self(Arc::new(Inner { folder: folder.to_owned(), clock, ring })))
    }

    /// All keys as they lie in a folder, for a copy; whoever has it can open what the line stored.
    pub fn copy_of(folder: &Path) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        Keyring::copy_of(folder)
    }

    /// Puts keys from a copy where there are none.
    pub fn put_back(folder: &Path, copy: &[u8]) -> Result<(), VaultError> {
        Keyring::put_back(folder, copy)
    }

    /// Whether a folder holds no keys yet.
    pub fn is_absent(folder: &Path) -> bool {
        Keyring::is_absent(folder)
    }

    /// Begins to seal an object with the active key, also one that another process made meanwhile.
    ///
    /// * `name` — where the object will stand; it opens under this name alone.
    /// * `plain` — bytes that will come.
    pub fn sealer(&self, name: &str, plain: u64) -> Result<Sealer, VaultError> {
        if plain > LONGEST {
            return Err(VaultError::TooLong { name: name.to_owned(), size: plain });
        }
        self.refresh()?;
        let clock = &self.0.clock;
        Ok(self.with(|ring| {
            let master = ring.active();
            Sealer::new(Made { suite: master.suite, master: master.id }, &master.key, name, plain, clock)
        }))
    }

    /// Makes a sealed object readable.
    ///
    /// * `head` — its first [`HEAD`] bytes; more do no harm.
    pub fn opener(&self, name: &str, head: &[u8]) -> Result<Opener, VaultError> {
        let made = format::made(head).ok_or_else(|| VaultError::Unknown(name.to_owned()))?;
        let open = |ring: &Keyring| {
            let master = ring.masters().iter().find(|key| (key.id, key.suite) == (made.master, made.suite))?;
            Some(Opener::new(head, &master.key, name).map_err(|Refused| VaultError::Changed(name.to_owned())))
        };
        if let Some(opened) = self.with(open) {
            return opened;
        }
        // Another process may have made the key after we read ours.
        self.refresh()?;
        let unknown = || Err(VaultError::UnknownKey { id: made.master, folder: self.0.folder.clone() });
        self.with(open).unwrap_or_else(unknown)
    }

    /// Seals something small as a whole.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut sealer = self.sealer(name, plain.len() as u64)?;
        let mut sealed = sealer.head().to_vec();
        let mut left = plain;
        while !sealer.is_done() {
            let (now, later) = left.split_at(sealer.wants());
            let mut chunk = now.to_vec();
            sealer.seal(&mut chunk).map_err(|Refused| VaultError::Changed(name.to_owned()))?;
            sealed.append(&mut chunk);
            left = later;
        }
        Ok(sealed)
    }

    /// Opens what [`Vault::seal`] made under the same name.
    pub fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let changed = || VaultError::Changed(name.to_owned());
        let opener = self.opener(name, sealed)?;
        if sealed.len() as u64 != opener.sealed_size() {
            return Err(changed());
        }
        opener.open(0..opener.size(), sealed.get(HEAD..).unwrap_or_default()).map_err(|Refused| changed())
    }

    /// What a telephone number is found by: a keyed hash of its one spelling, 64 hex digits. Nothing where there is no
    /// digit in it.
    ///
    /// It never changes for a line: its key is not rotated and stays with the suite it was made for.
    pub fn fingerprint(&self, number: &str) -> Option<String> {
        let digits = Some(phone::normalised(number)).filter(|digits| !digits.is_empty())?;
        Some(self.indexed("phone", &digits))
    }

    /// Tells whether two lines have the same index key, without telling anything about it.
    pub fn mark(&self) -> String {
        self.indexed("mark", "")
    }

    /// Signs, for those who do not trust this line's database.
    pub fn sign(&self, bytes: &[u8]) -> Signed {
        self.with(|ring| {
            let (key, signing) = ring.signing();
            Signed { key, signature: hex::encode(signing.sign(bytes).to_bytes()) }
        })
    }

    /// Whether the key of that id has signed these bytes.
    pub fn verify(&self, bytes: &[u8], signature: &str, key: Uuid) -> bool {
        let signature = hex::decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
        self.with(|ring| {
            let (id, signing) = ring.signing();
            let right = |signature| signing.verifying_key().verify_strict(bytes, &signature).is_ok();
            id == key && signature.is_some_and(right)
        })
    }

    /// What others verify signatures with.
    pub fn public_key(&self) -> PublicKey {
        self.with(|ring| {
            let (id, signing) = ring.signing();
            PublicKey { id, pem: pem(&signing.verifying_key()) }
        })
    }

    /// The keys that seal, oldest first.
    pub fn keys(&self) -> Vec<KeyFacts> {
        self.with(|ring| ring.masters().iter().map(keyring::Entry::facts).collect())
    }

    /// Makes a new active key if the settings ask for another suite than the active one's.
    pub fn follow(&self, suite: CipherSuite) -> Result<Option<KeyFacts>, VaultError> {
        let active = self.with(|ring| ring.active().suite);
        if active == suite { Ok(None) } else { self.rotate(suite).map(Some) }
    }

    /// Makes a new active key; what the others sealed stays readable.
    pub fn rotate(&self, suite: CipherSuite) -> Result<KeyFacts, VaultError> {
        let new = Keyring::rotate(&self.0.folder, suite, &self.0.clock)?;
        self.refresh()?;
        Ok(new)
    }

    fn indexed(&self, kind: &str, text: &str) -> String {
        self.with(|ring| {
            let index = ring.index();
            hex::encode(suite(index.suite).keyed_hash(&index.key, format!("{kind}:{text}").as_bytes()))
        })
    }

    /// Reads the keys again if their file is another by now.
    ///
    /// A file that cannot be read is an error even though the keys are still in memory: what would be sealed with them
    /// might be lost with this process.
    fn refresh(&self) -> Result<(), VaultError> {
        let stamp = Keyring::stamp(&self.0.folder);
        let known = self.0.ring.read().unwrap_or_else(PoisonError::into_inner).stamp;
        if stamp.is_none() || stamp != known {
            let new = Ring::read(&self.0.folder)?;
            *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(())
    }

    fn with<T>(&self, use_keys: impl FnOnce(&Keyring) -> T) -> T {
        use_keys(&self.0.ring.read().unwrap_or_else(PoisonError::into_inner).keys)
    }
}

impl Ring {
    fn read(folder: &Path) -> Result<Self, VaultError> {
        // Stamp first: a change in between is then seen by the next look.
        let stamp = Keyring::stamp(folder);
        Ok(Self { keys: Keyring::load(folder)?, stamp })
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.0.folder.display())
    }
}
