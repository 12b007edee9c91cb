//! Key files: for the line's user alone, written whole or not at all, refused when anything is odd about them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use zeroize::Zeroizing;

use super::VaultError;

/// Longest key file that is read: some thousand keys.
const LONGEST: u64 = 1 << 20;

/// Makes the folder if it is not there, open to the line's user alone.
pub fn make_folder(folder: &Path) -> Result<(), VaultError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| VaultError::Folder { path: folder.to_owned(), source })
}

/// Reads a file that nobody else may read.
pub fn read(path: &Path) -> Result<Zeroizing<String>, VaultError> {
    let wrong = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => VaultError::Missing(path.to_owned()),
        _ => VaultError::File { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(wrong)?;
    let mode = file.metadata().map_err(wrong)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(VaultError::OpenToOthers { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
    match file.take(LONGEST).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(VaultError::damaged(path, "it is no text")),
        Err(error) => Err(wrong(error)),
    }
}

/// Puts a file in place of another, or of none: temporary file, fsync, rename, fsync of the folder.
///
/// * `mode` — permission bits.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), VaultError> {
    let part = path.with_extension("part");
    let written = || -> io::Result<()> {
        // What a crash left of an earlier attempt.
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    written().map_err(|source| VaultError::File { path: path.to_owned(), source })
}

/// Changes when the file is replaced.
pub fn stamp(path: &Path) -> Option<(u64, i64, i64)> {
    fs::metadata(path).ok().map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

/// Waits until no other process changes the folder; until the file is dropped none will.
pub fn lock(folder: &Path) -> Result<File, VaultError> {
    let path = folder.join(".lock");
    let locked = || -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    locked().map_err(|source| VaultError::File { path: path.clone(), source })
}
