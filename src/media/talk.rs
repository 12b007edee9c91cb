//! The media side of a call as a value: the legs of those who take part, who hears whom, and the recording of it all.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    G711, LegStats, MediaCommand, MediaEvent, Party, Prompt,
    inbound::{News, Sink},
    leg::{Leg, Transmit},
    recorder::Recorder,
    rtp::Packet,
};
use crate::domain::{ids::CallId, time::UnixMs, transcript::Channel};

/// One call: its caller and up to three others.
#[derive(Debug)]
pub struct Talk {
    call: CallId,
    /// By [`Party`]. Those who left say goodbye before their place is free.
    legs: [Option<Box<Leg>>; Party::MOST],
    recorder: Recorder,
    events: VecDeque<MediaEvent>,
    next_advance: Instant,
    closed: bool,
}

/// Where the sound of one party goes: to the recording, and to those who hear it.
struct Ear<'a> {
    recorder: &'a mut Recorder,
    /// Not recorded without one.
    channel: Option<Channel>,
    /// The recording has the sound from elsewhere.
    mixed: bool,
    who: &'a Arc<str>,
    speaker: Party,
    others: &'a mut [Option<Box<Leg>>; Party::MOST],
}

impl Talk {
    /// How often the recording is moved on when nothing else does.
    pub const ADVANCE: Duration = Duration::from_millis(50);
    /// Events that wait to be fetched; the shard fetches after every step.
    const EVENTS: usize = 64;

    /// * `epoch` — any time; positions count from it.
    /// * `caller` — the leg of [`Party::CALLER`], of the same epoch.
    pub fn new(call: CallId, epoch: Instant, caller: Leg) -> Self {
        let mut legs = [const { None }; Party::MOST];
        legs[Party::CALLER.index()] = Some(Box::new(caller));
        Self {
            call,
            legs,
            recorder: Recorder::new(epoch),
            events: VecDeque::with_capacity(Self::EVENTS),
            next_advance: epoch,
            closed: false,
        }
    }

    /// Lets another party take part.
    pub fn join(&mut self, party: Party, leg: Leg) {
        self.legs[party.index()] = Some(Box::new(leg));
    }

    /// Takes a party out. The shard sends its farewell first.
    pub fn leave(&mut self, party: Party, at: Instant) -> Option<LegStats> {
        if party == Party::CALLER {
            return None;
        }
        self.stop_playing(party, at);
        let stats = self.legs[party.index()].take()?.stats();
        for leg in self.legs.iter_mut().flatten().filter(|leg| leg.hears.contains(party)) {
            leg.hear(leg.hears.without(party));
        }
        Some(stats)
    }

    /// Carries out a command that was given at `at`. `Close` ends the recording; the shard then sends what is left
    /// to be sent and drops the call.
    ///
    /// * `wall` — the same moment in wall time.
    pub fn handle_command(&mut self, command: MediaCommand, at: Instant, wall: UnixMs) {
        match command {
            MediaCommand::Connect(party, media) => self.with(party, |leg, ear| leg.connect(media, at, ear)),
            MediaCommand::Guard(party, gate, media) => self.with(party, |leg, _| leg.guard(gate, media)),
            MediaCommand::Hear(party, whom) => {
                if let Some(leg) = &mut self.legs[party.index()] {
                    leg.hear(whom.without(party));
                }
            }
            // Of another kind of call, or done by the shard.
            MediaCommand::Listen(_) | MediaCommand::Leave(_) => {}
            MediaCommand::Record(tap) => self.recorder.begin(tap, at, wall),
            MediaCommand::Play(party, prompt) => {
                let name = prompt.name.clone();
                let waits = self.legs[party.index()].as_mut().is_some_and(|leg| leg.play(prompt));
                if !waits {
                    self.tell(MediaEvent::PromptEnded { call: self.call, party, name });
                }
            }
            MediaCommand::StopPlaying(party) => self.stop_playing(party, at),
            MediaCommand::Close => {
                for party in Party::all() {
                    self.stop_playing(party, at);
                }
                self.recorder.end(at);
                self.closed = true;
            }
        }
    }

    /// Takes a datagram from the RTP port of a party.
    pub fn handle_rtp(&mut self, party: Party, at: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.with(party, |leg, ear| leg.handle_rtp(at, from, datagram, ear));
    }

    /// Takes a datagram from the RTCP port of a party.
    pub fn handle_rtcp(&mut self, party: Party, at: Instant, from: SocketAddr, datagram: &mut [u8]) {
        if let Some(leg) = &mut self.legs[party.index()] {
            leg.handle_rtcp(at, from, datagram);
        }
    }

    /// Counts a datagram that was longer than any we take.
    pub fn handle_oversized(&mut self, party: Party) {
        if let Some(leg) = &mut self.legs[party.index()] {
            leg.handle_oversized();
        }
    }

