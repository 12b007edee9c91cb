//! Objects of the store behind the seal: nothing is written there that is not sealed.
//!
//! What versions before the vault wrote (plain WAV and JSON) is read as it is.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, buffered::BufWriter, local::LocalFileSystem, path::Path as Key,
};
use tokio::{io::AsyncWriteExt, sync::Semaphore};

use super::{
    Papers, RecordingError, blocking,
    shelf::{self, Opened},
};
use crate::vault::{CHUNK, HEAD, Opener, Refused, Sealer, Vault, VaultError, is_sealed};

/// Bytes sent at once; S3 takes no smaller parts.
const PART: usize = 5 * 1024 * 1024;
/// Objects written at once; each holds up to three parts in memory.
const WRITERS: usize = 8;
/// Chunks sealed in one go.
const STRIDE: usize = 16;
/// Never there.
const PROBE: &str = ".probe";
/// Objects whose head is remembered, so that a player's next piece costs one request and not two.
const REMEMBERED: usize = 64;

/// The store with the seal in front of it.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    local: Option<Arc<LocalFileSystem>>,
    vault: Vault,
    writers: Semaphore,
    /// Latest last.
    known: Mutex<VecDeque<(String, Arc<Form>)>>,
}

/// How an object was written.
enum Form {
    Plain { size: u64 },
    Sealed(Opener),
}

impl Objects {
    pub fn new(shelf: Opened, vault: Vault) -> Self {
        let Opened { store, local } = shelf;
        let (writers, known) = (Semaphore::new(WRITERS), Mutex::default());
        Self { store, local, vault, writers, known }
    }

    /// Bytes of the plain text.
    pub async fn size(&self, key: &str) -> Result<u64, RecordingError> {
        Ok(match &*self.form(key).await? {
            Form::Plain { size } => *size,
            Form::Sealed(opener) => opener.size(),
        })
    }

    /// A part of the plain text; the end is cut at the end of the object.
    pub async fn read(&self, key: &str, part: Range<u64>) -> Result<Bytes, RecordingError> {
        if part.is_empty() {
            return Ok(Bytes::new());
        }
        let form = self.form(key).await?;
        let place = match &*form {
            Form::Plain { .. } => Some(part.clone()),
            Form::Sealed(opener) => opener.place(part.clone()),
        };
        let Some(place) = place else { return Ok(Bytes::new()) };
        let bytes = self.store.get_range(&Key::from(key), place).await;
        let bytes = bytes.map_err(|error| self.trouble(key, error))?;
        if let Form::Plain { .. } = &*form {
            return Ok(bytes);
        }
        let opened = blocking(move || match &*form {
            Form::Plain { .. } => Ok(Ok(bytes)),
            Form::Sealed(opener) => Ok(opener.open(part, &bytes).map(Bytes::from)),
        });
        opened.await?.map_err(|Refused| {
            // Perhaps it was written anew since its head was read.
            self.forget(key);
            VaultError::Changed(key.to_owned()).into()
        })
    }

    /// All of the plain text; for small objects.
    pub async fn whole(&self, key: &str) -> Result<Bytes, RecordingError> {
        let size = self.size(key).await?;
        self.read(key, 0..size).await
    }

    /// Seals something small.
    pub async fn put(&self, key: &str, plain: Vec<u8>) -> Result<(), RecordingError> {
        self.forget(key);
        let sealed = self.vault.seal(key, &plain)?;
        let stored = self.store.put(&Key::from(key), sealed.into()).await;
        stored.map(drop).map_err(|error| self.trouble(key, error))
    }

    /// Seals a file on its way into the store. The object appears when all of it is there.
    pub async fn put_file(&self, from: &Path, key: &str) -> Result<(), RecordingError> {
        self.forget(key);
        let _place = self.writers.acquire().await.map_err(|_| RecordingError::Stopped)?;
        let (path, vault, name) = (from.to_owned(), self.vault.clone(), key.to_owned());
        let mut source = blocking(move || Source::open(path, &vault, &name)).await?;
        let mut target =
            BufWriter::with_capacity(Arc::clone(&self.store), Key::from(key), PART).with_max_concurrency(1);
        let sent = async {
            loop {
                let stride;
                (source, stride) = blocking(move || source.next()).await?;
                if stride.is_empty() {
                    return Ok(());
                }
                target.put(stride.into()).await.map_err(|error| self.trouble(key, error))?;
            }
        };
        if let Err(error) = sent.await {
            // What was sent so far must not lie there for ever; a store that is away forgets it by its own rule.
            let _ = target.abort().await;
            return Err(error);
        }
        let done = target.shutdown().await;
        done.map_err(|error| self.trouble(key, generic(error)))
    }

