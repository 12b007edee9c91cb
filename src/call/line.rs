//! The line: takes calls, gives each a task, hands the media plane's events round, and lets calls end at a stop.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{Id, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, field::Empty, info, warn};

use super::{announcement::Announcement, ledger::Presence, run, seat::Phones};
use crate::{
    acd,
    clock::Clock,
    domain::ids::CallId,
    jobs::Queue,
    media::{MediaCommand, MediaError, MediaEvent, MediaPlane, Prompt},
    recording::Archive,
    sip::Incoming,
    switchboard::Switchboard,
    telemetry::WALK,
    vault::Vault,
};

/// Events of one leg that wait for its call; more than a second of keys.
const LEG_EVENTS: usize = 64;

/// What a line is made of.
#[derive(Clone)]
pub struct Parts {
    pub media: MediaPlane,
    pub archive: Archive,
    pub queue: Queue,
    pub prompts: Prompts,
    pub switchboard: Switchboard,
    pub phones: Phones,
    /// Makes calls findable by their callers.
    pub vault: Vault,
    pub clock: Clock,
    /// Calls at once, with those that are over and not yet sealed and in the books. The next one hears 503.
    pub most: usize,
    /// From the answer to the goodbye.
    pub longest: Duration,
    /// At a stop: how long open calls may go on before the line hangs up.
    pub grace: Duration,
}

/// What the line says. Cheap to clone; new announcements show in all clones.
#[derive(Clone, Debug)]
pub struct Prompts(Arc<RwLock<Spoken>>);

/// The announcements of one call, the same from its beginning to its end.
#[derive(Clone, Debug)]
pub(super) struct Spoken(Arc<HashMap<Announcement, Arc<Prompt>>>);

/// Why a line could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("line.prompts")]
    Prompt(#[source] MediaError),
}

/// The public line of this process.
pub struct Line {
    parts: Arc<Parts>,
    presence: Arc<Presence>,
    hang_up: CancellationToken,
    legs: HashMap<CallId, mpsc::Sender<MediaEvent>>,
    calls: JoinSet<()>,
    names: HashMap<Id, CallId>,
}

impl Parts {
    /// Calls that may wait to be settled, as a multiple of those that may talk. Usually it takes milliseconds; while the disk
    /// is busy or the database away, very short calls could otherwise pile up until no file can be opened.
    pub const UNSETTLED: usize = 4;
    /// How long open calls may go on at a stop.
    pub const GRACE: Duration = Duration::from_mins(1);
}

