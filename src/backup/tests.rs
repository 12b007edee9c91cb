//! A line with something in every table, copied and put back on every pair of databases.

mod refusals;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use futures::TryStreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    audit::Auditor,
    cases::{Cases, Drafted, Wanted},
    clock::Clock,
    config::Storage,
    domain::{
        audit::Action,
        call::{Direction, EndReason, RecordingState},
        case::{Actor, Command},
        city::City,
        draft::{Draft, Field, Source},
        ids::{CallId, UserId},
        role::Role,
        time::UnixMs,
        transcript::{Channel, Transcript, Utterance},
    },
    recording::{Archive, CallFacts, Closing, Copies, Papers},
    store::{
        AuditEntry, CallRow, Store, StoredRecording,
        testing::{MONDAY_NINE, TestStore, schema},
    },
    vault::{Passphrase, Vault},
};

const DEMO: &str = "config/demo-city.json";

/// What no service of this test writes. `sessions` are not kept.
const PEOPLE: &[&str] = &[
    "INSERT INTO users (id, name, one_time, created, password) VALUES ('u', '李 \"四\" \\ 😀', 0, 1, '$argon2id$')",
    "INSERT INTO user_roles (user_id, role) VALUES ('u', 'agent')",
    "INSERT INTO seats (extension, user_id, ha1_md5, ha1_sha256, created, changed) VALUES ('8001', 'u', 'aa', 'bb', 1, 2)",
    "INSERT INTO rota (id, user_id, rank, starts, ends, topics) VALUES ('r', 'u', '副市长', 1, 2, '[]')",
    "INSERT INTO tokens (hash, user_id, created, id) VALUES ('h', 'u', 1, 't')",
    "INSERT INTO passwords (id, user_id, hash) VALUES ('p', 'u', '$argon2id$')",
    "INSERT INTO sessions (id, hash, user_id, created, seen, ends) VALUES ('s', 'h', 'u', 1, 1, 2)",
    "INSERT INTO failures (subject, failures, locks, latest) VALUES ('name:x', 9223372036854775807, 0, -1)",
    "INSERT INTO totp_recoveries (user_id, asked_by, asked) VALUES ('u', 'u', 1)",
    "INSERT INTO callbacks (id, kind, reason, state, created) VALUES ('c', 'missed', 'two\nlines', 'open', 1)",
    "INSERT INTO idempotency (user_id, key, request, state, created) VALUES ('u', 'k', 'r', 'done', 1)",
    "INSERT INTO jobs (id, kind, key, state, attempts, run_at, created, updated)
     VALUES ('j', 'draft', 'k', 'waiting', 0, 1, 1, 1)",
];

#[tokio::test]
async fn a_line_moved_from_sqlite_to_sqlite_is_the_same() {
    is_the_same(TestStore::sqlite().await, Place::sqlite()).await;
}

#[tokio::test]
async fn a_line_moved_from_sqlite_to_postgresql_is_the_same() {
    let Some(to) = Place::postgres().await else { return };
    is_the_same(TestStore::sqlite().await, to).await;
}

#[tokio::test]
async fn a_line_moved_from_postgresql_to_sqlite_is_the_same() {
    let Some(from) = TestStore::postgres().await else { return };
    is_the_same(from, Place::sqlite()).await;
}

#[tokio::test]
async fn a_line_moved_from_postgresql_to_postgresql_is_the_same() {
    let (Some(from), Some(to)) = (TestStore::postgres().await, Place::postgres().await) else { return };
    is_the_same(from, to).await;
}

