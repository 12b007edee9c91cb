//! Where sealed recordings stand: a folder, or a bucket of an S3-compatible store.

use std::{fs, path::Path, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder, local::LocalFileSystem,
    prefix::PrefixStore,
};

use super::RecordingError;
use crate::config::{S3, Shelf, Storage};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for one answer; a part of 5 MiB passes in it at 1.5 Mbit/s.
const ANSWER: Duration = Duration::from_secs(30);
/// Attempts after the first, and the time in which they may be made. A call that ends waits no longer for the store
/// than this; what is not stored by then is tried again later.
const RETRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(45);

/// An opened shelf.
pub struct Opened {
    pub store: Arc<dyn ObjectStore>,
    /// The same, where its objects are files of this machine.
    pub local: Option<Arc<LocalFileSystem>>,
}

/// Opens what `storage.url` names. A folder must be writable now; a bucket may be away.
pub fn open(storage: &Storage) -> Result<Opened, RecordingError> {
    let wrong = |source| RecordingError::Store { key: storage.url.clone(), source };
    match storage.shelf().ok_or_else(|| RecordingError::Url(storage.url.clone()))? {
        Shelf::Folder(folder) => {
            make_writable("storage.url", &folder)?;
            let store = Arc::new(LocalFileSystem::new_with_prefix(&folder).map_err(wrong)?.with_fsync(true));
            Ok(Opened { store: Arc::clone(&store) as Arc<dyn ObjectStore>, local: Some(store) })
        }
        Shelf::Bucket { bucket, prefix } => {
            let store = bucket_of(&storage.s3, &bucket).map_err(wrong)?;
            let store: Arc<dyn ObjectStore> =
                if prefix.is_empty() { store } else { Arc::new(PrefixStore::new(store, prefix)) };
            Ok(Opened { store, local: None })
        }
    }
}

/// Makes a folder if it is not there and writes a file into it.
pub fn make_writable(key: &'static str, folder: &Path) -> Result<(), RecordingError> {
    fs::create_dir_all(folder).map_err(|source| RecordingError::Folder { key, path: folder.to_owned(), source })?;
    prove_writable(key, folder)
}

/// Writes a file into a folder, which must be there: one that is gone may have been a disk.
pub fn prove_writable(key: &'static str, folder: &Path) -> Result<(), RecordingError> {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    let written = fs::write(&probe, b"probe").and_then(|()| fs::remove_file(&probe));
    written.map_err(|source| RecordingError::Folder { key, path: folder.to_owned(), source })
}

fn bucket_of(settings: &S3, bucket: &str) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    // Once a process; a second time is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let plain = settings.endpoint.starts_with("http://");
    let client = ClientOptions::new()
        .with_allow_http(plain)
        // A machine without certificates can still talk to a store beside it.
        .with_no_system_certificates(plain)
        .with_connect_timeout(CONNECT)
        .with_timeout(ANSWER);
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(200), max_backoff: CONNECT, base: 2.0 };
    let store = AmazonS3Builder::new()
        .with_endpoint(settings.endpoint.trim_end_matches('/'))
        .with_region(&settings.region)
        .with_bucket_name(bucket)
        .with_access_key_id(&settings.access_key)
        .with_secret_access_key(&settings.secret_key.0)
        .with_virtual_hosted_style_request(false)
        .with_client_options(client)
        .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: PATIENCE })
        .build()?;
    Ok(Arc::new(store))
}
