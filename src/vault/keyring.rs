//! The keys of a line, in a folder that belongs to its user alone.
//!
//! * `master.json` — seal what the line stores; one is active, the others only open what they sealed.
//! * `index.json` — makes the keyed hashes of numbers. There is one for ever: with another every hash that is stored
//!   would have to be made again.
//! * `signing.json`, `signing.pub` — Ed25519, for the daily head of the audit.

use std::{collections::BTreeMap, fs, path::Path};

use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    VaultError, files,
    suite::{Key, suite},
};
use crate::{clock::Clock, config::CipherSuite, domain::time::UnixMs};

const MASTER: &str = "master.json";
const INDEX: &str = "index.json";
const SIGNING: &str = "signing.json";
const PUBLIC: &str = "signing.pub";
/// Stands in the folder while the first keys are made.
const MAKING: &str = ".making";

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Seals and opens.
    Active,
    /// Opens what it sealed.
    Retired,
}

/// Everything about a key but the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    pub id: Uuid,
    pub suite: CipherSuite,
    pub created: UnixMs,
    pub state: KeyState,
}

/// One key as its file has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub id: Uuid,
    pub suite: CipherSuite,
    pub created: UnixMs,
    pub state: KeyState,
    pub key: Key,
    /// Keyed hash of the rest with `key`, so that a damaged file is found when it is read and not years later.
    check: String,
}

/// All keys of one line.
#[derive(Debug)]
pub struct Keyring {
    /// Oldest first; exactly one is active.
    masters: Vec<Entry>,
    index: Entry,
    signing: SigningKey,
    signing_id: Uuid,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    keys: Vec<Entry>,
}

/// Files by name; wiped from memory when dropped.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Copy {
    files: BTreeMap<String, String>,
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.files.values_mut().for_each(zeroize::Zeroize::zeroize);
    }
}

impl Entry {
    fn new(cipher: CipherSuite, clock: &Clock) -> Self {
        let (id, key) = (clock.uuid(), Key::random(clock));
        let mut new =
            Self { id, suite: cipher, created: clock.now(), state: KeyState::Active, key, check: String::new() };
        new.check = new.right_check();
        new
    }

    fn right_check(&self) -> String {
        let facts = format!("{} {} {}", self.id, self.suite, self.created.0);
        hex::encode(&suite(self.suite).keyed_hash(&self.key, facts.as_bytes())[..8])
    }

    pub fn facts(&self) -> KeyFacts {
        let Self { id, suite, created, state, .. } = self;
        KeyFacts { id: *id, suite: *suite, created: *created, state: *state }
    }
}

impl Keyring {
    /// Whether there is nothing yet, so that a first start may make keys.
    pub fn is_absent(folder: &Path) -> bool {
        folder.join(MAKING).exists() || [MASTER, INDEX, SIGNING].iter().all(|name| !folder.join(name).exists())
    }

    /// Makes the first keys, unless another process was faster.
    pub fn make(folder: &Path, cipher: CipherSuite, clock: &Clock) -> Result<(), VaultError> {
        files::make_folder(folder)?;
        let _lock = files::lock(folder)?;
        if !Self::is_absent(folder) {
            return Ok(());
        }
        // Until the mark is gone no key was used for anything, and a start that was cut short begins anew.
        files::write(&folder.join(MAKING), b"", 0o600)?;
        write_page(&folder.join(INDEX), vec![Entry::new(cipher, clock)])?;
        let signing = Entry::new(cipher, clock);
        let public = SigningKey::from_bytes(signing.key.bytes()).verifying_key();
        write_page(&folder.join(SIGNING), vec![signing])?;
        files::write(&folder.join(PUBLIC), pem(&public).as_bytes(), 0o644)?;
        write_page(&folder.join(MASTER), vec![Entry::new(cipher, clock)])?;
        let mark = folder.join(MAKING);
        fs::remove_file(&mark).map_err(|source| VaultError::File { path: mark, source })?;
        tracing::info!(folder = %folder.display(), "vault: the first keys were made; keep a copy in a safe place");
        Ok(())
    }

    /// Reads all keys; refuses what is missing, damaged or open to others.
    pub fn load(folder: &Path) -> Result<Self, VaultError> {
        let path = |name: &str| folder.join(name);
        let masters = read_page(&path(MASTER))?;
        if masters.iter().filter(|key| key.state == KeyState::Active).count() != 1 {
            return Err(VaultError::damaged(&path(MASTER), "not exactly one key is active"));
        }
        let only = |name: &str| -> Result<Entry, VaultError> {
            let [entry] = <[Entry; 1]>::try_from(read_page(&path(name))?)
                .map_err(|_| VaultError::damaged(&path(name), "it holds not exactly one key"))?;
            Ok(entry)
        };
        let (index, signing) = (only(INDEX)?, only(SIGNING)?);
        Ok(Self { masters, index, signing: SigningKey::from_bytes(signing.key.bytes()), signing_id: signing.id })
    }

