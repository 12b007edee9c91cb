//! What was announced, in the order in which it became true.
//!
//! A number is taken at the head's row when the transaction commits, and the row is held until it has: whoever commits
//! later has a higher number, so a reader who has seen number 7 will never be shown a 6 that was not there before.

use std::time::Duration;

use serde_json::Value;
use sqlx::FromRow;
use tokio_util::sync::CancellationToken;

use super::{
    Store, StoreError, Tx,
    codec::{from_json, from_word, json, signed, unsigned},
    sql::sql,
};
use crate::domain::{
    announcement::{Announcement, Kind},
    time::UnixMs,
};

/// How long announcements are kept, for those who were away.
pub const KEPT: Duration = Duration::from_hours(24);
/// And how many at most.
pub const MOST: u32 = 100_000;
/// How often what is too old is taken away.
const SWEEP: Duration = Duration::from_mins(15);

/// An announcement as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRow {
    /// 1, 2, 3 … without a gap.
    pub seq: u64,
    pub at: UnixMs,
    pub kind: Kind,
    pub subject: String,
    pub units: Option<Vec<String>>,
    pub data: Value,
}

/// What there is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamBounds {
    /// Names this database's stream: another one has other numbers.
    pub epoch: String,
    /// The oldest that is kept; one more than `newest` if none is.
    pub oldest: u64,
    pub newest: u64,
}

impl Tx {
    /// Announces something together with what this transaction writes.
    pub fn announce(&mut self, announcement: Announcement) {
        self.announcements.push(announcement);
    }

    /// Gives a restored database's stream a new name: its numbers will be used a second time.
    pub async fn restart_stream(&mut self) -> Result<(), StoreError> {
        let epoch = hex::encode(self.clock().random::<4>());
        let renamed = sql("UPDATE stream_head SET epoch = $1 WHERE id = 1").bind(epoch);
        renamed.execute(self.connection()).await.map_err(StoreError::at("restarting the stream"))?;
        Ok(())
    }

    /// Writes what was announced.
    ///
    /// * returns — whether there was anything.
    pub(super) async fn append_stream(&mut self) -> Result<bool, StoreError> {
        let announcements = std::mem::take(&mut self.announcements);
        if announcements.is_empty() {
            return Ok(false);
        }
        let failed = StoreError::at("announcing");
        let many = i64::try_from(announcements.len()).unwrap_or(i64::MAX);
        let (last,): (i64,) = sql("UPDATE stream_head SET seq = seq + $1 WHERE id = 1 RETURNING seq")
            .bind(many)
            .fetch_one(self.connection())
            .await
            .map_err(&failed)?;
        let now = self.now().0;
        for (seq, announcement) in (last - many + 1..).zip(announcements) {
            sql("INSERT INTO stream_events (seq, at, kind, subject, units, data) VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(seq)
                .bind(now)
                .bind(announcement.kind.as_str())
                .bind(announcement.subject)
                .bind(announcement.units.as_ref().map(json))
                .bind(announcement.data.to_string())
                .execute(self.connection())
                .await
                .map_err(&failed)?;
        }
        Ok(true)
    }
}

impl Store {
    /// Announcements in their order.
    ///
    /// * `after` — the last one seen.
    /// * `limit` — rows, at most 1,000.
    pub async fn stream_after(&self, after: u64, limit: u32) -> Result<Vec<StreamRow>, StoreError> {
        let rows: Vec<Row> = sql("SELECT * FROM stream_events WHERE seq > $1 ORDER BY seq LIMIT $2")
            .bind(signed(after))
            .bind(i64::from(limit.min(1_000)))
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("reading announcements"))?;
        rows.into_iter().map(Row::read).collect()
    }

    /// What there is to be read.
    pub async fn stream_bounds(&self) -> Result<StreamBounds, StoreError> {
        let (epoch, newest, oldest): (String, i64, Option<i64>) =
            sql("SELECT epoch, seq, (SELECT MIN(seq) FROM stream_events) FROM stream_head WHERE id = 1")
                .fetch_one(self.readers())
                .await
                .map_err(StoreError::at("reading the stream's head"))?;
        Ok(StreamBounds { epoch, oldest: unsigned(oldest.unwrap_or(newest + 1)), newest: unsigned(newest) })
    }

