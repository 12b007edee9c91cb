//! Stories of rows: what is committed stays, what is not leaves nothing, and two writers take turns.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    sql::sql,
    testing::{MONDAY_NINE, TestStore, on_every_database, schema},
    *,
};
use crate::{
    domain::{
        call::{Direction, EndReason, Fork, Origin, RecordingState},
        ids::{CallId, CaseId, UserId},
        quality::{Figures, Loss, Quality, Way},
        time::UnixMs,
        transcript::{Channel, Transcript, Utterance},
    },
    telemetry::Private,
};

/// A test that needs it has failed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

#[tokio::test]
async fn a_database_that_was_full_can_be_written_again_when_there_is_room() {
    let test = TestStore::sqlite().await;
    let mut tx = test.store.begin().await.expect("a writer");
    sql("PRAGMA max_page_count = 1").execute(tx.connection()).await.expect("no page more than there are");
    tx.commit().await.expect("committed");
    let mut tx = test.store.begin().await.expect("a writer");
    let row = CallRow { called: "1".repeat(1_000_000), ..call(&test) };
    let full = async { tx.add_call(&row).await.map(drop) }.await;
    drop(tx);
    assert!(full.is_err(), "no room for a million digits");
    // The limit was the connection's, so the next one has room.
    let mut tx = test.store.begin().await.expect("a writer");
    assert!(tx.add_call(&row).await.expect("room"));
    tx.commit().await.expect("committed");
}

