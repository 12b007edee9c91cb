//! Takes up what a dead process left behind: recordings without a row, calls without an end.

use crate::{
    domain::{
        call::{EndReason, RecordingState},
        time::UnixMs,
    },
    jobs::{JobError, Queue},
    recording::{Archive, RecordingError, Sealed},
    store::{CallRow, StoreError, StoredRecording},
};

/// What was taken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Recordings that had no row, or a row that did not know of them.
    pub imported: usize,
    /// Calls that were closed as interrupted.
    pub interrupted: usize,
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
pub async fn recover(queue: &Queue, archive: &Archive, started: UnixMs) -> Result<Recovered, RecoverError> {
    let found = archive.recover().await?;
    if !found.is_empty() {
        tracing::warn!(recordings = found.len(), "recordings of a process that died were sealed as interrupted");
    }
    let imported = import(queue, archive).await?;
    let open = queue.store().open_calls(started).await?;
    for call in &open {
        let state = match call.recording_state {
            RecordingState::Recording => RecordingState::Failed,
            state => state,
        };
        queue.call_ended(call.id, started, EndReason::Interrupted, state, None).await?;
        tracing::warn!(call.id = %call.id, "a call without an end was closed as interrupted");
    }
    Ok(Recovered { imported, interrupted: open.len() })
}

/// Makes the rows of sealed recordings that have none; safe while calls are going on.
///
/// * returns — how many were imported.
pub async fn import(queue: &Queue, archive: &Archive) -> Result<usize, RecoverError> {
    let mut imported = 0;
    for sealed in archive.sidecars().await? {
        imported += usize::from(take(queue, sealed).await?);
    }
    Ok(imported)
}

async fn take(queue: &Queue, sealed: Sealed) -> Result<bool, RecoverError> {
    let id = sealed.facts.call;
    let known = queue.store().call(id).await?;
    if known.as_ref().is_some_and(|row| row.recording.is_some()) {
        return Ok(false);
    }
    if known.is_none() {
        let facts = sealed.facts;
        let mut row = CallRow::begun(id, facts.direction, facts.caller, facts.called, facts.started);
        row.answered = sealed.answered;
        let mut tx = queue.store().begin().await?;
        tx.add_call(&row).await?;
        tx.commit().await?;
    }
    let recording = StoredRecording { key: sealed.key, sha256: sealed.sha256, samples: sealed.samples };
    queue.call_ended(id, sealed.ended, sealed.reason, RecordingState::Sealed, Some(&recording)).await?;
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
        let (test, archive, _folder) = house().await;
        let queue = Queue::new(test.store.clone());
        let facts = facts(&test);
        let id = facts.call;
        let mut tap = archive.start(facts).await.expect("a recording");
        tap.began(MONDAY_NINE);
        tap.push(Channel::Caller, 0, &[1000; 800]);
        tap.finish(800);
        let closing = Closing { ended: UnixMs(MONDAY_NINE.0 + 100), reason: EndReason::CallerHungUp };
        let sealed = archive.seal(id, closing).await.expect("sealed");

        assert_eq!(import(&queue, &archive).await.expect("imported"), 1);
        let row = test.store.call(id).await.expect("a look").expect("a row");
        assert_eq!((row.ended, row.end_reason), (Some(closing.ended), Some(EndReason::CallerHungUp)));
        assert_eq!(row.recording.map(|it| it.sha256), Some(sealed.sha256));
        assert_eq!(row.caller, Some(Private("13800000000".into())));
        assert!(test.store.job("transcribe", &id.to_string()).await.expect("a look").is_some());
        assert_eq!(import(&queue, &archive).await.expect("nothing new"), 0);
        assert!(test.store.callbacks(None, None, None, 10).await.expect("a list").is_empty());
    }

    #[tokio::test]
    async fn after_a_crash_calls_are_closed_what_was_recorded_is_heard_and_callers_are_called_back() {
        let (test, archive, folder) = house().await;
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
                let more = recover(&queue, &archive, UnixMs(0)).await.expect("recovered");
                taken.imported += more.imported;
                tokio::task::yield_now().await;
            }
            taken
        });
        assert_eq!(taken.await.expect("in time").imported, 1);
        assert_eq!(recover(&queue, &archive, started).await.expect("recovered").interrupted, 1);

        for facts in [&recorded, &unrecorded] {
            let row = test.store.call(facts.call).await.expect("a look").expect("a row");
            assert_eq!(row.end_reason, Some(EndReason::Interrupted));
            let heard = test.store.job("transcribe", &facts.call.to_string()).await.expect("a look").is_some();
            assert_eq!((heard, row.recording.is_some()), (facts == &recorded, facts == &recorded));
        }
        let owed = test.store.callbacks(None, None, None, 10).await.expect("a list");
        assert_eq!(owed.iter().map(|entry| entry.reason.as_str()).collect::<Vec<_>>(), ["interrupted"; 2]);
        assert_eq!(recover(&queue, &archive, started).await.expect("nothing left"), Recovered::default());
    }

    async fn house() -> (TestStore, Archive, tempfile::TempDir) {
        let test = TestStore::sqlite().await;
        let folder = tempfile::tempdir().expect("a folder");
        let archive = open(&test, &folder);
        (test, archive, folder)
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
        }
    }
}