impl Prompts {
    /// Reads the announcements of a folder: `welcome.wav`, `music.wav` and the others that [`Announcement::name`] names.
    pub fn load(folder: &Path) -> Result<Self, LineError> {
        let read = |which: Announcement| {
            let path = folder.join(which.name()).with_extension("wav");
            Ok((which, Prompt::load(&path).map(Arc::new).map_err(LineError::Prompt)?))
        };
        let spoken = Announcement::all().map(read).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(RwLock::new(Spoken(Arc::new(spoken))))))
    }

    /// Takes the announcements of `other` for calls that begin from now on.
    pub fn replace(&self, other: &Self) {
        let spoken = other.now();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = spoken;
    }

    /// What a call that begins now says.
    pub(super) fn now(&self) -> Spoken {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Spoken {
    /// Nothing for one that there is not; all were read.
    pub(super) fn get(&self, which: Announcement) -> Option<Arc<Prompt>> {
        self.0.get(&which).cloned()
    }
}

impl Line {
    /// A line without calls.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            presence: Arc::default(),
            hang_up: CancellationToken::new(),
            legs: HashMap::new(),
            calls: JoinSet::new(),
            names: HashMap::new(),
        }
    }

    /// Takes calls until `stopping`, and ends when the last of them is recorded, sealed and in the books.
    ///
    /// * `incoming` — from [`crate::sip::Endpoint::bind`].
    /// * `media` — from [`MediaPlane::start`].
    pub async fn run(
        mut self,
        mut incoming: mpsc::Receiver<Incoming>,
        mut media: mpsc::Receiver<MediaEvent>,
        stopping: CancellationToken,
    ) {
        let mut stop = false;
        let grace = sleep(Duration::MAX);
        tokio::pin!(grace);
        while !(stop && self.calls.is_empty() && incoming.is_empty()) {
            tokio::select! {
                Some(call) = incoming.recv() => self.take(call),
                Some(event) = media.recv() => self.hand_round(event),
                Some(done) = self.calls.join_next_with_id() => match done {
                    Ok((task, ())) => self.forget(task, None),
                    Err(failure) => self.forget(failure.id(), Some(&failure)),
                },
                () = stopping.cancelled(), if !stop => {
                    stop = true;
                    let now = tokio::time::Instant::from_std(self.parts.clock.instant());
                    grace.as_mut().reset(now + self.parts.grace);
                    if !self.calls.is_empty() {
                        info!(calls = self.calls.len(), "stopping: open calls may end by themselves first");
                    }
                }
                () = &mut grace, if stop && !self.hang_up.is_cancelled() => {
                    warn!(calls = self.calls.len(), "stopping: the line hangs up");
                    self.hang_up.cancel();
                }
                else => return,
            }
        }
    }

    fn take(&mut self, call: Incoming) {
        if self.calls.len() >= self.parts.most {
            warn!(calls = self.calls.len(), "too many calls are not settled yet; one was refused");
            metrics::counter!("hotline_sip_full_total").increment(1);
            return call.refuse(503);
        }
        let id = CallId::new(self.parts.clock.uuid());
        metrics::counter!("hotline_calls_received_total").increment(1);
        call.span.record("call.id", tracing::field::display(id));
        let span =
            tracing::info_span!(target: WALK, parent: &call.span, "call", call.id = %id, call.end_reason = Empty);
        let (leg, events) = mpsc::channel(LEG_EVENTS);
        self.legs.insert(id, leg);
        let task = run::call(id, call, self.parts.clone(), self.presence.clone(), events, self.hang_up.clone());
        let handle = self.calls.spawn(task.instrument(span));
        self.names.insert(handle.id(), id);
        self.count();
    }

    fn hand_round(&self, event: MediaEvent) {
        let call = event.call();
        // A call that is over needs no event of its leg.
        if let Some(leg) = self.legs.get(&call)
            && leg.try_send(event).is_err()
        {
            metrics::counter!("hotline_call_events_dropped_total").increment(1);
        }
    }

    fn forget(&mut self, task: Id, failure: Option<&tokio::task::JoinError>) {
        let Some(call) = self.names.remove(&task) else { return };
        self.legs.remove(&call);
        self.count();
        if let Some(failure) = failure {
            // What the failure says of itself may hold the caller's number; where it happened is in the log.
            let panicked = failure.is_panic();
            error!(call.id = %call, panicked, "the task of a call fell over; its recording waits in the spool folder");
            // Its ports and its tap are let go; the dialog was hung up when the task's values were dropped.
            let _ = self.parts.media.command(call, MediaCommand::Close);
            self.parts.switchboard.tell_at_once(acd::Event::Left { call });
        }
    }

    fn count(&self) {
        let open = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        metrics::gauge!("hotline_calls_active").set(f64::from(open));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn new_announcements_are_for_the_calls_that_begin_after_them() {
        let folder = tempfile::tempdir().expect("a folder");
        for which in Announcement::all() {
            fs::copy("config/prompts/hold.wav", folder.path().join(which.name()).with_extension("wav"))
                .expect("a copy");
        }
        let prompts = Prompts::load(Path::new("config/prompts")).expect("the demo's announcements");
        let (before, old) = (prompts.now(), prompts.now().get(Announcement::Welcome));
        let new = Prompts::load(folder.path()).expect("other announcements");
        prompts.clone().replace(&new);
        assert_eq!(before.get(Announcement::Welcome), old, "a call keeps its announcements");
        assert_eq!(prompts.now().get(Announcement::Welcome), new.now().get(Announcement::Welcome));
        assert_ne!(prompts.now().get(Announcement::Goodbye), before.get(Announcement::Goodbye));
    }
}
