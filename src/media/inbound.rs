//! One stream that we receive: from datagrams of one port to the sound of one channel of the recording.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    G711, RemoteMedia, StreamStats,
    dtmf::{Digit, Keypad},
    latch::Latch,
    recorder::{LONGEST, Recorder},
    rtp::{self, NotRtp, Packet},
    sequence::{Arrival, Sequence},
    timeline::Timeline,
};
use crate::domain::transcript::Channel;

/// A received stream. Until the first [`Inbound::connect`] it only holds what comes.
#[derive(Debug)]
pub struct Inbound {
    /// Where its sound goes.
    channel: Channel,
    /// Our SSRC: a packet that carries it is our own, come back.
    ours: u32,
    remote: Option<Remote>,
    sequence: Sequence,
    timeline: Timeline,
    keypad: Keypad,
    stats: StreamStats,
    /// Datagrams from before the answer was known.
    held: VecDeque<Held>,
    news: VecDeque<News>,
}

/// What a stream tells its leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The first packet of negotiated media arrived.
    First,
    Digit(Digit),
    /// Neither RTP nor RTCP for [`Inbound::PATIENCE`] although they should send.
    Silent,
}

#[derive(Debug)]
struct Remote {
    media: RemoteMedia,
    latch: Latch,
    /// Payload type and codec before the last change: packets under way still count.
    outgoing: Option<(u8, G711, Instant)>,
    last_heard: Instant,
    told_silent: bool,
    heard: bool,
}

struct Held {
    at: Instant,
    from: SocketAddr,
    length: usize,
    bytes: [u8; Inbound::HELD_BYTES],
}

impl Inbound {
    /// Neither RTP nor RTCP for this long, although they should send, ends the call.
    pub const PATIENCE: Duration = Duration::from_secs(30);
    /// Datagrams kept from before the first connect: over a second of speech; the oldest give way.
    const HELD: usize = 64;
    const HELD_BYTES: usize = 512;
    /// Packets of the old codec count this long after a change.
    const CHANGE: Duration = Duration::from_secs(2);
    /// More behind than this is counted as late.
    const LATE: i64 = 1_600;
    /// News that wait to be fetched; the leg fetches after every step.
    const NEWS: usize = 64;

    /// * `ours` — our SSRC in this session.
    pub fn new(channel: Channel, ours: u32) -> Self {
        Self {
            channel,
            ours,
            remote: None,
            sequence: Sequence::default(),
            timeline: Timeline::default(),
            keypad: Keypad::default(),
            stats: StreamStats::default(),
            held: VecDeque::with_capacity(Self::HELD),
            news: VecDeque::with_capacity(Self::NEWS),
        }
    }

    /// Takes what offer/answer settled, for the first time or anew. What was held is heard now.
    pub fn connect(&mut self, media: RemoteMedia, at: Instant, recorder: &mut Recorder) {
        if let Some(remote) = &mut self.remote {
            remote.latch.connect(media.address, at);
            if (remote.media.payload_type, remote.media.codec) != (media.payload_type, media.codec) {
                remote.outgoing = Some((remote.media.payload_type, remote.media.codec, at + Self::CHANGE));
            }
            remote.media = media;
            remote.alive(at);
        } else {
            let latch = Latch::new(media.address, at);
            let remote = Remote { media, latch, outgoing: None, last_heard: at, told_silent: false, heard: false };
            self.remote = Some(remote);
            for mut held in std::mem::take(&mut self.held) {
                self.handle_rtp(held.at, held.from, &mut held.bytes[..held.length], recorder);
            }
        }
    }

    /// Takes a datagram from the RTP port.
    pub fn handle_rtp(&mut self, at: Instant, from: SocketAddr, datagram: &mut [u8], recorder: &mut Recorder) {
        if self.remote.is_none() {
            self.hold(at, from, datagram);
            return;
        }
        match rtp::parse(datagram) {
            Ok(packet) => self.handle_packet(at, from, &packet, recorder),
            Err(NotRtp::Rtcp) => self.handle_rtcp(at, from),
            Err(NotRtp::Malformed) => self.stats.malformed += 1,
        }
    }

    /// Takes a datagram from the RTCP port: a muted phone is known to live by it.
    pub fn handle_rtcp(&mut self, at: Instant, from: SocketAddr) {
        if let Some(remote) = &mut self.remote
            && remote.latch.knows(from)
        {
            self.stats.rtcp += 1;
            remote.alive(at);
        }
    }

    /// Counts a datagram that was longer than any we take.
    pub fn handle_oversized(&mut self) {
        self.stats.malformed += 1;
    }

