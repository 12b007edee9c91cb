//! Turns heard calls into drafts: takes `draft` jobs and finishes each together with its case.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field::Empty};

use super::{Cases, Drafted};
use crate::{
    domain::{draft::Draft, time::UnixMs, transcript::Transcript},
    jobs::{Job, JobError, Kind, Queue},
    store::StoreError,
    telemetry::WALK,
};

/// Fills the fields: transcript, the caller's number if known, the start of the call.
pub type Draftsman = Arc<dyn Fn(&Transcript, Option<&str>, UnixMs) -> Draft + Send + Sync>;

/// Drafting takes milliseconds; a lease this long survives a machine that is busy hearing.
const LEASE: Duration = Duration::from_mins(1);
/// How long to wait when the database is away.
const PAUSE: Duration = Duration::from_secs(2);

/// Drafts until it is told to stop.
pub async fn drafter_loop(cases: Cases, queue: Queue, draftsman: Draftsman, stopping: CancellationToken) {
    loop {
        match queue.next(Kind::Draft, "drafter", LEASE, &stopping).await {
            Ok(None) => return,
            Ok(Some(job)) => {
                let span = tracing::info_span!(target: WALK, parent: None, "draft.write",
                    job.id = %job.id, call.id = job.key, job.attempt = job.attempt, case.id = Empty);
                settle(&cases, &queue, &draftsman, &job).instrument(span).await;
            }
            Err(error) => {
                tracing::error!(%error, "no draft jobs can be taken");
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
}

async fn settle(cases: &Cases, queue: &Queue, draftsman: &Draftsman, job: &Job) {
    let count = |outcome: &'static str| metrics::counter!("hotline_drafts_total", "outcome" => outcome).increment(1);
    let outcome = match draft(cases, queue, draftsman, job).await {
        Ok(Drafted::Case(case)) => {
            Span::current().record("case.id", tracing::field::display(case));
            return count("case");
        }
        Ok(Drafted::Missed) => return count("missed"),
        Err(Trouble::Lost) => {
            count("late");
            return tracing::warn!(job.id = %job.id, "a draft came too late: the lease had run out");
        }
        Err(Trouble::Passing(why)) => queue.fail(job, &why, true).await,
        Err(Trouble::Lasting(why)) => queue.fail(job, &why, false).await,
    };
    count("failed");
    match outcome {
        Ok(outcome) => tracing::warn!(job.id = %job.id, ?outcome, "a draft failed"),
        // The lease runs out by itself and the job is tried again.
        Err(error) => tracing::error!(job.id = %job.id, %error, "a failed draft cannot be noted"),
    }
}

enum Trouble {
    /// Somebody else has the job.
    Lost,
    Passing(String),
    /// Another attempt ends the same way.
    Lasting(String),
}

async fn draft(cases: &Cases, queue: &Queue, draftsman: &Draftsman, job: &Job) -> Result<Drafted, Trouble> {
    let call = job.call().map_err(|error| Trouble::Lasting(error.to_string()))?;
    let store = cases.store();
    let row = store.call(call).await?;
    let row = row.ok_or_else(|| Trouble::Lasting(format!("call {call} does not exist")))?;
    let transcript = store.transcript(call).await?;
    let transcript = transcript.ok_or_else(|| Trouble::Lasting(format!("call {call} has no transcript")))?;

    let (write, caller) = (draftsman.clone(), row.caller);
    let fields = tokio::task::spawn_blocking(move || {
        let caller = caller.as_ref().map(|caller| caller.reveal().as_str());
        let fields = write(&transcript, caller, row.started);
        (transcript, fields)
    });
    // What the error says of a panic may hold the caller's words.
    let (transcript, fields) = fields.await.map_err(|_| Trouble::Passing("drafting broke off".into()))?;

    let mut tx = queue.done(job).await.map_err(|error| match error {
        JobError::LeaseLost(_) => Trouble::Lost,
        error => Trouble::Passing(error.to_string()),
    })?;
    let drafted = cases.draft_from_call(&mut tx, call, &transcript, fields).await;
    // An error drops the transaction: the job is ours still, and nothing was written.
    let drafted = drafted.map_err(|error| Trouble::Passing(error.to_string()))?;
    tx.commit().await?;
    if let Some(ended) = row.ended {
        metrics::histogram!("hotline_draft_lag_seconds").record(ended.until(store.clock().now()));
    }
    Ok(drafted)
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Passing(error.to_string())
    }
}
