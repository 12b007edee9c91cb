//! The media plane as the rest of the house sees it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Instant,
};

use tokio::sync::mpsc;

use super::{
    Browser, Identity, MediaCommand, MediaError, MediaEvent, MediaSettings, Party,
    browser::Gate,
    fork::Fork,
    leg::Leg,
    ports::Pool,
    shard::{Carried, Message, Port, Shard},
    talk::Talk,
};
use crate::{
    clock::Clock,
    domain::{ids::CallId, time::UnixMs},
};

/// Handle to the shard threads. They end with [`MediaPlane::stop`] or when the last handle is gone.
#[derive(Clone)]
pub struct MediaPlane(Arc<Inner>);

struct Inner {
    clock: Clock,
    pool: Arc<Pool>,
    shards: Vec<SyncSender<Message>>,
    /// Where the shards hear the calls of carriers, if these share ports.
    shared: Vec<SocketAddr>,
    identity: Option<Identity>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    calls: Mutex<HashMap<CallId, Carriage>>,
}

/// How a call is carried.
#[derive(Clone, Copy)]
struct Carriage {
    shard: usize,
    /// When its media began.
    epoch: Instant,
    /// Where its caller's media comes from, if it shares ports with others.
    source: Option<SocketAddr>,
    /// Nobody joins a forked call.
    forked: bool,
    /// Who takes part, by [`Party`].
    present: [bool; Party::MOST],
}

impl Carriage {
    /// The caller, and nobody else yet.
    const ALONE: [bool; Party::MOST] = [true, false, false, false];
}

impl MediaPlane {
    /// Messages that wait for a shard: a dozen for each of its calls.
    const RING: usize = 2_400;
    /// Events that wait for the calls.
    const EVENTS: usize = 4_096;

    /// Starts the shard threads. Events of all calls come out of the one receiver (bounded; what does not fit is
    /// counted, never waited for).
    pub fn start(settings: MediaSettings, clock: Clock) -> Result<(Self, mpsc::Receiver<MediaEvent>), MediaError> {
        if settings.shards == 0 {
            return Err(MediaError::Settings("rtp.shards is 0; one thread is needed at least".into()));
        }
        let pool = Arc::new(Pool::new(settings.address, settings.ports, clock.clone())?);
        let (events, receiver) = mpsc::channel(Self::EVENTS);
        let (mut shards, mut threads, mut shared) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..settings.shards {
            let failed = |source| MediaError::Thread { shard: number, source };
            let (sender, messages) = sync_channel(Self::RING);
            let pair = settings.shared.then(|| pool.take()).transpose()?;
            shared.extend(pair.as_ref().map(|pair| pair.address));
            let shard = Shard::new(clock.clone(), messages, events.clone(), pair).map_err(failed)?;
            let thread = std::thread::Builder::new().name(format!("media-{number}"));
            threads.push(thread.spawn(move || shard.run()).map_err(failed)?);
            shards.push(sender);
        }
        let (threads, calls) = (Mutex::new(threads), Mutex::default());
        Ok((
            Self(Arc::new(Inner { clock, pool, shards, shared, identity: settings.identity, threads, calls })),
            receiver,
        ))
    }

    /// Opens a call at an even RTP port and the odd RTCP port above it: at ports of its own, or at those that it shares.
    ///
    /// * `source` — where the caller's media comes from, if that is certain.
    /// * returns — the address RTP is received at (and sent from).
    pub fn open(&self, call: CallId, source: Option<SocketAddr>) -> Result<SocketAddr, MediaError> {
        let mut calls = self.calls();
        let shard = self.emptiest(&calls);
        // Two calls from one address cannot be told apart.
        let source =
            source.filter(|it| !it.ip().is_unspecified() && calls.values().all(|call| call.source != Some(*it)));
        let (port, address, source) = if let (Some(source), Some(address)) = (source, self.0.shared.get(shard)) {
            (Port::Shared(source), *address, Some(source))
        } else {
            let pair = self.0.pool.take()?;
            let address = pair.address;
            (Port::Own(pair), address, None)
        };
        let epoch = self.0.clock.instant();
        let talk = Box::new(Talk::new(call, epoch, self.leg("caller", epoch)));
        let carriage = Carriage { shard, epoch, source, forked: false, present: Carriage::ALONE };
        self.carry(&mut calls, call, carriage, Carried::Talk(talk), vec![port])?;
        Ok(address)
    }

    /// Lets another party take part in a call: takes a pair of ports for it. It hears nothing and nobody hears it until it is
    /// connected and told whom to hear. [`MediaCommand::Leave`] ends it.
    ///
    /// * `who` — the speaker's name in the sidecar.
    /// * returns — the address RTP is received at (and sent from).
    pub fn join(&self, call: CallId, party: Party, who: &str) -> Result<SocketAddr, MediaError> {
        let pair = self.0.pool.take()?;
        let address = pair.address;
        let (shard, epoch) = {
            let mut calls = self.calls();
            let carriage = calls.get_mut(&call).ok_or(MediaError::NoLeg(call))?;
            if carriage.forked || std::mem::replace(&mut carriage.present[party.index()], true) {
                return Err(MediaError::Twice(call));
            }
            (carriage.shard, carriage.epoch)
        };
        let leg = Box::new(self.leg(who, epoch));
        self.send(shard, call, Message::Join { call, party, leg, pair }).inspect_err(|_| self.absent(call, party))?;
        Ok(address)
    }

