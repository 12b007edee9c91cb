//! A thread that carries many legs: moves bytes between them and their sockets, in ticks.

use std::{
    collections::HashMap,
    sync::mpsc::{Receiver, TryRecvError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc::Sender;

use super::{
    LegStats, MediaCommand, MediaEvent,
    fork::Fork,
    leg::{Kind, Leg, Transmit},
    ports::Pair,
    socket::{Batch, Datagram, Poller},
};
use crate::{
    clock::Clock,
    domain::{ids::CallId, time::UnixMs},
};

/// What the plane tells a shard.
pub enum Message {
    Open { call: CallId, carried: Carried, pairs: Vec<Pair> },
    Command { call: CallId, command: MediaCommand, at: Instant },
    Stop,
}

/// The media side of a call.
pub enum Carried {
    /// Has one pair of ports.
    Talk(Box<Leg>),
    /// Has two, the caller's and the operator's.
    Fork(Box<Fork>),
}

/// The thread's state.
pub struct Shard {
    clock: Clock,
    messages: Receiver<Message>,
    events: Sender<MediaEvent>,
    poller: Poller,
    /// Slots are used again; a token is slot * 4, plus 2 for the operator's pair of a fork, plus 1 for RTCP.
    slots: Vec<Option<Slot>>,
    calls: HashMap<CallId, usize>,
    batch: Batch,
    ready: Vec<u64>,
}

struct Slot {
    carried: Carried,
    pairs: Vec<Pair>,
}

impl Carried {
    fn handle_command(&mut self, command: MediaCommand, at: Instant, wall: UnixMs) {
        match self {
            Self::Talk(leg) => leg.handle_command(command, at, wall),
            Self::Fork(fork) => fork.handle_command(command, at, wall),
        }
    }

    /// * `side` — of a fork: 0 the caller's stream, 1 the operator's.
    /// * `rtcp` — it came to the RTCP port.
    fn handle_datagram(&mut self, side: usize, rtcp: bool, at: Instant, datagram: Datagram<'_>) {
        let Datagram { from, bytes, .. } = datagram;
        match (self, bytes) {
            (Self::Talk(leg), Some(bytes)) if rtcp => leg.handle_rtcp(at, from, bytes),
            (Self::Talk(leg), Some(bytes)) => leg.handle_rtp(at, from, bytes),
            (Self::Talk(leg), None) => leg.handle_oversized(),
            (Self::Fork(fork), Some(bytes)) if rtcp => fork.handle_rtcp(side, at, from, bytes),
            (Self::Fork(fork), Some(bytes)) => fork.handle_rtp(side, at, from, bytes),
            (Self::Fork(fork), None) => fork.handle_oversized(side),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Talk(leg) => leg.handle_timeout(now),
            Self::Fork(fork) => fork.handle_timeout(now),
        }
    }

    fn handle_send_failed(&mut self) {
        if let Self::Talk(leg) = self {
            leg.handle_send_failed();
        }
    }

    /// The next datagram that is due, and the side whose ports it leaves from.
    fn poll_transmit(&mut self, now: Instant) -> Option<(usize, Transmit<'_>)> {
        match self {
            Self::Talk(leg) => leg.poll_transmit(now).map(|out| (0, out)),
            Self::Fork(fork) => fork.poll_transmit(now),
        }
    }

    fn poll_event(&mut self) -> Option<MediaEvent> {
        match self {
            Self::Talk(leg) => leg.poll_event(),
            Self::Fork(fork) => fork.poll_event(),
        }
    }

    fn stats(&self) -> LegStats {
        match self {
            Self::Talk(leg) => leg.stats(),
            Self::Fork(fork) => fork.stats(),
        }
    }
}

impl Shard {
    /// A packet waits at most this long: 1.2 ms in the middle.
    const TICK: Duration = Duration::from_millis(2);
    /// Messages per tick; the rest waits for the next one.
    const MESSAGES: usize = 256;
    /// Batches per socket and tick: a flood on one port does not starve the others.
    const BATCHES: usize = 16;
    /// A kernel time stamp is believed up to this age; wall time may be set meanwhile.
    const OLDEST: Duration = Duration::from_secs(2);

    pub fn new(clock: Clock, messages: Receiver<Message>, events: Sender<MediaEvent>) -> std::io::Result<Self> {
        Ok(Self {
            clock,
            messages,
            events,
            poller: Poller::new()?,
            slots: Vec::new(),
            calls: HashMap::new(),
            batch: Batch::new(),
            ready: Vec::with_capacity(256),
        })
    }

    /// Runs until told to stop.
    pub fn run(mut self) {
        loop {
            let began = self.clock.instant();
            if !self.take_messages() {
                break;
            }
            self.receive();
            self.send();
            std::thread::sleep(Self::TICK.saturating_sub(self.clock.instant().duration_since(began)));
        }
        for call in self.calls.keys().copied().collect::<Vec<_>>() {
            self.command(call, MediaCommand::Close, self.clock.instant());
        }
    }

    /// Waits for a message if there is nothing else to do.
    ///
    /// * returns — false when it is time to stop.
    fn take_messages(&mut self) -> bool {
        for _ in 0..Self::MESSAGES {
            let message = if self.calls.is_empty() {
                self.messages.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.messages.try_recv()
            };
            match message {
                Ok(Message::Open { call, carried, pairs }) => self.open(call, carried, pairs),
                Ok(Message::Command { call, command, at }) => self.command(call, command, at),
                Ok(Message::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => break,
            }
        }
        true
    }

    fn open(&mut self, call: CallId, carried: Carried, pairs: Vec<Pair>) {
        let index = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        for (pair, token) in pairs.iter().zip((index as u64 * 4..).step_by(2)) {
            let watched = self.poller.add(&pair.rtp, token).and_then(|()| self.poller.add(&pair.rtcp, token + 1));
            if let Err(error) = watched {
                tracing::error!(call.id = %call, error = &error as &dyn std::error::Error, "media: socket not watched");
            }
        }
        self.slots[index] = Some(Slot { carried, pairs });
        self.calls.insert(call, index);
    }

    fn command(&mut self, call: CallId, command: MediaCommand, at: Instant) {
        let Some(&index) = self.calls.get(&call) else { return };
        let closing = matches!(command, MediaCommand::Close);
        if closing {
            self.drain(index);
        }
        let Some(Slot { carried, pairs }) = &mut self.slots[index] else { return };
        carried.handle_command(command, at, self.clock.now());
        tell(&self.events, carried);
        if closing {
            transmit(carried, pairs, at);
            let stats = carried.stats();
            self.calls.remove(&call);
            // Ports are free before anybody hears of it.
            self.slots[index] = None;
            tell_one(&self.events, MediaEvent::Closed { call, stats });
        }
    }

    /// Takes the last packets of a call that is about to end.
    fn drain(&mut self, index: usize) {
        for token in index * 4..index * 4 + 4 {
            self.receive_from(token);
        }
    }

    fn receive(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.poll(&mut ready);
        for token in &ready {
            self.receive_from(usize::try_from(*token).unwrap_or(usize::MAX));
        }
        self.ready = ready;
    }

    fn receive_from(&mut self, token: usize) {
        let Some(Some(Slot { carried, pairs })) = self.slots.get_mut(token / 4) else { return };
        let (side, rtcp) = (token % 4 / 2, token % 2 == 1);
        let Some(pair) = pairs.get(side) else { return };
        let socket = if rtcp { &pair.rtcp } else { &pair.rtp };
        let (now, wall) = (self.clock.instant(), self.clock.kernel_time());
        for _ in 0..Self::BATCHES {
            let count = self.batch.receive(socket, |datagram| {
                let age = datagram.stamped.and_then(|stamped| wall.checked_sub(stamped));
                let age = age.filter(|age| *age <= Self::OLDEST).unwrap_or_default();
                let at = now.checked_sub(age).unwrap_or(now);
                carried.handle_datagram(side, rtcp, at, datagram);
            });
            if !Batch::is_full(count) {
                break;
            }
        }
    }

    fn send(&mut self) {
        let now = self.clock.instant();
        for Slot { carried, pairs } in self.slots.iter_mut().flatten() {
            carried.handle_timeout(now);
            transmit(carried, pairs, now);
            tell(&self.events, carried);
        }
    }
}

fn transmit(carried: &mut Carried, pairs: &[Pair], now: Instant) {
    while let Some((side, out)) = carried.poll_transmit(now) {
        let socket = if out.what == Kind::ReportFromItsPort { &pairs[side].rtcp } else { &pairs[side].rtp };
        // A report that is lost is followed by another.
        if socket.send_to(out.bytes, out.to).is_err() && out.what == Kind::Sound {
            carried.handle_send_failed();
        }
    }
}

fn tell(events: &Sender<MediaEvent>, carried: &mut Carried) {
    while let Some(event) = carried.poll_event() {
        tell_one(events, event);
    }
}

fn tell_one(events: &Sender<MediaEvent>, event: MediaEvent) {
    if events.try_send(event).is_err() {
        metrics::counter!("hotline_media_events_lost_total").increment(1);
    }
}
