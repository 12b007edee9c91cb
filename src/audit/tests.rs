//! What an administrator of the database might do, and how each of it is found out.

use std::{fmt::Write, fs};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{
    config::{CipherSuite, Vault as VaultSettings},
    domain::audit::{Action, Record},
    recording::Archive,
    store::{
        AuditEntry,
        testing::{MONDAY_NINE, TestStore, on_every_database},
    },
};

/// A line with seven entries: three on Monday, two on Tuesday, two since the head of Tuesday.
struct Line {
    test: TestStore,
    auditor: Auditor,
    folder: TempDir,
}

const DAY: i64 = 24 * 3_600_000;

impl Line {
    async fn of(test: TestStore) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = Archive::in_folder(folder.path(), test.clock.clone());
        let auditor = Auditor::new(test.store.clone(), archive.papers(), Some(keys(&folder.path().join("keys"))));
        let line = Self { test, auditor, folder };
        for (day, entries) in [(0, 3), (1, 2)] {
            line.test.clock.set(UnixMs(MONDAY_NINE.0 + day * DAY));
            line.append(entries).await;
            line.auditor.export().await.expect("exported").expect("a head");
        }
        line.append(2).await;
        line
    }

    async fn append(&self, count: usize) {
        for _ in 0..count {
            let mut tx = self.test.store.begin().await.expect("a writer");
            tx.audit(AuditEntry {
                user: None,
                name: "test".into(),
                action: Action::RecordingRead,
                subject: "call:1".into(),
                detail: json!({}),
            });
            tx.commit().await.expect("committed");
        }
    }

    async fn verify(&self) -> Result<Verified, AuditError> {
        self.auditor.verify(Vec::new(), |_, _| {}).await
    }

    /// What is found to be wrong.
    async fn found(&self) -> Break {
        match self.verify().await {
            Err(AuditError::Broken(found)) => found,
            other => panic!("nothing was found: {other:?}"),
        }
    }

    /// Does as an administrator of the database may: the triggers away, then the statement.
    async fn tamper(&self, statements: &str) {
        self.test.tamper(&["audit", "audit_exports"], statements).await;
    }

    /// Computes the whole chain anew with an entry changed, as somebody would who has read this program.
    async fn rewrite(&self, changed: u64) {
        let (mut prev, mut statements) = (BEGINNING.to_owned(), String::new());
        for row in self.test.store.audit_after(0, 100).await.expect("readable") {
            let mut record = Record { prev, ..row.record };
            if record.seq == changed {
                record.subject = "call:2".into();
            }
            let (hash, seq) = (record.hash(), record.seq);
            let Record { subject, prev: before, .. } = &record;
            let set = format!("subject = '{subject}', prev = '{before}', hash = '{hash}'");
            writeln!(statements, "UPDATE audit SET {set} WHERE seq = {seq};").expect("text");
            prev = hash;
        }
        writeln!(statements, "UPDATE audit_head SET hash = '{prev}';").expect("text");
        self.tamper(&statements).await;
    }

    fn head(&self, day: &str) -> std::path::PathBuf {
        self.folder.path().join("recordings").join(Head::key(day))
    }
}

