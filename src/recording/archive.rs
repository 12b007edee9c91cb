//! The spool folder and the object store behind one door.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;

use super::{
    CallFacts, Closing, Fetched, Papers, Peaks, RecordingError, Sealed, Tap, blocking,
    fetched::{self, COPIES},
    objects::Objects,
    seal::{self, Leftover},
    shelf,
    sidecar::{Early, Speaker},
    spool::SpoolFile,
    writer::{self, Message, Written},
};
use crate::{clock::Clock, config::Storage, domain::ids::CallId, telemetry::WALK, vault::Vault};

/// All recordings: those that grow and those that are sealed. Cheap to clone.
#[derive(Clone)]
pub struct Archive(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) spool: PathBuf,
    pub(super) objects: Objects,
    clock: Clock,
    writer: Sender<Message>,
    waiting: Arc<AtomicUsize>,
    /// Begun by this process and not sealed yet.
    growing: Mutex<HashMap<CallId, Arc<Growing>>>,
    /// Whether something of a dead process is still in the spool because the store or the keys were away.
    pub(super) left_behind: AtomicBool,
    copies: Arc<Semaphore>,
    /// What the last look at the store gave, and whose turn it is to look.
    looked: tokio::sync::Mutex<Option<(Instant, Result<(), String>)>>,
}

pub(super) struct Growing {
    pub(super) done: watch::Receiver<Option<Written>>,
    /// One seals, the others wait for its answer.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// How the call ended; there once somebody wants it sealed.
    pub(super) closing: OnceLock<Closing>,
}

impl Archive {
    /// How long an answer of [`Archive::ready`] holds.
    const LOOK_EVERY: Duration = Duration::from_secs(5);
    /// Bytes copied at once for a worker.
    const PIECE: u64 = 1024 * 1024;

    /// Opens the store, proves that the folders can be written, removes what a dead process opened; starts the writer
    /// thread. A store in another machine need not be there now.
    pub fn open(storage: &Storage, vault: Vault, clock: Clock) -> Result<Self, RecordingError> {
        let spool = &storage.spool;
        shelf::make_writable("storage.spool", spool)?;
        let objects = Objects::new(shelf::open(storage)?, vault);
        let wrong = |source| RecordingError::File { path: spool.clone(), source };
        fetched::sweep(spool).map_err(wrong)?;
        let (writer, messages) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        writer::start(messages, Arc::clone(&waiting)).map_err(wrong)?;
        Ok(Self(Arc::new(Inner {
            spool: spool.clone(),
            objects,
            clock,
            writer,
            waiting,
            growing: Mutex::default(),
            left_behind: AtomicBool::new(false),
            copies: Arc::new(Semaphore::new(COPIES)),
            looked: tokio::sync::Mutex::default(),
        })))
    }

    /// One below a folder, with keys of its own, for a test.
    #[cfg(test)]
    pub(crate) fn in_folder(folder: &std::path::Path, clock: Clock) -> Self {
        let vault = Vault::in_folder(folder, clock.clone());
        Self::open(&Storage::in_folder(folder), vault, clock).expect("a folder that can be written")
    }

