//! Objects of the store as they lie there, sealed as they are: for a backup, which needs no key for them.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, buffered::BufWriter, path::Path as Key};
use tokio::io::AsyncWriteExt;

use super::{RecordingError, seal, shelf};
use crate::config::Storage;

/// Bytes sent at once; S3 takes no smaller parts.
const PART: usize = 5 * 1024 * 1024;

/// The objects of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Copies(Arc<dyn ObjectStore>);

/// An object on its way out.
pub struct Outgoing {
    pub bytes: u64,
    pub pieces: BoxStream<'static, Result<Bytes, RecordingError>>,
}

/// An object on its way in; it appears with [`Incoming::finish`].
pub struct Incoming {
    key: String,
    target: BufWriter,
}

impl Copies {
    /// The store that the settings name.
    pub fn open(storage: &Storage) -> Result<Self, RecordingError> {
        Ok(Self(shelf::open(storage)?.store))
    }

    /// The sidecar's name beside a recording's.
    pub fn sidecar(key: &str) -> String {
        seal::sidecar_key(key)
    }

    /// The name of the first object there is.
    pub async fn first(&self) -> Result<Option<String>, RecordingError> {
        let first = self.0.list(None).try_next().await.map_err(wrong(""))?;
        Ok(first.map(|object| object.location.to_string()))
    }

    /// Whether an object is there.
    pub async fn holds(&self, key: &str) -> Result<bool, RecordingError> {
        match self.0.head(&Key::from(key)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(wrong(key)(error)),
        }
    }

    /// Reads an object, if it is there.
    pub async fn read(&self, key: &str) -> Result<Option<Outgoing>, RecordingError> {
        let found = match self.0.get(&Key::from(key)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(wrong(key)(error)),
        };
        let bytes = found.meta.size;
        Ok(Some(Outgoing { bytes, pieces: found.into_stream().map_err(wrong(key)).boxed() }))
    }

    /// Begins to write an object.
    pub fn write(&self, key: &str) -> Incoming {
        let target = BufWriter::with_capacity(Arc::clone(&self.0), Key::from(key), PART);
        Incoming { key: key.to_owned(), target }
    }
}

impl Incoming {
    /// The next piece.
    pub async fn push(&mut self, piece: Bytes) -> Result<(), RecordingError> {
        self.target.put(piece).await.map_err(wrong(&self.key))
    }

    /// The object is whole.
    pub async fn finish(mut self) -> Result<(), RecordingError> {
        let done = self.target.shutdown().await;
        let generic =
            |error: std::io::Error| object_store::Error::Generic { store: "recordings", source: error.into() };
        done.map_err(|error| wrong(&self.key)(generic(error)))
    }
}

fn wrong(key: &str) -> impl Fn(object_store::Error) -> RecordingError + 'static {
    let key = key.to_owned();
    move |source| RecordingError::Store { key: key.clone(), source }
}