on_every_database! {
    async fn a_chain_and_its_heads_hold(test: TestStore) {
        let line = Line::of(test).await;
        assert_eq!(line.verify().await.expect("whole"), Verified { entries: 7, heads: 2 });
        let again = line.auditor.export().await.expect("exported").expect("a head");
        assert_eq!((again.head.number, again.head.seq, again.head.count), (2, 5, 2), "one a day");
        let text = fs::read_to_string(line.head("2026-11-24")).expect("beside the recordings");
        assert_eq!(serde_json::from_str::<SignedHead>(&text).expect("a head"), again);
        assert_eq!(line.verify().await.expect("whole"), Verified { entries: 7, heads: 2 });
    }

    async fn a_changed_entry_is_named(test: TestStore) {
        let line = Line::of(test).await;
        line.tamper("UPDATE audit SET name = 'somebody else' WHERE seq = 2;").await;
        assert_eq!(line.found().await, Break::Changed(2));
    }

    async fn an_entry_that_was_taken_out_is_named(test: TestStore) {
        let line = Line::of(test).await;
        line.tamper("DELETE FROM audit WHERE seq = 4;").await;
        assert_eq!(line.found().await, Break::Missing { missing: 4, found: 5 });
    }

    async fn a_tail_that_was_cut_off_is_named(test: TestStore) {
        let line = Line::of(test).await;
        line.tamper("DELETE FROM audit WHERE seq > 6;").await;
        assert_eq!(line.found().await, Break::Tail { missing: 7, seq: 7 });
        let rows = line.test.store.audit_after(0, 4).await.expect("readable");
        line.tamper(&format!(
            "DELETE FROM audit WHERE seq > 4; UPDATE audit_head SET seq = 4, hash = '{}';
             DELETE FROM audit_exports WHERE number = 2;",
            rows[3].hash
        ))
        .await;
        assert_eq!(line.found().await, Break::Cut { missing: 5, seq: 5, day: "2026-11-24".into() });
    }

    async fn a_chain_that_was_computed_anew_is_named(test: TestStore) {
        let line = Line::of(test).await;
        line.rewrite(4).await;
        assert_eq!(line.found().await, Break::Rewritten { seq: 5, day: "2026-11-24".into() });
    }

    async fn a_forged_head_is_named(test: TestStore) {
        let line = Line::of(test).await;
        line.rewrite(4).await;
        let rows = line.test.store.audit_after(4, 1).await.expect("readable");
        let text = fs::read_to_string(line.head("2026-11-24")).expect("a head");
        let mut head: SignedHead = serde_json::from_str(&text).expect("a head");
        head.head.hash.clone_from(&rows[0].hash);
        fs::write(line.head("2026-11-24"), super::text(&head)).expect("written over");
        assert_eq!(line.found().await, Break::Forged("2026-11-24".into()), "with the old signature");
        let stranger = keys(&line.folder.path().join("other keys"));
        let signed = stranger.sign(&head.head.encoding());
        (head.key, head.signature) = (signed.key, signed.signature);
        fs::write(line.head("2026-11-24"), super::text(&head)).expect("written over");
        assert_eq!(line.found().await, Break::Forged("2026-11-24".into()), "with a key of another line");
    }

    async fn a_head_that_was_taken_away_is_named(test: TestStore) {
        let line = Line::of(test).await;
        let kept = fs::read_to_string(line.head("2026-11-24")).expect("a head");
        fs::remove_file(line.head("2026-11-24")).expect("taken away");
        assert_eq!(line.found().await, Break::HeadGone("2026-11-24".into()));
        // Everything that the database and the store remember of it is gone: a copy kept elsewhere still tells.
        line.rewrite(4).await;
        line.tamper("DELETE FROM audit_exports WHERE number = 2;").await;
        assert!(line.verify().await.is_ok());
        let kept = serde_json::from_str(&kept).expect("a head");
        let found = line.auditor.verify(vec![kept], |_, _| {}).await.expect_err("the copy tells");
        assert!(matches!(found, AuditError::Broken(Break::Rewritten { seq: 5, .. })), "{found}");
        fs::write(line.head("2026-11-23"), "{}").expect("damaged");
        assert_eq!(line.found().await, Break::Unreadable("audit/heads/2026-11-23.json".into()));
    }

    async fn a_head_that_could_not_be_stored_is_stored_later(test: TestStore) {
        let line = Line::of(test).await;
        let folder = line.folder.path().join("recordings/audit/heads");
        let aside = line.folder.path().join("aside");
        fs::rename(&folder, &aside).expect("the store is away");
        fs::write(&folder, "in the way").expect("a file");
        line.test.clock.set(UnixMs(MONDAY_NINE.0 + 2 * DAY));
        assert!(matches!(line.auditor.export().await, Err(AuditError::Papers(_))));
        fs::remove_file(&folder).expect("gone");
        fs::rename(&aside, &folder).expect("the store is back");
        assert_eq!(line.auditor.export().await.expect("exported").map(|head| head.head.number), Some(3));
        assert!(line.head("2026-11-25").exists());
        assert_eq!(line.verify().await.expect("whole"), Verified { entries: 7, heads: 3 });
    }
}

fn keys(folder: &std::path::Path) -> Vault {
    let settings = VaultSettings { keys: folder.to_owned(), suite: CipherSuite::Aes256Gcm };
    Vault::open(&settings, Clock::standing_at(MONDAY_NINE)).expect("keys")
}