    /// Small files beside the recordings.
    pub fn papers(&self) -> Papers {
        self.0.objects.papers()
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
        let (path, sidecar) = (seal::spool_wav(&self.0.spool, call), seal::spool_json(&self.0.spool, call));
        let spool = self.0.spool.clone();
        let early = Box::new(Early::new(facts));
        // Both are there before the 200: whoever was answered is known after a crash, however busy the disk is.
        let (file, early, sidecar) = blocking(move || {
            let file = SpoolFile::create(path.clone()).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => RecordingError::Twice(call),
                _ => RecordingError::File { path: path.clone(), source },
            })?;
            if let Err(source) = writer::write_sidecar(&sidecar, &early) {
                // Else the next start would take it for the recording of a call that was answered.
                let _ = seal::remove(&spool, call);
                return Err(RecordingError::File { path: sidecar, source });
            }
            Ok((file, early, sidecar))
        })
        .await?;
        let (done, waits) = watch::channel(None);
        let open = Message::Open { early, sidecar, file: Box::new(file), done };
        self.0.writer.send(open).map_err(|_| RecordingError::Stopped)?;
        let (turn, closing) = (tokio::sync::Mutex::default(), OnceLock::new());
        self.growing().insert(call, Arc::new(Growing { done: waits, turn, closing }));
        Ok(Tap::new(call, self.0.writer.clone(), Arc::clone(&self.0.waiting)))
    }

    /// More became known about a call whose recording grows: its sidecar says so from now on.
    pub fn amend(&self, facts: CallFacts) {
        // The writer outlives every archive; if it is gone, so is the process.
        let _ = self.0.writer.send(Message::Facts(Box::new(facts)));
    }

    /// The recordings that grow in this process, with their files, which may be read meanwhile.
    pub fn growing_calls(&self) -> Vec<(CallId, PathBuf)> {
        self.growing().keys().map(|call| (*call, seal::spool_wav(&self.0.spool, *call))).collect()
    }

    /// Who was heard on the right channel of a recording that grows, as far as is noted; nobody once it is sealed.
    pub async fn speakers_so_far(&self, call: CallId) -> Vec<Speaker> {
        let path = seal::spool_json(&self.0.spool, call);
        let read = blocking(move || {
            let text = std::fs::read(&path).map_err(|source| RecordingError::File { path: path.clone(), source })?;
            let early: Option<Early> = serde_json::from_slice(&text).ok();
            Ok(early.map(|early| early.speakers).unwrap_or_default())
        });
        read.await.unwrap_or_default()
    }

    /// Where a call's recording stands in the store: `YYYY/MM/DD/<call>.wav`, the city's date when the call began.
    pub fn key(call: CallId) -> String {
        seal::key(call)
    }

    /// Waits until the tap is dropped and everything is written, then hashes, writes the sidecar, stores both and
    /// removes the spool files. Asking twice gives the same answer.
    ///
    /// If the store cannot take it now, it stays in the spool until [`Archive::seal_late`].
    pub async fn seal(&self, call: CallId, closing: Closing) -> Result<Sealed, RecordingError> {
        let span = tracing::info_span!(target: WALK, "recording.seal", call.id = %call);
        self.finish(call, closing).instrument(span).await
    }

    async fn finish(&self, call: CallId, closing: Closing) -> Result<Sealed, RecordingError> {
        let growing = self.growing().get(&call).cloned();
        let Some(growing) = growing else { return self.seal_leftover(call, Some(closing)).await };
        let closing = *growing.closing.get_or_init(|| closing);
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
        let (mut all, mut left) = (Vec::new(), false);
        for call in calls {
            let ours = self.growing().contains_key(&call);
            if ours || seal::is_locked(&seal::spool_wav(&self.0.spool, call)) {
                continue;
            }
            match self.seal_leftover(call, None).await {
                Ok(sealed) => all.push(sealed),
                Err(error) => {
                    tracing::error!(call.id = %call, error = &error as &dyn std::error::Error,
                        "recording: cannot be recovered; it stays in the spool");
                    // The others would wait for the store in vain, one after another.
                    left = error.may_pass();
                    if left {
                        break;
                    }
                }
            }
        }
        self.0.left_behind.store(left, Ordering::Relaxed);
        Ok(all)
    }

    /// The stored sidecar of a call.
    pub async fn stored(&self, call: CallId) -> Result<Option<Sealed>, RecordingError> {
        let key = seal::sidecar_key(&Self::key(call));
        match self.0.objects.whole(&key).await {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|error| RecordingError::Format { path: key.into(), problem: error.to_string() }),
            Err(RecordingError::NoKey(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Calls with a stored sidecar, oldest first.
    pub async fn calls(&self) -> Result<Vec<CallId>, RecordingError> {
        let names = self.0.objects.names().await?;
        let call = |name: &String| name.rsplit('/').next()?.strip_suffix(".json")?.parse().ok();
        let mut calls: Vec<CallId> = names.iter().filter_map(call).collect();
        calls.sort();
        Ok(calls)
    }

    /// Bytes of a stored recording or sidecar.
    pub async fn size(&self, key: &str) -> Result<u64, RecordingError> {
        self.0.objects.size(key).await
    }

    /// A part of a stored recording or sidecar; the end is cut at the end of the file.
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, RecordingError> {
        self.0.objects.read(key, range).await
    }

    /// A local file with a stored recording, for the worker. Unless it stands plain in a folder, it is a copy in the
    /// spool, which is removed when the answer is dropped.
    pub async fn fetch(&self, key: &str) -> Result<Fetched, RecordingError> {
        if let Some(path) = self.0.objects.plain_file(key).await? {
            return Ok(Fetched::of_store(path));
        }
        let place = Arc::clone(&self.0.copies).acquire_owned().await.map_err(|_| RecordingError::Stopped)?;
        let size = self.size(key).await?;
        let (spool, id) = (self.0.spool.clone(), self.0.clock.uuid());
        let mut copy = blocking(move || Fetched::copy(&spool, id, place)).await?;
        let mut from = 0;
        while from < size {
            let to = size.min(from + Self::PIECE);
            let piece = self.read(key, from..to).await?;
            copy = blocking(move || copy.append(&piece)).await?;
            from = to;
        }
        Ok(copy)
    }

    /// The outline of a stored recording.
    ///
    /// * `points` — 1 to 10,000 (clamped).
    pub async fn peaks(&self, key: &str, points: usize) -> Result<Peaks, RecordingError> {
        Peaks::of(self, key, points).await
    }

    /// Takes a recording and its sidecar away for good; one that is gone already is no error.
    pub async fn delete(&self, key: &str) -> Result<(), RecordingError> {
        // The sidecar goes first: where it stands, the recording is whole.
        self.0.objects.delete(&seal::sidecar_key(key)).await?;
        self.0.objects.delete(key).await
    }

    /// Whether recordings can be written and stored at this moment; asks the store every few seconds at most.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), String> {
        let mut looked = self.0.looked.lock().await;
        let now = self.0.clock.instant();
        if let Some((at, answer)) = &*looked
            && now.saturating_duration_since(*at) < Self::LOOK_EVERY
        {
            return answer.clone();
        }
        // Whoever gives up waiting for the answer leaves this one behind.
        *looked = Some((now, Err("the store has not answered".to_owned())));
        let spool = self.0.spool.clone();
        let answer = match blocking(move || shelf::prove_writable("storage.spool", &spool)).await {
            Ok(()) => self.0.objects.ready().await,
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error| super::described(&error));
        *looked = Some((now, answer.clone()));
        answer
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

    pub(super) async fn store_spool(
        &self,
        call: CallId,
        closing: Option<Closing>,
        written: Option<Written>,
    ) -> Result<Sealed, RecordingError> {
        let (spool, now) = (self.0.spool.clone(), self.0.clock.now());
        let Leftover { sealed, json, lock } =
            blocking(move || seal::prepare(&spool, call, closing, written, now)).await?;
        // From here on the spool says everything: whoever tries again comes to the same.
        let stored = async {
            self.0.objects.put_file(&seal::spool_wav(&self.0.spool, call), &sealed.key).await?;
            // The sidecar comes last: where it stands, the recording is whole.
            self.0.objects.put(&seal::sidecar_key(&sealed.key), json).await
        };
        if let Err(error) = stored.await {
            metrics::counter!("hotline_recording_store_failures_total").increment(1);
            return Err(error);
        }
        let spool = self.0.spool.clone();
        blocking(move || seal::remove(&spool, call)).await?;
        drop(lock);
        Ok(sealed)
    }

    pub(super) fn growing(&self) -> MutexGuard<'_, HashMap<CallId, Arc<Growing>>> {
        self.0.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({}, {})", self.0.spool.display(), self.0.objects)
    }
}
