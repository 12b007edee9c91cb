//! The spool folder and the object store behind one door.

use std::{ops::Range, path::PathBuf};

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{CallFacts, Closing, RecordingError, Sealed, Tap};
use crate::{clock::Clock, config::Storage, domain::ids::CallId};

/// All recordings: those that grow and those that are sealed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive;

/// A recording's outline for a waveform.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Peaks {
    /// `[caller_min, caller_max, operator_min, operator_max]`, each -1 to 1, in order of time.
    pub points: Vec<[f32; 4]>,
    pub duration_ms: u64,
}

impl Archive {
    /// Creates the folders and proves that they can be written.
    pub fn open(_storage: &Storage, _clock: Clock) -> Result<Self, RecordingError> {
        unimplemented!()
    }

    /// Begins a recording: `<spool>/<call>.wav` and an early sidecar.
    pub async fn start(&self, _facts: CallFacts) -> Result<Tap, RecordingError> {
        unimplemented!()
    }

    /// Where a call's recording stands in the store: `YYYY/MM/DD/<call>.wav`, the city's date when the call began.
    pub fn key(_call: CallId) -> String {
        unimplemented!()
    }

    /// Waits until the tap is dropped and everything is written, then hashes, writes the sidecar, stores both and
    /// removes the spool files. Asking twice gives the same answer.
    pub async fn seal(&self, _call: CallId, _closing: Closing) -> Result<Sealed, RecordingError> {
        unimplemented!()
    }

    /// Repairs and seals (as interrupted) what a dead process left in the spool. What cannot be sealed is logged and
    /// left there.
    pub async fn recover(&self) -> Result<Vec<Sealed>, RecordingError> {
        unimplemented!()
    }

    /// Every stored sidecar.
    pub async fn sidecars(&self) -> Result<Vec<Sealed>, RecordingError> {
        unimplemented!()
    }

    /// Bytes of a stored file.
    pub async fn size(&self, _key: &str) -> Result<u64, RecordingError> {
        unimplemented!()
    }

    /// A part of a stored file.
    pub async fn read(&self, _key: &str, _range: Range<u64>) -> Result<Bytes, RecordingError> {
        unimplemented!()
    }

    /// A local file with a stored recording, for the worker; do not change it.
    pub async fn fetch(&self, _key: &str) -> Result<PathBuf, RecordingError> {
        unimplemented!()
    }

    /// The outline of a stored recording.
    ///
    /// * `points` — 1 to 10,000 (clamped).
    pub async fn peaks(&self, _key: &str, _points: usize) -> Result<Peaks, RecordingError> {
        unimplemented!()
    }
}
