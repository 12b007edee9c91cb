//! Writes the archive: under another name until it is whole, each part hashed on its way.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufWriter, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use super::{
    BackupError,
    manifest::{BLOCK, END, MANIFEST, Manifest, Part, SEAL},
};
use crate::domain::time::UnixMs;

/// How the files begin that are named by their time.
pub const NAME: &str = "hotline-";
/// What stands behind a name until the file is whole.
const UNFINISHED: &str = ".part";

/// An archive that grows. Dropping it takes the unfinished file away.
pub struct Writer {
    file: BufWriter<File>,
    target: PathBuf,
    made: UnixMs,
    parts: Vec<Part>,
    open: Option<Open>,
}

struct Open {
    name: String,
    bytes: u64,
    left: u64,
    hash: Sha256,
}

/// An archive that is whole and safe on disk, and has not got its name yet.
pub struct Whole(Writer);

impl Writer {
    /// Begins a file beside `target`.
    pub fn begin(target: &Path, made: UnixMs) -> Result<Self, BackupError> {
        if target.exists() {
            return Err(BackupError::Exists(target.to_owned()));
        }
        let path = unfinished(target);
        let wrong = |source| BackupError::File { path: path.clone(), source };
        // What a dead process left is written over; what a living one writes is not.
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy(path)),
            Err(TryLockError::Error(source)) => return Err(wrong(source)),
        }
        // Whoever had it until now may have given it its name, or taken it away.
        let named = fs::metadata(&path).ok().map(|meta| meta.ino());
        if named != Some(file.metadata().map_err(wrong)?.ino()) {
            return Err(BackupError::Busy(path));
        }
        file.set_len(0).map_err(wrong)?;
        let (target, file) = (target.to_owned(), BufWriter::with_capacity(1 << 20, file));
        Ok(Self { file, target, made, parts: Vec::new(), open: None })
    }

    /// Adds a part.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        self.open(name, bytes.len() as u64)?;
        self.piece(bytes)?;
        self.close()
    }

    /// Begins a part of a known length; its pieces follow, then [`Writer::close`].
    pub fn open(&mut self, name: &str, bytes: u64) -> Result<(), BackupError> {
        let header = self.header(name, bytes);
        let header = header.map_err(|source| self.wrong(source))?;
        self.put(header.as_bytes())?;
        self.open = Some(Open { name: name.to_owned(), bytes, left: bytes, hash: Sha256::new() });
        Ok(())
    }

    /// The next bytes of the open part.
    pub fn piece(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let length = bytes.len() as u64;
        match &mut self.open {
            Some(open) if length <= open.left => {
                open.left -= length;
                open.hash.update(bytes);
            }
            _ => return Err(self.wrong(io::Error::other("a part became longer while it was copied"))),
        }
        self.put(bytes)
    }

    /// Ends the open part.
    pub fn close(&mut self) -> Result<(), BackupError> {
        let Some(open) = self.open.take().filter(|open| open.left == 0) else {
            return Err(self.wrong(io::Error::other("a part became shorter while it was copied")));
        };
        let filling = open.bytes.next_multiple_of(BLOCK) - open.bytes;
        self.put(&END[..usize::try_from(filling).unwrap_or(0)])?;
        let sha256 = hex::encode(open.hash.finalize());
        self.parts.push(Part { name: open.name, bytes: open.bytes, sha256 });
        Ok(())
    }

    /// Adds the manifest and makes everything safe on disk.
    ///
    /// * `manifest` — all but the parts.
    pub fn finish(mut self, mut manifest: Manifest) -> Result<(Whole, Manifest), BackupError> {
        manifest.parts = std::mem::take(&mut self.parts);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| self.wrong(error.into()))?;
        self.add(MANIFEST, &text)?;
        self.add(SEAL, hex::encode(Sha256::digest(&text)).as_bytes())?;
        self.put(&END)?;
        let safe = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        safe.map_err(|source| self.wrong(source))?;
        Ok((Whole(self), manifest))
    }

    fn header(&self, name: &str, bytes: u64) -> io::Result<Header> {
        let mut header = Header::new_gnu();
        header.set_path(name)?;
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_entry_type(EntryType::Regular);
        header.set_mtime(u64::try_from(self.made.0 / 1000).unwrap_or(0));
        header.set_cksum();
        Ok(header)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| self.wrong(source))
    }

    fn wrong(&self, source: io::Error) -> BackupError {
        BackupError::File { path: unfinished(&self.target), source }
    }
}

impl Whole {
    /// Gives the file its name.
    ///
    /// * returns — its length in bytes.
    pub fn publish(self) -> Result<u64, BackupError> {
        let Writer { target, file, .. } = &self.0;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let named = || -> io::Result<u64> {
            fs::rename(unfinished(target), target)?;
            File::open(folder)?.sync_all()?;
            Ok(file.get_ref().metadata()?.len())
        };
        named().map_err(|source| BackupError::File { path: target.clone(), source })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let path = unfinished(&self.target);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "backup: an unfinished file stays behind");
        }
    }
}

/// Takes away what dead processes left unfinished in a folder; what a living one writes stays.
pub fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(NAME) && name.ends_with(UNFINISHED) {
            let file = OpenOptions::new().write(true).open(&path)?;
            if file.try_lock().is_ok() {
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}

/// What a file is called until it is whole.
fn unfinished(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}
