//! Small files beside the recordings that anybody may read, such as the audit's signed heads. Written once.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path as Key};

use super::{RecordingError, shelf};
use crate::config::Storage;

/// The papers of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Papers(Arc<dyn ObjectStore>);

/// Longest paper read, bytes; ours are far shorter.
const LONGEST: u64 = 64 * 1024;

impl Papers {
    /// The papers beside the recordings, for a command that reads no recording.
    pub fn open(storage: &Storage) -> Result<Self, RecordingError> {
        Ok(Self(shelf::open(storage)?.store))
    }

    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self(store)
    }

    /// Writes a paper that is not there yet.
    ///
    /// * returns — false if there is one with this name; it stays as it is.
    pub async fn put(&self, key: &str, text: &str) -> Result<bool, RecordingError> {
        let once = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.0.put_opts(&Key::from(key), text.as_bytes().to_vec().into(), once).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(RecordingError::Store { key: key.to_owned(), source }),
        }
    }

    /// A paper, if it is there.
    pub async fn get(&self, key: &str) -> Result<Option<String>, RecordingError> {
        let wrong = |source| RecordingError::Store { key: key.to_owned(), source };
        let found = match self.0.get(&Key::from(key)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(wrong(source)),
        };
        if found.meta.size > LONGEST {
            return Ok(Some(String::new()));
        }
        let bytes = found.bytes().await.map_err(wrong)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Names of all papers below a folder, in order.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>, RecordingError> {
        let names = self.0.list(Some(&Key::from(folder))).map_ok(|object| object.location.to_string());
        let names = names.try_collect::<Vec<_>>().await;
        let mut names = names.map_err(|source| RecordingError::Store { key: folder.to_owned(), source })?;
        names.sort_unstable();
        Ok(names)
    }
}