    /// Takes away what is too old: announcements, and answers to creating calls.
    ///
    /// * returns — how many rows.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let failed = StoreError::at("sweeping");
        let now = tx.now().0;
        let before = |kept: Duration| now.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
        let (old, forgotten) = (before(KEPT), before(super::idempotency::KEPT));
        let gone = sql("DELETE FROM stream_events
             WHERE at < $1 OR seq <= (SELECT seq FROM stream_head WHERE id = 1) - $2")
        .bind(old)
        .bind(i64::from(MOST))
        .execute(tx.connection())
        .await
        .map_err(&failed)?;
        let answers = sql("DELETE FROM idempotency WHERE created < $1").bind(forgotten);
        let answers = answers.execute(tx.connection()).await.map_err(&failed)?;
        tx.commit().await?;
        Ok(gone + answers)
    }

    /// Takes away what is too old until `stopping`.
    pub async fn sweep_loop(self, stopping: CancellationToken) {
        loop {
            match self.sweep().await {
                Ok(rows) => tracing::debug!(rows, "swept"),
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "store: could not be swept"),
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }
}

#[derive(FromRow)]
struct Row {
    seq: i64,
    at: i64,
    kind: String,
    subject: String,
    units: Option<String>,
    data: String,
}

impl Row {
    fn read(self) -> Result<StreamRow, StoreError> {
        const AT: &str = "stream_events";
        Ok(StreamRow {
            seq: unsigned(self.seq),
            at: UnixMs(self.at),
            kind: from_word(AT, self.kind)?,
            subject: self.subject,
            units: self.units.map(|units| from_json(AT, &units)).transpose()?,
            data: from_json(AT, &self.data)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ids::CallId,
        store::testing::{MONDAY_NINE, TestStore, on_every_database},
    };

    on_every_database! {
        async fn a_reader_who_follows_many_writers_misses_nothing_and_sees_nothing_twice(test: TestStore) {
            const WRITERS: u64 = 8;
            const EACH: u64 = 25;
            let writers: Vec<_> = (0..WRITERS)
                .map(|_| {
                    let store = test.store.clone();
                    tokio::spawn(async move {
                        for index in 0..EACH {
                            let mut tx = store.begin().await.expect("a writer");
                            let call = CallId::new(store.clock().uuid());
                            tx.announce(Announcement::call_begun(call));
                            if index % 5 == 0 {
                                drop(tx);
                                continue;
                            }
                            tx.announce(Announcement::call_answered(call));
                            tx.commit().await.expect("committed");
                        }
                    })
                })
                .collect();
            let all = WRITERS * EACH / 5 * 4 * 2;
            let (mut seen, mut news) = (Vec::new(), test.store.news());
            while (seen.len() as u64) < all {
                news.mark_unchanged();
                let after = seen.last().map_or(0, |row: &StreamRow| row.seq);
                let rows = test.store.stream_after(after, 7).await.expect("a look");
                if rows.is_empty() {
                    // Whoever commits rings; nothing is left to be waited for once all have.
                    let _ = news.changed().await;
                }
                seen.extend(rows);
            }
            for writer in writers {
                writer.await.expect("no panic");
            }
            assert_eq!(seen.iter().map(|row| row.seq).collect::<Vec<_>>(), (1..=all).collect::<Vec<_>>());
            for pair in seen.chunks(2) {
                assert_eq!((&pair[0].subject, pair[0].data["state"].as_str()), (&pair[1].subject, Some("begun")));
            }
        }

        async fn what_is_too_old_is_swept_and_the_rest_stays(test: TestStore) {
            let announce = async || {
                let mut tx = test.store.begin().await.expect("a writer");
                tx.announce(Announcement::call_begun(CallId::new(test.clock.uuid())));
                tx.commit().await.expect("committed");
            };
            let empty = test.store.stream_bounds().await.expect("a look");
            assert_eq!((empty.oldest, empty.newest), (1, 0));
            announce().await;
            test.clock.set(MONDAY_NINE + KEPT);
            announce().await;
            assert_eq!(test.store.sweep().await.expect("swept"), 0);
            test.clock.set(MONDAY_NINE + KEPT + Duration::from_millis(1));
            assert_eq!(test.store.sweep().await.expect("swept"), 1);
            let bounds = test.store.stream_bounds().await.expect("a look");
            assert_eq!((bounds.oldest, bounds.newest), (2, 2));
            let mut tx = test.store.begin().await.expect("a writer");
            let grown = sql("UPDATE stream_head SET seq = seq + $1").bind(i64::from(MOST));
            grown.execute(tx.connection()).await.expect("as if many came");
            tx.restart_stream().await.expect("renamed");
            tx.commit().await.expect("committed");
            assert_eq!(test.store.sweep().await.expect("swept"), 1);
            let later = test.store.stream_bounds().await.expect("a look");
            assert_eq!((later.oldest, later.newest), (100_003, 100_002));
            assert_ne!(later.epoch, bounds.epoch);
        }
    }
}
