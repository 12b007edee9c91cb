//! A database for one test.

use std::path::PathBuf;

use tempfile::TempDir;

use super::Store;
use crate::{clock::Clock, domain::time::UnixMs};

/// Monday 2026-11-23, 09:00 in the city.
pub(crate) const MONDAY_NINE: UnixMs = UnixMs(1_795_395_600_000);

/// A fresh database that goes away with the test.
pub(crate) struct TestStore {
    pub store: Store,
    pub clock: Clock,
    folder: TempDir,
}

impl TestStore {
    /// A SQLite file in a folder of its own; the clock stands at [`MONDAY_NINE`].
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::standing_at(MONDAY_NINE);
        let store = Store::open(&url(&folder), clock.clone()).await.expect("a fresh database");
        Self { store, clock, folder }
    }

    pub(crate) fn url(&self) -> String {
        url(&self.folder)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("hotline.db")
    }
}

fn url(folder: &TempDir) -> String {
    format!("sqlite://{}", folder.path().join("hotline.db").display())
}

/// Runs a story on every database there is; a second one is one more line here.
macro_rules! on_every_database {
    ($($(#[$doc:meta])* async fn $name:ident($base:ident: $type:ty) $body:block)+) => {
        mod on_sqlite {
            $($(#[$doc])* #[tokio::test] async fn $name() { super::$name($crate::store::testing::TestStore::sqlite().await).await; })+
        }
        $(async fn $name($base: $type) $body)+
    };
}
pub(crate) use on_every_database;
