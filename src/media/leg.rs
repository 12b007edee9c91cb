//! One leg of a call as a value: packets, commands and time go in; packets and events come out.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    LegStats, MediaCommand, MediaEvent,
    inbound::{Inbound, News},
    recorder::Recorder,
    sender::{Progress, Sender},
};
use crate::domain::{ids::CallId, time::UnixMs, transcript::Channel};

/// The media side of one call.
#[derive(Debug)]
pub struct Leg {
    call: CallId,
    inbound: Inbound,
    recorder: Recorder,
    sender: Sender,
    sent: u64,
    send_failed: u64,
    /// The announcement that is being said, as the sidecar names it, and when it began.
    saying: Option<(String, Instant)>,
    events: VecDeque<MediaEvent>,
    next_advance: Instant,
}

impl Leg {
    /// How often the recording is moved on when nothing else does.
    pub const ADVANCE: Duration = Duration::from_millis(50);
    /// Events that wait to be fetched; the shard fetches after every step.
    const EVENTS: usize = 64;

    /// * `epoch` — any time; positions count from it.
    pub fn new(call: CallId, epoch: Instant, random: [u32; 3]) -> Self {
        let sender = Sender::new(random);
        Self {
            call,
            inbound: Inbound::new(Channel::Caller, sender.ssrc()),
            recorder: Recorder::new(epoch),
            sender,
            sent: 0,
            send_failed: 0,
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
            MediaCommand::Connect(media) => {
                self.sender.start(at);
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
            }
        }
    }

    /// Takes a datagram from the RTP port.
    pub fn handle_rtp(&mut self, at: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.inbound.handle_rtp(at, from, datagram, &mut self.recorder);
        self.pass_on();
    }

    /// Takes a datagram from the RTCP port.
    pub fn handle_rtcp(&mut self, at: Instant, from: SocketAddr) {
        self.inbound.handle_rtcp(at, from);
    }

    /// Counts a datagram that was longer than any we take.
    pub fn handle_oversized(&mut self) {
        self.inbound.handle_oversized();
    }

    /// Does what time demands: lost ends of keys, silence, the recording's growth.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.inbound.handle_timeout(now);
        self.pass_on();
        if now >= self.next_advance {
            self.next_advance = now + Self::ADVANCE;
            self.recorder.advance(now);
        }
    }

    /// The next packet that is due, and where it goes. Call until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(SocketAddr, &[u8])> {
        loop {
            let media = self.inbound.media()?;
            let mut steps = [const { None }; 2];
            let due = self.sender.poll(now, media.codec, media.payload_type, &mut |step| {
                if let Some(free) = steps.iter_mut().find(|slot| slot.is_none()) {
                    *free = Some(step);
                }
            })?;
            let destination = self.inbound.destination();
            for step in steps.into_iter().flatten() {
                self.note_progress(step);
            }
            if let Some(destination) = destination {
                self.recorder.sent(due, self.sender.heard());
                self.sent += 1;
                return Some((destination, self.sender.packet()));
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
        LegStats { heard: self.inbound.stats(), sent: self.sent, send_failed: self.send_failed }
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
