//! What is done by the hour and not by the call: recordings whose time is over are deleted.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::RecoverError;
use crate::{
    domain::{
        audit::Action,
        retention::{Class, Kept, Rules},
    },
    recording::Archive,
    store::{AuditEntry, CallRow, OldRecording, Store, Tx},
    vault::Vault,
};

/// How often it is looked for recordings whose time is over.
const EVERY: Duration = Duration::from_hours(1);
/// Rows read at once.
const PAGE: u32 = 100;
/// Pages of one round; what is left has to wait for the next.
const PAGES: usize = 50;

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    pub recordings: usize,
    /// The round was full, and there may be more.
    pub more: bool,
}

/// Looks by the hour, until `stopping`. The first round also hashes the numbers of calls from before there were hashes.
pub async fn upkeep_loop(store: Store, archive: Archive, vault: Vault, rules: Rules, stopping: CancellationToken) {
    let mut hashed = false;
    loop {
        if !hashed {
            match hash_callers(&store, &vault).await {
                Ok(calls) => {
                    hashed = true;
                    tracing::debug!(calls, "numbers hashed");
                }
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "numbers are not hashed yet"),
            }
        }
        match delete_old(&store, &archive, rules).await {
            Ok(Deleted { recordings: 0, .. }) => {}
            Ok(Deleted { recordings, more }) => tracing::info!(recordings, more, "old recordings were deleted"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "old recordings are not all deleted");
            }
        }
        if tokio::time::timeout(EVERY, stopping.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// Deletes recordings whose time is over, sound and sidecar; the row keeps what it hashed to.
pub async fn delete_old(store: &Store, archive: &Archive, rules: Rules) -> Result<Deleted, RecoverError> {
    let mut done = Deleted::default();
    for call in store.half_deleted(PAGE).await? {
        done.recordings += usize::from(finish(store, archive, &call).await?);
    }
    for _ in 0..PAGES {
        let now = store.clock().now();
        let (until, invalid) = (rules.ended_until(Class::Request, now), rules.ended_until(Class::Invalid, now));
        let old = store.old_recordings(until, invalid, PAGE).await?;
        let before = done.recordings;
        for old in old {
            let may_go = kept(&old).is_some_and(|kept| rules.may_go(kept, now));
            done.recordings += usize::from(may_go && delete(store, archive, &old.call).await?);
        }
        if done.recordings == before {
            return Ok(done);
        }
    }
    Ok(Deleted { more: true, ..done })
}

/// Makes calls findable that an older version wrote.
///
/// * returns — how many.
pub async fn hash_callers(store: &Store, vault: &Vault) -> Result<usize, RecoverError> {
    let (mut after, mut hashed) = (None, 0);
    loop {
        let page = store.calls_without_hash(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(hashed) };
        after = Some(last.id);
        let mut tx = store.begin().await?;
        for call in &page {
            if let Some(hash) = call.caller.as_ref().and_then(|caller| vault.fingerprint(caller.reveal())) {
                tx.hash_caller(call.id, &hash).await?;
                hashed += 1;
            }
        }
        tx.commit().await?;
    }
}

fn kept(old: &OldRecording) -> Option<Kept> {
    let class = match old.case_state.as_deref() {
        None | Some("void") => Class::Invalid,
        Some(_) => Class::Request,
    };
    Some(Kept { ended: old.call.ended?, class, held: old.call.hold })
}

/// Decided first and done then: a recording that somebody holds at the last moment stays, and one that was begun to be
/// deleted is deleted to the end by the next round.
async fn delete(store: &Store, archive: &Archive, call: &CallRow) -> Result<bool, RecoverError> {
    let mut tx = store.begin().await?;
    let may = tx.begin_deleting(call.id).await?;
    tx.commit().await?;
    if !may {
        return Ok(false);
    }
    finish(store, archive, call).await
}

async fn finish(store: &Store, archive: &Archive, call: &CallRow) -> Result<bool, RecoverError> {
    if let Some(recording) = &call.recording {
        archive.delete(&recording.key).await?;
    }
    let mut tx = store.begin().await?;
    let done = tx.recording_deleted(call.id).await?;
    if done {
        note_deletion(&mut tx, call);
    }
    tx.commit().await?;
    Ok(done)
}

/// Tells of a deletion in the transaction that makes it true.
fn note_deletion(tx: &mut Tx, call: &CallRow) {
    metrics::counter!("hotline_recordings_deleted_total").increment(1);
    tracing::info!(call.id = %call.id, "a recording was deleted: its time was over");
    let sha256 = call.recording.as_ref().map(|recording| &recording.sha256);
    tx.audit(AuditEntry {
        user: None,
        name: "upkeep".into(),
        action: Action::RecordingDeleted,
        subject: format!("call:{}", call.id),
        detail: json!({ "ended": call.ended, "sha256": sha256 }),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            call::{Direction, EndReason, RecordingState},
            ids::{CallId, CaseId},
            time::UnixMs,
            transcript::Channel,
        },
        recording::{CallFacts, Closing, RecordingError},
        store::{
            CaseRow, StoredRecording,
            testing::{MONDAY_NINE, TestStore, on_every_database},
        },
        telemetry::Private,
    };

    const RULES: Rules = Rules { audio_days: 1095, invalid_audio_days: 183 };
    const CALLER: &str = "+86 13806352219";

    /// A line's books and recordings.
    struct House {
        test: TestStore,
        archive: Archive,
        vault: Vault,
        _folder: tempfile::TempDir,
    }

    impl House {
        fn over(test: TestStore) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let archive = Archive::in_folder(folder.path(), test.clock.clone());
            let vault = Vault::in_folder(folder.path(), test.clock.clone());
            Self { test, archive, vault, _folder: folder }
        }

        /// A recorded call of now, and the case that it made.
        async fn call(&self, case_state: Option<&str>) -> CallId {
            let (call, now) = (CallId::new(self.test.clock.uuid()), self.test.clock.now());
            let caller = Some(Private(CALLER.to_owned()));
            let (called, direction) = ("12345".to_owned(), Direction::Inbound);
            let facts = CallFacts {
                call,
                caller: caller.clone(),
                called: called.clone(),
                direction,
                started: now,
                fork: None,
                seat: None,
            };
            let mut tap = self.archive.start(facts).await.expect("a recording");
            tap.push(Channel::Caller, 0, &[7; 800]);
            drop(tap);
            let (ended, reason) = (now, EndReason::CallerHungUp);
            let sealed = self.archive.seal(call, Closing { ended, reason }).await.expect("sealed");
            let recording = StoredRecording { key: sealed.key, sha256: sealed.sha256, samples: sealed.samples };
            let mut tx = self.test.store.begin().await.expect("a writer");
            tx.add_call(&CallRow::begun(call, direction, caller, called, now)).await.expect("added");
            tx.call_ended(call, ended, reason, RecordingState::Sealed, Some(&recording)).await.expect("ended");
            if let Some(state) = case_state {
                let case = CaseRow {
                    id: CaseId::new(self.test.clock.uuid()),
                    number: call.to_string(),
                    version: 1,
                    state: state.into(),
                    channel: "phone".into(),
                    call_id: Some(call),
                    unit_due: None,
                    search: String::new(),
                    view: String::new(),
                    shape: 0,
                    created: self.test.clock.now(),
                    updated: self.test.clock.now(),
                };
                tx.add_case(&case).await.expect("a case");
                tx.call_made_case(call, case.id).await.expect("linked");
            }
            tx.commit().await.expect("committed");
            call
        }

        fn days_later(&self, days: i64) {
            self.test.clock.set(UnixMs(MONDAY_NINE.0 + days * 86_400_000));
        }

        async fn delete_old(&self) -> usize {
            delete_old(&self.test.store, &self.archive, RULES).await.expect("deleted").recordings
        }

        /// State of the row, and whether sound and sidecar are there.
        async fn state(&self, call: CallId) -> (RecordingState, bool, bool) {
            let row = self.test.store.call(call).await.expect("a look").expect("a row");
            let sound = match self.archive.size(&Archive::key(call)).await {
                Ok(_) => true,
                Err(RecordingError::NoKey(_)) => false,
                Err(error) => panic!("{error}"),
            };
            (row.recording_state, sound, self.archive.stored(call).await.expect("a look").is_some())
        }
    }

    const THERE: (RecordingState, bool, bool) = (RecordingState::Sealed, true, true);
    const GONE: (RecordingState, bool, bool) = (RecordingState::Deleted, false, false);

    on_every_database! {
        async fn recordings_go_by_their_class_when_their_days_are_over_and_their_rows_stay(test: TestStore) {
            let house = House::over(test);
            let request = house.call(Some("archived")).await;
            let (void, silent) = (house.call(Some("void")).await, house.call(None).await);
            house.days_later(182);
            assert_eq!(house.delete_old().await, 0);
            house.days_later(183);
            assert_eq!(house.delete_old().await, 2);
            assert_eq!([house.state(request).await, house.state(void).await, house.state(silent).await], [THERE, GONE, GONE]);
            house.days_later(1094);
            assert_eq!(house.delete_old().await, 0);
            house.days_later(1095);
            assert_eq!(house.delete_old().await, 1);
            assert_eq!(house.state(request).await, GONE);
            let row = house.test.store.call(request).await.expect("a look").expect("a row");
            assert!(row.recording.is_some_and(|it| it.sha256.len() == 64), "what it hashed to remains");
            let audit = house.test.store.audit_after(0, 10).await.expect("the audit");
            let mut told: Vec<_> = audit.iter().map(|row| (row.record.action.clone(), row.record.subject.clone())).collect();
            let mut gone = [void, silent, request].map(|call| ("recording_deleted".to_owned(), format!("call:{call}")));
            gone.sort();
            told.sort();
            assert_eq!(told, gone);
            assert_eq!(house.delete_old().await, 0);
        }

        async fn what_is_held_stays_until_it_is_let_go(test: TestStore) {
            let house = House::over(test);
            let call = house.call(None).await;
            let hold = async |hold: bool| {
                let mut tx = house.test.store.begin().await.expect("a writer");
                let held = tx.hold_call(call, hold).await.expect("held");
                tx.commit().await.expect("committed");
                held
            };
            assert!(hold(true).await);
            house.days_later(5_000);
            assert_eq!((house.delete_old().await, house.state(call).await), (0, THERE));
            assert!(hold(false).await);
            assert_eq!((house.delete_old().await, house.state(call).await), (1, GONE));
            assert!(!hold(true).await, "too late");
        }

        async fn a_deletion_that_was_cut_short_is_finished_by_the_next_round(test: TestStore) {
            let house = House::over(test);
            let call = house.call(None).await;
            let mut tx = house.test.store.begin().await.expect("a writer");
            assert!(tx.begin_deleting(call).await.expect("begun"));
            tx.commit().await.expect("committed");
            assert_eq!((house.delete_old().await, house.state(call).await), (1, GONE));
        }

        async fn calls_of_an_older_version_are_found_by_their_number_after_the_first_round(test: TestStore) {
            let house = House::over(test);
            let (call, hash) = (house.call(None).await, house.vault.fingerprint("13806352219").expect("digits"));
            let mut tx = house.test.store.begin().await.expect("a writer");
            let caller = Some(Private("anonymous".to_owned()));
            let withheld = CallRow::begun(CallId::new(house.test.clock.uuid()), Direction::Inbound, caller, "12345".into(), MONDAY_NINE);
            tx.add_call(&withheld).await.expect("added");
            tx.commit().await.expect("committed");
            assert_eq!(house.test.store.calls_of(&hash, None, 10).await.expect("a list"), []);
            assert_eq!(hash_callers(&house.test.store, &house.vault).await.expect("hashed"), 1);
            let found = house.test.store.calls_of(&hash, None, 10).await.expect("a list");
            assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [call]);
            assert_eq!(hash_callers(&house.test.store, &house.vault).await.expect("nothing left"), 0);
        }
    }
}
