//! One leg of a call as a value: packets, commands and time go in; packets and events come out.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    LegStats, MediaCommand, MediaEvent,
    inbound::{Inbound, News, Report},
    recorder::Recorder,
    report::{Identity, Sending},
    sender::{FRAME, Progress, Sender},
    srtp::Sealer,
};
use crate::domain::{ids::CallId, time::UnixMs, transcript::Channel};

/// The media side of one call.
#[derive(Debug)]
pub struct Leg {
    call: CallId,
    inbound: Inbound,
    recorder: Recorder,
    sender: Sender,
    /// While SRTP is agreed on.
    sealer: Option<Sealer>,
    /// The sealed packet; its room is used again.
    sealed: Vec<u8>,
    sent: u64,
    send_failed: u64,
    /// The announcement that is being said, as the sidecar names it, and when it began.
    saying: Option<(String, Instant)>,
    events: VecDeque<MediaEvent>,
    next_advance: Instant,
    closed: bool,
}

/// A datagram that leaves.
#[derive(Debug)]
pub struct Transmit<'a> {
    pub to: SocketAddr,
    pub bytes: &'a [u8],
    pub what: Kind,
}

/// What a datagram is, and from which port it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sound,
    /// RTCP on the RTP port.
    Report,
    /// RTCP on its own port.
    ReportFromItsPort,
}

impl Leg {
    /// How often the recording is moved on when nothing else does.
    pub const ADVANCE: Duration = Duration::from_millis(50);
    /// Events that wait to be fetched; the shard fetches after every step.
    const EVENTS: usize = 64;

    /// * `epoch` — any time; positions count from it.
    /// * `wall` — the same moment in wall time.
    pub fn new(call: CallId, epoch: Instant, wall: UnixMs, random: [u32; 6]) -> Self {
        let [ssrc, sequence, timestamp, name @ ..] = random;
        let sender = Sender::new([ssrc, sequence, timestamp]);
        let identity = Identity { ssrc, epoch, wall, random: name };
        Self {
            call,
            inbound: Inbound::new(Channel::Caller, identity),
            recorder: Recorder::new(epoch),
            sender,
            sealer: None,
            sealed: Vec::with_capacity(256),
            sent: 0,
            send_failed: 0,
            saying: None,
            events: VecDeque::with_capacity(Self::EVENTS),
            next_advance: epoch,
            closed: false,
        }
    }

    /// Carries out a command that was given at `at`. `Close` ends the recording; the shard then sends what is left
    /// to be sent and drops the leg.
    ///
    /// * `wall` — the same moment in wall time.
    pub fn handle_command(&mut self, command: MediaCommand, at: Instant, wall: UnixMs) {
        match command {
            MediaCommand::Connect(media) => {
                self.sender.start(at);
                Sealer::follow(&mut self.sealer, media.srtp.as_ref().map(|srtp| srtp.ours));
                self.inbound.connect(media, at, &mut self.recorder);
                self.pass_on();
            }
            // A leg of our own has one stream.
            MediaCommand::Listen(_) => {}
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
                self.closed = true;
            }
        }
    }

    /// Takes a datagram from the RTP port.
    pub fn handle_rtp(&mut self, at: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.inbound.handle_rtp(at, from, datagram, &mut self.recorder);
        self.pass_on();
    }

    /// Takes a datagram from the RTCP port.
    pub fn handle_rtcp(&mut self, at: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.inbound.handle_rtcp(at, from, datagram);
    }

    /// Counts a datagram that was longer than any we take.
    pub fn handle_oversized(&mut self) {
        self.inbound.handle_oversized();
    }

    /// Does what time demands: lost ends of keys, silence, the recording's growth.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.inbound.handle_timeout(now, &mut self.recorder);
        self.pass_on();
        if now >= self.next_advance {
            self.next_advance = now + Self::ADVANCE;
            self.recorder.advance(now);
        }
    }

    /// The next datagram that is due. Call until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<'_>> {
        if !self.closed && self.poll_sound(now) {
            let to = self.inbound.destination()?;
            let bytes = if self.sealer.is_some() { &self.sealed[..] } else { self.sender.packet() };
            return Some(Transmit { to, bytes, what: Kind::Sound });
        }
        if !self.closed && !self.inbound.is_report_due(now) {
            return None;
        }
        let sending = Sending {
            timestamp: self.sender.timestamp_at(now),
            packets: low(self.sent),
            octets: low(self.sent.wrapping_mul(FRAME as u64)),
        };
        let report = if self.closed {
            self.inbound.poll_farewell(now, Some(sending))?
        } else {
            self.inbound.poll_report(now, Some(sending))?
        };
        Some(report.into())
    }

    /// Makes the next packet of sound that is due and has somewhere to go.
    fn poll_sound(&mut self, now: Instant) -> bool {
        loop {
            let Some(media) = self.inbound.media() else { return false };
            let mut steps = [const { None }; 2];
            let due = self.sender.poll(now, media.codec, media.payload_type, &mut |step| {
                if let Some(free) = steps.iter_mut().find(|slot| slot.is_none()) {
                    *free = Some(step);
                }
            });
            let Some(due) = due else { return false };
            for step in steps.into_iter().flatten() {
                self.note_progress(step);
            }
            if self.inbound.destination().is_some() {
                self.recorder.sent(due, self.sender.heard());
                self.sent += 1;
                if let Some(sealer) = &mut self.sealer {
                    sealer.seal_rtp(self.sender.packet(), &mut self.sealed);
                }
                return true;
            }
            self.sender.break_stream();
        }
    }

    /// The kernel did not take the packet of the last [`Leg::poll_transmit`].
    pub fn handle_send_failed(&mut self) {
        self.sent = self.sent.saturating_sub(1);
        self.send_failed += 1;
    }

    /// What the call should know. Call until `None`.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// What the leg saw so far.
    pub fn stats(&self) -> LegStats {
        let (heard, reported) = (self.inbound.stats(), self.inbound.reported());
        LegStats { heard, reported, sent: self.sent, send_failed: self.send_failed }
    }

    /// Hands on what the stream has to tell.
    fn pass_on(&mut self) {
        while let Some(news) = self.inbound.poll_news() {
            let call = self.call;
            self.tell(match news {
                News::First => MediaEvent::FirstPacket { call },
                News::Digit(digit) => MediaEvent::Digit { call, key: digit.key, duration_ms: digit.duration_ms },
                News::Silent => MediaEvent::Silent { call },
            });
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

    fn tell(&mut self, event: MediaEvent) {
        if self.events.len() < Self::EVENTS {
            self.events.push_back(event);
        }
    }
}

impl<'a> From<Report<'a>> for Transmit<'a> {
    fn from(Report { to, bytes, own_port }: Report<'a>) -> Self {
        Self { to, bytes, what: if own_port { Kind::ReportFromItsPort } else { Kind::Report } }
    }
}

/// Counts of RTCP have 32 bits and go round.
const fn low(count: u64) -> u32 {
    let [.., a, b, c, d] = count.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}
