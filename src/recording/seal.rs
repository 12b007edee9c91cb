//! From a spool file to a sealed recording: repair, hash, sidecar, store. Every step may be done again.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Timestamp, tz};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    CallFacts, Closing, RATE, RecordingError, Sealed,
    sidecar::Early,
    spool::{self, SpoolFile},
    writer::Written,
};
use crate::domain::{
    call::{Direction, EndReason},
    ids::CallId,
    time::UnixMs,
};

/// A spool file that is ready for the store.
pub struct Leftover {
    pub sealed: Sealed,
    /// The sidecar as stored.
    pub json: Vec<u8>,
    /// Keeps other processes away until the spool files are gone.
    pub lock: File,
}

/// `<spool>/<call>.wav`.
pub fn spool_wav(spool: &Path, call: CallId) -> PathBuf {
    spool.join(format!("{call}.wav"))
}

/// `<spool>/<call>.json`.
pub fn spool_json(spool: &Path, call: CallId) -> PathBuf {
    spool.join(format!("{call}.json"))
}

/// The WAV's name in the store. The day is that of the call's id, which is made when the call begins, in China's
/// time (no summer time since 1991), so that whoever knows the call finds its recording.
pub fn key(call: CallId) -> String {
    let began = call.to_string().parse::<Uuid>().ok().and_then(|uuid| uuid.get_timestamp());
    let seconds = began.map_or(0, |began| i64::try_from(began.to_unix().0).unwrap_or(0));
    let day = Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned_datetime(tz::offset(8).to_time_zone());
    format!("{}/{call}.wav", day.strftime("%Y/%m/%d"))
}

/// The sidecar's name beside it.
pub fn sidecar_key(key: &str) -> String {
    format!("{}.json", key.strip_suffix(".wav").unwrap_or(key))
}

/// Calls with a file in the spool.
pub fn list(spool: &Path) -> Result<Vec<CallId>, RecordingError> {
    let wrong = |source| RecordingError::File { path: spool.to_owned(), source };
    let mut calls = BTreeSet::new();
    for entry in fs::read_dir(spool).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some((stem, ending)) = name.split_once('.') else { continue };
        // Half-written sidecars (`json.part`) go with the others.
        if let (Ok(call), "wav" | "json") = (stem.parse(), ending) {
            calls.insert(call);
        }
    }
    Ok(calls.into_iter().collect())
}

/// Whether some process is writing or sealing it.
pub fn is_locked(wav: &Path) -> bool {
    File::open(wav).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Repairs the WAV, hashes it and writes the final sidecar into the spool, both safe on disk.
///
/// * `closing` — how the call ended; `None` if nobody knows: interrupted.
/// * `written` — what the writer knew; without it the early sidecar in the spool tells.
pub fn prepare(
    spool: &Path,
    call: CallId,
    closing: Option<Closing>,
    written: Option<Written>,
    now: UnixMs,
) -> Result<Leftover, RecordingError> {
    let (wav, json) = (spool_wav(spool, call), spool_json(spool, call));
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| RecordingError::File { path, source }
    };
    if !wav.exists() {
        if !json.exists() {
            return Err(RecordingError::NotFound(call));
        }
        // The process died before the first sound; who called is still worth keeping.
        SpoolFile::create(wav.clone()).map_err(at(&wav))?;
    }
    let lock = File::options().read(true).write(true).open(&wav).map_err(at(&wav))?;
    lock.lock().map_err(at(&wav))?;
    let samples = spool::repair(&wav).map_err(at(&wav))?;
    let sealed_before = fs::read(&json).ok().and_then(|json| serde_json::from_slice::<Sealed>(&json).ok());
    let sha256 = hash(&wav).map_err(at(&wav))?;
    let sealed = match sealed_before.filter(|before| before.sha256 == sha256) {
        Some(before) => before,
        None => describe(&json, call, closing, written, samples, sha256, now),
    };
    lock.sync_all().map_err(at(&wav))?;
    let text = serde_json::to_vec_pretty(&sealed)
        .map_err(|error| RecordingError::Format { path: json.clone(), problem: error.to_string() })?;
    write_durably(&json, &text).map_err(at(&json))?;
    Ok(Leftover { sealed, json: text, lock })
}

/// Removes a call's spool files; those that are not there are fine.
pub fn remove(spool: &Path, call: CallId) -> Result<(), RecordingError> {
    for path in [spool_wav(spool, call), spool_json(spool, call), spool.join(format!("{call}.json.part"))] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(RecordingError::File { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

fn describe(
    json: &Path,
    call: CallId,
    closing: Option<Closing>,
    written: Option<Written>,
    samples: u64,
    sha256: String,
    now: UnixMs,
) -> Sealed {
    let known = written.is_some();
    let Written { early, gaps, dropped, trouble } = written.unwrap_or_else(|| {
        let early = fs::read(json).ok().and_then(|json| serde_json::from_slice(&json).ok());
        let early = early.unwrap_or_else(|| {
            // No sidecar survived: the recording is kept, the caller is unknown.
            let started = now;
            let (called, direction) = (String::new(), Direction::Inbound);
            Early::new(CallFacts { call, caller: None, called, direction, started, fork: None, seat: None })
        });
        Written { early, gaps: Vec::new(), dropped: 0, trouble: None }
    });
    let Early { facts, answered, mut speakers } = early;
    let length = Duration::from_millis(samples * 1000 / u64::from(RATE));
    let length_ms = u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
    for speaker in &mut speakers {
        // Nobody told when they fell silent: until the end, as far as anybody knows.
        if !known && ["caller", "operator"].contains(&speaker.who.as_str()) {
            speaker.end_ms = length_ms;
        }
        speaker.end_ms = speaker.end_ms.min(length_ms).max(speaker.start_ms);
    }
    let closing = closing.unwrap_or_else(|| Closing {
        ended: answered.unwrap_or(facts.started) + length,
        reason: EndReason::Interrupted,
    });
    Sealed {
        key: key(call),
        facts,
        answered,
        ended: closing.ended,
        reason: closing.reason,
        sample_rate: RATE,
        samples,
        sha256,
        gaps,
        dropped_samples: dropped,
        trouble,
        speakers,
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// File, then its name, then the folder.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("json.part");
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
