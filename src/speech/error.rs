//! What can go wrong between a model's name and the words of a call.

use std::{io, path::PathBuf};

use crate::recording::RecordingError;

/// The room's errors; each message names the file or name at fault and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    #[error(
        "this machine's processor has no {0}; speech recognition needs an x86-64 processor with AVX2, FMA and F16C"
    )]
    Processor(&'static str),
    #[error("`{0}` is not in the catalogue and was not imported; `hotline model list` shows what there is")]
    UnknownModel(String),
    #[error("model file {} is missing; run `hotline model install {name}`", path.display())]
    Missing { path: PathBuf, name: String },
    #[error("model file {} is damaged: sha256 expected {expected}, found {found}; run `hotline model install {name}`", path.display())]
    Damaged { path: PathBuf, name: String, expected: String, found: String },
    #[error(
        "{} has sha256 {found}, which the catalogue does not list; if you trust the file, give its sha256 with --sha256",
        path.display()
    )]
    UnlistedFile { path: PathBuf, found: String },
    #[error("{}: sha256 expected {expected}, found {found}; nothing of it was used", path.display())]
    WrongHash { path: PathBuf, expected: String, found: String },
    #[error("{0}")]
    Wrong(String),
    #[error("{what} cannot be read: {problem}")]
    Format { what: String, problem: String },
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error("{action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("fetching {what}: {problem}")]
    Fetch { what: String, problem: String },
    #[error("the speech engine cannot {0}")]
    Engine(String),
}

impl SpeechError {
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    pub(super) fn format(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Format { what: what.into(), problem: problem.into() }
    }

    /// Whether the cause is the installation (a model or the machine), so that a job should wait rather than fail.
    pub const fn is_installation(&self) -> bool {
        matches!(
            self,
            Self::Processor(_) | Self::UnknownModel(_) | Self::Missing { .. } | Self::Damaged { .. } | Self::Engine(_)
        )
    }
}
