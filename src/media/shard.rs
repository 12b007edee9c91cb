//! A thread that carries many legs: moves bytes between them and their sockets, in ticks.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::mpsc::{Receiver, TryRecvError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc::Sender;

use super::{
    LegStats, MediaCommand, MediaEvent, Party,
    fork::Fork,
    leg::{Kind, Leg, Transmit},
    ports::Pair,
    shared::Shared,
    socket::{Batch, Datagram, Poller},
    talk::Talk,
};
use crate::{
    clock::Clock,
    domain::{ids::CallId, time::UnixMs},
};

/// What the plane tells a shard.
pub enum Message {
    Open { call: CallId, carried: Carried, ports: Vec<Port> },
    Join { call: CallId, party: Party, leg: Box<Leg>, pair: Pair },
    Command { call: CallId, command: MediaCommand, at: Instant },
    Stop,
}

/// The ports of a party.
pub enum Port {
    Own(Pair),
    /// Those of the shard that calls of carriers share; what comes from this address is the party's.
    Shared(SocketAddr),
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
    batch: Batch<4>,
    ready: Vec<u64>,
    /// Where more was than is taken in a tick.
    unread: Vec<u64>,
    shared: Option<Shared>,
    /// Slots of calls whose sound the kernel did not take.
    failed: Vec<usize>,
}

struct Slot {
    carried: Carried,
    /// By party; of a fork the caller's and the operator's.
    ports: [Option<Port>; Party::MOST],
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

    /// * `shared` — ports for the calls of carriers.
    pub fn new(
        clock: Clock,
        messages: Receiver<Message>,
        events: Sender<MediaEvent>,
        shared: Option<Pair>,
    ) -> std::io::Result<Self> {
        let poller = Poller::new()?;
        let shared = shared.map(|pair| Shared::new(pair, &poller, SHARED)).transpose()?;
        Ok(Self {
            clock,
            messages,
            events,
            poller,
            slots: Vec::new(),
            turn: 0,
            calls: HashMap::new(),
            batch: Batch::new(),
            ready: Vec::with_capacity(256),
            unread: Vec::new(),
            shared,
            failed: Vec::new(),
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
                Ok(Message::Open { call, carried, ports }) => self.open(call, carried, ports),
                Ok(Message::Join { call, party, leg, pair }) => self.join(call, party, *leg, pair),
                Ok(Message::Command { call, command: MediaCommand::Leave(party), at }) => self.leave(call, party, at),
                Ok(Message::Command { call, command, at }) => self.command(call, command, at),
                Ok(Message::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => break,
            }
        }
        true
    }

    fn open(&mut self, call: CallId, carried: Carried, ports: Vec<Port>) {
        let index = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let mut places = [const { None }; Party::MOST];
        for ((party, place), port) in Party::all().zip(&mut places).zip(ports) {
            match &port {
                Port::Own(pair) => self.watch(index, party, pair, call),
                Port::Shared(source) => self.claim(index, *source, None),
            }
            *place = Some(port);
        }
        self.slots[index] = Some(Slot { carried, ports: places, touched: true });
        self.calls.insert(call, index);
    }

    fn watch(&self, index: usize, party: Party, pair: &Pair, call: CallId) {
        let token = token(index, party);
        let watched = self.poller.add(&pair.rtp, token).and_then(|()| self.poller.add(&pair.rtcp, token + 1));
        if let Err(error) = watched {
            tracing::error!(call.id = %call, error = &error as &dyn std::error::Error, "media: socket not watched");
        }
    }

    /// What comes from a carrier's address is this call's.
    fn claim(&mut self, index: usize, rtp: SocketAddr, rtcp: Option<SocketAddr>) {
        if let Some(shared) = &mut self.shared
            && !shared.claim(rtp, rtcp, index)
        {
            tracing::warn!(source = %rtp, "media: two calls of a carrier have the same address; the first keeps it");
        }
    }

    /// A call of a carrier may move its media; what is under way from the address of before is still taken.
    fn follow(&mut self, index: usize, command: &MediaCommand) {
        let MediaCommand::Connect(Party::CALLER, media) = command else { return };
        let Some(Some(Slot { ports, .. })) = self.slots.get_mut(index) else { return };
        let Some(Port::Shared(source)) = &mut ports[Party::CALLER.index()] else { return };
        let before = std::mem::replace(source, media.address);
        if let Some(shared) = &mut self.shared {
            shared.release(index);
        }
        self.claim(index, media.address, media.rtcp);
        if before != media.address {
            self.claim(index, before, None);
        }
    }

    /// A party that took part until now is gone with its ports.
    fn join(&mut self, call: CallId, party: Party, leg: Leg, pair: Pair) {
        let Some(&index) = self.calls.get(&call) else { return };
        self.watch(index, party, &pair, call);
        if let Some(Slot { carried: Carried::Talk(talk), ports, .. }) = &mut self.slots[index] {
            talk.join(party, leg);
            ports[party.index()] = Some(Port::Own(pair));
        }
    }

    fn leave(&mut self, call: CallId, party: Party, at: Instant) {
        let Some(&index) = self.calls.get(&call) else { return };
        let Some(Slot { carried: Carried::Talk(talk), ports, .. }) = &mut self.slots[index] else { return };
        if let (Some(Port::Own(pair)), Some(out)) = (&ports[party.index()], talk.poll_farewell(party, at)) {
            // A goodbye that is lost is missed by nobody.
            let _ = send(pair, &out);
        }
        let Some(stats) = talk.leave(party, at) else { return };
        ports[party.index()] = None;
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
        self.follow(index, &command);
        let Some(Slot { carried, ports, touched }) = &mut self.slots[index] else { return };
        *touched = true;
        carried.handle_command(command, at, self.clock.now());
        tell(&self.events, carried);
        if closing {
            let mut doors = Doors { slot: index, ports, shared: self.shared.as_mut(), failed: &mut self.failed };
            doors.transmit(carried, at);
            if let Some(shared) = &mut self.shared {
                shared.send(&mut self.failed);
                shared.release(index);
                self.failed.retain(|slot| *slot != index);
            }
            let stats = carried.stats();
            self.calls.remove(&call);
            // Ports are free before anybody hears of it.
            self.slots[index] = None;
            tell_one(&self.events, MediaEvent::Closed { call, stats });
        }
    }

    /// Takes the last packets of a call that is about to end.
    fn drain(&mut self, index: usize) {
        let Some(Slot { ports, .. }) = &self.slots[index] else { return };
        let tokens = Party::all().zip(ports).filter_map(|(party, port)| match port {
            Some(Port::Own(_)) => Some([token(index, party), token(index, party) + 1]),
            Some(Port::Shared(_)) => Some(SHARED),
            None => None,
        });
        for token in tokens.collect::<Vec<_>>().into_flattened() {
            self.receive_from(token);
        }
    }

    fn receive(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.poll(&mut ready);
        ready.append(&mut self.unread);
        for token in &ready {
            if self.receive_from(*token) {
                self.unread.push(*token);
            }
        }
        self.ready = ready;
    }

    /// * returns — whether more may wait there.
    fn receive_from(&mut self, token: u64) -> bool {
        let when = Arrivals { now: self.clock.instant(), wall: self.clock.kernel_time() };
        if SHARED.contains(&token) {
            let (Some(shared), slots, rtcp) = (&mut self.shared, &mut self.slots, token == SHARED[1]) else {
                return false;
            };
            return shared.receive(rtcp, |slot, datagram| {
                let Some(Some(Slot { carried, touched, .. })) = slots.get_mut(slot) else { return };
                *touched = true;
                carried.handle_datagram(Party::CALLER, rtcp, when.of(&datagram), datagram);
            });
        }
        let index = usize::try_from(token / PER_SLOT).unwrap_or(usize::MAX);
        let Some(Some(Slot { carried, ports, touched })) = self.slots.get_mut(index) else { return false };
        *touched = true;
        let (place, rtcp) = (token % PER_SLOT / 2, token % 2 == 1);
        let own = Party::all().zip(ports).find(|(party, _)| u64::from(party.0) == place);
        let Some((party, Some(Port::Own(pair)))) = own else { return false };
        let socket = if rtcp { &pair.rtcp } else { &pair.rtp };
        (0..Self::BATCHES).all(|_| {
            let count = self.batch.receive(socket, |datagram| {
                carried.handle_datagram(party, rtcp, when.of(&datagram), datagram);
            });
            Batch::<4>::is_full(count)
        })
    }

    fn send(&mut self) {
        let now = self.clock.instant();
        self.turn = (self.turn + 1) % Self::TURNS;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(Slot { carried, ports, touched }) = slot else { continue };
            let turn = index % Self::TURNS == self.turn;
            if !std::mem::take(touched) && !turn {
                continue;
            }
            if turn {
                carried.handle_timeout(now);
            }
            let mut doors = Doors { slot: index, ports, shared: self.shared.as_mut(), failed: &mut self.failed };
            doors.transmit(carried, now);
            tell(&self.events, carried);
        }
        if let Some(shared) = &mut self.shared {
            shared.send(&mut self.failed);
        }
        for index in self.failed.drain(..) {
            if let Some(Slot { carried, .. }) = &mut self.slots[index] {
                carried.handle_send_failed(Party::CALLER);
            }
        }
    }
}

