//! Files that are trusted only by their SHA-256: hashing, and writing so that a crash leaves the old file or the new.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::speech::SpeechError;

/// SHA-256 of bytes in memory, lower-case hexadecimal.
pub(super) fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// SHA-256 of a file, read in pieces.
///
/// * `progress` — called with the bytes read so far.
pub(super) fn hash_file(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<String, SpeechError> {
    let mut file = File::open(path).map_err(SpeechError::file("cannot open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let count = file.read(&mut buffer).map_err(SpeechError::file("cannot read", path))?;
        if count == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
        done += count as u64;
        progress(done);
    }
}

/// A file under another name until [`Draft::keep`]; dropped before that, it is gone.
pub(super) struct Draft {
    temporary: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl Draft {
    /// * `path` — where the file will stand; its folder is made if need be.
    pub(super) fn new(path: &Path) -> Result<Self, SpeechError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(SpeechError::file("cannot create folder", folder))?;
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.part", std::process::id()));
        Ok(Self { temporary: path.with_file_name(name), path: path.into(), kept: false })
    }

    /// Where to write meanwhile.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Writes everything at once.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), SpeechError> {
        let mut file = File::create(&self.temporary).map_err(SpeechError::file("cannot create", &self.temporary))?;
        file.write_all(bytes).map_err(SpeechError::file("cannot write", &self.temporary))
    }

    /// Makes the file durable under its own name.
    pub(super) fn keep(mut self) -> Result<(), SpeechError> {
        let file = File::open(&self.temporary).map_err(SpeechError::file("cannot open", &self.temporary))?;
        file.sync_all().map_err(SpeechError::file("cannot write", &self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(SpeechError::file("cannot write", &self.path))?;
        self.kept = true;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(SpeechError::file("cannot write", folder))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // Absent when nothing was written yet.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A folder for downloads that goes away with its owner.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(models: &Path) -> Result<Self, SpeechError> {
        let folder = models.join(format!(".fetch-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(SpeechError::file("cannot create folder", &folder))?;
        Ok(Self(folder))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_is_not_kept_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/model.bin");
        let draft = Draft::new(&path).expect("a draft");
        draft.write(b"half").expect("written");
        drop(draft);
        assert_eq!(fs::read_dir(folder.path().join("deep")).expect("made").count(), 0);

        let draft = Draft::new(&path).expect("a draft");
        draft.write(b"abc").expect("written");
        draft.keep().expect("kept");
        let found = hash_file(&path, &mut |_| {}).expect("hashed");
        assert_eq!(found, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(found, hash(b"abc"));
    }
}