    /// Does what time demands: lost ends of keys, silence.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(digit) = self.keypad.handle_timeout(now) {
            self.tell(News::Digit(digit));
        }
        if let Some(remote) = &mut self.remote
            && remote.media.receive
            && !remote.told_silent
            && now.saturating_duration_since(remote.last_heard) >= Self::PATIENCE
        {
            remote.told_silent = true;
            self.tell(News::Silent);
        }
    }

    /// What the leg should know. Call until `None`.
    pub fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Whether [`News::Silent`] was told and nothing came since.
    pub fn is_silent(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.told_silent)
    }

    /// What was settled last; `None` before the first connect.
    pub fn media(&self) -> Option<&RemoteMedia> {
        self.remote.as_ref().map(|remote| &remote.media)
    }

    /// Where they want to hear us, if we may send and know where to.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.remote.as_ref().filter(|remote| remote.media.send)?.latch.destination()
    }

    /// What the stream brought so far.
    pub fn stats(&self) -> StreamStats {
        #[expect(clippy::cast_possible_truncation, reason = "a figure for people")]
        let jitter_ms = self.sequence.jitter_ms() as f32;
        StreamStats { lost: self.sequence.lost(), jitter_ms, ..self.stats.clone() }
    }

    fn hold(&mut self, at: Instant, from: SocketAddr, datagram: &[u8]) {
        if datagram.len() > Self::HELD_BYTES {
            self.stats.malformed += 1;
            return;
        }
        if self.held.len() == Self::HELD {
            self.held.pop_front();
        }
        let mut bytes = [0; Self::HELD_BYTES];
        bytes[..datagram.len()].copy_from_slice(datagram);
        self.held.push_back(Held { at, from, length: datagram.len(), bytes });
    }

    fn handle_packet(&mut self, at: Instant, from: SocketAddr, packet: &Packet<'_>, recorder: &mut Recorder) {
        let Some(remote) = &mut self.remote else { return };
        let codec = remote.codec_of(packet.payload_type, at);
        let is_key = remote.media.telephone_event == Some(packet.payload_type);
        let negotiated = codec.is_some() || is_key;
        if !negotiated || packet.ssrc == self.ours || !remote.latch.accept(from, at) {
            self.stats.foreign += 1;
            return;
        }
        remote.alive(at);
        if !std::mem::replace(&mut remote.heard, true) {
            self.tell(News::First);
        }
        self.stats.received += 1;
        match self.sequence.note(packet.ssrc, packet.sequence) {
            Arrival::InOrder => {}
            Arrival::Reordered => self.stats.reordered += 1,
            Arrival::Duplicate => {
                self.stats.duplicates += 1;
                return;
            }
        }
        match codec {
            Some(codec) => self.handle_sound(at, codec, packet, recorder),
            None => self.handle_key(at, packet, recorder),
        }
    }

    fn handle_sound(&mut self, at: Instant, codec: G711, packet: &Packet<'_>, recorder: &mut Recorder) {
        if packet.payload.is_empty() || packet.payload.len() > LONGEST {
            self.stats.malformed += u64::from(!packet.payload.is_empty());
            return;
        }
        let arrival = recorder.position(at);
        self.sequence.transit(arrival - i64::from(packet.timestamp));
        let place = self.timeline.place(arrival, packet.ssrc, packet.timestamp, packet.payload.len());
        self.stats.late += u64::from(place.lag > Self::LATE);
        recorder.heard(self.channel, place.at, codec, packet.payload);
    }

    fn handle_key(&mut self, at: Instant, packet: &Packet<'_>, recorder: &mut Recorder) {
        let Packet { ssrc, timestamp, marker, payload, .. } = *packet;
        if let [_, _, high, low, ..] = *payload {
            let duration = u16::from_be_bytes([high, low]);
            let arrival = recorder.position(at);
            let begin = self.timeline.find(arrival, ssrc, timestamp).unwrap_or(arrival - i64::from(duration));
            recorder.key(self.channel, begin, duration);
        }
        if let Some(digit) = self.keypad.handle_packet(at, ssrc, timestamp, marker, payload) {
            self.tell(News::Digit(digit));
        }
    }

    fn tell(&mut self, news: News) {
        if self.news.len() < Self::NEWS {
            self.news.push_back(news);
        }
    }
}

impl Remote {
    fn alive(&mut self, at: Instant) {
        (self.last_heard, self.told_silent) = (self.last_heard.max(at), false);
    }

    fn codec_of(&self, payload_type: u8, at: Instant) -> Option<G711> {
        if payload_type == self.media.payload_type {
            return Some(self.media.codec);
        }
        self.outgoing.filter(|(old, _, until)| *old == payload_type && at < *until).map(|(_, codec, _)| codec)
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({} bytes)", self.length)
    }
}
