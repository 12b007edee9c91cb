//! Reads what was announced once for all who listen in this process, and keeps the latest at hand.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError, StreamRow};

/// Announcements at hand. Who is further behind reads them from the database, or is cut off.
const AT_HAND: usize = 1_024;
/// Read at once.
const PIECE: u32 = 500;
/// How often it is looked without being woken: what other processes write into SQLite.
const POLL: Duration = Duration::from_secs(5);
/// Pause while the database is away.
const AGAIN: Duration = Duration::from_secs(1);

/// The latest announcements. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    stopping: CancellationToken,
    /// Without a gap.
    latest: Mutex<VecDeque<Arc<StreamRow>>>,
    /// Number of the last one.
    newest: watch::Sender<u64>,
}

impl Feed {
    pub(crate) fn new(store: Store, stopping: CancellationToken) -> Self {
        Self(Arc::new(Inner { store, stopping, latest: Mutex::default(), newest: watch::channel(0).0 }))
    }

    /// Follows until the house stops.
    pub(crate) async fn run(self) {
        let mut news = self.0.store.news();
        let mut last = None;
        loop {
            news.mark_unchanged();
            let pause = match self.follow(&mut last).await {
                Ok(()) => POLL,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "announcements cannot be read");
                    AGAIN
                }
            };
            tokio::select! {
                () = self.0.stopping.cancelled() => return,
                // The store that is asked holds the sender, so it never closes.
                _ = news.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes in what came after `last`.
    async fn follow(&self, last: &mut Option<u64>) -> Result<(), StoreError> {
        let mut after = match *last {
            Some(last) => last,
            None => self.0.store.stream_bounds().await?.newest,
        };
        *last = Some(after);
        self.0.newest.send_if_modified(|newest| std::mem::replace(newest, after) != after);
        loop {
            let rows = self.0.store.stream_after(after, PIECE).await?;
            let Some(end) = rows.last().map(|row| row.seq) else { return Ok(()) };
            let mut latest = self.latest();
            for row in rows {
                if row.seq != after + 1 {
                    // What was between was swept away before it was read; nobody is to take it for whole.
                    latest.clear();
                }
                after = row.seq;
                if latest.len() == AT_HAND {
                    latest.pop_front();
                }
                latest.push_back(Arc::new(row));
            }
            drop(latest);
            *last = Some(end);
            self.0.newest.send_replace(end);
        }
    }

    /// What came after `seq`, if it is at hand.
    pub(super) fn after(&self, seq: u64, limit: usize) -> Option<Vec<Arc<StreamRow>>> {
        let latest = self.latest();
        let first = latest.front()?.seq;
        let skip = usize::try_from((seq + 1).checked_sub(first)?).unwrap_or(usize::MAX);
        Some(latest.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Changes whenever there is something new.
    pub(super) fn newest(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    fn latest(&self) -> MutexGuard<'_, VecDeque<Arc<StreamRow>>> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
