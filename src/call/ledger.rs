//! The rows of one call. Runs beside the call and never holds it up: the recording is the truth, rows are views.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::line::Parts;
use crate::{
    domain::{
        announcement::Announcement,
        call::{EndReason, RecordingState},
        quality::Quality,
        time::UnixMs,
    },
    jobs::JobError,
    recording::CallFacts,
    store::{CallRow, Store, StoreError, StoredRecording},
};

/// What the ledger is told, at most once each but [`Note::Told`].
#[derive(Debug)]
pub(super) enum Note {
    Answered(UnixMs),
    /// A seat took the call, or a switch that forks it said more about who speaks.
    Told(Box<CallFacts>),
    Ended {
        at: UnixMs,
        reason: EndReason,
        state: RecordingState,
        recording: Option<StoredRecording>,
        quality: Option<Box<Quality>>,
    },
}

/// Notes that wait to be written; a call makes few.
pub(super) const NOTES: usize = 16;
/// Pauses before the end of a call is written again. After the last a recording is imported when the database is back; of a
/// call without one the row is all there is, so it is tried on and on.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

/// Whether the database was there when last asked, for all calls: its absence is said once.
#[derive(Debug, Default)]
pub(super) struct Presence(AtomicBool);

impl Presence {
    fn note<T, E: std::error::Error>(&self, outcome: Result<T, E>) -> Option<T> {
        match outcome {
            Ok(value) => {
                if self.0.swap(false, Ordering::Relaxed) {
                    info!("the database is back");
                }
                Some(value)
            }
            Err(error) => {
                if !self.0.swap(true, Ordering::Relaxed) {
                    let cause = error.source().map(ToString::to_string).unwrap_or_default();
                    error!(%error, cause, "the database is away; calls go on and are recorded");
                }
                None
            }
        }
    }
}

/// Writes the rows of one call until the last note.
///
/// * `stop` — cancelled when the house waits no longer for open calls.
pub(super) async fn keep(
    mut row: CallRow,
    mut notes: mpsc::Receiver<Note>,
    parts: &Parts,
    presence: &Presence,
    stop: &CancellationToken,
) {
    let (queue, vault) = (&parts.queue, &parts.vault);
    let store = queue.store();
    let mut known = presence.note(begin(store, &row).await).is_some();
    // What a switch said while the database was away.
    let mut owed = false;
    while let Some(note) = notes.recv().await {
        match note {
            Note::Answered(at) => {
                row.answered = Some(at);
                row.recording_state = RecordingState::Recording;
                if known {
                    presence.note(answered(store, &row, at).await);
                }
            }
            Note::Told(facts) => {
                row = row.forked(facts.fork.as_ref()).taken_by(facts.seat.clone());
                row.caller_hash = facts.caller_hash(vault);
                (row.caller, row.called) = (facts.caller, facts.called);
                if known {
                    owed = presence.note(told(store, &row).await).is_none();
                }
            }
            Note::Ended { at, reason, state, recording, quality } => {
                let mut pauses = PAUSES.into_iter();
                loop {
                    let written = async {
                        if !known {
                            begin(store, &row).await?;
                            known = true;
                        } else if owed {
                            told(store, &row).await?;
                            owed = false;
                        }
                        let (recording, quality) = (recording.as_ref(), quality.as_deref());
                        queue.call_ended(row.id, at, reason, state, recording, quality).await
                    };
                    if presence.note(written.await).is_some() {
                        break;
                    }
                    let pause = match pauses.next() {
                        None if recording.is_some() => {
                            error!(call.id = %row.id, "no row yet; the recording is imported when the database is back");
                            queue.owe();
                            break;
                        }
                        pause => pause.unwrap_or(PAUSES[PAUSES.len() - 1]),
                    };
                    if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
                        error!(call.id = %row.id, "stopped before the call was in the books");
                        break;
                    }
                }
            }
        }
    }
}

async fn begin(store: &Store, row: &CallRow) -> Result<(), JobError> {
    let mut tx = store.begin().await?;
    if tx.add_call(row).await? {
        tx.announce(Announcement::call_begun(row.id));
    }
    Ok(tx.commit().await?)
}

async fn answered(store: &Store, row: &CallRow, at: UnixMs) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.call_answered(row.id, at, RecordingState::Recording).await?;
    tx.announce(Announcement::call_answered(row.id));
    tx.commit().await
}

async fn told(store: &Store, row: &CallRow) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.call_told(row).await?;
    if let Some(seat) = &row.seat {
        tx.announce(Announcement::call_taken(row.id, seat));
    }
    tx.commit().await
}
