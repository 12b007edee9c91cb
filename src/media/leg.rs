//! One leg of a call as a value: packets, commands and time go in; packets and events come out.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    G711, LegStats, MediaCommand, MediaEvent, RemoteMedia,
    dtmf::{Digit, Keypad},
    latch::Latch,
    recorder::{LONGEST, Recorder},
    rtp::{self, NotRtp, Packet},
    sender::{Progress, Sender},
    sequence::{Arrival, Sequence},
    timeline::Timeline,
};
use crate::domain::{ids::CallId, time::UnixMs};

/// The media side of one call.
#[derive(Debug)]
pub struct Leg {
    call: CallId,
    remote: Option<Remote>,
    recorder: Recorder,
    sender: Sender,
    sequence: Sequence,
    timeline: Timeline,
    keypad: Keypad,
    stats: LegStats,
    /// Datagrams from before the answer was known.
    held: VecDeque<Held>,
    /// The announcement that is being said, as the sidecar names it, and when it began.
    saying: Option<(String, Instant)>,
    events: VecDeque<MediaEvent>,
    next_advance: Instant,
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
    bytes: [u8; Leg::HELD_BYTES],
}

impl Leg {
    /// Neither RTP nor RTCP for this long, although they should send, ends the call.
    pub const PATIENCE: Duration = Duration::from_secs(30);
    /// Datagrams kept from before the first connect: over a second of speech; the oldest give way.
    const HELD: usize = 64;
    const HELD_BYTES: usize = 512;
    /// Packets of the old codec count this long after a change.
    const CHANGE: Duration = Duration::from_secs(2);
    /// How often the recording is moved on when nothing else does.
    const ADVANCE: Duration = Duration::from_millis(50);
    /// More behind than this is counted as late.
    const LATE: i64 = 1_600;
    /// Events that wait to be fetched; the shard fetches after every step.
    const EVENTS: usize = 64;

    /// * `epoch` — any time; positions count from it.
    pub fn new(call: CallId, epoch: Instant, random: [u32; 3]) -> Self {
        Self {
            call,
            remote: None,
            recorder: Recorder::new(epoch),
            sender: Sender::new(random),
            sequence: Sequence::default(),
            timeline: Timeline::default(),
            keypad: Keypad::default(),
            stats: LegStats::default(),
            held: VecDeque::with_capacity(Self::HELD),
            saying: None,
            events: VecDeque::with_capacity(Self::EVENTS),
            next_advance: epoch,
        }
    }

    /// Carries out a command that was given at `at`. `Close` ends the recording; the shard then drops the leg.
    ///
    /// * `wall` — the same moment in wall time.
    pub fn handle_command(&mut self, command: MediaCommand, at: Instant, wall: UnixMs) {
        match command {
            MediaCommand::Connect(media) => self.connect(media, at),
            MediaCommand::Record(tap) => self.recorder.begin(tap, at, wall),
            MediaCommand::Play(prompt) => {
                let name = prompt.name.clone();
                if !self.sender.play(prompt) {
                    self.tell(MediaEvent::PromptEnded { call: self.call, name });
                }
            }
            MediaCommand::StopPlaying => self.stop_playing(at),
            MediaCommand::Close => {
                self.stop_playing(at);
                self.recorder.end(at);
            }
        }
    }

    /// Takes a datagram from the RTP port.
    pub fn handle_rtp(&mut self, at: Instant, from: SocketAddr, datagram: &[u8]) {
        if self.remote.is_none() {
            self.hold(at, from, datagram);
            return;
        }
        match rtp::parse(datagram) {
            Ok(packet) => self.handle_packet(at, from, &packet),
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

    /// Does what time demands: lost ends of keys, silence, the recording's growth.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(digit) = self.keypad.handle_timeout(now) {
            self.tell_digit(digit);
        }
        if now >= self.next_advance {
            self.next_advance = now + Self::ADVANCE;
            self.recorder.advance(now);
        }
        if let Some(remote) = &mut self.remote
            && remote.media.receive
            && !remote.told_silent
            && now.saturating_duration_since(remote.last_heard) >= Self::PATIENCE
        {
            remote.told_silent = true;
            self.tell(MediaEvent::Silent { call: self.call });
        }
    }

