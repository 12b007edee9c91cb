//! Both sides of a call in one file: left the caller, right everybody else.
//!
//! The media thread pushes sound into a [`Tap`]; a writer thread appends it to a WAV in the spool folder and makes the
//! header right every half second, so that a crash loses less than a second. When the call is over, [`Archive::seal`]
//! hashes the file, writes the sidecar and hands both to the object store, sealed by the vault; [`Archive::recover`] does
//! the same for what a dead process left behind, [`Archive::seal_late`] for what the store could not take at the time.
//! The recording and its sidecar are the truth of a call; rows are views of them.

mod archive;
mod copies;
mod fetched;
mod late;
mod objects;
mod papers;
mod peaks;
mod seal;
mod shelf;
mod sidecar;
mod spool;
mod tap;
pub mod wav;
mod writer;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

pub use archive::Archive;
pub use copies::{Copies, Incoming, Outgoing};
pub use fetched::Fetched;
pub use late::Late;
pub use papers::Papers;
pub use peaks::Peaks;
pub use sidecar::{CallFacts, Closing, Gap, Sealed, Speaker};
pub use tap::Tap;

use crate::{domain::ids::CallId, vault::VaultError};

/// Samples a second of every recording.
const RATE: u32 = 8_000;

/// Why a recording could not be begun, sealed or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("{key}: folder {path} cannot be written; make it writable or name another", path = path.display())]
    Folder {
        /// The setting that names the folder.
        key: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("storage.url `{0}` is neither a file:// nor an s3:// address")]
    Url(String),
    #[error("file {path}", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("file {path} is not a recording: {problem}", path = path.display())]
    Format { path: PathBuf, problem: String },
    #[error("call {0} is being recorded already")]
    Twice(CallId),
    #[error("there is no recording of call {0}")]
    NotFound(CallId),
    #[error("there is no recording `{0}`")]
    NoKey(String),
    #[error("store: `{key}`")]
    Store {
        key: String,
        #[source]
        source: object_store::Error,
    },
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("the recording writer has stopped")]
    Stopped,
}

impl RecordingError {
    /// Whether it may be better in a while: the store or the keys are away, and the recording is as it should be.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Store { .. } => true,
            Self::Vault(error) => !matches!(error, VaultError::Changed(_) | VaultError::Unknown(_)),
            _ => false,
        }
    }
}

/// The error with its causes, in one line.
fn described(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// File work and ciphers off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RecordingError> + Send + 'static,
) -> Result<T, RecordingError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RecordingError::Stopped)?
}
