//! Reads an archive: first its list of contents, which has to be whole, then parts by name, each checked on its way.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tar::Archive;
use zeroize::Zeroizing;

use super::{
    BackupError, FORMAT, Step,
    manifest::{BLOCK, END, KEYS, MANIFEST, Manifest, Part, SEAL},
};
use crate::{
    store::Store,
    vault::{self, Passphrase},
};

/// Bytes read at once.
const PIECE: u64 = 1 << 20;
/// Longest part that is read as a whole, bytes; pieces of tables have some millions.
const LONGEST: u64 = 256 << 20;
/// The same for the manifest, which has about 200 bytes a part.
const LONGEST_MANIFEST: u64 = 4 << 30;

/// A finished backup.
#[derive(Debug)]
pub struct Backup {
    path: PathBuf,
    file: File,
    manifest: Manifest,
    /// Where each part stands in the manifest, and in the file.
    places: HashMap<String, (usize, u64)>,
}

/// A part on its way out.
pub struct Pieces<'a> {
    backup: &'a Backup,
    part: &'a Part,
    at: u64,
    left: u64,
    hash: Sha256,
}

/// What every manifest says, also one of a later form.
#[derive(Deserialize)]
struct Edition {
    format: u32,
    program: String,
}

/// A file in the archive.
struct Found {
    name: String,
    /// Its first byte.
    at: u64,
    bytes: u64,
}

impl Backup {
    /// Reads the list of contents.
    ///
    /// # Errors
    /// A file that is not finished, is damaged, or was made by a later version.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let wrong = |source| BackupError::File { path: path.to_owned(), source };
        let damaged = |part: &str| BackupError::Damaged { path: path.to_owned(), part: part.to_owned() };
        let file = File::open(path).map_err(wrong)?;
        let length = file.metadata().map_err(wrong)?.len();
        let (found, is_broken) = contents(&file);
        let (parts, manifest) = match found.as_slice() {
            [parts @ .., manifest, seal] if manifest.name == MANIFEST && seal.name == SEAL && seal.end() <= length => {
                let seal = whole(&file, seal).map_err(wrong)?;
                let manifest = whole(&file, manifest).map_err(wrong)?;
                if hex::encode(Sha256::digest(&manifest)).as_bytes() != seal {
                    return Err(damaged(MANIFEST));
                }
                (parts, manifest)
            }
            // A file that was cut ends anywhere, a damaged one at the end of a block.
            [.., last] if is_broken && length.is_multiple_of(BLOCK) => {
                return Err(damaged(&format!("what follows {}", last.name)));
            }
            _ => return Err(BackupError::Unfinished(path.to_owned())),
        };
        let edition: Edition = parsed(&manifest).ok_or_else(|| damaged(MANIFEST))?;
        if edition.format > FORMAT {
            return Err(BackupError::Newer(edition.program));
        }
        let manifest: Manifest = parsed(&manifest).ok_or_else(|| damaged(MANIFEST))?;
        if manifest.schema > Store::LATEST {
            return Err(BackupError::Newer(manifest.program));
        }
        if parts.len() != manifest.parts.len() {
            return Err(damaged("it holds other parts than its manifest names"));
        }
        let mut places = HashMap::with_capacity(parts.len());
        for (number, (found, part)) in parts.iter().zip(&manifest.parts).enumerate() {
            if (&found.name, found.bytes) != (&part.name, part.bytes) {
                return Err(damaged(&part.name));
            }
            places.insert(part.name.clone(), (number, found.at));
        }
        Ok(Self { path: path.to_owned(), file, manifest, places })
    }

    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads all of it and names the first part that is not what was written.
    pub fn verify(&self, told: &mut dyn FnMut(Step<'_>)) -> Result<(), BackupError> {
        let of = self.manifest.parts.iter().map(|part| part.bytes).sum();
        let mut done = 0;
        for part in &self.manifest.parts {
            let mut pieces = self.pieces(&part.name)?;
            while let Some(piece) = pieces.next()? {
                done += piece.len() as u64;
                told(Step { what: "checking the backup", done, of });
            }
        }
        Ok(())
    }

    pub fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// A part, piece by piece. Its last piece is right only if another call says that there is none.
    pub fn pieces(&self, name: &str) -> Result<Pieces<'_>, BackupError> {
        let (number, at) = *self.places.get(name).ok_or_else(|| self.damaged(name))?;
        let part = &self.manifest.parts[number];
        Ok(Pieces { backup: self, part, at, left: part.bytes, hash: Sha256::new() })
    }

    /// A part as a whole.
    pub fn part(&self, name: &str) -> Result<Vec<u8>, BackupError> {
        let mut pieces = self.pieces(name)?;
        if pieces.left > LONGEST {
            return Err(self.damaged(name));
        }
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next()? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// The line's keys.
    ///
    /// * `passphrase` — takes a moment, and may be wrong.
    pub fn keys(&self, passphrase: Option<&Passphrase>) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        if !self.manifest.with_keys {
            return Err(BackupError::NoKeys);
        }
        let passphrase = passphrase.ok_or(BackupError::NoPassphrase)?;
        Ok(vault::opened(passphrase, &self.part(KEYS)?)?)
    }

    /// What is said of a part that is not what was written.
    pub fn damaged(&self, part: &str) -> BackupError {
        BackupError::Damaged { path: self.path.clone(), part: part.to_owned() }
    }
}

impl Pieces<'_> {
    /// The next piece; nothing once all were right.
    pub fn next(&mut self) -> Result<Option<Bytes>, BackupError> {
        let Self { backup, part, .. } = *self;
        if self.left == 0 {
            let right = hex::encode(self.hash.clone().finalize()) == part.sha256;
            return if right { Ok(None) } else { Err(backup.damaged(&part.name)) };
        }
        let length = self.left.min(PIECE);
        let mut piece = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = backup.file.read_exact_at(&mut piece, self.at);
        read.map_err(|source| BackupError::File { path: backup.path.clone(), source })?;
        self.hash.update(&piece);
        self.at += length;
        self.left -= length;
        Ok(Some(piece.into()))
    }
}

impl Found {
    /// Where the archive ends if nothing follows.
    fn end(&self) -> u64 {
        let filled = self.bytes.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        self.at.saturating_add(filled).saturating_add(END.len() as u64)
    }
}

/// What stands in the archive, as far as it can be read.
///
/// * returns — also whether something stands there that is no heading.
fn contents(file: &File) -> (Vec<Found>, bool) {
    let mut archive = Archive::new(file);
    let Ok(entries) = archive.entries_with_seek() else { return (Vec::new(), true) };
    let mut found = Vec::new();
    for entry in entries {
        let Ok(entry) = entry else { return (found, true) };
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        found.push(Found { name, at: entry.raw_file_position(), bytes: entry.size() });
    }
    (found, false)
}

fn whole(file: &File, found: &Found) -> io::Result<Vec<u8>> {
    if found.bytes > LONGEST_MANIFEST {
        return Err(io::Error::other(format!("{} is too long", found.name)));
    }
    let mut bytes = vec![0; usize::try_from(found.bytes).unwrap_or(0)];
    file.read_exact_at(&mut bytes, found.at)?;
    Ok(bytes)
}

fn parsed<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}
