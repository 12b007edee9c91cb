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
