//! The audit: entries that are written with what they tell of, and are never changed (see `domain::audit`).

use serde_json::Value;
use sqlx::FromRow;

use super::{Store, StoreError, Tx, sql::sql};
use crate::domain::{
    audit::{Action, Record},
    ids::UserId,
    time::UnixMs,
};

/// Longest name kept, characters; a stranger at the log-in may send anything.
const LONGEST_NAME: usize = 100;

/// Something to be kept for ever.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Absent: the program itself, a command line, or somebody unknown.
    pub user: Option<UserId>,
    pub name: String,
    pub action: Action,
    /// `call:ID`, `case:ID`, `user:ID`, `token:ID`, `key:ID` …
    pub subject: String,
    /// An object without personal data: ids, counts, words of the program.
    pub detail: Value,
}

/// An entry as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub record: Record,
    /// As stored; right only if it is [`Record::hash`].
    pub hash: String,
}

impl Tx {
    /// Keeps an entry together with everything else that this transaction writes.
    ///
    /// It takes its place in the chain when the transaction commits: until then nobody else's entry waits for it.
    pub fn audit(&mut self, entry: AuditEntry) {
        self.entries.push(entry);
    }

    /// Appends what was to be kept. Others who append wait at the head's row until this transaction ends.
    pub(super) async fn append_audit(&mut self) -> Result<(), StoreError> {
        let entries = std::mem::take(&mut self.entries);
        if entries.is_empty() {
            return Ok(());
        }
        let failed = StoreError::at("appending to the audit");
        let many = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let head: (i64, String) = sql("UPDATE audit_head SET seq = seq + $1 WHERE id = 1 RETURNING seq, hash")
            .bind(many)
            .fetch_one(self.connection())
            .await
            .map_err(&failed)?;
        let (mut seq, mut hash) = (head.0 - many, head.1);
        for entry in entries {
            seq += 1;
            let record = record(seq, self.now(), entry, hash);
            hash = record.hash();
            sql("INSERT INTO audit (seq, at, user_id, name, action, subject, detail, prev, hash)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(seq)
            .bind(record.at.0)
            .bind(record.user)
            .bind(record.name)
            .bind(record.action)
            .bind(record.subject)
            .bind(record.detail)
            .bind(record.prev)
            .bind(&hash)
            .execute(self.connection())
            .await
            .map_err(&failed)?;
        }
        let moved = sql("UPDATE audit_head SET hash = $1 WHERE id = 1").bind(hash);
        moved.execute(self.connection()).await.map_err(failed)?;
        Ok(())
    }
}

impl Store {
    /// Entries in their order.
    ///
    /// * `after` — the last one seen, 0 for the beginning.
    /// * `limit` — rows, at most 1,000.
    pub async fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let rows: Vec<Row> = sql("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(i64::from(limit.min(1_000)))
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("reading the audit"))?;
        Ok(rows.into_iter().map(Row::read).collect())
    }
}

fn record(seq: i64, at: UnixMs, entry: AuditEntry, prev: String) -> Record {
    // PostgreSQL keeps no zero bytes, and nobody's name holds control signs.
    let name = entry.name.chars().take(LONGEST_NAME);
    let name = name.map(|sign| if sign.is_control() { char::REPLACEMENT_CHARACTER } else { sign });
    Record {
        seq: u64::try_from(seq).unwrap_or(0),
        at,
        user: entry.user.map(|user| user.to_string()),
        name: name.collect(),
        action: entry.action.as_str().to_owned(),
        subject: entry.subject,
        detail: entry.detail.to_string(),
        prev,
    }
}

#[derive(FromRow)]
struct Row {
    seq: i64,
    at: i64,
    user_id: Option<String>,
    name: String,
    action: String,
    subject: String,
    detail: String,
    prev: String,
    hash: String,
}

impl Row {
    fn read(self) -> AuditRow {
        let record = Record {
            seq: u64::try_from(self.seq).unwrap_or(0),
            at: UnixMs(self.at),
            user: self.user_id,
            name: self.name,
            action: self.action,
            subject: self.subject,
            detail: self.detail,
            prev: self.prev,
        };
        AuditRow { record, hash: self.hash }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        domain::audit::BEGINNING,
        store::testing::{TestStore, on_every_database},
    };

    on_every_database! {
        async fn entries_are_chained_with_what_they_tell_of(test: TestStore) {
            let user = UserId::new(test.clock.uuid());
            let mut tx = test.store.begin().await.expect("a writer");
            tx.audit(AuditEntry { user: Some(user), ..entry("one") });
            tx.audit(entry("two"));
            tx.commit().await.expect("committed");
            let mut tx = test.store.begin().await.expect("a writer");
            tx.audit(entry("three"));
            drop(tx);
            let mut tx = test.store.begin().await.expect("a writer");
            tx.audit(AuditEntry { name: format!("a\0b{}", "长".repeat(500)), ..entry("four") });
            tx.commit().await.expect("committed");

            let rows = test.store.audit_after(0, 10).await.expect("a look");
            let seen: Vec<_> = rows.iter().map(|row| (row.record.seq, row.record.subject.as_str())).collect();
            assert_eq!(seen, [(1, "one"), (2, "two"), (3, "four")], "what was dropped left neither entry nor gap");
            assert_eq!((rows[0].record.prev.as_str(), rows[0].record.user.clone()), (BEGINNING, Some(user.to_string())));
            assert!(rows.windows(2).all(|pair| pair[1].record.prev == pair[0].hash));
            assert!(rows.iter().all(|row| row.hash == row.record.hash()));
            assert_eq!(rows[2].record.name, format!("a\u{fffd}b{}", "长".repeat(97)));
        }

        async fn many_who_append_at_once_make_one_chain(test: TestStore) {
            let tasks: Vec<_> = (0..20)
                .map(|index| {
                    let store = test.store.clone();
                    tokio::spawn(async move {
                        let mut tx = store.begin().await.expect("a writer");
                        tx.audit(entry(&format!("call:{index}")));
                        tx.audit(entry(&format!("case:{index}")));
                        tx.commit().await.expect("committed");
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
            let rows = test.store.audit_after(0, 100).await.expect("a look");
            assert_eq!(rows.iter().map(|row| row.record.seq).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
            assert!(rows.windows(2).all(|pair| pair[1].record.prev == pair[0].hash));
        }

        async fn the_database_itself_refuses_to_change_an_entry(test: TestStore) {
            let mut tx = test.store.begin().await.expect("a writer");
            tx.audit(entry("one"));
            tx.commit().await.expect("committed");
            for change in ["UPDATE audit SET name = 'nobody'", "DELETE FROM audit WHERE seq = 1"] {
                let mut tx = test.store.begin().await.expect("a writer");
                let refused = sql(change).execute(tx.connection()).await.expect_err(change);
                assert!(refused.to_string().contains("the audit is never changed"), "{refused}");
            }
            assert_eq!(test.store.audit_after(0, 10).await.expect("a look").len(), 1);
        }
    }

    fn entry(subject: &str) -> AuditEntry {
        AuditEntry {
            user: None,
            name: "test".into(),
            action: Action::Export,
            subject: subject.into(),
            detail: json!({ "rows": 3 }),
        }
    }
}