on_every_database! {
    async fn a_call_is_kept_from_its_start_to_its_sealed_recording(test: TestStore) {
        let call = call(&test);
        let mut tx = test.store.begin().await.expect("a writer");
        assert!(tx.add_call(&call).await.expect("added"));
        assert!(!tx.add_call(&call).await.expect("twice is once"));
        tx.call_answered(call.id, UnixMs(5), RecordingState::Recording).await.expect("answered");
        let recording = StoredRecording { key: "2026/11/23/x.wav".into(), sha256: "ab".into(), samples: 16_000 };
        tx.call_ended(call.id, UnixMs(9), EndReason::CallerHungUp, RecordingState::Sealed, Some(&recording))
            .await
            .expect("ended");
        let figures = Figures { packets: 500, lost: 5, runs: Some(2), jitter_ms: 3.0, ..Figures::default() };
        let heard = Way::rate(&figures, Loss::Silent, Some(40.0));
        let quality = Quality { heard, reported: None, round_trip_ms: Some(40.0) };
        tx.call_quality(call.id, &quality).await.expect("rated");
        // Whatever comes later does not change how it ended.
        tx.call_ended(call.id, UnixMs(99), EndReason::Interrupted, RecordingState::Failed, None).await.expect("late");
        tx.commit().await.expect("committed");
        let kept = test.store.call(call.id).await.expect("a look").expect("the call");
        let expected = CallRow {
            answered: Some(UnixMs(5)),
            ended: Some(UnixMs(9)),
            end_reason: Some(EndReason::CallerHungUp),
            recording_state: RecordingState::Sealed,
            recording: Some(recording),
            quality: Some(quality),
            ..call
        };
        assert_eq!(kept, expected);
        assert!(test.store.open_calls(UnixMs(i64::MAX)).await.expect("a look").is_empty());
    }

    async fn what_a_switch_says_of_a_call_in_its_middle_is_kept(test: TestStore) {
        let call = call(&test).forked(Some(&Fork::default()));
        let fork = Fork { seat: Some("8001".into()), session_id: Some("cs-77".into()), told: true };
        let told = CallRow { caller: Some(Private("13900000000".into())), caller_hash: Some("ab".into()), ..call.clone() };
        let told = told.forked(Some(&fork));
        let mut tx = test.store.begin().await.expect("a writer");
        tx.add_call(&call).await.expect("added");
        assert_eq!(tx.call(call.id).await.expect("a look").map(|it| it.origin), Some(Origin::ForkedUntold));
        tx.call_told(&told).await.expect("told");
        tx.commit().await.expect("committed");
        assert_eq!(test.store.call(call.id).await.expect("a look"), Some(told));
    }

    async fn a_call_without_an_end_is_found_even_if_the_clock_was_set_back_since(test: TestStore) {
        let call = call(&test);
        let mut tx = test.store.begin().await.expect("a writer");
        assert!(tx.add_call(&call).await.expect("added"));
        tx.commit().await.expect("committed");
        for (minutes, found) in [(1, 1), (0, 0), (-1, 0), (-60, 1)] {
            let start = UnixMs(call.started.0 + minutes * 60_000);
            assert_eq!(test.store.open_calls(start).await.expect("a look").len(), found, "a start {minutes} min later");
        }
    }

    async fn what_is_not_committed_leaves_nothing(test: TestStore) {
        let call = call(&test);
        let mut tx = test.store.begin().await.expect("a writer");
        tx.add_call(&call).await.expect("added");
        drop(tx);
        assert_eq!(test.store.call(call.id).await.expect("a look"), None);
        let mut tx = test.store.begin().await.expect("the writer is free again");
        assert!(tx.add_call(&call).await.expect("added"));
        tx.commit().await.expect("committed");
    }

    async fn a_write_that_failed_in_the_middle_is_never_said_to_be_lasting(test: TestStore) {
        let (call, row) = (call(&test), case_row(&test, 1));
        let mut tx = test.store.begin().await.expect("a writer");
        tx.add_case(&row).await.expect("added");
        let again = tx.add_case(&row).await;
        assert!(matches!(again, Err(StoreError::Duplicate { .. })));
        // SQLite goes on without the failed statement, PostgreSQL gives the whole up: either way the answer is true.
        let written = tx.add_call(&call).await.is_ok();
        let lasting = tx.commit().await.is_ok();
        assert_eq!(test.store.call(call.id).await.expect("a look").is_some(), written && lasting);
        assert_eq!(test.store.case_row(row.id).await.expect("a look").is_some(), lasting);
    }

    async fn tables_of_a_newer_program_are_left_alone(test: TestStore) {
        let mut tx = test.store.begin().await.expect("a writer");
        sql("INSERT INTO migrations (number, sha256, applied) VALUES (999, '', 0)")
            .execute(tx.connection())
            .await
            .expect("as a newer program would");
        tx.commit().await.expect("committed");
        test.store.close().await;
        let refused = Store::open(&test.url(), test.clock.clone()).await.expect_err("too new");
        assert!(matches!(refused, StoreError::Newer { found: 999, .. }));
        assert!(refused.to_string().contains("start a newer hotline"), "{refused}");
    }

    async fn tables_that_were_edited_afterwards_are_refused(test: TestStore) {
        let mut tx = test.store.begin().await.expect("a writer");
        sql("UPDATE migrations SET sha256 = 'other' WHERE number = 1").execute(tx.connection()).await.expect("edited");
        tx.commit().await.expect("committed");
        test.store.close().await;
        let refused = Store::open(&test.url(), test.clock.clone()).await.expect_err("edited");
        assert!(matches!(refused, StoreError::Edited { number: 1, .. }), "{refused}");
    }

    async fn a_cancelled_writer_frees_the_way_for_the_next(test: TestStore) {
        let call = call(&test);
        let (store, row) = (test.store.clone(), call.clone());
        let (written, was_written) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut tx = store.begin().await.expect("a writer");
            tx.add_call(&row).await.expect("added");
            let _ = written.send(());
            std::future::pending::<()>().await;
        });
        was_written.await.expect("it was written");
        task.abort();
        let mut tx = test.store.begin().await.expect("the writer is free again");
        assert!(tx.add_call(&call).await.expect("added"), "the first one left nothing");
    }

    async fn writers_that_race_take_turns(test: TestStore) {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let store = test.store.clone();
                tokio::spawn(async move {
                    let mut tx = store.begin().await.expect("a writer");
                    let number = tx.next_case_number("20261123").await.expect("a number");
                    tx.commit().await.expect("committed");
                    number
                })
            })
            .collect();
        let mut numbers = Vec::new();
        for task in tasks {
            numbers.push(task.await.expect("no panic"));
        }
        numbers.sort();
        let expected: Vec<_> = (1..=20).map(|number| format!("20261123-{number:06}")).collect();
        assert_eq!(numbers, expected, "every number once and none left out");
        let mut tx = test.store.begin().await.expect("a writer");
        assert_eq!(tx.next_case_number("20261124").await.expect("a number"), "20261124-000001");
    }

    async fn a_stale_version_changes_nothing(test: TestStore) {
        let row = case_row(&test, 1);
        let mut tx = test.store.begin().await.expect("a writer");
        tx.add_case(&row).await.expect("added");
        let newer = CaseRow { version: 2, state: "registered".into(), ..row.clone() };
        assert!(tx.update_case(&newer, 1).await.expect("an answer"));
        let late = CaseRow { version: 2, state: "void".into(), ..row };
        assert!(!tx.update_case(&late, 1).await.expect("an answer"), "somebody was faster");
        let event = StoredEvent { seq: 1, version: 1, at: UnixMs(0), actor: "{}".into(), body: "{}".into() };
        tx.append_event(newer.id, &event).await.expect("appended");
        tx.commit().await.expect("committed");
        let mut tx = test.store.begin().await.expect("a writer");
        assert!(matches!(tx.append_event(newer.id, &event).await, Err(StoreError::Duplicate { .. })));
        drop(tx);
        assert_eq!(test.store.case_row(newer.id).await.expect("a look"), Some(newer));
    }

    async fn cases_are_found_by_state_unit_words_and_lateness(test: TestStore) {
        let mut tx = test.store.begin().await.expect("a writer");
        let mut ids = Vec::new();
        for index in 1..=3_u32 {
            test.clock.set(UnixMs(MONDAY_NINE.0 + i64::from(index)));
            let mut row = case_row(&test, index);
            row.search = format!("20261123-00000{index}\n100%停水 ABC_{index}");
            row.unit_due = (index == 2).then_some(UnixMs(1000));
            tx.add_case(&row).await.expect("added");
            ids.push(row.id);
        }
        let (call, official) = (CallId::new(test.clock.uuid()), UserId::new(test.clock.uuid()));
        tx.add_call(&CallRow::begun(call, Direction::Inbound, None, "12345".into(), MONDAY_NINE)).await.expect("added");
        sql("UPDATE calls SET official = $1, case_id = $2")
            .bind(official.to_string())
            .bind(ids[1].to_string())
            .execute(tx.connection())
            .await
            .expect("taken");
        tx.put_case_units(ids[0], &["WATER", "ZJ"]).await.expect("units");
        tx.put_case_units(ids[1], &["ZJ"]).await.expect("units");
        tx.put_case_units(ids[0], &["WATER"]).await.expect("units again");
        tx.commit().await.expect("committed");
        let found = async |filter: CaseFilter| {
            let rows = test.store.case_rows(&CaseFilter { limit: 10, ..filter }).await.expect("a list");
            rows.iter().map(|row| ids.iter().position(|id| *id == row.id).expect("known")).collect::<Vec<_>>()
        };
        let none = CaseFilter::default;
        assert_eq!(found(none()).await, [2, 1, 0], "latest first");
        assert_eq!(found(CaseFilter { after: Some(ids[1]), ..none() }).await, [0]);
        assert_eq!(found(CaseFilter { unit: Some("ZJ".into()), ..none() }).await, [1]);
        assert_eq!(found(CaseFilter { unit: Some("WATER".into()), ..none() }).await, [0]);
        assert_eq!(found(CaseFilter { q: Some("停水 abc_2".into()), ..none() }).await, [1]);
        assert_eq!(found(CaseFilter { q: Some("1%停".into()), ..none() }).await, [0_usize; 0], "% is only a sign");
        assert_eq!(found(CaseFilter { overdue_at: Some(UnixMs(1001)), ..none() }).await, [1]);
        assert_eq!(found(CaseFilter { state: Some("closed".into()), ..none() }).await, [0_usize; 0]);
        let taken = || CaseFilter { official: Some(official), ..none() };
        assert_eq!(found(taken()).await, [1]);
        assert_eq!(found(CaseFilter { q: Some("停水".into()), ..taken() }).await, [1]);
        assert_eq!(found(CaseFilter { unit: Some("WATER".into()), ..taken() }).await, [0_usize; 0]);
        assert_eq!(found(CaseFilter { state: Some("draft".into()), ..taken() }).await, [1]);
        let other = UserId::new(test.clock.uuid());
        assert_eq!(found(CaseFilter { official: Some(other), ..none() }).await, [0_usize; 0]);
    }

    async fn a_word_of_an_old_case_is_found_behind_thousands_of_newer_ones(test: TestStore) {
        let mut rows = Vec::new();
        for index in 0..2_100_u32 {
            test.clock.set(UnixMs(MONDAY_NINE.0 + i64::from(index)));
            let search = if index < 2 { "井盖丢了" } else { "停水" };
            rows.push(CaseRow { search: search.into(), ..case_row(&test, index) });
        }
        let mut tx = test.store.begin().await.expect("a writer");
        tx.put_case_rows(&rows).await.expect("added");
        tx.commit().await.expect("committed");
        let found = async |q: &str, after| {
            let filter = CaseFilter { q: Some(q.into()), after, limit: 3, ..CaseFilter::default() };
            let found = test.store.case_rows(&filter).await.expect("a list");
            found.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(found("停水", None).await, [rows[2_099].id, rows[2_098].id, rows[2_097].id]);
        assert_eq!(found("井盖", None).await, [rows[1].id, rows[0].id]);
        assert_eq!(found("井盖", Some(rows[1].id)).await, [rows[0].id]);
        assert_eq!(found("停水", Some(rows[3].id)).await, [rows[2].id]);
    }

    async fn a_transcript_is_kept_and_replaced(test: TestStore) {
        let call = call(&test);
        let mut tx = test.store.begin().await.expect("a writer");
        tx.add_call(&call).await.expect("added");
        let said = |text: &str| Utterance {
            channel: Channel::Caller,
            start_ms: 10,
            end_ms: 20,
            text: text.into(),
            confidence: 0.5,
        };
        let first = Transcript { utterances: vec![said("停")], r#final: false };
        let last = Transcript { utterances: vec![said("停水"), said("三天")], r#final: true };
        tx.put_transcript(call.id, &first).await.expect("stored");
        tx.put_transcript(call.id, &last).await.expect("stored");
        tx.commit().await.expect("committed");
        assert_eq!(test.store.transcript(call.id).await.expect("a look"), Some(last));
        assert_eq!(test.store.transcript(CallId::new(Uuid::nil())).await.expect("a look"), None);
    }

    async fn a_call_is_owed_once(test: TestStore) {
        let call = call(&test);
        let mut tx = test.store.begin().await.expect("a writer");
        tx.add_call(&call).await.expect("added");
        let phone = call.caller.as_ref();
        assert!(tx.add_callback(CallbackKind::Missed, Some(call.id), None, phone, "silent").await.expect("new"));
        assert!(!tx.add_callback(CallbackKind::Missed, Some(call.id), None, phone, "silent").await.expect("known"));
        tx.commit().await.expect("committed");
        let list = test.store.callbacks(Some(CallbackKind::Missed), None, None, 10).await.expect("a list");
        assert_eq!(list.len(), 1);
        assert_eq!((list[0].phone.clone(), list[0].reason.as_str()), (call.caller, "silent"));
        let followups = test.store.callbacks(Some(CallbackKind::Followup), None, None, 10).await.expect("a list");
        assert!(followups.is_empty());
    }
}

#[tokio::test]
async fn a_database_opened_again_keeps_its_rows_and_is_not_migrated_twice() {
    let test = TestStore::sqlite().await;
    let call = call(&test);
    let mut tx = test.store.begin().await.expect("a writer");
    tx.add_call(&call).await.expect("added");
    tx.commit().await.expect("committed");
    test.store.close().await;
    let again = Store::open(&test.url(), test.clock.clone()).await.expect("opened again");
    assert_eq!(again.call(call.id).await.expect("a look"), Some(call));
    again.ready().await.expect("ready");
}

#[tokio::test]
async fn two_processes_that_start_together_make_the_tables_once() {
    let folder = tempfile::tempdir().expect("a folder");
    // One file in some hundred shows two that turn its journal at the same moment.
    let files = (0..20).map(|at| format!("sqlite://{}", folder.path().join(format!("deep/{at}/hotline.db")).display()));
    for url in files.chain(schema().await) {
        let open = || Store::open(&url, Clock::system());
        let (one, two, three) = tokio::join!(open(), open(), open());
        for store in [one, two, three] {
            store.expect("opened").ready().await.expect("ready");
        }
    }
}

#[tokio::test]
async fn a_commit_in_one_process_wakes_the_workers_of_another_on_postgresql() {
    let Some(here) = TestStore::postgres().await else { return };
    let there = Store::open(&here.url(), here.clock.clone()).await.expect("a second process");
    let stopping = CancellationToken::new();
    let mut woken = there.jobs_left();
    let listening = tokio::spawn(there.listen(stopping.clone()));
    // The first word comes when it listens, the second for the job.
    woken.changed().await.expect("it listens");
    let mut tx = here.store.begin().await.expect("a writer");
    assert!(tx.add_job("draft", "one").await.expect("added"));
    tx.commit().await.expect("committed");
    tokio::time::timeout(PATIENCE, woken.changed()).await.expect("told in time").expect("told");
    stopping.cancel();
    listening.await.expect("it ends when asked");
}

#[tokio::test]
async fn two_workers_on_postgresql_take_two_jobs_without_waiting_for_each_other() {
    let Some(test) = TestStore::postgres().await else { return };
    let mut tx = test.store.begin().await.expect("a writer");
    for key in ["one", "two"] {
        tx.add_job("draft", key).await.expect("added");
    }
    tx.commit().await.expect("committed");
    let (due, until) = (Due { now: MONDAY_NINE, far: MONDAY_NINE, leases: true }, UnixMs(MONDAY_NINE.0 + 60_000));
    let (mut first, mut second) = (test.store.begin().await.expect("one"), test.store.begin().await.expect("two"));
    let one = first.lease_job("draft", due, "a", until).await.expect("a lease").expect("a job");
    // The first has not committed: without SKIP LOCKED this would wait for it.
    let two = tokio::time::timeout(PATIENCE, second.lease_job("draft", due, "b", until)).await.expect("in time");
    let two = two.expect("a lease").expect("another job");
    // Both are due at the same moment, so either may come first.
    assert_eq!(BTreeSet::from([one.key.as_str(), two.key.as_str()]), BTreeSet::from(["one", "two"]));
    first.commit().await.expect("committed");
    second.commit().await.expect("committed");
}

#[tokio::test]
async fn an_unusable_place_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for url in ["mysql://x", "sqlite://", "sqlite::memory:", "hotline.db"] {
        assert!(matches!(Store::open(url, Clock::system()).await, Err(StoreError::Url(_))), "{url}");
    }
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let below = file.join("hotline.db");
    let refused = Store::open(&format!("sqlite://{}", below.display()), Clock::system()).await.expect_err("no folder");
    assert!(refused.to_string().contains(&file.display().to_string()), "{refused}");

    let damaged = folder.path().join("damaged.db");
    fs::write(&damaged, "this is no database, whatever its name says").expect("a file");
    let refused = Store::open(&format!("sqlite://{}", damaged.display()), Clock::system()).await.expect_err("damaged");
    assert!(refused.to_string().contains("damaged.db"), "{refused}");

    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).expect("read only");
    let shut = folder.path().join("new.db");
    // Root may write anywhere; everybody else is told which file it is.
    if let Err(refused) = Store::open(&format!("sqlite://{}", shut.display()), Clock::system()).await {
        assert!(refused.to_string().contains("new.db"), "{refused}");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("writable again");
}

fn call(test: &TestStore) -> CallRow {
    let id = CallId::new(test.clock.uuid());
    CallRow::begun(id, Direction::Inbound, Some(Private("13800000000".into())), "12345".into(), UnixMs(1))
}

fn case_row(test: &TestStore, index: u32) -> CaseRow {
    CaseRow {
        id: CaseId::new(test.clock.uuid()),
        number: format!("20261123-{index:06}"),
        version: 1,
        state: "draft".into(),
        channel: "phone".into(),
        call_id: None,
        unit_due: None,
        search: String::new(),
        view: "{}".into(),
        shape: 1,
        created: MONDAY_NINE,
        updated: MONDAY_NINE,
    }
}