    /// Makes a new active master key; the others stay readable.
    pub fn rotate(folder: &Path, cipher: CipherSuite, clock: &Clock) -> Result<KeyFacts, VaultError> {
        let lock = files::lock(folder)?;
        let new = Entry::new(cipher, clock);
        let facts = new.facts();
        let mut masters = Self::load(folder)?.masters;
        for key in &mut masters {
            key.state = KeyState::Retired;
        }
        masters.push(new);
        write_page(&folder.join(MASTER), masters)?;
        drop(lock);
        tracing::info!(key.id = %facts.id, suite = %facts.suite, "vault: a new key seals from now on");
        Ok(facts)
    }

    /// The files of the keys as one text, read as one: no key can be made meanwhile.
    pub fn copy_of(folder: &Path) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let lock = files::lock(folder)?;
        // What cannot be read is found now and not when the copy is needed.
        Self::load(folder)?;
        let mut copy = Copy::default();
        for name in [MASTER, INDEX, SIGNING] {
            copy.files.insert(name.to_owned(), files::read(&folder.join(name))?.to_string());
        }
        drop(lock);
        let mut text = Zeroizing::new(Vec::with_capacity(64 * 1024));
        serde_json::to_writer(&mut *text, &copy).map_err(|error| VaultError::Copy(error.to_string()))?;
        Ok(text)
    }

    /// Writes the files of a copy into a folder without keys.
    pub fn put_back(folder: &Path, copy: &[u8]) -> Result<(), VaultError> {
        let unreadable = |_| VaultError::Copy("it is not as it was written".into());
        let copy: Copy = serde_json::from_slice(copy).map_err(unreadable)?;
        let file = |name: &str| copy.files.get(name).ok_or_else(|| VaultError::Copy(format!("{name} is missing")));
        files::make_folder(folder)?;
        let _lock = files::lock(folder)?;
        if !Self::is_absent(folder) {
            return Err(VaultError::Present(folder.to_owned()));
        }
        files::write(&folder.join(MAKING), b"", 0o600)?;
        for name in [INDEX, SIGNING, MASTER] {
            files::write(&folder.join(name), file(name)?.as_bytes(), 0o600)?;
        }
        let ring = Self::load(folder)?;
        files::write(&folder.join(PUBLIC), pem(&ring.signing.verifying_key()).as_bytes(), 0o644)?;
        let mark = folder.join(MAKING);
        fs::remove_file(&mark).map_err(|source| VaultError::File { path: mark, source })
    }

    /// Changes whenever a key was made.
    pub fn stamp(folder: &Path) -> Option<(u64, i64, i64)> {
        files::stamp(&folder.join(MASTER))
    }

    pub fn masters(&self) -> &[Entry] {
        &self.masters
    }

    /// The one that seals.
    pub fn active(&self) -> &Entry {
        let active = self.masters.iter().find(|key| key.state == KeyState::Active);
        active.expect("checked when the keys were read")
    }

    pub fn index(&self) -> &Entry {
        &self.index
    }

    pub fn signing(&self) -> (Uuid, &SigningKey) {
        (self.signing_id, &self.signing)
    }
}

/// A public key as other tools read it (`openssl pkeyutl -verify -pubin -rawin`).
///
/// Source: RFC 8410, section 4; 44 bytes of DER in base64.
pub fn pem(key: &VerifyingKey) -> String {
    const DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&DER[..], key.as_bytes()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&der))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        let letters = [18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63]));
        text.extend(&letters[..=three.len()]);
        text.extend(std::iter::repeat_n('=', 3 - three.len()));
    }
    text
}

fn read_page(path: &Path) -> Result<Vec<Entry>, VaultError> {
    let text = files::read(path)?;
    // The reason never quotes the text, which is secret.
    let page: Page = serde_json::from_str(&text).map_err(|error| {
        VaultError::damaged(path, &format!("line {}, column {} is not as it was written", error.line(), error.column()))
    })?;
    match page.keys.iter().find(|key| key.right_check() != key.check) {
        Some(key) => Err(VaultError::damaged(path, &format!("key {} is not the one that was written", key.id))),
        None => Ok(page.keys),
    }
}

fn write_page(path: &Path, keys: Vec<Entry>) -> Result<(), VaultError> {
    let mut text = Zeroizing::new(Vec::with_capacity(4096 + keys.len() * 512));
    serde_json::to_writer_pretty(&mut *text, &Page { keys })
        .map_err(|error| VaultError::damaged(path, &error.to_string()))?;
    files::write(path, &text, 0o600)
}