    fn leg(&self, who: &str, epoch: Instant) -> Leg {
        let random = [(); 6].map(|()| u32::from_ne_bytes(self.0.clock.random()));
        let (now, since) = (self.0.clock.now(), self.0.clock.instant().saturating_duration_since(epoch));
        let wall = UnixMs(now.0.saturating_sub(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)));
        Leg::new(who.into(), epoch, wall, random)
    }

    /// The caller's media comes from elsewhere now.
    fn moved(&self, call: CallId, to: SocketAddr) {
        if let Some(Carriage { source: Some(source), .. }) = self.calls().get_mut(&call) {
            *source = to;
        }
    }

    fn absent(&self, call: CallId, party: Party) {
        if let Some(carriage) = self.calls().get_mut(&call) {
            carriage.present[party.index()] = false;
        }
    }

    /// Takes two pairs of ports for a call that a switch forks to us.
    ///
    /// * returns — where the caller's stream is received, and where the operator's.
    pub fn open_fork(&self, call: CallId) -> Result<[SocketAddr; 2], MediaError> {
        let pairs = [self.0.pool.take()?, self.0.pool.take()?];
        let addresses = pairs.each_ref().map(|pair| pair.address);
        let random = [[(); 4]; 2].map(|side| side.map(|()| u32::from_ne_bytes(self.0.clock.random())));
        let epoch = self.0.clock.instant();
        let fork = Box::new(Fork::new(call, epoch, self.0.clock.now(), random));
        let mut calls = self.calls();
        let shard = self.emptiest(&calls);
        let carriage = Carriage { shard, epoch, source: None, forked: true, present: Carriage::ALONE };
        self.carry(&mut calls, call, carriage, Carried::Fork(fork), pairs.map(Port::Own).into())?;
        Ok(addresses)
    }

    /// The shard with the fewest calls.
    fn emptiest(&self, calls: &HashMap<CallId, Carriage>) -> usize {
        let mut load = vec![0_usize; self.0.shards.len()];
        for carriage in calls.values() {
            load[carriage.shard] += 1;
        }
        (0..load.len()).min_by_key(|shard| load[*shard]).unwrap_or(0)
    }

    /// Gives a call to its shard.
    fn carry(
        &self,
        calls: &mut HashMap<CallId, Carriage>,
        call: CallId,
        carriage: Carriage,
        carried: Carried,
        ports: Vec<Port>,
    ) -> Result<(), MediaError> {
        if calls.contains_key(&call) {
            return Err(MediaError::Twice(call));
        }
        self.send(carriage.shard, call, Message::Open { call, carried, ports })?;
        calls.insert(call, carriage);
        Ok(())
    }

    /// Hands a command to the call's leg. Waits for nothing, but for `Close` where the ring is full: a tick empties it, and
    /// a leg that is not closed would keep its ports for ever.
    pub fn command(&self, call: CallId, command: MediaCommand) -> Result<(), MediaError> {
        let shard = self.calls().get(&call).ok_or(MediaError::NoLeg(call))?.shard;
        if let MediaCommand::Connect(party, media) = &command
            && let (Some(browser), Some(identity)) = (&media.browser, &self.0.identity)
        {
            let gate = Box::new(Gate::new(identity, Browser::clone(browser), media.address)?);
            let guard = MediaCommand::Guard(*party, gate, Box::new(media.clone()));
            self.send(shard, call, Message::Command { call, command: guard, at: self.0.clock.instant() })?;
        }
        match &command {
            MediaCommand::Leave(party) => self.absent(call, *party),
            MediaCommand::Connect(Party::CALLER, media) => self.moved(call, media.address),
            _ => {}
        }
        let closing = matches!(command, MediaCommand::Close);
        let message = Message::Command { call, command, at: self.0.clock.instant() };
        if closing {
            self.calls().remove(&call);
            return self.0.shards[shard].send(message).map_err(|_| MediaError::Stopped);
        }
        self.send(shard, call, message)
    }

    /// Ends all legs and joins the threads (a few milliseconds).
    pub fn stop(&self) {
        for shard in &self.0.shards {
            // A full ring is emptied within a tick; a thread that is gone needs no word.
            let _ = shard.send(Message::Stop);
        }
        let threads = std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("media: a thread had panicked");
            }
        }
        self.calls().clear();
    }

    /// Pairs of ports that are free.
    pub fn free_ports(&self) -> usize {
        self.0.pool.available()
    }

    fn send(&self, shard: usize, call: CallId, message: Message) -> Result<(), MediaError> {
        self.0.shards[shard].try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => MediaError::Busy(call),
            TrySendError::Disconnected(_) => MediaError::Stopped,
        })
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, Carriage>> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MediaPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MediaPlane({} calls)", self.calls().len())
    }
}
