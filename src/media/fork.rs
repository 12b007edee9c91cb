//! The two streams of a call that a switch forks to us, as a value: we listen to both on one clock and say nothing.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Instant};

use super::{
    G711, LegStats, MediaCommand, MediaEvent, Party, RemoteMedia,
    inbound::{Inbound, News, Sink},
    leg::Transmit,
    recorder::Recorder,
    report::Identity,
    rtp::Packet,
    talk::Talk,
};
use crate::domain::{ids::CallId, time::UnixMs, transcript::Channel};

/// Where the sound of one stream goes.
struct Ear<'a> {
    recorder: &'a mut Recorder,
    channel: Channel,
    who: &'a Arc<str>,
}

/// The media side of one forked call.
#[derive(Debug)]
pub struct Fork {
    call: CallId,
    /// The caller's stream and the operator's.
    sides: [Side; 2],
    recorder: Recorder,
    heard: bool,
    /// [`MediaEvent::Silent`] was told.
    silent: bool,
    events: VecDeque<MediaEvent>,
    next_advance: Instant,
    closed: bool,
}

#[derive(Debug)]
struct Side {
    channel: Channel,
    who: Arc<str>,
    inbound: Inbound,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The switch has no such stream, or no longer.
    Absent,
    /// It says that nothing will come for a while.
    Held,
    /// Sound has to come.
    Due,
}

impl Fork {
    /// Events that wait to be fetched; the shard fetches after every step.
    const EVENTS: usize = 64;

    /// * `epoch` — any time; positions count from it.
    /// * `wall` — the same moment in wall time.
    /// * `random` — for each side; the first is our SSRC, under which we report and send no sound.
    pub fn new(call: CallId, epoch: Instant, wall: UnixMs, random: [[u32; 4]; 2]) -> Self {
        let side = |channel, who: &str, [ssrc, name @ ..]: [u32; 4]| {
            let identity = Identity { ssrc, epoch, wall, random: name };
            Side { channel, who: who.into(), inbound: Inbound::new(identity), state: State::Absent }
        };
        Self {
            call,
            sides: [side(Channel::Caller, "caller", random[0]), side(Channel::Operator, "operator", random[1])],
            recorder: Recorder::new(epoch),
            heard: false,
            silent: false,
            events: VecDeque::with_capacity(Self::EVENTS),
            next_advance: epoch,
            closed: false,
        }
    }

    /// Carries out a command that was given at `at`. `Close` ends the recording; the shard then drops the fork.
    ///
    /// * `wall` — the same moment in wall time.
    pub fn handle_command(&mut self, command: MediaCommand, at: Instant, wall: UnixMs) {
        match command {
            MediaCommand::Listen(sides) => {
                self.silent = false;
                for (side, media) in self.sides.iter_mut().zip(sides) {
                    side.listen(media, at, &mut self.recorder);
                }
                self.pass_on();
            }
            MediaCommand::Record(tap) => self.recorder.begin(tap, at, wall),
            MediaCommand::Close => {
                self.recorder.end(at);
                self.closed = true;
            }
            // Nothing is said in a forked call.
            MediaCommand::Connect(..)
            | MediaCommand::Guard(..)
            | MediaCommand::Hear(..)
            | MediaCommand::Leave(_)
            | MediaCommand::Play(..)
            | MediaCommand::StopPlaying(_) => {}
        }
    }

    /// Takes a datagram from the RTP port of the caller's stream (0) or the operator's (1).
    pub fn handle_rtp(&mut self, side: usize, at: Instant, from: SocketAddr, datagram: &mut [u8]) {
        let Side { channel, who, inbound, .. } = &mut self.sides[side];
        let mut ear = Ear { recorder: &mut self.recorder, channel: *channel, who };
        inbound.handle_rtp(at, from, datagram, &mut ear);
        self.pass_on();
    }

    /// Takes a datagram from the RTCP port of a stream.
    pub fn handle_rtcp(&mut self, side: usize, at: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.sides[side].inbound.handle_rtcp(at, from, datagram);
    }

    /// Counts a datagram that was longer than any we take.
    pub fn handle_oversized(&mut self, side: usize) {
        self.sides[side].inbound.handle_oversized();
    }

    /// Does what time demands: lost ends of keys, silence, the recording's growth.
    pub fn handle_timeout(&mut self, now: Instant) {
        for side in &mut self.sides {
            let mut ear = Ear { recorder: &mut self.recorder, channel: side.channel, who: &side.who };
            side.inbound.handle_timeout(now, &mut ear);
        }
        self.pass_on();
        if now >= self.next_advance {
            self.next_advance = now + Talk::ADVANCE;
            self.recorder.advance(now);
        }
    }

    /// The next report that is due, and whose stream it is about; the last ones say BYE. Call until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(Party, Transmit<'_>)> {
        let closed = self.closed;
        Party::all().zip(&mut self.sides).find_map(|(party, side)| {
            let inbound = &mut side.inbound;
            let report = if closed { inbound.poll_farewell(now, None) } else { inbound.poll_report(now, None) };
            Some((party, report?.into()))
        })
    }

    /// What the call should know. Call until `None`.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// What both streams brought so far.
    pub fn stats(&self) -> LegStats {
        let [caller, operator] = self.sides.each_ref().map(|side| side.inbound.stats());
        LegStats { heard: caller.and(&operator), ..LegStats::default() }
    }

    /// Hands on what the streams have to tell. One that is silent is nobody's end while the other speaks or is held.
    fn pass_on(&mut self) {
        let call = self.call;
        for (side, party) in [Party::CALLER, Party::OPERATOR].into_iter().enumerate() {
            while let Some(news) = self.sides[side].inbound.poll_news() {
                match news {
                    News::First if std::mem::replace(&mut self.heard, true) => {}
                    News::First => self.tell(MediaEvent::FirstPacket { call, party }),
                    News::Digit(digit) => {
                        self.tell(MediaEvent::Digit { call, party, key: digit.key, duration_ms: digit.duration_ms });
                    }
                    News::Silent if self.sides.iter().all(Side::is_over) && !self.silent => {
                        self.silent = true;
                        self.tell(MediaEvent::Silent { call, party: Party::CALLER });
                    }
                    News::Silent => {}
                }
            }
        }
    }

    fn tell(&mut self, event: MediaEvent) {
        if self.events.len() < Self::EVENTS {
            self.events.push_back(event);
        }
    }
}

impl Sink for Ear<'_> {
    fn sound(&mut self, _: Instant, place: i64, codec: G711, packet: &Packet<'_>) {
        self.recorder.heard(self.channel, self.who, place, codec, packet.payload);
    }

    fn key(&mut self, _: Instant, begin: i64, samples: u16, _: &Packet<'_>) {
        self.recorder.key(self.channel, begin, samples);
    }
}

impl Side {
    fn listen(&mut self, media: Option<RemoteMedia>, at: Instant, recorder: &mut Recorder) {
        self.state = match &media {
            None => State::Absent,
            Some(media) if media.receive => State::Due,
            Some(_) => State::Held,
        };
        // A stream that was taken away is not waited for; its last packets may still come.
        let last = || self.inbound.media().map(|last| RemoteMedia { receive: false, ..last.clone() });
        if let Some(media) = media.or_else(last) {
            let mut ear = Ear { recorder, channel: self.channel, who: &self.who };
            self.inbound.connect(media, at, &mut ear);
        }
    }

    fn is_over(&self) -> bool {
        match self.state {
            State::Absent => true,
            State::Held => false,
            State::Due => self.inbound.is_silent(),
        }
    }
}
