//! Waking up for what other processes have committed. PostgreSQL tells; SQLite's other processes are found by polling.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError, database::Database, ring};

/// Somebody left a job behind.
pub(super) const JOBS: &str = "hotline_jobs";
/// Somebody announced something.
pub(super) const NEWS: &str = "hotline_news";

/// How long to wait before listening again once the database was away.
const AGAIN: Duration = Duration::from_secs(3);

impl Store {
    /// Hears what other processes commit until `stopping`. While the database is away, polling goes on as without it.
    pub async fn listen(self, stopping: CancellationToken) {
        let Database::Postgres { pool } = &self.0.database else {
            stopping.cancelled().await;
            return;
        };
        loop {
            let heard = async {
                let mut listener = PgListener::connect_with(pool).await?;
                listener.listen_all([JOBS, NEWS]).await?;
                // What was committed before the first word is not lost: everybody looks once.
                self.wake(JOBS);
                self.wake(NEWS);
                loop {
                    let told = listener.recv().await?;
                    self.wake(told.channel());
                }
            };
            let trouble: Result<(), sqlx::Error> = tokio::select! {
                trouble = heard => trouble,
                () = stopping.cancelled() => return,
            };
            if let Err(source) = trouble {
                let error = StoreError::at("listening for other processes")(source);
                tracing::warn!(error = &error as &dyn std::error::Error, "store: not told of other processes' work");
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    fn wake(&self, channel: &str) {
        let bells = &self.0.bells;
        ring(if channel == NEWS { &bells.news } else { &bells.jobs });
    }
}
