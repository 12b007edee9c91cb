//! The spool folder and the object store behind one door.

use std::{
    collections::HashMap,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::AtomicUsize,
        mpsc::{self, Sender},
    },
};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Key};
use tokio::sync::watch;
use tracing::Instrument;

use super::{
    CallFacts, Closing, Peaks, RecordingError, Sealed, Tap,
    seal::{self, Leftover},
    sidecar::Early,
    spool::SpoolFile,
    writer::{self, Message, Written},
};
use crate::{clock::Clock, config::Storage, domain::ids::CallId, telemetry::WALK};

/// All recordings: those that grow and those that are sealed. Cheap to clone.
#[derive(Clone)]
pub struct Archive(Arc<Inner>);

struct Inner {
    spool: PathBuf,
    store: Arc<LocalFileSystem>,
    clock: Clock,
    writer: Sender<Message>,
    waiting: Arc<AtomicUsize>,
    /// Begun by this process and not sealed yet.
    growing: Mutex<HashMap<CallId, Arc<Growing>>>,
}

struct Growing {
    done: watch::Receiver<Option<Written>>,
    /// One seals, the others wait for its answer.
    turn: tokio::sync::Mutex<()>,
}

impl Archive {
    /// Creates the folders and proves that they can be written; starts the writer thread.
    pub fn open(storage: &Storage, clock: Clock) -> Result<Self, RecordingError> {
        let folder = storage.url.strip_prefix("file://").filter(|folder| !folder.is_empty());
        let folder = PathBuf::from(folder.ok_or_else(|| RecordingError::Url(storage.url.clone()))?);
        for (key, path) in [("storage.url", &folder), ("storage.spool", &storage.spool)] {
            prove_writable(path).map_err(|source| RecordingError::Folder { key, path: path.clone(), source })?;
        }
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|source| RecordingError::Store { key: storage.url.clone(), source })?
            .with_fsync(true);
        let (writer, messages) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        writer::start(messages, Arc::clone(&waiting))
            .map_err(|source| RecordingError::File { path: storage.spool.clone(), source })?;
        Ok(Self(Arc::new(Inner {
            spool: storage.spool.clone(),
            store: Arc::new(store),
            clock,
            writer,
            waiting,
            growing: Mutex::default(),
        })))
    }

    /// One below a folder, for a test.
    #[cfg(test)]
    pub(crate) fn in_folder(folder: &Path, clock: Clock) -> Self {
        Self::open(&Storage::in_folder(folder), clock).expect("a folder that can be written")
    }

    /// Begins a recording: `<spool>/<call>.wav` and an early sidecar. Sample 0 is when the media plane is told to
    /// record.
    pub async fn start(&self, facts: CallFacts) -> Result<Tap, RecordingError> {
        let span = tracing::info_span!(target: WALK, "recording.open", call.id = %facts.call);
        self.begin(facts).instrument(span).await
    }

    async fn begin(&self, facts: CallFacts) -> Result<Tap, RecordingError> {
        let call = facts.call;
        if self.growing().contains_key(&call) {
            return Err(RecordingError::Twice(call));
        }
        let path = seal::spool_wav(&self.0.spool, call);
        let file = blocking(move || {
            SpoolFile::create(path.clone()).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => RecordingError::Twice(call),
                _ => RecordingError::File { path, source },
            })
        })
        .await?;
        let (done, waits) = watch::channel(None);
        let sidecar = seal::spool_json(&self.0.spool, call);
        let early = Box::new(Early::new(facts));
        let open = Message::Open { early, sidecar, file: Box::new(file), done };
        self.0.writer.send(open).map_err(|_| RecordingError::Stopped)?;
        self.growing().insert(call, Arc::new(Growing { done: waits, turn: tokio::sync::Mutex::default() }));
        Ok(Tap::new(call, self.0.writer.clone(), Arc::clone(&self.0.waiting)))
    }

    /// Where a call's recording stands in the store: `YYYY/MM/DD/<call>.wav`, the city's date when the call began.
    pub fn key(call: CallId) -> String {
        seal::key(call)
    }

    /// Waits until the tap is dropped and everything is written, then hashes, writes the sidecar, stores both and
    /// removes the spool files. Asking twice gives the same answer.
    pub async fn seal(&self, call: CallId, closing: Closing) -> Result<Sealed, RecordingError> {
        let span = tracing::info_span!(target: WALK, "recording.seal", call.id = %call);
        self.finish(call, closing).instrument(span).await
    }

    async fn finish(&self, call: CallId, closing: Closing) -> Result<Sealed, RecordingError> {
        let growing = self.growing().get(&call).cloned();
        let Some(growing) = growing else { return self.seal_leftover(call, Some(closing)).await };
        let _turn = growing.turn.lock().await;
        if !self.growing().contains_key(&call) {
            return self.seal_leftover(call, Some(closing)).await;
        }
        let mut done = growing.done.clone();
        let written = done.wait_for(Option::is_some).await.map_err(|_| RecordingError::Stopped)?.clone();
        let sealed = self.store_spool(call, Some(closing), written).await?;
        self.growing().remove(&call);
        Ok(sealed)
    }

    /// Repairs and seals (as interrupted) what a dead process left in the spool; what another process is still
    /// writing is left alone. What cannot be sealed is logged and stays there.
    pub async fn recover(&self) -> Result<Vec<Sealed>, RecordingError> {
        let spool = self.0.spool.clone();
        let calls = blocking(move || seal::list(&spool)).await?;
        let mut all = Vec::new();
        for call in calls {
            let ours = self.growing().contains_key(&call);
            if ours || seal::is_locked(&seal::spool_wav(&self.0.spool, call)) {
                continue;
            }
            match self.seal_leftover(call, None).await {
                Ok(sealed) => all.push(sealed),
                Err(error) => tracing::error!(call.id = %call, error = &error as &dyn std::error::Error,
                    "recording: cannot be recovered; it stays in the spool"),
            }
        }
        Ok(all)
    }

    /// The stored sidecar of a call.
    pub async fn stored(&self, call: CallId) -> Result<Option<Sealed>, RecordingError> {
        let key = seal::sidecar_key(&Self::key(call));
        match self.bytes(&key, None).await {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|error| RecordingError::Format { path: self.path(&key), problem: error.to_string() }),
            Err(RecordingError::NoKey(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every stored sidecar. One that cannot be read is logged and left out.
    pub async fn sidecars(&self) -> Result<Vec<Sealed>, RecordingError> {
        let wrong = |source| RecordingError::Store { key: String::new(), source };
        let mut files = self.0.store.list(None);
        let mut all = Vec::new();
        while let Some(file) = files.try_next().await.map_err(wrong)? {
            let name = file.location.filename().and_then(|name| name.strip_suffix(".json"));
            let Some(Ok(call)) = name.map(str::parse) else { continue };
            match self.stored(call).await {
                Ok(sealed) => all.extend(sealed),
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "recording: unreadable sidecar"),
            }
        }
        Ok(all)
    }

    /// Bytes of a stored file.
    pub async fn size(&self, key: &str) -> Result<u64, RecordingError> {
        let meta = self.0.store.head(&Key::from(key)).await;
        meta.map(|meta| meta.size).map_err(|error| store_error(key, error))
    }

    /// A part of a stored file; the end is cut at the end of the file.
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, RecordingError> {
        self.bytes(key, Some(range)).await
    }

    /// A local file with a stored recording, for the worker; do not change it.
    pub async fn fetch(&self, key: &str) -> Result<PathBuf, RecordingError> {
        self.size(key).await?;
        Ok(self.path(key))
    }

    /// The outline of a stored recording.
    ///
    /// * `points` — 1 to 10,000 (clamped).
    pub async fn peaks(&self, key: &str, points: usize) -> Result<Peaks, RecordingError> {
        Peaks::of(self, key, points).await
    }

    /// Seals what stands in the spool without a writer, or finds what was sealed before.
    async fn seal_leftover(&self, call: CallId, closing: Option<Closing>) -> Result<Sealed, RecordingError> {
        if let Some(sealed) = self.stored(call).await? {
            let spool = self.0.spool.clone();
            blocking(move || seal::remove(&spool, call)).await?;
            return Ok(sealed);
        }
        self.store_spool(call, closing, None).await
    }

    async fn store_spool(
        &self,
        call: CallId,
        closing: Option<Closing>,
        written: Option<Written>,
    ) -> Result<Sealed, RecordingError> {
        let (spool, now) = (self.0.spool.clone(), self.0.clock.now());
        let Leftover { sealed, json, lock } =
            blocking(move || seal::prepare(&spool, call, closing, written, now)).await?;
        let wav = seal::spool_wav(&self.0.spool, call);
        seal::copy(Arc::clone(&self.0.store) as Arc<dyn ObjectStore>, &wav, &sealed.key).await?;
        // The sidecar comes last: where it stands, the recording is whole.
        let key = seal::sidecar_key(&sealed.key);
        let stored = self.0.store.put(&Key::from(key.as_str()), json.into()).await;
        stored.map_err(|source| RecordingError::Store { key, source })?;
        let spool = self.0.spool.clone();
        blocking(move || seal::remove(&spool, call)).await?;
        drop(lock);
        Ok(sealed)
    }

    async fn bytes(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes, RecordingError> {
        let location = Key::from(key);
        let read = match range {
            Some(range) if range.is_empty() => return Ok(Bytes::new()),
            Some(range) => self.0.store.get_range(&location, range).await,
            None => match self.0.store.get(&location).await {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            },
        };
        read.map_err(|error| store_error(key, error))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.0.store.path_to_filesystem(&Key::from(key)).unwrap_or_else(|_| PathBuf::from(key))
    }

    fn growing(&self) -> MutexGuard<'_, HashMap<CallId, Arc<Growing>>> {
        self.0.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({}, {})", self.0.spool.display(), self.0.store)
    }
}

/// File work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RecordingError> + Send + 'static,
) -> Result<T, RecordingError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RecordingError::Stopped)?
}

fn store_error(key: &str, source: object_store::Error) -> RecordingError {
    match source {
        object_store::Error::NotFound { .. } => RecordingError::NoKey(key.to_owned()),
        source => RecordingError::Store { key: key.to_owned(), source },
    }
}

fn prove_writable(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    fs::write(&probe, b"probe")?;
    fs::remove_file(&probe)
}
