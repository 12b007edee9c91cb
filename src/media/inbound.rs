//! One stream that we receive: from datagrams of one port to the sound of one channel of the recording.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    G711, RemoteMedia, Reported, StreamStats,
    dtmf::{Digit, Keypad},
    latch::{Latch, Verdict, is_real},
    recorder::{Clock, LONGEST},
    report::{Identity, Reporter, Sending},
    rtp::{self, NotRtp, Packet},
    sequence::{Arrival, Sequence},
    srtp::{Opener, Sealer},
    timeline::Timeline,
};

/// Static payload type of RFC 3389.
const COMFORT_NOISE: u8 = 13;

/// A received stream with the reports about it. Until the first [`Inbound::connect`] it only holds what comes.
#[derive(Debug)]
pub struct Inbound {
    clock: Clock,
    /// Our SSRC: a packet that carries it is our own, come back.
    ours: u32,
    remote: Option<Remote>,
    sequence: Sequence,
    timeline: Timeline,
    keypad: Keypad,
    reporter: Reporter,
    stats: StreamStats,
    /// Samples of the last packet.
    frame: usize,
    /// Datagrams from before the answer was known, or from senders who are in doubt.
    held: VecDeque<Held>,
    news: VecDeque<News>,
}

/// An RTCP compound that is due.
#[derive(Debug)]
pub struct Report<'a> {
    pub to: SocketAddr,
    pub bytes: &'a [u8],
    /// Whether it leaves from the RTCP port; else from RTP's.
    pub own_port: bool,
}