async fn is_the_same(from: TestStore, to: Place) {
    let line = Line::over(from).await;
    let before = rows(&line.test.store).await;
    for (table, rows) in &before {
        assert!(!rows.is_empty(), "{table}: a table without rows proves nothing; give it one in this test");
    }
    let made = line.copy().await;
    assert_eq!((made.manifest.recordings, made.manifest.missing), (1, 0));

    let restored = to.restore(&made.path).await.expect("restored");
    assert_eq!((restored.cases, restored.recordings, restored.absent), (1, 1, 0));
    assert_eq!((restored.audit.entries, restored.audit.heads), (before["audit"].len() as u64, 1));

    let store = Store::open(&to.database, line.test.clock.clone()).await.expect("a database like any other");
    let mut after = rows(&store).await;
    let audit = after.get_mut("audit").expect("the audit");
    let told =
        audit.iter().position(|entry| entry.contains("\"action\":\"restored\"")).expect("the restore is told of");
    audit.remove(told);
    for (table, rows) in before.iter().filter(|(table, _)| *table != "audit_head") {
        assert_eq!(rows, &after[table], "{table}");
    }
    assert_eq!(files(&to.folder.path().join("recordings")), files(&line.folder.path().join("recordings")));
    assert_eq!(files(&to.keys()), files(&line.folder.path().join("keys")));

    let vault = Vault::existing(&to.keys(), line.test.clock.clone()).expect("the keys");
    let archive = Archive::open(&to.storage, vault.clone(), line.test.clock.clone()).expect("the recordings");
    let key = Archive::key(line.call);
    let (here, there) = (archive.read(&key, 0..9_999).await, line.archive.read(&key, 0..9_999).await);
    assert_eq!(here.expect("opens"), there.expect("opens"), "the same sound");

    let auditor = Auditor::new(store.clone(), archive.papers(), Some(vault));
    let verified = auditor.verify(Vec::new(), |_, _| {}).await.expect("the audit holds");
    assert_eq!(verified.entries, restored.audit.entries + 1);

    let cases = Cases::new(store, city()).expect("a calendar");
    for q in ["停水", "楼停", "火灾"] {
        assert_eq!(found(&cases, q).await, found(&line.cases, q).await, "{q}");
    }
    assert_eq!(found(&cases, "楼停").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_sqlite_that_is_written_to_shows_one_moment() {
    shows_one_moment(TestStore::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_postgresql_that_is_written_to_shows_one_moment() {
    let Some(test) = TestStore::postgres().await else { return };
    shows_one_moment(test).await;
}

/// Whoever writes puts a call and an entry of the audit together, again and again.
async fn shows_one_moment(test: TestStore) {
    let line = Line::over(test).await;
    let (committed, commits) = mpsc::sync_channel(0);
    let (store, clock) = (line.test.store.clone(), line.test.clock.clone());
    let writer = tokio::spawn(async move {
        loop {
            let mut tx = store.begin().await.expect("a writer");
            let id = CallId::new(clock.uuid());
            let call = CallRow::begun(id, Direction::Inbound, None, "12345".into(), clock.now());
            tx.add_call(&call).await.expect("added");
            tx.audit(entry("writer"));
            tx.commit().await.expect("committed");
            if tokio::task::block_in_place(|| committed.send(())).is_err() {
                return;
            }
        }
    });
    commits.recv().expect("the writer writes");
    // Cases come before calls: three more of these are committed in between.
    let told = &mut |step: Step<'_>| {
        if step.what == "copying cases" {
            (0..3).for_each(|_| commits.recv().expect("the writer writes on"));
        }
    };
    let made = make(&line.making(Some(&passphrase())), &line.target(), told).await.expect("made");
    drop(commits);
    writer.await.expect("the writer ends");

    let to = Place::sqlite();
    to.restore(&made.path).await.expect("restored, and its audit holds");
    let restored = Store::open(&to.database, line.test.clock.clone()).await.expect("a database");
    let (here, there) = (rows(&restored).await, rows(&line.test.store).await);
    let written = |rows: &BTreeMap<String, Vec<String>>| {
        let entries = rows["audit"].iter().filter(|entry| entry.contains("\"name\":\"writer\"")).count();
        (entries, rows["calls"].len() - 1)
    };
    let (entries, calls) = written(&here);
    assert_eq!(entries, calls, "each call with its entry");
    assert!(written(&there).0 >= entries + 3, "it was written to meanwhile");
}

#[tokio::test]
async fn a_copy_of_older_tables_is_brought_up_to_date() {
    let test = TestStore::sqlite().await;
    let (folder, to) = (tempfile::tempdir().expect("a folder"), Place::sqlite());
    let file = folder.path().join("old.db");
    let url = format!("sqlite://{}", file.display());
    Store::open_until(&url, test.clock.clone(), 2).await.expect("old tables").close().await;
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.expect("the database");
    let people = "INSERT INTO users (id, name, one_time, created) VALUES ('u', 'li', 0, 1);
        INSERT INTO tokens (hash, user_id, created) VALUES ('0123456789abcdef0123', 'u', 1)";
    sqlx::raw_sql(people).execute(&mut connection).await.expect("rows");

    let line = Line::over(test).await;
    let store = Store::open_as_it_is(&url, line.test.clock.clone()).await.expect("as it is");
    let target = folder.path().join("old.tar");
    let made = make(&Making { store: &store, ..line.making(None) }, &target, &mut |_| {}).await.expect("made");
    assert_eq!((made.manifest.schema, store.schema().await.expect("a look")), (2, 2), "it stays as it was");
    to.restore_the_database(&target).await.expect("restored");

    let store = Store::open(&to.database, line.test.clock.clone()).await.expect("a database");
    assert_eq!(store.schema().await.expect("a look"), Store::LATEST);
    let rows = rows(&store).await;
    assert!(rows["tokens"][0].contains("\"id\":\"00000000-0001-7"), "what the migration makes: {:?}", rows["tokens"]);
}

#[tokio::test]
async fn the_database_alone_goes_back_beside_keys_and_recordings_that_outlived_it() {
    let line = Line::over(TestStore::sqlite().await).await;
    let whole = line.copy().await;
    let (making, small) =
        (Making { with_recordings: false, ..line.making(None) }, line.folder.path().join("small.tar"));
    let small = make(&making, &small, &mut |_| {}).await.expect("made");
    assert!(!small.manifest.parts.iter().any(|part| part.name.starts_with(manifest::OBJECTS)));

    // The store has a head that the copies do not know of, which is true, and for `hotline audit verify` to say.
    line.test.clock.set(UnixMs(line.test.clock.now().0 + 24 * 3_600_000));
    line.append().await;
    line.auditor().export().await.expect("exported").expect("a head");
    let recordings = line.folder.path().join("recordings");
    let before = files(&recordings);
    for made in [whole, small] {
        let to = Place { storage: Storage::in_folder(line.folder.path()), ..Place::sqlite() };
        let restored = to.restore_the_database(&made.path).await.expect("restored");
        assert_eq!((restored.recordings, restored.absent), (0, 0), "it is there, and was not read");
        assert_eq!(files(&recordings), before);
    }
}

/// A line with one recorded call, its case, and people.
struct Line {
    test: TestStore,
    folder: TempDir,
    archive: Archive,
    vault: Vault,
    keys: PathBuf,
    cases: Cases,
    copies: Copies,
    call: CallId,
}

impl Line {
    async fn over(test: TestStore) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = Vault::in_folder(folder.path(), test.clock.clone());
        let storage = Storage::in_folder(folder.path());
        let archive = Archive::open(&storage, vault.clone(), test.clock.clone()).expect("recordings");
        let cases = Cases::new(test.store.clone(), city()).expect("a calendar");
        let copies = Copies::open(&storage).expect("recordings");
        let (call, keys) = (CallId::new(test.clock.uuid()), folder.path().join("keys"));
        let line = Self { test, folder, archive, vault, keys, cases, copies, call };
        line.fill().await;
        line
    }

    async fn fill(&self) {
        let (store, call, now) = (&self.test.store, self.call, self.test.clock.now());
        store.mark("index_key", &self.vault.mark()).await.expect("marked");
        self.cases.adopt_years().await.expect("the city's years");
        let (called, direction) = ("12345".to_owned(), Direction::Inbound);
        let facts =
            CallFacts { call, caller: None, called: called.clone(), direction, started: now, fork: None, seat: None };
        let mut tap = self.archive.start(facts).await.expect("a recording");
        tap.push(Channel::Caller, 0, &[7; 800]);
        drop(tap);
        let (ended, reason) = (now, EndReason::CallerHungUp);
        let sealed = self.archive.seal(call, Closing { ended, reason }).await.expect("sealed");
        let recording = StoredRecording { key: sealed.key, sha256: sealed.sha256, samples: sealed.samples };
        let (channel, text) = (Channel::Caller, "三号楼停水了".to_owned());
        let said = Utterance { channel, start_ms: 0, end_ms: 100, text, confidence: 0.9 };
        let heard = Transcript { utterances: vec![said], r#final: true };
        let mut tx = store.begin().await.expect("a writer");
        tx.add_call(&CallRow::begun(call, direction, None, called, now)).await.expect("added");
        tx.call_ended(call, ended, reason, RecordingState::Sealed, Some(&recording)).await.expect("ended");
        tx.put_transcript(call, &heard).await.expect("heard");
        let drafted = self.cases.draft_from_call(&mut tx, call, &heard, draft()).await.expect("drafted");
        tx.commit().await.expect("committed");
        let Drafted::Case(case) = drafted else { panic!("the caller spoke") };
        let edits = serde_json::from_value(json!({ "title": "三号楼停水" })).expect("edits");
        self.cases
            .run(case, 1, Command::Edit { fields: Box::new(edits) }, &person(Role::Agent))
            .await
            .expect("corrected");
        let confirm = json!({ "version": 2, "read_back": true });
        self.cases.act(case, 2, "confirm", confirm, &person(Role::Agent)).await.expect("confirmed");
        let dispatcher = person(Role::Dispatcher);
        self.cases.act(case, 3, "dispatch", json!({ "version": 3 }), &dispatcher).await.expect("dispatched");
        for statement in PEOPLE {
            self.test.meddle(statement).await;
        }
        self.append().await;
        self.auditor().export().await.expect("exported").expect("a head");
        self.append().await;
    }

    async fn append(&self) {
        let mut tx = self.test.store.begin().await.expect("a writer");
        tx.audit(entry("test"));
        tx.commit().await.expect("committed");
    }

    fn auditor(&self) -> Auditor {
        let papers = Papers::open(&Storage::in_folder(self.folder.path())).expect("papers");
        Auditor::new(self.test.store.clone(), papers, Some(self.vault.clone()))
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("line.tar")
    }

    fn making<'a>(&'a self, passphrase: Option<&'a Passphrase>) -> Making<'a> {
        Making {
            store: &self.test.store,
            copies: &self.copies,
            keys: &self.keys,
            city: Path::new(DEMO),
            passphrase,
            with_recordings: true,
            clock: &self.test.clock,
        }
    }

    /// A whole copy, with everything.
    async fn copy(&self) -> Made {
        make(&self.making(Some(&passphrase())), &self.target(), &mut |_| {}).await.expect("made")
    }
}

/// Where nothing is yet.
struct Place {
    folder: TempDir,
    database: String,
    storage: Storage,
}

impl Place {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = format!("sqlite://{}", folder.path().join("new.db").display());
        Self { storage: Storage::in_folder(folder.path()), folder, database }
    }

    async fn postgres() -> Option<Self> {
        Some(Self { database: schema().await?, ..Self::sqlite() })
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    async fn restore(&self, file: &Path) -> Result<Restored, BackupError> {
        self.put(file, Some(&passphrase()), true, &mut |_| {}).await
    }

    async fn restore_the_database(&self, file: &Path) -> Result<Restored, BackupError> {
        self.put(file, None, false, &mut |_| {}).await
    }

    async fn put(
        &self,
        file: &Path,
        passphrase: Option<&Passphrase>,
        with_keys: bool,
        told: &mut dyn FnMut(Step<'_>),
    ) -> Result<Restored, BackupError> {
        let (database, storage, keys) = (self.database.as_str(), &self.storage, &self.keys());
        let clock = &Clock::standing_at(MONDAY_NINE);
        let place = Restoring { database, storage, keys, passphrase, with_keys, with_recordings: with_keys, clock };
        restore(&place, &Backup::open(file)?, told).await
    }
}

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery".into()).expect("long enough")
}

fn city() -> Arc<City> {
    Arc::new(serde_json::from_slice(&fs::read(DEMO).expect("the demo city")).expect("a city"))
}

fn draft() -> Draft {
    let heard = |text: &str| Field {
        value: Some(text.to_owned()),
        confidence: 0.9,
        source: Some(Source::Speech),
        ..Field::default()
    };
    let (title, description) = (heard("停水"), heard("三号楼停水了"));
    Draft { title, description, category: heard("0202"), request_type: heard("求助"), ..Draft::default() }
}

fn person(role: Role) -> Actor {
    let user = UserId::new(uuid::Uuid::from_u128(9));
    Actor::Person { user, name: "li".into(), roles: vec![role], unit: None }
}

fn entry(name: &str) -> AuditEntry {
    let (action, subject) = (Action::RecordingRead, "call:1".into());
    AuditEntry { user: None, name: name.into(), action, subject, detail: json!({}) }
}

/// Numbers of the cases that have the words.
async fn found(cases: &Cases, q: &str) -> Vec<String> {
    let wanted = Wanted { q: Some(q.into()), limit: 10, ..Wanted::default() };
    let (cases, _) = cases.list(wanted, &person(Role::Agent)).await.expect("a list");
    cases.into_iter().map(|case| case.number).collect()
}

/// All rows of all tables that are kept, each with the names of its columns.
async fn rows(store: &Store) -> BTreeMap<String, Vec<String>> {
    let mut frozen = store.freeze().await.expect("a moment");
    let mut all = BTreeMap::new();
    for table in frozen.tables.clone() {
        let rows: Vec<String> = frozen.rows(&table).try_collect().await.expect("rows");
        let named = |row: &String| {
            let values: Vec<Value> = serde_json::from_str(row).expect("an array");
            let names = table.columns.iter().map(|column| &column.name);
            serde_json::to_string(&names.zip(values).collect::<BTreeMap<_, _>>()).expect("text")
        };
        let mut rows: Vec<_> = rows.iter().map(named).collect();
        rows.sort_unstable();
        all.insert(table.name, rows);
    }
    all
}

/// Files below a folder by their path, but locks.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let (path, name) = entry.map(|entry| (entry.path(), PathBuf::from(entry.file_name()))).expect("an entry");
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (name.join(below), bytes)));
        } else if name != Path::new(".lock") {
            found.insert(name, fs::read(&path).expect("a file"));
        }
    }
    found
}
