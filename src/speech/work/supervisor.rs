//! Keeps workers alive and feeds them the queue.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field::Empty};

use super::{Health, Live, Program, Task, Worker, WorkerError, describe, live::Known};
use crate::{
    domain::{ids::CallId, transcript::Transcript},
    jobs::{Failed, Job, JobError, Kind, Queue},
    recording::{Archive, Fetched, Sealed, Speaker},
    speech::{Skip, Stretch},
    telemetry::WALK,
};

/// How long a job stays ours without a heartbeat.
const LEASE: Duration = Duration::from_mins(1);
/// How often the lease is renewed while the worker is at it.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Waits before the next start of a worker, by failures in a row; the last one repeats.
const BACK_OFF: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
];
/// Wait after the database refused.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// Runs as many workers as `health` has places, until `stopping`.
///
/// A worker that dies gives its job back, an attempt older, and is started anew. While no worker can start (a model is
/// missing or damaged) jobs stay where they are, and `health` says why.
pub async fn supervise(
    queue: Queue,
    archive: Archive,
    program: Program,
    workers: usize,
    live: Live,
    health: Health,
    stopping: CancellationToken,
) {
    let places = (0..workers).map(|index| {
        let place = Place {
            index,
            name: format!("speech-{}-{index}", std::process::id()),
            queue: &queue,
            archive: &archive,
            program: &program,
            live: &live,
            health: &health,
            stopping: &stopping,
        };
        async move { place.run().await }
    });
    join_all(places).await;
    // Without workers there is nothing to do but wait for the end.
    stopping.cancelled().await;
}

/// One worker after another.
struct Place<'a> {
    index: usize,
    name: String,
    queue: &'a Queue,
    archive: &'a Archive,
    program: &'a Program,
    live: &'a Live,
    health: &'a Health,
    stopping: &'a CancellationToken,
}