/// Takes the sound of a stream: records it, hands it on. Positions are samples on the call's clock.
pub trait Sink {
    /// A packet of sound that came at `at` belongs to `place`.
    fn sound(&mut self, at: Instant, place: i64, codec: G711, packet: &Packet<'_>);
    /// A packet of a key that is held since `begin` for so many samples.
    fn key(&mut self, at: Instant, begin: i64, samples: u16, packet: &Packet<'_>);
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
    /// Where their RTCP came from, if not from the RTP address.
    control: Option<SocketAddr>,
    opener: Option<Opener>,
    /// Of our RTCP.
    sealer: Option<Sealer>,
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
    /// How long the address of the SDP is waited for while somebody else sends.
    pub const DOUBT: Duration = Duration::from_millis(150);
    /// Packets of the old codec count this long after a change.
    const CHANGE: Duration = Duration::from_secs(2);
    /// More behind than this is counted as late.
    const LATE: i64 = 1_600;
    /// News that wait to be fetched; the leg fetches after every step.
    const NEWS: usize = 64;

    pub fn new(identity: Identity) -> Self {
        Self {
            clock: Clock::new(identity.epoch),
            ours: identity.ssrc,
            remote: None,
            sequence: Sequence::default(),
            timeline: Timeline::default(),
            keypad: Keypad::default(),
            reporter: Reporter::new(identity),
            stats: StreamStats::default(),
            frame: 0,
            held: VecDeque::with_capacity(Self::HELD),
            news: VecDeque::with_capacity(Self::NEWS),
        }
    }

    /// Takes what offer/answer settled, for the first time or anew. What was held is heard now, unless somebody else than
    /// the address of the SDP sent it.
    pub fn connect(&mut self, media: RemoteMedia, at: Instant, sink: &mut impl Sink) {
        self.reporter.start(at);
        if let Some(remote) = &mut self.remote {
            remote.latch.connect(media.address, at);
            if (remote.media.payload_type, remote.media.codec) != (media.payload_type, media.codec) {
                remote.outgoing = Some((remote.media.payload_type, remote.media.codec, at + Self::CHANGE));
            }
            remote.secure(&media);
            remote.media = media;
            remote.alive(at);
        } else {
            let mut remote = Remote {
                latch: Latch::new(media.address, at),
                control: None,
                opener: None,
                sealer: None,
                outgoing: None,
                last_heard: at,
                told_silent: false,
                heard: false,
                media,
            };
            remote.secure(&remote.media.clone());
            let signalled = remote.media.address;
            self.remote = Some(remote);
            let held = std::mem::take(&mut self.held);
            let (known, others): (VecDeque<_>, VecDeque<_>) = held.into_iter().partition(|it| it.from == signalled);
            for mut held in known {
                self.handle_rtp(held.at, held.from, &mut held.bytes[..held.length], sink);
            }
            for mut held in others {
                self.handle_rtp(held.at, held.from, &mut held.bytes[..held.length], sink);
            }
        }
    }

    /// Takes a datagram from the RTP port. It is changed when it has to be decrypted.
    pub fn handle_rtp(&mut self, at: Instant, from: SocketAddr, datagram: &mut [u8], sink: &mut impl Sink) {
        let Some(remote) = &mut self.remote else {
            self.hold(at, from, datagram);
            return;
        };
        if rtp::is_rtcp(datagram) {
            self.take_report(at, from, datagram, false);
            return;
        }
        let length = match &mut remote.opener {
            None => datagram.len(),
            Some(opener) => {
                let Ok(length) = opener.open_rtp(datagram) else {
                    self.stats.unproved += 1;
                    return;
                };
                length
            }
        };
        let proved = remote.opener.is_some();
        let verdict = match rtp::parse(&datagram[..length]) {
            Ok(packet) => self.handle_packet(at, from, &packet, proved, sink),
            Err(NotRtp::Rtcp) => return,
            Err(NotRtp::Malformed) => {
                self.stats.malformed += 1;
                return;
            }
        };
        match verdict {
            // What was first counts: a flood ends nobody's doubt.
            Verdict::Doubt if self.held.len() == Self::HELD => self.stats.foreign += 1,
            Verdict::Doubt => self.hold(at, from, datagram),
            Verdict::Peer | Verdict::Stranger => {}
        }
    }

    /// Takes a datagram from the RTCP port: a muted phone is known to live by it.
    pub fn handle_rtcp(&mut self, at: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.take_report(at, from, datagram, true);
    }

    /// Counts a datagram of somebody who may not speak here.
    pub fn handle_stranger(&mut self) {
        self.stats.foreign += 1;
    }

    /// Counts a datagram that was longer than any we take.
    pub fn handle_oversized(&mut self) {
        self.stats.malformed += 1;
    }

    /// Does what time demands: lost ends of keys, silence, senders who were in doubt for long enough.
    pub fn handle_timeout(&mut self, now: Instant, sink: &mut impl Sink) {
        if let Some(digit) = self.keypad.handle_timeout(now) {
            self.tell(News::Digit(digit));
        }
        let Some(remote) = &mut self.remote else { return };
        let leaving = remote.latch.is_leaving(now);
        if remote.media.receive
            && !remote.told_silent
            && now.saturating_duration_since(remote.last_heard) >= Self::PATIENCE
        {
            remote.told_silent = true;
            self.tell(News::Silent);
        }
        if let Some(first) = self.held.front()
            && now.saturating_duration_since(first.at) >= Self::DOUBT
            && !leaving
        {
            self.believe(sink);
        }
    }

    /// Our report about this stream, and about the one we send, when it is due.
    ///
    /// * `sending` — nothing on a leg that sends nothing.
    pub fn poll_report(&mut self, now: Instant, sending: Option<Sending>) -> Option<Report<'_>> {
        if !self.is_report_due(now) {
            return None;
        }
        let (to, own_port) = self.remote.as_ref()?.control()?;
        let compound = self.reporter.poll(now, sending, self.sequence.progress())?;
        if let Some(sealer) = self.remote.as_mut().and_then(|remote| remote.sealer.as_mut()) {
            sealer.seal_rtcp(compound);
        }
        Some(Report { to, bytes: compound, own_port })
    }

    /// Whether [`Inbound::poll_report`] has something to give.
    pub fn is_report_due(&self, now: Instant) -> bool {
        self.reporter.is_due(now)
    }

    /// Our last report, with BYE; once, at the end of the session.
    pub fn poll_farewell(&mut self, now: Instant, sending: Option<Sending>) -> Option<Report<'_>> {
        let (to, own_port) = self.remote.as_ref()?.control()?;
        let compound = self.reporter.leave(now, sending, self.sequence.progress())?;
        if let Some(sealer) = self.remote.as_mut().and_then(|remote| remote.sealer.as_mut()) {
            sealer.seal_rtcp(compound);
        }
        Some(Report { to, bytes: compound, own_port })
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
        let losses = self.sequence.losses();
        let frame_ms = u32::try_from(self.frame / 8).unwrap_or(u32::MAX);
        StreamStats {
            expected: self.sequence.expected(),
            lost: self.sequence.lost(),
            loss_runs: losses.runs,
            longest_loss_ms: losses.longest.saturating_mul(frame_ms),
            jitter_ms,
            ..self.stats.clone()
        }
    }

