//! A thread that carries many legs: moves bytes between them and their sockets, in ticks.

use std::{
    collections::HashMap,
    sync::mpsc::{Receiver, TryRecvError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc::Sender;

use super::{
    LegStats, MediaCommand, MediaEvent, Party,
    fork::Fork,
    leg::{Kind, Leg, Transmit},
    ports::Pair,
    socket::{Batch, Datagram, Poller},
    talk::Talk,
};
use crate::{
    clock::Clock,
    domain::{ids::CallId, time::UnixMs},
};

/// What the plane tells a shard.
pub enum Message {
    Open { call: CallId, carried: Carried, pairs: Vec<Pair> },
    Join { call: CallId, party: Party, leg: Box<Leg>, pair: Pair },
    Command { call: CallId, command: MediaCommand, at: Instant },
    Stop,
}

/// The media side of a call.
pub enum Carried {
    /// Has a pair of ports for each party.
    Talk(Box<Talk>),
    /// Has two, the caller's and the operator's.
    Fork(Box<Fork>),
}

/// The thread's state.
pub struct Shard {
    clock: Clock,
    messages: Receiver<Message>,
    events: Sender<MediaEvent>,
    poller: Poller,
    /// Slots are used again; a token is slot * 8, plus 2 for each pair before it, plus 1 for RTCP.
    slots: Vec<Option<Slot>>,
    /// Whose turn it is of those without packets.
    turn: usize,
    calls: HashMap<CallId, usize>,
    batch: Batch,
    ready: Vec<u64>,
}

struct Slot {
    carried: Carried,
    /// By party; of a fork the caller's and the operator's.
    pairs: [Option<Pair>; Party::MOST],
    /// Something came for it in this tick.
    touched: bool,
}

impl Carried {
    fn handle_command(&mut self, command: MediaCommand, at: Instant, wall: UnixMs) {
        match self {
            Self::Talk(talk) => talk.handle_command(command, at, wall),
            Self::Fork(fork) => fork.handle_command(command, at, wall),
        }
    }

    /// * `party` — whose port it came to.
    /// * `rtcp` — it came to the RTCP port.
    fn handle_datagram(&mut self, party: Party, rtcp: bool, at: Instant, datagram: Datagram<'_>) {
        let Datagram { from, bytes, .. } = datagram;
        match (self, bytes) {
            (Self::Talk(talk), Some(bytes)) if rtcp => talk.handle_rtcp(party, at, from, bytes),
            (Self::Talk(talk), Some(bytes)) => talk.handle_rtp(party, at, from, bytes),
            (Self::Talk(talk), None) => talk.handle_oversized(party),
            (Self::Fork(fork), Some(bytes)) if rtcp => fork.handle_rtcp(party.index(), at, from, bytes),
            (Self::Fork(fork), Some(bytes)) => fork.handle_rtp(party.index(), at, from, bytes),
            (Self::Fork(fork), None) => fork.handle_oversized(party.index()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Talk(talk) => talk.handle_timeout(now),
            Self::Fork(fork) => fork.handle_timeout(now),
        }
    }

    fn handle_send_failed(&mut self, party: Party) {
        if let Self::Talk(talk) = self {
            talk.handle_send_failed(party);
        }
    }

    /// The next datagram that is due, and whose port it leaves from.
    fn poll_transmit(&mut self, now: Instant) -> Option<(Party, Transmit<'_>)> {
        match self {
            Self::Talk(talk) => talk.poll_transmit(now),
            Self::Fork(fork) => fork.poll_transmit(now),
        }
    }

    fn poll_event(&mut self) -> Option<MediaEvent> {
        match self {
            Self::Talk(talk) => talk.poll_event(),
            Self::Fork(fork) => fork.poll_event(),
        }
    }

    fn stats(&self) -> LegStats {
        match self {
            Self::Talk(talk) => talk.stats(),
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
    /// Ticks until a call without packets has its turn, 10 ms: time alone brings announcements and reports, which leave every
    /// 20 ms at most.
    const TURNS: usize = 5;
    /// A kernel time stamp is believed up to this age; wall time may be set meanwhile.
    const OLDEST: Duration = Duration::from_secs(2);

    pub fn new(clock: Clock, messages: Receiver<Message>, events: Sender<MediaEvent>) -> std::io::Result<Self> {
        Ok(Self {
            clock,
            messages,
            events,
            poller: Poller::new()?,
            slots: Vec::new(),
            turn: 0,
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
                Ok(Message::Join { call, party, leg, pair }) => self.join(call, party, *leg, pair),
                Ok(Message::Command { call, command: MediaCommand::Leave(party), at }) => self.leave(call, party, at),
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
        let mut places = [const { None }; Party::MOST];
        for ((party, place), pair) in Party::all().zip(&mut places).zip(pairs) {
            self.watch(index, party, &pair, call);
            *place = Some(pair);
        }
        self.slots[index] = Some(Slot { carried, pairs: places, touched: true });
        self.calls.insert(call, index);
    }

    fn watch(&self, index: usize, party: Party, pair: &Pair, call: CallId) {
        let token = token(index, party);
        let watched = self.poller.add(&pair.rtp, token).and_then(|()| self.poller.add(&pair.rtcp, token + 1));
        if let Err(error) = watched {
            tracing::error!(call.id = %call, error = &error as &dyn std::error::Error, "media: socket not watched");
        }
    }

    /// A party that took part until now is gone with its ports.
    fn join(&mut self, call: CallId, party: Party, leg: Leg, pair: Pair) {
        let Some(&index) = self.calls.get(&call) else { return };
        self.watch(index, party, &pair, call);
        if let Some(Slot { carried: Carried::Talk(talk), pairs, .. }) = &mut self.slots[index] {
            talk.join(party, leg);
            pairs[party.index()] = Some(pair);
        }
    }

    fn leave(&mut self, call: CallId, party: Party, at: Instant) {
        let Some(&index) = self.calls.get(&call) else { return };
        let Some(Slot { carried: Carried::Talk(talk), pairs, .. }) = &mut self.slots[index] else { return };
        if let (Some(pair), Some(out)) = (&pairs[party.index()], talk.poll_farewell(party, at)) {
            // A goodbye that is lost is missed by nobody.
            let _ = send(pair, &out);
        }
        let Some(stats) = talk.leave(party, at) else { return };
        pairs[party.index()] = None;
        while let Some(event) = talk.poll_event() {
            tell_one(&self.events, event);
        }
        tell_one(&self.events, MediaEvent::Left { call, party, stats });
    }

    fn command(&mut self, call: CallId, command: MediaCommand, at: Instant) {
        let Some(&index) = self.calls.get(&call) else { return };
        let closing = matches!(command, MediaCommand::Close);
        if closing {
            self.drain(index);
        }
        let Some(Slot { carried, pairs, touched }) = &mut self.slots[index] else { return };
        *touched = true;
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
        for party in Party::all() {
            self.receive_from(token(index, party));
            self.receive_from(token(index, party) + 1);
        }
    }

    fn receive(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.poll(&mut ready);
        for token in &ready {
            self.receive_from(*token);
        }
        self.ready = ready;
    }

    fn receive_from(&mut self, token: u64) {
        let index = usize::try_from(token / PER_SLOT).unwrap_or(usize::MAX);
        let Some(Some(Slot { carried, pairs, touched })) = self.slots.get_mut(index) else { return };
        *touched = true;
        let (place, rtcp) = (token % PER_SLOT / 2, token % 2 == 1);
        let Some((party, Some(pair))) = Party::all().zip(pairs).find(|(party, _)| u64::from(party.0) == place) else {
            return;
        };
        let socket = if rtcp { &pair.rtcp } else { &pair.rtp };
        let (now, wall) = (self.clock.instant(), self.clock.kernel_time());
        for _ in 0..Self::BATCHES {
            let count = self.batch.receive(socket, |datagram| {
                let age = datagram.stamped.and_then(|stamped| wall.checked_sub(stamped));
                let age = age.filter(|age| *age <= Self::OLDEST).unwrap_or_default();
                let at = now.checked_sub(age).unwrap_or(now);
                carried.handle_datagram(party, rtcp, at, datagram);
            });
            if !Batch::is_full(count) {
                break;
            }
        }
    }

    fn send(&mut self) {
        let now = self.clock.instant();
        self.turn = (self.turn + 1) % Self::TURNS;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(Slot { carried, pairs, touched }) = slot else { continue };
            if !std::mem::take(touched) && index % Self::TURNS != self.turn {
                continue;
            }
            carried.handle_timeout(now);
            transmit(carried, pairs, now);
            tell(&self.events, carried);
        }
    }
}

/// Tokens of a slot: two for each party.
const PER_SLOT: u64 = 2 * Party::MOST as u64;

const fn token(index: usize, party: Party) -> u64 {
    index as u64 * PER_SLOT + party.0 as u64 * 2
}

fn transmit(carried: &mut Carried, pairs: &[Option<Pair>; Party::MOST], now: Instant) {
    while let Some((party, out)) = carried.poll_transmit(now) {
        let Some(pair) = &pairs[party.index()] else { continue };
        // A report that is lost is followed by another.
        if send(pair, &out).is_err() && out.what == Kind::Sound {
            carried.handle_send_failed(party);
        }
    }
}

fn send(pair: &Pair, out: &Transmit<'_>) -> std::io::Result<()> {
    let socket = if out.what == Kind::ReportFromItsPort { &pair.rtcp } else { &pair.rtp };
    socket.send_to(out.bytes, out.to).map(|_| ())
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
