//! The sound of all calls of a load on one thread: a wheel of four slots of 5 ms, each call in one of them, so that
//! packets leave every 20 ms and not all at once. Nothing is allocated for a packet.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    PhoneError,
    audio::{Codec, FRAME, RATE},
    rtp::{Faults, Listener, Track, parse},
    sdp::FarMedia,
};

/// Slots of the wheel.
const SLOTS: usize = 4;
/// Time between two slots.
const STEP: Duration = Duration::from_millis(5);
/// Packets read from one socket in one visit; the rest waits 20 ms.
const MOST_READ: usize = 64;
/// A thread this late does not catch up: a second of packets at once would be a storm.
const TOO_LATE: Duration = Duration::from_secs(1);
/// Packets held back at once by jitter, all calls together; above it they leave at once.
const MOST_HELD: usize = 100_000;
const HEADER: usize = 12;

type Packet = [u8; HEADER + FRAME];

/// What the wheel is told; three or four orders a call.
pub(super) enum Order {
    Begin { slot: usize, far: FarMedia, frame: usize },
    Move { slot: usize, far: FarMedia },
    End { slot: usize },
}

/// What one call sent and heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) sent: u64,
    /// Not sent on purpose.
    pub(super) withheld: u64,
    pub(super) received: u64,
    /// Never came although later ones did.
    pub(super) lost: u64,
    /// Times at which one or more were missing.
    pub(super) gaps: u64,
    /// Came twice or after a later one.
    pub(super) late: u64,
    /// From an address that the call does not talk to.
    pub(super) strangers: u64,
    /// Packets of RTCP.
    pub(super) reports: u64,
    /// The beginning of what was heard.
    pub(super) pcm: Vec<i16>,
    /// Frame the call's own sound began with.
    pub(super) frame: usize,
}

/// A message of the wheel: a call's end, and how late the thread ever was.
pub(super) struct Ended {
    pub(super) slot: usize,
    pub(super) heard: Heard,
    pub(super) latest: Duration,
}

/// What all calls say, ready for the wire in both laws; never empty.
pub(super) struct Tracks {
    alaw: Vec<[u8; FRAME]>,
    ulaw: Vec<[u8; FRAME]>,
}

impl Tracks {
    pub(super) fn new(pcm: &[i16]) -> Self {
        let track = |codec: Codec| {
            let mut frames: Vec<[u8; FRAME]> = pcm
                .chunks(FRAME)
                .map(|chunk| {
                    let mut frame = [codec.encode(0); FRAME];
                    frame.iter_mut().zip(chunk).for_each(|(byte, sample)| *byte = codec.encode(*sample));
                    frame
                })
                .collect();
            if frames.is_empty() {
                frames.push([codec.encode(0); FRAME]);
            }
            frames
        };
        Self { alaw: track(Codec::Alaw), ulaw: track(Codec::Ulaw) }
    }

    pub(super) fn frames(&self) -> usize {
        self.alaw.len()
    }

    fn frame(&self, codec: Codec, index: usize) -> &[u8; FRAME] {
        let track = if codec == Codec::Alaw { &self.alaw } else { &self.ulaw };
        &track[index % track.len()]
    }
}

/// How the sound is to be.
pub(super) struct Plan {
    pub(super) tracks: Arc<Tracks>,
    pub(super) faults: Faults,
    /// Longest delay put on a packet.
    pub(super) jitter: Duration,
    /// Samples kept of what each call hears.
    pub(super) keep: usize,
}

/// Ports of all calls, opened once and used again: an even one for RTP and the one after it for RTCP.
pub(super) struct Ports(Vec<(UdpSocket, UdpSocket)>);

impl Ports {
    /// # Errors
    /// The system gives no more ports or file handles.
    pub(super) fn open(local: IpAddr, calls: usize) -> Result<Self, PhoneError> {
        let pairs = (0..calls).map(|_| pair(local)).collect::<io::Result<Vec<_>>>();
        pairs.map(Self).map_err(|source| PhoneError::Socket { at: SocketAddr::new(local, 0), source })
    }

    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.0.iter().map(|(rtp, _)| rtp.local_addr()).collect()
    }
}