    /// The file of an object that can be read by anybody who may read the file.
    pub async fn plain_file(&self, key: &str) -> Result<Option<PathBuf>, RecordingError> {
        let plain = matches!(&*self.form(key).await?, Form::Plain { .. });
        let path = || self.local.as_ref()?.path_to_filesystem(&Key::from(key)).ok();
        Ok(Some(()).filter(|()| plain).and_then(|()| path()))
    }

    /// Takes an object away for good; one that is not there is no error, as in S3.
    pub async fn delete(&self, key: &str) -> Result<(), RecordingError> {
        self.forget(key);
        match self.store.delete(&Key::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.trouble(key, error)),
        }
    }

    /// Small files that are not sealed.
    pub fn papers(&self) -> Papers {
        Papers::new(Arc::clone(&self.store))
    }

    /// The names of all objects, in no order.
    pub async fn names(&self) -> Result<Vec<String>, RecordingError> {
        let names = self.store.list(None).map_ok(|object| object.location.to_string());
        names.try_collect().await.map_err(|error| self.trouble("", error))
    }

    /// Writes into a folder; has a bucket list what is not there, which is cheap and wants address, key and bucket to be
    /// right.
    pub async fn ready(&self) -> Result<(), RecordingError> {
        if let Some(local) = &self.local {
            let folder = local.path_to_filesystem(&Key::from(PROBE)).ok();
            let folder = folder.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
            return blocking(move || shelf::prove_writable("storage.url", &folder)).await;
        }
        let listed = self.store.list_with_delimiter(Some(&Key::from(PROBE))).await;
        listed.map(drop).map_err(|source| RecordingError::Store { key: PROBE.to_owned(), source })
    }

    async fn form(&self, key: &str) -> Result<Arc<Form>, RecordingError> {
        if let Some(form) = self.remembered(key) {
            return Ok(form);
        }
        let options = GetOptions { range: Some(GetRange::Bounded(0..HEAD as u64)), ..GetOptions::default() };
        let found = self.store.get_opts(&Key::from(key), options).await;
        let found = found.map_err(|error| self.trouble(key, error))?;
        let size = found.meta.size;
        let head = found.bytes().await.map_err(|error| self.trouble(key, error))?;
        let form = if is_sealed(&head) {
            let opener = self.vault.opener(key, &head)?;
            if opener.sealed_size() != size {
                return Err(VaultError::Changed(key.to_owned()).into());
            }
            Form::Sealed(opener)
        } else {
            Form::Plain { size }
        };
        let form = Arc::new(form);
        let mut known = self.known();
        known.retain(|(name, _)| name != key);
        if known.len() == REMEMBERED {
            known.pop_front();
        }
        known.push_back((key.to_owned(), Arc::clone(&form)));
        Ok(form)
    }

    fn remembered(&self, key: &str) -> Option<Arc<Form>> {
        self.known().iter().find(|(name, _)| name == key).map(|(_, form)| Arc::clone(form))
    }

    fn forget(&self, key: &str) {
        self.known().retain(|(name, _)| name != key);
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<(String, Arc<Form>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self, key: &str, source: object_store::Error) -> RecordingError {
        self.forget(key);
        match source {
            object_store::Error::NotFound { .. } => RecordingError::NoKey(key.to_owned()),
            source => RecordingError::Store { key: key.to_owned(), source },
        }
    }
}

impl std::fmt::Display for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.store.fmt(f)
    }
}

/// A file that is sealed while it is read.
struct Source {
    path: PathBuf,
    file: File,
    sealer: Sealer,
    /// Whether the head went out.
    begun: bool,
}

impl Source {
    fn open(path: PathBuf, vault: &Vault, name: &str) -> Result<Self, RecordingError> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = opened.map_err(|source| RecordingError::File { path: path.clone(), source })?;
        Ok(Self { path, file, sealer: vault.sealer(name, size)?, begun: false })
    }

    /// The next sealed bytes; empty at the end.
    fn next(mut self) -> Result<(Self, Vec<u8>), RecordingError> {
        let mut sealed = Vec::with_capacity(HEAD + STRIDE * (CHUNK + 64));
        if !self.begun {
            sealed.extend_from_slice(self.sealer.head());
            self.begun = true;
        }
        for _ in 0..STRIDE {
            if self.sealer.is_done() {
                break;
            }
            let mut chunk = vec![0; self.sealer.wants()];
            let read = self.file.read_exact(&mut chunk).and_then(|()| {
                let grown = |Refused| io::Error::other("its length changed while it was sealed");
                self.sealer.seal(&mut chunk).map_err(grown)
            });
            read.map_err(|source| RecordingError::File { path: self.path.clone(), source })?;
            sealed.append(&mut chunk);
        }
        Ok((self, sealed))
    }
}

/// tokio's writers wrap the store's own error.
fn generic(error: io::Error) -> object_store::Error {
    match error.downcast::<object_store::Error>() {
        Ok(inner) => inner,
        Err(error) => object_store::Error::Generic { store: "recordings", source: error.into() },
    }
}
