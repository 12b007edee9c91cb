//! Takes up what a dead process left behind: recordings without a row, calls without an end.

use std::{collections::HashSet, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        call::{EndReason, RecordingState},
        ids::CallId,
        time::UnixMs,
    },
    jobs::{JobError, Queue},
    recording::{Archive, Late, RecordingError, Sealed},
    store::{CallRow, StoreError, StoredRecording},
    vault::Vault,
};

/// Calls compared with the database at once.
const PAGE: usize = 500;
/// Pauses before recordings that wait in the spool are tried again, by failures in a row; the last one repeats.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15), Duration::from_mins(1)];

/// What was taken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Recordings that had no row, or a row that did not know of them.
    pub imported: usize,
    /// Calls that were closed as interrupted.
    pub interrupted: usize,
    /// The store was away: what lies there and in the spool has to be looked through later.
    pub unfinished: bool,
}

/// Why it could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error(transparent)]
    Job(#[from] JobError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// At the start, before the first call: seals what grew in the spool, imports it, closes calls without an end.
///
/// * `started` — when this process began; calls after it are its own.
pub async fn recover(
    queue: &Queue,
    archive: &Archive,
    vault: &Vault,
    started: UnixMs,
) -> Result<Recovered, RecoverError> {
    let found = archive.recover().await?;
    if !found.is_empty() {
        tracing::warn!(recordings = found.len(), "recordings of a process that died were sealed as interrupted");
    }
    let (imported, unfinished) = match import(queue, archive, vault).await {
        Ok(imported) => (imported, archive.is_late()),
        // Calls can be answered and recorded without the store.
        Err(RecoverError::Recording(error)) if error.may_pass() => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the store is away; recordings wait in the spool"
            );
            (0, true)
        }
        Err(error) => return Err(error),
    };
    let open = queue.store().open_calls(started).await?;
    for call in &open {
        let state = match call.recording_state {
            RecordingState::Recording => RecordingState::Failed,
            state => state,
        };
        // Not before it began, wherever the clock stands now.
        queue.call_ended(call.id, started.max(call.started), EndReason::Interrupted, state, None, None).await?;
        tracing::warn!(call.id = %call.id, "a call without an end was closed as interrupted");
    }
    Ok(Recovered { imported, interrupted: open.len(), unfinished })
}

/// Makes the rows of sealed recordings that have none; safe while calls are going on.
///
/// * returns — how many were imported.
pub async fn import(queue: &Queue, archive: &Archive, vault: &Vault) -> Result<usize, RecoverError> {
    let mut imported = 0;
    for page in archive.calls().await?.chunks(PAGE) {
        let (Some(first), Some(last)) = (page.first(), page.last()) else { continue };
        let known: HashSet<CallId> = queue.store().sealed_between(*first, *last).await?.into_iter().collect();
        for call in page.iter().filter(|call| !known.contains(call)) {
            match archive.stored(*call).await {
                Ok(Some(sealed)) => imported += usize::from(take(queue, vault, sealed).await?),
                Ok(None) => {}
                Err(error) if error.may_pass() => return Err(error.into()),
                Err(error) => tracing::warn!(call.id = %call, error = &error as &dyn std::error::Error,
                    "an unreadable sidecar was left out"),
            }
        }
    }
    Ok(imported)
}

/// Tries again, until `stopping`, to store recordings for which the store was away when their calls ended, and to make the
/// rows of calls that ended while the database was away.
///
/// * `unfinished` — whether the start could not look everything through.
pub async fn late_loop(queue: Queue, archive: Archive, vault: Vault, unfinished: bool, stopping: CancellationToken) {
    let (mut to_import, mut failures) = (unfinished, 0);
    loop {
        let pause = PAUSES[failures.min(PAUSES.len() - 1)];
        if tokio::time::timeout(pause, stopping.cancelled()).await.is_ok() {
            return;
        }
        to_import |= queue.take_owed();
        if !to_import && !archive.is_late() {
            failures = 0;
            continue;
        }
        match seal_late(&queue, &archive, &vault, to_import).await {
            Ok(()) => (to_import, failures) = (false, 0),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "recordings still wait in the spool");
                // Whichever of both was away: rows may be missing now.
                (to_import, failures) = (true, failures + 1);
            }
        }
    }
}