fn pair(local: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    let mut problem = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..50 {
        let rtp = UdpSocket::bind((local, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 1 {
            continue;
        }
        match UdpSocket::bind((local, port + 1)) {
            Ok(reports) => {
                rtp.set_nonblocking(true)?;
                reports.set_nonblocking(true)?;
                return Ok((rtp, reports));
            }
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

/// Starts the thread; it ends when the orders do.
pub(super) fn start(
    ports: Ports,
    plan: Plan,
    orders: mpsc::Receiver<Order>,
    ended: mpsc::Sender<Ended>,
) -> io::Result<()> {
    let wheel = Wheel {
        streams: ports.0.iter().map(|_| None).collect(),
        ports: ports.0,
        slots: Default::default(),
        held: BinaryHeap::new(),
        plan,
        latest: Duration::ZERO,
    };
    thread::Builder::new().name("sound".into()).spawn(move || wheel.turn(&orders, &ended)).map(|_| ())
}

struct Wheel {
    ports: Vec<(UdpSocket, UdpSocket)>,
    streams: Vec<Option<Stream>>,
    /// Calls of each slot.
    slots: [Vec<usize>; SLOTS],
    held: BinaryHeap<Reverse<Held>>,
    plan: Plan,
    latest: Duration,
}

/// A packet that waits; ordered by its time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: Instant,
    slot: usize,
    packet: Packet,
}

impl Wheel {
    fn turn(mut self, orders: &mpsc::Receiver<Order>, ended: &mpsc::Sender<Ended>) {
        let (mut due, mut step) = (Instant::now(), 0_usize);
        loop {
            let now = Instant::now();
            let late = now.saturating_duration_since(due);
            self.latest = self.latest.max(late);
            if late > TOO_LATE {
                due = now;
            }
            thread::sleep(due.saturating_duration_since(now));
            loop {
                match orders.try_recv() {
                    Ok(order) => {
                        if let Some(done) = self.obey(order)
                            && ended.send(done).is_err()
                        {
                            return;
                        }
                    }
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
            for index in 0..self.slots[step % SLOTS].len() {
                self.visit(self.slots[step % SLOTS][index]);
            }
            self.release(Instant::now());
            step += 1;
            due += STEP;
        }
    }

    fn obey(&mut self, order: Order) -> Option<Ended> {
        match order {
            Order::Begin { slot, far, frame } => {
                drain(&self.ports[slot]);
                self.streams[slot] = Some(Stream::new(slot, far, frame, &self.plan));
                let least = (0..SLOTS).min_by_key(|index| self.slots[*index].len()).unwrap_or(0);
                self.slots[least].push(slot);
                None
            }
            Order::Move { slot, far } => {
                if let Some(stream) = &mut self.streams[slot] {
                    stream.far = far;
                }
                None
            }
            Order::End { slot } => {
                self.visit_last(slot);
                self.slots.iter_mut().for_each(|calls| calls.retain(|call| *call != slot));
                let heard = self.streams[slot].take().map(Stream::finish).unwrap_or_default();
                Some(Ended { slot, heard, latest: self.latest })
            }
        }
    }

    /// Reads what came and sends what is next.
    fn visit(&mut self, slot: usize) {
        let Some(stream) = &mut self.streams[slot] else { return };
        stream.read(&self.ports[slot]);
        if !stream.far.listens {
            return;
        }
        let packet = stream.next(&self.plan.tracks);
        if stream.dice.f64() < self.plan.faults.loss {
            stream.heard.withheld += 1;
            return;
        }
        if stream.behind.is_none() && self.plan.faults.reorder > 0.0 && stream.dice.f64() < self.plan.faults.reorder {
            stream.behind = Some(packet);
            return;
        }
        self.send(slot, packet);
        let Some(stream) = &mut self.streams[slot] else { return };
        if stream.dice.f64() < self.plan.faults.duplicate {
            self.send(slot, packet);
        }
        if let Some(behind) = self.streams[slot].as_mut().and_then(|stream| stream.behind.take()) {
            self.send(slot, behind);
        }
    }

    fn visit_last(&mut self, slot: usize) {
        if let Some(stream) = &mut self.streams[slot] {
            stream.read(&self.ports[slot]);
        }
    }

    /// Sends at once, or after the delay that jitter gives it; jitter alone never swaps packets.
    fn send(&mut self, slot: usize, packet: Packet) {
        let Some(stream) = &mut self.streams[slot] else { return };
        if self.plan.jitter.is_zero() || self.held.len() >= MOST_HELD {
            stream.send(&self.ports[slot].0, &packet);
            return;
        }
        let delay = self.plan.jitter.mul_f64(stream.dice.f64());
        let due = (Instant::now() + delay).max(stream.last_due + Duration::from_micros(1));
        stream.last_due = due;
        self.held.push(Reverse(Held { due, slot, packet }));
    }

    fn release(&mut self, now: Instant) {
        while self.held.peek().is_some_and(|Reverse(held)| held.due <= now) {
            let Some(Reverse(held)) = self.held.pop() else { return };
            // What is left of a call that ended goes with it.
            if let Some(stream) = &mut self.streams[held.slot]
                && held.packet[8..12] == stream.ssrc.to_be_bytes()
            {
                stream.send(&self.ports[held.slot].0, &held.packet);
            }
        }
    }
}

/// Late packets of the call that had the port before.
fn drain((rtp, reports): &(UdpSocket, UdpSocket)) {
    let mut buffer = [0; 16];
    for socket in [rtp, reports] {
        for _ in 0..1_000 {
            if socket.recv_from(&mut buffer).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
        }
    }
}

struct Stream {
    far: FarMedia,
    first_frame: usize,
    tick: usize,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    dice: fastrand::Rng,
    behind: Option<Packet>,
    last_due: Instant,
    began: Instant,
    keep: Duration,
    listener: Listener,
    track: Track,
    heard: Heard,
}

impl Stream {
    fn new(slot: usize, far: FarMedia, frame: usize, plan: &Plan) -> Self {
        let mut random = fastrand::Rng::new();
        let now = Instant::now();
        // Calls lose other packets than their neighbours, and the same ones in the next run.
        let seed = plan.faults.seed ^ (u64::try_from(slot + 1).unwrap_or(0) << 32);
        Self {
            far,
            first_frame: frame,
            tick: 0,
            ssrc: random.u32(..),
            sequence: random.u16(..),
            timestamp: random.u32(..),
            dice: fastrand::Rng::with_seed(seed),
            behind: None,
            last_due: now,
            began: now,
            keep: Duration::from_millis(u64::try_from(plan.keep).unwrap_or(0) * 1000 / u64::from(RATE)),
            listener: Listener::new(plan.keep),
            track: Track::default(),
            heard: Heard::default(),
        }
    }

    fn next(&mut self, tracks: &Tracks) -> Packet {
        let marker = if self.tick == 0 { 0x80 } else { 0 };
        let codec = self.far.codec;
        let mut packet = [0; HEADER + FRAME];
        packet[0] = 0x80;
        packet[1] = codec.payload_type() | marker;
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        packet[HEADER..].copy_from_slice(tracks.frame(codec, self.first_frame + self.tick));
        self.tick += 1;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        packet
    }

    fn send(&mut self, socket: &UdpSocket, packet: &Packet) {
        // A full buffer loses a packet, as a network may.
        if socket.send_to(packet, self.far.address).is_ok() {
            self.heard.sent += 1;
        }
    }

    fn read(&mut self, (rtp, reports): &(UdpSocket, UdpSocket)) {
        let mut buffer = [0; 2_048];
        for _ in 0..MOST_READ {
            match rtp.recv_from(&mut buffer) {
                Ok((_, source)) if source != self.far.address => self.heard.strangers += 1,
                Ok((length, _)) => self.hear(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The far port was closed for a moment; that ends nothing.
                Err(_) => {}
            }
        }
        while reports.recv_from(&mut buffer).is_ok() {
            self.heard.reports += 1;
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        let Some((payload_type, _, ssrc, _)) = parse(datagram) else { return };
        if Codec::of_payload_type(payload_type).is_none() {
            return;
        }
        let sequence = u16::from_be_bytes([datagram[2], datagram[3]]);
        self.heard.received += 1;
        self.track.note(ssrc, sequence);
        let since = self.began.elapsed();
        if since < self.keep {
            self.listener.hear(datagram, since, None);
        }
    }

    fn finish(mut self) -> Heard {
        self.heard.frame = self.first_frame;
        (self.heard.lost, self.heard.gaps, self.heard.late) = (self.track.lost, self.track.gaps, self.track.late);
        self.heard.pcm = self.listener.finish(Duration::ZERO);
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        let far = FarMedia {
            address: "127.0.0.1:4000".parse().unwrap(),
            codec: Codec::Alaw,
            telephone_event: None,
            listens: true,
            speaks: true,
            key: None,
        };
        let tracks = Arc::new(Tracks::new(&[]));
        let plan = Plan { tracks, faults: Faults::default(), jitter: Duration::ZERO, keep: 8_000 };
        Stream::new(0, far, 0, &plan)
    }

    #[test]
    fn gaps_late_packets_and_doubles_are_told_apart() {
        let (mut far, mut here) = (stream(), stream());
        far.sequence = u16::MAX - 1;
        let tracks = Tracks::new(&[1_000; 1_600]);
        let packets: Vec<_> = (0..10).map(|_| far.next(&tracks)).collect();
        for index in [0, 1, 4, 3, 3, 9] {
            here.hear(&packets[index]);
        }
        let heard = here.finish();
        assert_eq!((heard.received, heard.gaps, heard.late), (6, 2, 2));
        assert_eq!(heard.lost, 5, "2 and 5 to 8; the double of 3 makes up for none of them");
        assert!(heard.pcm.len() >= 10 * FRAME);
    }

    #[test]
    fn a_sound_goes_round_and_no_sound_is_silence() {
        let tracks = Tracks::new(&[0; 400]);
        assert_eq!(tracks.frames(), 3);
        assert_eq!(tracks.frame(Codec::Ulaw, 3), tracks.frame(Codec::Ulaw, 0));
        assert_eq!(Tracks::new(&[]).frame(Codec::Alaw, 7), &[Codec::Alaw.encode(0); FRAME]);
    }
}