    /// Does what time demands: lost ends of keys, silence, the recording's growth.
    pub fn handle_timeout(&mut self, now: Instant) {
        for party in Party::all() {
            self.with(party, |leg, ear| leg.handle_timeout(now, ear));
        }
        if now >= self.next_advance {
            self.next_advance = now + Self::ADVANCE;
            self.recorder.advance(now);
        }
    }

    /// The next datagram that is due, and whose port it leaves from. Call until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(Party, Transmit<'_>)> {
        let (call, events) = (self.call, &mut self.events);
        for (party, leg) in Party::all().zip(&mut self.legs) {
            let Some(leg) = leg else { continue };
            // What the caller hears of us is recorded.
            let recorder = (party == Party::CALLER).then_some(&mut self.recorder);
            let mut ended = |prompt: Arc<Prompt>| {
                let name = prompt.name.clone();
                tell(events, MediaEvent::PromptEnded { call, party, name });
            };
            let out = if self.closed { leg.poll_farewell(now) } else { leg.poll_transmit(now, recorder, &mut ended) };
            if let Some(out) = out {
                return Some((party, out));
            }
        }
        None
    }

    /// The last report to a party who leaves.
    pub fn poll_farewell(&mut self, party: Party, now: Instant) -> Option<Transmit<'_>> {
        self.legs[party.index()].as_mut()?.poll_farewell(now)
    }

    /// The kernel did not take the last packet to a party.
    pub fn handle_send_failed(&mut self, party: Party) {
        if let Some(leg) = &mut self.legs[party.index()] {
            leg.handle_send_failed();
        }
    }

    /// What the call should know. Call until `None`.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// What the caller's leg saw so far.
    pub fn stats(&self) -> LegStats {
        self.legs[Party::CALLER.index()].as_ref().map(|leg| leg.stats()).unwrap_or_default()
    }

    /// Lets a party's leg work while its sound goes where it belongs, and hands on what it has to tell.
    fn with(&mut self, party: Party, work: impl FnOnce(&mut Leg, &mut Ear<'_>)) {
        let Some(mut leg) = self.legs[party.index()].take() else { return };
        let caller = self.legs[Party::CALLER.index()].as_ref();
        let channel = match party {
            Party::CALLER => Some(Channel::Caller),
            _ if caller.is_some_and(|it| it.hears.contains(party)) => Some(Channel::Operator),
            _ => None,
        };
        // A mix is recorded as the caller hears it, and of each speaker only the time.
        let mixed = party != Party::CALLER && caller.is_some_and(|it| it.mixes());
        let who = leg.who.clone();
        let (recorder, others) = (&mut self.recorder, &mut self.legs);
        let mut ear = Ear { recorder, channel, mixed, who: &who, speaker: party, others };
        work(&mut leg, &mut ear);
        let call = self.call;
        while let Some(news) = leg.poll_news() {
            let event = match news {
                News::First => MediaEvent::FirstPacket { call, party },
                News::Digit(digit) => MediaEvent::Digit { call, party, key: digit.key, duration_ms: digit.duration_ms },
                News::Silent => MediaEvent::Silent { call, party },
            };
            tell(&mut self.events, event);
        }
        self.legs[party.index()] = Some(leg);
    }

    fn stop_playing(&mut self, party: Party, at: Instant) {
        loop {
            let Some(leg) = &mut self.legs[party.index()] else { return };
            let recorder = (party == Party::CALLER).then_some(&mut self.recorder);
            let Some(prompt) = leg.stop_playing(at, recorder) else { return };
            let name = prompt.name.clone();
            self.tell(MediaEvent::PromptEnded { call: self.call, party, name });
        }
    }

    fn tell(&mut self, event: MediaEvent) {
        tell(&mut self.events, event);
    }
}

fn tell(events: &mut VecDeque<MediaEvent>, event: MediaEvent) {
    if events.len() < Talk::EVENTS {
        events.push_back(event);
    }
}

impl Ear<'_> {
    fn pass_on(&mut self, at: Instant, codec: Option<G711>, packet: &Packet<'_>) {
        for leg in self.others.iter_mut().flatten().filter(|leg| leg.hears.contains(self.speaker)) {
            leg.pass_on(at, self.speaker, codec, packet);
        }
    }
}

impl Sink for Ear<'_> {
    fn sound(&mut self, at: Instant, place: i64, codec: G711, packet: &Packet<'_>) {
        match self.channel {
            Some(channel) if self.mixed => self.recorder.spoke(channel, self.who, place, packet.payload.len()),
            Some(channel) => self.recorder.heard(channel, self.who, place, codec, packet.payload),
            None => {}
        }
        self.pass_on(at, Some(codec), packet);
    }

    fn key(&mut self, at: Instant, begin: i64, samples: u16, packet: &Packet<'_>) {
        if let Some(channel) = self.channel {
            self.recorder.key(channel, begin, samples);
        }
        self.pass_on(at, None, packet);
    }
}