    /// The next packet that is due, and where it goes. Call until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(SocketAddr, &[u8])> {
        loop {
            let remote = self.remote.as_ref()?;
            let mut steps = [const { None }; 2];
            let due = self.sender.poll(now, remote.media.codec, remote.media.payload_type, &mut |step| {
                if let Some(free) = steps.iter_mut().find(|slot| slot.is_none()) {
                    *free = Some(step);
                }
            })?;
            let destination = remote.latch.destination().filter(|_| remote.media.send);
            for step in steps.into_iter().flatten() {
                self.note_progress(step);
            }
            if let Some(destination) = destination {
                self.recorder.sent(due, self.sender.heard());
                self.stats.sent += 1;
                return Some((destination, self.sender.packet()));
            }
            self.sender.break_stream();
        }
    }

    /// The kernel did not take the packet of the last [`Leg::poll_transmit`].
    pub fn handle_send_failed(&mut self) {
        self.stats.sent = self.stats.sent.saturating_sub(1);
        self.stats.send_failed += 1;
    }

    /// What the call should know. Call until `None`.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// What the leg saw so far.
    pub fn stats(&self) -> LegStats {
        #[expect(clippy::cast_possible_truncation, reason = "a figure for people")]
        let jitter_ms = self.sequence.jitter_ms() as f32;
        LegStats { lost: self.sequence.lost(), jitter_ms, ..self.stats.clone() }
    }

    fn connect(&mut self, media: RemoteMedia, at: Instant) {
        self.sender.start(at);
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
            for held in std::mem::take(&mut self.held) {
                self.handle_rtp(held.at, held.from, &held.bytes[..held.length]);
            }
        }
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

    fn handle_packet(&mut self, at: Instant, from: SocketAddr, packet: &Packet<'_>) {
        let Some(remote) = &mut self.remote else { return };
        let codec = remote.codec_of(packet.payload_type, at);
        let is_key = remote.media.telephone_event == Some(packet.payload_type);
        let negotiated = codec.is_some() || is_key;
        if !negotiated || packet.ssrc == self.sender.ssrc() || !remote.latch.accept(from, at) {
            self.stats.foreign += 1;
            return;
        }
        remote.alive(at);
        if !std::mem::replace(&mut remote.heard, true) {
            self.tell(MediaEvent::FirstPacket { call: self.call });
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
            Some(codec) => self.handle_sound(at, codec, packet),
            None => self.handle_key(at, packet),
        }
    }

    fn handle_sound(&mut self, at: Instant, codec: G711, packet: &Packet<'_>) {
        if packet.payload.is_empty() || packet.payload.len() > LONGEST {
            self.stats.malformed += u64::from(!packet.payload.is_empty());
            return;
        }
        let arrival = self.recorder.position(at);
        self.sequence.transit(arrival - i64::from(packet.timestamp));
        let place = self.timeline.place(arrival, packet.ssrc, packet.timestamp, packet.payload.len());
        self.stats.late += u64::from(place.lag > Self::LATE);
        self.recorder.caller(place.at, codec, packet.payload);
    }

    fn handle_key(&mut self, at: Instant, packet: &Packet<'_>) {
        let Packet { ssrc, timestamp, marker, payload, .. } = *packet;
        if let [_, _, high, low, ..] = *payload {
            let duration = u16::from_be_bytes([high, low]);
            let arrival = self.recorder.position(at);
            let begin = self.timeline.find(arrival, ssrc, timestamp).unwrap_or(arrival - i64::from(duration));
            self.recorder.key(begin, duration);
        }
        if let Some(digit) = self.keypad.handle_packet(at, ssrc, timestamp, marker, payload) {
            self.tell_digit(digit);
        }
    }

    fn note_progress(&mut self, step: Progress) {
        match step {
            Progress::Began(prompt, at) => {
                let who = format!("prompt:{}", prompt.name);
                let samples = u32::try_from(prompt.pcm.len()).unwrap_or(u32::MAX);
                // Noted with its planned end, so that a crash leaves it; the real end follows.
                self.recorder.speaker(&who, at, at + Duration::from_secs(1) * samples / super::SAMPLE_RATE);
                self.saying = Some((who, at));
            }
            Progress::Ended(prompt, at) => self.prompt_ended(&prompt, at),
        }
    }

    fn stop_playing(&mut self, at: Instant) {
        while let Some(prompt) = self.sender.stop_playing() {
            self.prompt_ended(&prompt, at);
        }
    }

    fn prompt_ended(&mut self, prompt: &Arc<super::Prompt>, at: Instant) {
        if let Some((who, from)) = self.saying.take() {
            self.recorder.speaker(&who, from, at);
        }
        self.tell(MediaEvent::PromptEnded { call: self.call, name: prompt.name.clone() });
    }

    fn tell_digit(&mut self, digit: Digit) {
        self.tell(MediaEvent::Digit { call: self.call, key: digit.key, duration_ms: digit.duration_ms });
    }

    fn tell(&mut self, event: MediaEvent) {
        if self.events.len() < Self::EVENTS {
            self.events.push_back(event);
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
