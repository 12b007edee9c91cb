//! Words while they talk: a worker of its own hears utterances of growing recordings as they end.
//!
//! It is best effort. Whoever falls too far behind is heard after the call, as everybody was before; a call's job finds what was
//! heard so far ([`Live::take`]) and hears the rest alone. Nothing here is kept over a restart.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Heard, Program, Task, Worker, WorkerError, describe, ear::Ear, supervisor::skips};
use crate::{
    domain::{
        announcement::Announcement, ids::CallId, transcript::Channel, transcript::Transcript, transcript::Utterance,
    },
    recording::{Archive, wav},
    speech::Stretch,
    store::{Store, StoreError},
};

/// How often growing recordings are looked at; the recorder writes twice a second.
const LOOK: Duration = Duration::from_millis(250);
/// An utterance that waits longer for the worker shows that there is too much to hear: its call is heard afterwards.
const BEHIND: Duration = Duration::from_secs(10);
/// What was heard of a call that is over waits so long for the call's job.
const KEPT: Duration = Duration::from_mins(10);
/// Wait before the next start of a worker that could not start or died.
const BACK_OFF: Duration = Duration::from_secs(15);

/// What is being heard. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Mutex<HashMap<CallId, Call>>>);

/// What was heard of a call while it went on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    pub utterances: Vec<Utterance>,
    /// From where each channel is to be heard on, milliseconds since the start of the recording.
    pub until: [u32; 2],
}

#[derive(Debug)]
struct Call {
    known: Known,
    ear: Ear,
    /// Milliseconds of the recording that the ear has taken.
    taken: u32,
    /// Since when an utterance waits.
    due: Option<Instant>,
    /// Fell behind.
    given_up: bool,
    /// When it was last seen growing.
    seen: Instant,
}

