//! A recording as a local file, for a worker: it has no keys and reads no store.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    ops::Deref,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::RecordingError;

/// Opened copies at once: one for each worker that the settings allow.
pub const COPIES: usize = 256;

/// How their names begin; no call's file does.
const PREFIX: &str = "opened-";

/// A file to be read; a copy that was made for it goes away with it. Do not change it.
#[derive(Debug)]
pub struct Fetched {
    path: PathBuf,
    copy: Option<Copy>,
}

/// Locked, which tells other processes that somebody needs it.
#[derive(Debug)]
struct Copy {
    file: File,
    _place: OwnedSemaphorePermit,
}

impl Fetched {
    /// A file of the store itself.
    pub const fn of_store(path: PathBuf) -> Self {
        Self { path, copy: None }
    }

    /// Begins a copy that the line's user alone can read.
    ///
    /// * `place` — held as long as the copy is there.
    pub fn copy(spool: &Path, id: Uuid, place: OwnedSemaphorePermit) -> Result<Self, RecordingError> {
        let path = spool.join(format!("{PREFIX}{id}.wav"));
        let begun = || -> io::Result<File> {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.try_lock()?;
            // Another process may have taken it for a leftover just before it was locked.
            if fs::metadata(&path)?.ino() == file.metadata()?.ino() {
                Ok(file)
            } else {
                Err(io::Error::other("it was removed while it was made"))
            }
        };
        match begun() {
            Ok(file) => Ok(Self { path, copy: Some(Copy { file, _place: place }) }),
            Err(source) => Err(RecordingError::File { path, source }),
        }
    }

    /// Adds to a copy that is being made.
    pub fn append(mut self, bytes: &[u8]) -> Result<Self, RecordingError> {
        let written = self.copy.as_mut().map_or(Ok(()), |copy| copy.file.write_all(bytes));
        written.map_err(|source| RecordingError::File { path: self.path.clone(), source })?;
        Ok(self)
    }
}

impl Deref for Fetched {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Fetched {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if self.copy.is_some()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "recording: an opened copy cannot be removed");
        }
    }
}

/// Removes copies that a dead process left.
pub fn sweep(spool: &Path) -> io::Result<()> {
    for entry in fs::read_dir(spool)? {
        let path = entry?.path();
        let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
        if ours && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Arc};

    use tokio::sync::Semaphore;

    use super::*;
    use crate::clock::Clock;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_copy_is_private_and_goes_with_its_reader_and_a_dead_ones_at_the_next_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = || Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
        let copy = Fetched::copy(folder.path(), Clock::system().uuid(), place()).expect("room");
        let copy = copy.append(b"sound").expect("room");
        assert_eq!(fs::metadata(&copy).expect("a file").permissions().mode() & 0o777, 0o600);
        sweep(folder.path()).expect("swept");
        assert_eq!(fs::read(&copy).expect("somebody needs it"), b"sound");
        drop(copy);
        assert_eq!(names(folder.path()), [""; 0]);

        // As kill -9 leaves it, with a growing recording and a stranger's file beside it.
        for name in [format!("{PREFIX}1.wav"), "01999999-0000-7000-8000-000000000000.wav".into(), "notes".into()] {
            fs::write(folder.path().join(name), b"sound").expect("room");
        }
        sweep(folder.path()).expect("swept");
        let mut left = names(folder.path());
        left.sort();
        assert_eq!(left, ["01999999-0000-7000-8000-000000000000.wav", "notes"]);
    }
}
