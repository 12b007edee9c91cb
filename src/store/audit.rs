//! The audit: entries that are written with what they tell of, and are never changed (see `domain::audit`).

use serde_json::Value;
use sqlx::FromRow;

use super::{
    Store, StoreError, Tx,
    codec::{from_json, json, signed, unsigned},
    sql::sql,
};
use crate::domain::{
    audit::{Action, Record, SignedHead},
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

/// A head that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditExport {
    pub number: u64,
    /// `2026-11-23`.
    pub day: String,
    pub head: SignedHead,
    /// Whether it was written into the store.
    pub stored: bool,
}

/// Which entries a list wants.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub user: Option<UserId>,
    pub action: Option<Action>,
    pub subject: Option<String>,
    /// From this moment on.
    pub from: Option<UnixMs>,
    /// Before this moment.
    pub to: Option<UnixMs>,
    /// The last entry of the page before.
    pub after: Option<u64>,
    /// Rows, at most 500.
    pub limit: u32,
}

impl Tx {
    /// Where the chain ends. Nobody appends until this transaction ends.
    pub async fn hold_audit_head(&mut self) -> Result<(u64, String), StoreError> {
        let head: (i64, String) = sql("UPDATE audit_head SET seq = seq WHERE id = 1 RETURNING seq, hash")
            .fetch_one(self.connection())
            .await
            .map_err(StoreError::at("holding the audit's head"))?;
        Ok((unsigned(head.0), head.1))
    }

    /// The head that was signed last.
    pub async fn last_audit_export(&mut self) -> Result<Option<AuditExport>, StoreError> {
        let row: Option<ExportRow> = sql("SELECT * FROM audit_exports ORDER BY number DESC LIMIT 1")
            .fetch_optional(self.connection())
            .await
            .map_err(StoreError::at("reading the audit's last signed head"))?;
        row.map(ExportRow::read).transpose()
    }

    /// Keeps a signed head, to be written into the store.
    pub async fn add_audit_export(&mut self, export: &SignedHead) -> Result<(), StoreError> {
        sql("INSERT INTO audit_exports (number, day, head) VALUES ($1, $2, $3)")
            .bind(signed(export.head.number))
            .bind(&export.head.day)
            .bind(json(export))
            .execute(self.connection())
            .await
            .map_err(StoreError::at("keeping a signed head"))?;
        Ok(())
    }

    /// Notes that a head is in the store.
    pub async fn audit_export_stored(&mut self, number: u64) -> Result<(), StoreError> {
        let now = self.now();
        sql("UPDATE audit_exports SET stored = $2 WHERE number = $1 AND stored IS NULL")
            .bind(signed(number))
            .bind(now.0)
            .execute(self.connection())
            .await
            .map_err(StoreError::at("noting a stored head"))?;
        Ok(())
    }
}

/// A page of entries, latest first. `$by` is the condition that an index leads to.
macro_rules! page {
    ($by:literal) => {
        concat!(
            "SELECT * FROM audit WHERE ",
            $by,
            " AND (CAST($1 AS TEXT) IS NULL OR user_id = $1) AND (CAST($2 AS TEXT) IS NULL OR action = $2)
                 AND (CAST($3 AS TEXT) IS NULL OR subject = $3) AND (CAST($4 AS BIGINT) IS NULL OR at >= $4)
                 AND (CAST($5 AS BIGINT) IS NULL OR at < $5) AND seq < $6
             ORDER BY seq DESC LIMIT $7"
        )
    };
}

impl Store {
    /// A page of entries, latest first.
    pub async fn audit_page(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        let text = match filter {
            AuditFilter { subject: Some(_), .. } => page!("subject = $3"),
            AuditFilter { user: Some(_), .. } => page!("user_id = $1"),
            AuditFilter { action: Some(_), .. } => page!("action = $2"),
            _ => page!("seq > 0"),
        };
        let rows: Vec<Row> = sql(text)
            .bind(filter.user.map(|user| user.to_string()))
            .bind(filter.action.map(Action::as_str))
            .bind(&filter.subject)
            .bind(filter.from.map(|at| at.0))
            .bind(filter.to.map(|at| at.0))
            .bind(filter.after.map_or(i64::MAX, signed))
            .bind(i64::from(filter.limit.min(500)))
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("listing the audit"))?;
        Ok(rows.into_iter().map(Row::read).collect())
    }

    /// Where the chain ends, as the database remembers it.
    pub async fn audit_head(&self) -> Result<(u64, String), StoreError> {
        let head: (i64, String) = sql("SELECT seq, hash FROM audit_head WHERE id = 1")
            .fetch_one(self.readers())
            .await
            .map_err(StoreError::at("reading the audit's head"))?;
        Ok((unsigned(head.0), head.1))
    }

    /// Signed heads in their order, at most 1,000.
    ///
    /// * `after` — number of the last one seen, 0 for the beginning.
    pub async fn audit_exports(&self, after: u64) -> Result<Vec<AuditExport>, StoreError> {
        let rows: Vec<ExportRow> = sql("SELECT * FROM audit_exports WHERE number > $1 ORDER BY number LIMIT 1000")
            .bind(signed(after))
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("listing signed heads"))?;
        rows.into_iter().map(ExportRow::read).collect()
    }

    /// Signed heads that are not in the store yet, oldest first, at most 100.
    pub async fn audit_exports_to_store(&self) -> Result<Vec<AuditExport>, StoreError> {
        let rows: Vec<ExportRow> = sql("SELECT * FROM audit_exports WHERE stored IS NULL ORDER BY number LIMIT 100")
            .fetch_all(self.readers())
            .await
            .map_err(StoreError::at("listing signed heads"))?;
        rows.into_iter().map(ExportRow::read).collect()
    }

    /// Entries in their order.
    ///
    /// * `after` — the last one seen, 0 for the beginning.
    /// * `limit` — rows, at most 1,000.
    pub async fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let rows: Vec<Row> = sql("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
            .bind(signed(after))
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
        seq: unsigned(seq),
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
struct ExportRow {
    number: i64,
    day: String,
    head: String,
    stored: Option<i64>,
}

impl ExportRow {
    fn read(self) -> Result<AuditExport, StoreError> {
        let head = from_json("audit_exports", &self.head)?;
        Ok(AuditExport { number: unsigned(self.number), day: self.day, head, stored: self.stored.is_some() })
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
            seq: unsigned(self.seq),
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