impl Live {
    /// What was heard of a call so far; it is not heard any more.
    pub(super) fn take(&self, call: CallId) -> Option<Known> {
        self.calls().remove(&call).map(|call| call.known).filter(|known| known.until != [0, 0])
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what has come of a recording.
    fn grown(&self, id: CallId, to_ms: u32, sound: &[Vec<i16>; 2], now: Instant) {
        let mut calls = self.calls();
        let call = calls.entry(id).or_insert_with(|| Call::new(now));
        call.seen = now;
        call.taken = to_ms;
        for (channel, pcm) in sound.iter().enumerate() {
            call.ear.take(channel, pcm);
        }
        if call.due.is_none() && call.ear.is_due() {
            call.due = Some(now);
        }
    }

    /// Milliseconds of a recording that were taken.
    fn taken(&self, id: CallId) -> u32 {
        self.calls().get(&id).map_or(0, |call| call.taken)
    }

    /// The call whose utterance has waited longest. Those that wait too long are given up.
    fn next(&self, now: Instant) -> Option<(CallId, Stretch)> {
        let mut calls = self.calls();
        calls.retain(|_, call| now.saturating_duration_since(call.seen) < KEPT);
        for (id, call) in calls.iter_mut() {
            if !call.given_up && call.due.is_some_and(|due| now.saturating_duration_since(due) > BEHIND) {
                call.given_up = true;
                metrics::counter!("hotline_speech_live_given_up_total").increment(1);
                tracing::info!(call.id = %id, "too much to hear: this call is heard when it is over");
            }
        }
        let waiting =
            calls.iter().filter(|(_, call)| !call.given_up && now.saturating_duration_since(call.seen) < BEHIND);
        let next =
            waiting.filter_map(|(id, call)| Some((call.due?, *id, call.known.until))).min_by_key(|it| (it.0, it.1));
        next.map(|(_, id, from)| (id, Stretch { from, grows: true }))
    }

    /// Takes what was heard.
    ///
    /// * returns — the transcript so far and since when its newest words waited; nothing if nobody wants it any more.
    fn heard(&self, id: CallId, heard: Heard) -> Option<(Transcript, Duration, Instant)> {
        let mut calls = self.calls();
        let call = calls.get_mut(&id)?;
        let open = heard.until.map(|until| until + OPEN_MS < call.taken);
        call.known.until = heard.until;
        call.ear.looked(open);
        let due = call.due.take()?;
        if heard.utterances.is_empty() {
            return None;
        }
        let newest = heard.utterances.iter().map(|utterance| utterance.end_ms).max().unwrap_or(0);
        call.known.utterances.extend(heard.utterances);
        call.known.utterances.sort_by_key(|utterance| (utterance.start_ms, utterance.channel));
        let behind = Duration::from_millis(call.taken.saturating_sub(newest).into());
        Some((Transcript { utterances: call.known.utterances.clone(), r#final: false }, behind, due))
    }
}

/// A channel that is to be heard again from further back than this has an utterance that goes on.
const OPEN_MS: u32 = 2_500;

impl Call {
    fn new(now: Instant) -> Self {
        Self { known: Known::default(), ear: Ear::default(), taken: 0, due: None, given_up: false, seen: now }
    }
}

/// Hears calls while they go on, until `stopping`.
pub async fn listen_loop(live: Live, store: Store, archive: Archive, program: Program, stopping: CancellationToken) {
    let listener = Listener { live, store, archive };
    let mut said = None;
    while !stopping.is_cancelled() {
        let started = tokio::select! {
            () = stopping.cancelled() => return,
            started = Worker::spawn(&program) => started,
        };
        let trouble = match started {
            Ok(mut worker) => {
                said = None;
                tokio::select! {
                    () = stopping.cancelled() => return,
                    trouble = listener.listen(&mut worker) => trouble,
                }
            }
            Err(error) => error,
        };
        // Once for each reason: a missing model is told by the other workers too.
        let reason = describe(&trouble);
        if said.as_ref() != Some(&reason) {
            tracing::error!("no words while they talk, calls are heard when they are over: {reason}");
            said = Some(reason);
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = sleep(BACK_OFF) => {}
        }
    }
}

struct Listener {
    live: Live,
    store: Store,
    archive: Archive,
}

impl Listener {
    /// * returns — why the worker is of no use any more.
    async fn listen(&self, worker: &mut Worker) -> WorkerError {
        let clock = self.store.clock();
        loop {
            for (call, wav) in self.archive.growing_calls() {
                self.look(call, wav).await;
            }
            let Some((call, stretch)) = self.live.next(clock.instant()) else {
                tokio::select! {
                    died = worker.ended() => return died,
                    () = sleep(LOOK) => continue,
                }
            };
            match self.hear(worker, call, stretch).await {
                Ok(()) => {}
                // Most likely the call is over and its file has gone.
                Err(WorkerError::Failed { error, .. }) => {
                    tracing::debug!(call.id = %call, error, "a growing recording was not heard");
                    let _ = self.live.heard(call, Heard { utterances: Vec::new(), until: stretch.from });
                }
                Err(error) => return error,
            }
        }
    }

    /// Lets the ear take what was written since the last look.
    async fn look(&self, call: CallId, wav: PathBuf) {
        let from = self.live.taken(call);
        let read = tokio::task::spawn_blocking(move || {
            let format = wav::format(&wav)?;
            let to = u32::try_from(u64::from(format.samples) * 1000 / u64::from(format.rate)).unwrap_or(u32::MAX);
            let side = |channel| wav::read_slice(&wav, channel, from, to);
            Ok::<_, crate::recording::RecordingError>((to, [side(Channel::Caller)?, side(Channel::Operator)?]))
        });
        // A file that is gone belongs to a call that is over.
        if let Ok(Ok((to, sound))) = read.await {
            self.live.grown(call, to, &sound, self.store.clock().instant());
        }
    }

    async fn hear(&self, worker: &mut Worker, call: CallId, stretch: Stretch) -> Result<(), WorkerError> {
        let Some(wav) = self.archive.growing_calls().into_iter().find_map(|(id, wav)| (id == call).then_some(wav))
        else {
            let error = "the call is over".to_owned();
            return Err(WorkerError::Failed { error, retry: false });
        };
        let skip = skips(&self.archive.speakers_so_far(call).await);
        let task = Task { id: call.to_string(), wav, skip, stretch };
        let heard = worker.hear(&task, || {}).await?;
        let Some((transcript, behind, due)) = self.live.heard(call, heard) else { return Ok(()) };
        let waited = self.store.clock().instant().saturating_duration_since(due);
        if let Err(error) = self.tell(call, &transcript).await {
            tracing::debug!(call.id = %call, %error, "words of a call that goes on could not be stored");
        }
        metrics::histogram!("hotline_speech_live_lag_seconds").record(behind + waited);
        Ok(())
    }

    /// Those who watch see the words so far.
    async fn tell(&self, call: CallId, transcript: &Transcript) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.put_transcript(call, transcript).await?;
        tx.announce(Announcement::transcript(call, false));
        tx.announce(Announcement::draft_grows(call));
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Clock;

    const CALL: CallId = CallId::new(Uuid::from_u128(1));
    const OTHER: CallId = CallId::new(Uuid::from_u128(2));

    /// A sentence and its pause, three seconds.
    fn sentence() -> [Vec<i16>; 2] {
        let spoken = (0..16_000).map(|at| if at % 2 == 0 { 3_000 } else { -3_000 });
        [spoken.chain(std::iter::repeat_n(0, 8_000)).collect(), vec![0; 24_000]]
    }

    fn utterance(start_ms: u32) -> Utterance {
        Utterance {
            channel: Channel::Caller, start_ms, end_ms: start_ms + 2_000, text: "停水".into(), confidence: 0.9
        }
    }

    #[test]
    fn words_come_one_utterance_after_another_and_the_job_has_the_rest_alone() {
        let (live, now) = (Live::default(), Clock::system().instant());
        live.grown(CALL, 3_000, &sentence(), now);
        assert_eq!(live.next(now), Some((CALL, Stretch { from: [0, 0], grows: true })));
        let heard = Heard { utterances: vec![utterance(0)], until: [2_000, 1_000] };
        let (transcript, behind, _) = live.heard(CALL, heard).expect("words");
        assert_eq!((transcript.utterances.len(), transcript.r#final, behind), (1, false, Duration::from_secs(1)));
        assert_eq!(live.next(now), None);
        live.grown(CALL, 6_000, &sentence(), now);
        assert_eq!(live.next(now), Some((CALL, Stretch { from: [2_000, 1_000], grows: true })));
        let heard = Heard { utterances: vec![utterance(3_000)], until: [5_000, 4_000] };
        assert!(live.heard(CALL, heard).is_some_and(|(transcript, ..)| transcript.utterances.len() == 2));
        let known = live.take(CALL).expect("what was heard");
        assert_eq!((known.utterances.len(), known.until), (2, [5_000, 4_000]));
        assert_eq!(live.take(CALL), None, "once");
        let late = Heard { utterances: vec![utterance(6_000)], until: [8_000, 8_000] };
        assert!(live.heard(CALL, late).is_none(), "the job hears that itself");
    }

    #[test]
    fn who_waits_longest_is_heard_first_and_who_waits_too_long_is_heard_after_the_call() {
        let (live, now) = (Live::default(), Clock::system().instant());
        live.grown(OTHER, 3_000, &sentence(), now);
        live.grown(CALL, 3_000, &sentence(), now + Duration::from_secs(5));
        assert_eq!(live.next(now + Duration::from_secs(6)).map(|(call, _)| call), Some(OTHER));
        live.grown(OTHER, 4_000, &[vec![0; 8_000], vec![0; 8_000]], now + Duration::from_secs(11));
        assert_eq!(live.next(now + Duration::from_secs(11)).map(|(call, _)| call), Some(CALL));
        assert_eq!(live.take(OTHER), None, "all of it");
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let (live, now) = (Live::default(), Clock::system().instant());
        live.grown(CALL, 3_000, &sentence(), now);
        let _ = live.heard(CALL, Heard { utterances: vec![utterance(0)], until: [2_000, 1_000] });
        assert_eq!(live.next(now + KEPT), None);
        assert_eq!(live.take(CALL), None);
    }
}