    /// What the other side says of the stream that we send, if it said something.
    pub const fn reported(&self) -> Option<Reported> {
        self.reporter.reported()
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

    /// The address of the SDP was waited for in vain: whoever sends is believed, in the order of their packets.
    fn believe(&mut self, sink: &mut impl Sink) {
        let held = std::mem::take(&mut self.held);
        if let (Some(remote), Some(first)) = (&mut self.remote, held.front()) {
            remote.latch.believe(first.from, first.at);
        }
        for mut held in held {
            self.handle_rtp(held.at, held.from, &mut held.bytes[..held.length], sink);
        }
    }

    fn take_report(&mut self, at: Instant, from: SocketAddr, datagram: &mut [u8], own_port: bool) {
        let Some(remote) = self.remote.as_mut().filter(|remote| remote.latch.knows(from)) else {
            self.stats.foreign += 1;
            return;
        };
        let length = match &mut remote.opener {
            None => datagram.len(),
            Some(opener) => {
                let Ok(length) = opener.open_rtcp(datagram) else {
                    self.stats.unproved += 1;
                    return;
                };
                length
            }
        };
        let Ok(stays) = self.reporter.handle(at, &datagram[..length]) else {
            self.stats.malformed += 1;
            return;
        };
        self.stats.rtcp += 1;
        remote.control = own_port.then_some(from);
        // A source that leaves may be followed by another; the call ends by signalling or by silence.
        if stays {
            remote.alive(at);
        }
    }

    /// * `proved` — it was sealed with the key that was agreed on.
    fn handle_packet(
        &mut self,
        at: Instant,
        from: SocketAddr,
        packet: &Packet<'_>,
        proved: bool,
        sink: &mut impl Sink,
    ) -> Verdict {
        let Some(remote) = &mut self.remote else { return Verdict::Stranger };
        let codec = remote.codec_of(packet.payload_type, at);
        let is_key = remote.media.telephone_event == Some(packet.payload_type);
        // Comfort noise (RFC 3389) may be sent by whoever we talk with, but makes nobody our peer.
        let is_comfort = packet.payload_type == COMFORT_NOISE && remote.latch.is_peer(from);
        let negotiated = codec.is_some() || is_key || is_comfort;
        let verdict = if !negotiated || packet.ssrc == self.ours {
            Verdict::Stranger
        } else if proved {
            remote.latch.believe(from, at)
        } else {
            remote.latch.judge(from, at)
        };
        match verdict {
            Verdict::Peer => {}
            Verdict::Doubt => return verdict,
            Verdict::Stranger => {
                self.stats.foreign += 1;
                return verdict;
            }
        }
        if !self.held.is_empty() && from == remote.media.address {
            // The address of the SDP speaks: who was in doubt is a stranger.
            self.stats.foreign += self.held.len() as u64;
            self.held.clear();
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
                return verdict;
            }
        }
        match codec {
            Some(codec) => self.handle_sound(at, codec, packet, sink),
            None if is_key => self.handle_key(at, packet, sink),
            None => {}
        }
        verdict
    }

    fn handle_sound(&mut self, at: Instant, codec: G711, packet: &Packet<'_>, sink: &mut impl Sink) {
        if packet.payload.is_empty() || packet.payload.len() > LONGEST {
            self.stats.malformed += u64::from(!packet.payload.is_empty());
            return;
        }
        let arrival = self.clock.position(at);
        let Packet { ssrc, timestamp, marker, payload, .. } = *packet;
        let place = self.timeline.place(arrival, ssrc, timestamp, marker, payload.len());
        self.sequence.transit(arrival - i64::from(timestamp), place.fresh);
        self.frame = payload.len();
        self.stats.late += u64::from(place.lag > Self::LATE);
        sink.sound(at, place.at, codec, &Packet { payload, ..*packet });
    }

    fn handle_key(&mut self, at: Instant, packet: &Packet<'_>, sink: &mut impl Sink) {
        let Packet { ssrc, timestamp, marker, payload, .. } = *packet;
        if let [_, _, high, low, ..] = *payload {
            let duration = u16::from_be_bytes([high, low]);
            let arrival = self.clock.position(at);
            let begin = self.timeline.find(arrival, ssrc, timestamp).unwrap_or(arrival - i64::from(duration));
            sink.key(at, begin, duration, packet);
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
    /// Takes up the keys of both directions.
    fn secure(&mut self, media: &RemoteMedia) {
        Sealer::follow(&mut self.sealer, media.srtp.as_ref().map(|srtp| srtp.ours));
        Opener::follow(&mut self.opener, media.srtp.as_ref().map(|srtp| srtp.theirs));
    }

    /// Where our RTCP goes, and whether it leaves from the RTCP port.
    fn control(&self) -> Option<(SocketAddr, bool)> {
        let rtp = self.latch.destination()?;
        let Some(signalled) = self.media.rtcp else { return Some((rtp, false)) };
        let heard = self.control.filter(|control| control.ip() == rtp.ip());
        let above = || Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?));
        let to = heard.or_else(|| if rtp == self.media.address { Some(signalled) } else { above() })?;
        is_real(to).then_some((to, true))
    }

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