impl Place<'_> {
    async fn run(&self) {
        let mut failures = 0;
        while !self.stopping.is_cancelled() {
            let started = tokio::select! {
                () = self.stopping.cancelled() => return,
                started = Worker::spawn(self.program) => started,
            };
            let trouble = match started {
                Ok(mut worker) => {
                    if self.health.set(self.index, None) {
                        tracing::info!(worker = self.name, pid = worker.id(), "speech worker hears");
                    }
                    let (trouble, heard) = self.feed(&mut worker).await;
                    if heard {
                        failures = 0;
                    }
                    trouble
                }
                Err(error) => Some(error),
            };
            let Some(trouble) = trouble else { return };
            let reason = describe(&trouble);
            if self.health.set(self.index, Some(reason.clone())) {
                tracing::error!(worker = self.name, "no speech worker, recordings wait to be heard: {reason}");
            }
            let pause = BACK_OFF[failures.min(BACK_OFF.len() - 1)];
            failures += 1;
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Gives the worker one job after another.
    ///
    /// * returns — why the worker is of no use any more (`None` when it is time to stop), and whether it did anything.
    async fn feed(&self, worker: &mut Worker) -> (Option<WorkerError>, bool) {
        let mut heard = false;
        loop {
            let job = tokio::select! {
                biased;
                job = self.queue.next_of(&[Kind::Transcribe, Kind::Rehear], &self.name, LEASE, self.stopping) => job,
                died = worker.ended() => return (Some(died), heard),
            };
            let outcome = match job {
                Ok(None) => return (None, heard),
                Ok(Some(job)) => {
                    let span = tracing::info_span!(target: WALK, parent: None, "speech.hear",
                        job.id = %job.id, call.id = job.key, job.attempt = job.attempt, speech.utterances = Empty);
                    self.work(worker, &job).instrument(span).await
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(Done::Well) => heard = true,
                Ok(Done::Worker(error)) => return (Some(error), heard),
                Ok(Done::Stopping) => return (None, heard),
                Err(error) => {
                    tracing::warn!(worker = self.name, "{}", describe(&error));
                    tokio::select! {
                        () = self.stopping.cancelled() => {}
                        () = sleep(STORE_PAUSE) => {}
                    }
                }
            }
        }
    }

    async fn work(&self, worker: &mut Worker, job: &Job) -> Result<Done, JobError> {
        // The recording stands where the worker can read it until this job is over.
        let (mut task, _recording) = match self.task(job).await {
            Ok(task) => task,
            Err(Unready::Broken(problem)) => {
                self.fail(job, &problem, true).await?;
                return Ok(Done::Well);
            }
            Err(Unready::Away(problem)) => {
                tracing::warn!(job.id = %job.id, "recordings wait to be heard, the store is away: {problem}");
                self.queue.release(job).await?;
                tokio::select! {
                    () = self.stopping.cancelled() => {}
                    () = sleep(STORE_PAUSE) => {}
                }
                return Ok(Done::Well);
            }
        };
        // What was heard in the call need not be heard again now: the draft waits for the last words alone.
        let known = self.known(job);
        if let Some(known) = &known {
            task.stretch.from = known.until;
        }
        let clock = self.queue.store().clock();
        let began = clock.instant();
        let outcome = {
            let hearing = worker.hear(&task, || {});
            tokio::pin!(hearing);
            let mut heartbeat = interval(HEARTBEAT);
            loop {
                tokio::select! {
                    outcome = &mut hearing => break outcome,
                    _ = heartbeat.tick() => match self.queue.heartbeat(job, LEASE).await {
                        Ok(()) => {}
                        // The worker is in the middle of work that is no longer ours.
                        Err(JobError::LeaseLost(_)) => return Ok(Done::Worker(WorkerError::Abandoned)),
                        Err(error) => tracing::warn!(job.id = %job.id, "no heartbeat: {}", describe(&error)),
                    },
                    () = self.stopping.cancelled() => {
                        self.queue.release(job).await?;
                        return Ok(Done::Stopping);
                    }
                }
            }
        };
        match outcome {
            Ok(heard) => {
                let took = clock.instant() - began;
                let r#final = known.is_none();
                let utterances = known.map(|known| known.utterances).into_iter().flatten().chain(heard.utterances);
                let mut transcript = Transcript { utterances: utterances.collect(), r#final };
                transcript.utterances.sort_by_key(|utterance| (utterance.start_ms, utterance.channel));
                self.queue.transcribed(job, &transcript).await?;
                self.measure(job, took).await;
                let utterances = transcript.utterances.len();
                Span::current().record("speech.utterances", utterances);
                tracing::info!(job.id = %job.id, call.id = job.key, utterances, "recording heard");
                Ok(Done::Well)
            }
            Err(WorkerError::Failed { error, retry }) => {
                self.fail(job, &error, retry).await?;
                Ok(Done::Well)
            }
            Err(error) => {
                self.fail(job, &describe(&error), true).await?;
                Ok(Done::Worker(error))
            }
        }
    }

    /// What was heard of a call while it went on; nothing after a failure, which may be its fault.
    fn known(&self, job: &Job) -> Option<Known> {
        let call = job.call().ok()?;
        let known = self.live.take(call);
        known.filter(|_| job.kind == Kind::Transcribe && job.attempt == 1)
    }

    /// Finds the recording and what of it is not to be heard.
    async fn task(&self, job: &Job) -> Result<(Task, Fetched), Unready> {
        let broken = |error: &dyn std::error::Error| Unready::Broken(describe(error));
        let call = job.call().map_err(|error| broken(&error))?;
        let row = self.queue.store().call(call).await.map_err(|error| broken(&error))?;
        let recording = row.and_then(|row| row.recording);
        let recording = recording.ok_or_else(|| Unready::Broken(format!("call {call} has no recording")))?;
        let fetched = self
            .archive
            .fetch(&recording.key)
            .await
            .map_err(|error| if error.may_pass() { Unready::Away(describe(&error)) } else { broken(&error) })?;
        let skip = self.announcements(call, &recording.key).await;
        let stretch = Stretch::default();
        Ok((Task { id: job.id.to_string(), wav: fetched.to_path_buf(), skip, stretch }, fetched))
    }

    /// A recording whose sidecar cannot be read is heard as a whole: an announcement in a transcript is better than a
    /// call nobody reads.
    async fn announcements(&self, call: CallId, key: &str) -> Vec<Skip> {
        match sidecar(self.archive, key).await {
            Ok(sealed) => announcements(&sealed),
            Err(problem) => {
                tracing::warn!(call.id = %call, "hearing the announcements too: {problem}");
                Vec::new()
            }
        }
    }

    /// How long it was, what it took, and how far hearing is behind; a database that is away now costs the numbers only.
    async fn measure(&self, job: &Job, took: Duration) {
        metrics::histogram!("hotline_speech_work_seconds").record(took);
        let store = self.queue.store();
        let Ok(call) = job.call() else { return };
        let Ok(Some(row)) = store.call(call).await else { return };
        if let Some(recording) = row.recording {
            metrics::histogram!("hotline_speech_audio_seconds").record(Duration::from_millis(recording.samples / 8));
        }
        if let Some(ended) = row.ended {
            metrics::histogram!("hotline_speech_lag_seconds").record(ended.until(store.clock().now()));
        }
    }

    async fn fail(&self, job: &Job, problem: &str, retry: bool) -> Result<(), JobError> {
        let failed = self.queue.fail(job, problem, retry).await?;
        let next = if failed == Failed::Dead { "dead" } else { "again" };
        metrics::counter!("hotline_speech_failures_total", "next" => next).increment(1);
        match failed {
            Failed::Again(_) => tracing::warn!(job.id = %job.id, call.id = job.key, "hearing failed, again: {problem}"),
            Failed::Dead => tracing::error!(job.id = %job.id, call.id = job.key, "hearing given up: {problem}"),
        }
        Ok(())
    }
}

/// Why a recording cannot be given to the worker.
enum Unready {
    /// This one; another attempt may help.
    Broken(String),
    /// None can at the moment, which is not the recording's fault.
    Away(String),
}

/// How an attempt went, for the worker.
enum Done {
    /// Whatever became of the job, the worker can go on.
    Well,
    /// A new worker is needed.
    Worker(WorkerError),
    Stopping,
}

async fn sidecar(archive: &Archive, key: &str) -> Result<Sealed, String> {
    let key = key.strip_suffix(".wav").map(|stem| format!("{stem}.json")).ok_or_else(|| format!("odd key {key}"))?;
    let size = archive.size(&key).await.map_err(|error| describe(&error))?;
    let bytes = archive.read(&key, 0..size).await.map_err(|error| describe(&error))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{key}: {error}"))
}

fn announcements(sealed: &Sealed) -> Vec<Skip> {
    skips(&sealed.speakers)
}

/// What the line itself said.
pub(super) fn skips(speakers: &[Speaker]) -> Vec<Skip> {
    let prompts = speakers.iter().filter(|speaker| speaker.who.starts_with("prompt:"));
    prompts.map(|prompt| Skip { channel: prompt.channel, start_ms: prompt.start_ms, end_ms: prompt.end_ms }).collect()
}