/// What the clock said when datagrams were fetched.
#[derive(Clone, Copy)]
struct Arrivals {
    now: Instant,
    wall: Duration,
}

impl Arrivals {
    /// When the kernel got a datagram.
    fn of(self, datagram: &Datagram<'_>) -> Instant {
        let age = datagram.stamped.and_then(|stamped| self.wall.checked_sub(stamped));
        let age = age.filter(|age| *age <= Shard::OLDEST).unwrap_or_default();
        self.now.checked_sub(age).unwrap_or(self.now)
    }
}

/// The tokens of the ports that calls of carriers share: above those of all slots.
const SHARED: [u64; 2] = [u64::MAX - 1, u64::MAX];
/// Tokens of a slot: two for each party.
const PER_SLOT: u64 = 2 * Party::MOST as u64;

const fn token(index: usize, party: Party) -> u64 {
    index as u64 * PER_SLOT + party.0 as u64 * 2
}

/// Where the datagrams of a call leave.
struct Doors<'a> {
    slot: usize,
    ports: &'a [Option<Port>; Party::MOST],
    shared: Option<&'a mut Shared>,
    failed: &'a mut Vec<usize>,
}

impl Doors<'_> {
    fn transmit(&mut self, carried: &mut Carried, now: Instant) {
        while let Some((party, out)) = carried.poll_transmit(now) {
            match (&self.ports[party.index()], &mut self.shared) {
                // A report that is lost is followed by another.
                (Some(Port::Own(pair)), _) if send(pair, &out).is_err() && out.what == Kind::Sound => {
                    carried.handle_send_failed(party);
                }
                (Some(Port::Shared(_)), Some(shared)) => shared.put(&out, self.slot, self.failed),
                _ => {}
            }
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