/// One attempt to store what waits in the spool and to give it its rows.
///
/// * `all` — also look for recordings without a row from before.
pub async fn seal_late(queue: &Queue, archive: &Archive, vault: &Vault, all: bool) -> Result<(), RecoverError> {
    let Late { sealed, trouble } = archive.seal_late().await;
    for sealed in sealed {
        tracing::info!(call.id = %sealed.facts.call, "a recording that waited in the spool was sealed");
        take(queue, vault, sealed).await?;
    }
    if let Some(trouble) = trouble {
        return Err(trouble.into());
    }
    if all {
        let imported = import(queue, archive, vault).await?;
        tracing::info!(imported, "the store is there; recordings without a row were imported");
    }
    Ok(())
}

async fn take(queue: &Queue, vault: &Vault, sealed: Sealed) -> Result<bool, RecoverError> {
    let id = sealed.facts.call;
    let known = queue.store().call(id).await?;
    if known.as_ref().is_some_and(|row| row.recording.is_some()) {
        return Ok(false);
    }
    if known.is_none() {
        let facts = sealed.facts;
        let hash = facts.caller_hash(vault);
        let row = CallRow::begun(id, facts.direction, facts.caller, facts.called, facts.started).found_by(hash);
        let row = row.forked(facts.fork.as_ref()).taken_by(facts.seat.clone());
        let mut tx = queue.store().begin().await?;
        tx.add_call(&CallRow { answered: sealed.answered, ..row }).await?;
        tx.commit().await?;
    }
    let recording = StoredRecording { key: sealed.key, sha256: sealed.sha256, samples: sealed.samples };
    queue.call_ended(id, sealed.ended, sealed.reason, RecordingState::Sealed, Some(&recording), None).await?;
    tracing::info!(call.id = %id, "a recording without a row was imported");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::{call::Direction, ids::CallId, transcript::Channel},
        recording::{CallFacts, Closing},
        store::testing::{MONDAY_NINE, TestStore},
        telemetry::Private,
    };

    #[tokio::test]
    async fn a_recording_without_a_row_is_imported_once_and_will_be_heard() {
        let (test, archive, vault, _folder) = house().await;
        let queue = Queue::new(test.store.clone());
        let facts = facts(&test);
        let id = facts.call;
        let mut tap = archive.start(facts).await.expect("a recording");
        tap.began(MONDAY_NINE);
        tap.push(Channel::Caller, 0, &[1000; 800]);
        tap.finish(800);
        let closing = Closing { ended: UnixMs(MONDAY_NINE.0 + 100), reason: EndReason::CallerHungUp };
        let sealed = archive.seal(id, closing).await.expect("sealed");

        assert_eq!(import(&queue, &archive, &vault).await.expect("imported"), 1);
        let row = test.store.call(id).await.expect("a look").expect("a row");
        assert_eq!((row.ended, row.end_reason), (Some(closing.ended), Some(EndReason::CallerHungUp)));
        assert_eq!(row.recording.map(|it| it.sha256), Some(sealed.sha256));
        assert_eq!(row.caller, Some(Private("13800000000".into())));
        assert_eq!(row.caller_hash, vault.fingerprint("13800000000"));
        assert!(test.store.job("transcribe", &id.to_string()).await.expect("a look").is_some());
        assert_eq!(import(&queue, &archive, &vault).await.expect("nothing new"), 0);
        assert!(test.store.callbacks(None, None, None, 10).await.expect("a list").is_empty());
    }

    #[tokio::test]
    async fn after_a_crash_calls_are_closed_what_was_recorded_is_heard_and_callers_are_called_back() {
        let (test, archive, vault, folder) = house().await;
        let queue = Queue::new(test.store.clone());
        let (recorded, unrecorded) = (facts(&test), facts(&test));
        for facts in [&recorded, &unrecorded] {
            let facts = facts.clone();
            let row = CallRow::begun(facts.call, facts.direction, facts.caller, facts.called, facts.started);
            let mut tx = test.store.begin().await.expect("a writer");
            tx.add_call(&row).await.expect("added");
            tx.commit().await.expect("committed");
        }
        let mut tap = archive.start(recorded.clone()).await.expect("a recording");
        tap.began(MONDAY_NINE);
        tap.push(Channel::Caller, 0, &[1000; 8000]);
        drop(tap);

        // The next process begins later; until the writer of the dead one lets go of its file there is nothing to take.
        let archive = open(&test, &folder);
        let started = UnixMs(MONDAY_NINE.0 + 60_000);
        test.clock.set(started);
        let taken = tokio::time::timeout(Duration::from_secs(20), async {
            let mut taken = Recovered::default();
            while taken.imported == 0 {
                let more = recover(&queue, &archive, &vault, MONDAY_NINE).await.expect("recovered");
                taken.imported += more.imported;
                tokio::task::yield_now().await;
            }
            taken
        });
        assert_eq!(taken.await.expect("in time").imported, 1);
        assert_eq!(recover(&queue, &archive, &vault, started).await.expect("recovered").interrupted, 1);

        for facts in [&recorded, &unrecorded] {
            let row = test.store.call(facts.call).await.expect("a look").expect("a row");
            assert_eq!(row.end_reason, Some(EndReason::Interrupted));
            let heard = test.store.job("transcribe", &facts.call.to_string()).await.expect("a look").is_some();
            assert_eq!((heard, row.recording.is_some()), (facts == &recorded, facts == &recorded));
        }
        let owed = test.store.callbacks(None, None, None, 10).await.expect("a list");
        assert_eq!(owed.iter().map(|entry| entry.reason.as_str()).collect::<Vec<_>>(), ["interrupted"; 2]);
        assert_eq!(recover(&queue, &archive, &vault, started).await.expect("nothing left"), Recovered::default());
    }

    #[tokio::test]
    async fn a_recording_that_could_not_be_stored_gets_its_row_when_it_can_be() {
        let (test, archive, vault, folder) = house().await;
        let queue = Queue::new(test.store.clone());
        let facts = facts(&test);
        let id = facts.call;
        let row = CallRow::begun(id, facts.direction, facts.caller.clone(), facts.called.clone(), facts.started);
        let mut tx = test.store.begin().await.expect("a writer");
        tx.add_call(&row).await.expect("added");
        tx.commit().await.expect("committed");
        archive.start(facts).await.expect("a recording").finish(8_000);
        let keys = folder.path().join("keys/master.json");
        std::fs::rename(&keys, keys.with_extension("away")).expect("moved");
        let closing = Closing { ended: UnixMs(MONDAY_NINE.0 + 1_000), reason: EndReason::CallerHungUp };
        archive.seal(id, closing).await.expect_err("nothing to seal with");
        queue.call_ended(id, closing.ended, closing.reason, RecordingState::Failed, None, None).await.expect("ended");
        seal_late(&queue, &archive, &vault, false).await.expect_err("still away");

        std::fs::rename(keys.with_extension("away"), &keys).expect("moved");
        seal_late(&queue, &archive, &vault, false).await.expect("sealed");
        let row = test.store.call(id).await.expect("a look").expect("a row");
        assert_eq!((row.recording_state, row.end_reason), (RecordingState::Sealed, Some(EndReason::CallerHungUp)));
        assert!(test.store.job("transcribe", &id.to_string()).await.expect("a look").is_some(), "it will be heard");
    }

    async fn house() -> (TestStore, Archive, Vault, tempfile::TempDir) {
        let test = TestStore::sqlite().await;
        let folder = tempfile::tempdir().expect("a folder");
        let archive = open(&test, &folder);
        let vault = Vault::in_folder(folder.path(), test.clock.clone());
        (test, archive, vault, folder)
    }

    fn open(test: &TestStore, folder: &tempfile::TempDir) -> Archive {
        Archive::in_folder(folder.path(), test.clock.clone())
    }

    fn facts(test: &TestStore) -> CallFacts {
        CallFacts {
            call: CallId::new(test.clock.uuid()),
            caller: Some(Private("13800000000".into())),
            called: "12345".into(),
            direction: Direction::Inbound,
            started: MONDAY_NINE,
            fork: None,
            seat: None,
        }
    }
}
