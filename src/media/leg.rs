//! The leg of one party as a value: packets, commands and time go in; packets and news come out.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    G711, LegStats, Party, Prompt, RemoteMedia, Srtp, Voices,
    browser::{Gate, Passage},
    inbound::{Inbound, News, Report, Sink},
    mix::Mix,
    recorder::{LONGEST, Recorder},
    report::{Identity, Sending},
    rtp::{self, Packet},
    sender::{FRAME, Progress, Sender},
    srtp::Sealer,
};
use crate::domain::time::UnixMs;

/// The media side of one party.
#[derive(Debug)]
pub struct Leg {
    /// As the sidecar names the one who speaks here.
    pub who: Arc<str>,
    /// Whom this party hears.
    pub hears: Voices,
    /// While these are several.
    mix: Option<Box<Mix>>,
    inbound: Inbound,
    sender: Sender,
    /// While SRTP is agreed on.
    sealer: Option<Sealer>,
    /// Of a browser, with what was settled with it.
    gate: Option<(Box<Gate>, Box<RemoteMedia>)>,
    /// What others said and what has to leave; the room of the packets is used again.
    passed: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    /// The packet that leaves now.
    out: Vec<u8>,
    sent: u64,
    send_failed: u64,
    /// The announcement that is being said, as the sidecar names it, and when it began.
    saying: Option<(String, Instant)>,
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
    /// Packets of another's that wait; the shard sends after every step, so only a burst that was held comes near it.
    const PASSED: usize = 64;

    /// * `epoch` — when the call's media began; positions count from it.
    /// * `wall` — the same moment in wall time.
    pub fn new(who: Arc<str>, epoch: Instant, wall: UnixMs, random: [u32; 6]) -> Self {
        let [ssrc, sequence, timestamp, name @ ..] = random;
        Self {
            who,
            hears: Voices::NOBODY,
            mix: None,
            inbound: Inbound::new(Identity { ssrc, epoch, wall, random: name }),
            sender: Sender::new([ssrc, sequence, timestamp]),
            sealer: None,
            gate: None,
            passed: VecDeque::new(),
            spare: Vec::new(),
            out: Vec::with_capacity(256),
            sent: 0,
            send_failed: 0,
            saying: None,
        }
    }

    /// A gate for the browser that offer and answer are about to be settled with.
    pub fn guard(&mut self, gate: Box<Gate>, media: Box<RemoteMedia>) {
        if self.gate.as_ref().is_none_or(|(held, _)| !media.browser.as_ref().is_some_and(|it| held.is_for(it))) {
            self.gate = Some((gate, media));
        }
    }

    /// Takes what offer and answer settled.
    pub fn connect(&mut self, mut media: RemoteMedia, at: Instant, sink: &mut impl Sink) {
        match (&mut self.gate, &media.browser) {
            (Some((gate, settled)), Some(_)) => {
                **settled = media.clone();
                (media.address, media.srtp) = reached(gate);
            }
            (gate, None) => *gate = None,
            // Nobody made a gate: a browser that cannot prove itself is not heard.
            (None, Some(_)) => return,
        }
        self.sender.start(at);
        Sealer::follow(&mut self.sealer, media.srtp.as_ref().map(|srtp| srtp.ours));
        self.inbound.connect(media, at, sink);
    }

    /// Says an announcement after those that wait; false if too many do.
    pub fn play(&mut self, prompt: Arc<Prompt>) -> bool {
        self.sender.play(prompt)
    }

    /// Cuts the announcement and forgets those that wait. Gives them one by one; call until `None`.
    pub fn stop_playing(&mut self, at: Instant, recorder: Option<&mut Recorder>) -> Option<Arc<Prompt>> {
        let prompt = self.sender.stop_playing()?;
        self.note_end(at, recorder);
        Some(prompt)
    }

    /// Hears others, or announcements and silence alone.
    pub fn hear(&mut self, whom: Voices) {
        self.hears = whom;
        self.mix = whom.are_several().then(Box::default);
        self.sender.break_stream();
        self.spare.extend(self.passed.drain(..));
    }

    /// Takes a datagram from the RTP port.
    pub fn handle_rtp(&mut self, at: Instant, from: SocketAddr, datagram: &mut [u8], sink: &mut impl Sink) {
        if let Some((gate, settled)) = &mut self.gate {
            match gate.handle(at, from, datagram) {
                Passage::Sound => {}
                Passage::Kept => return,
                Passage::Refused => return self.inbound.handle_stranger(),
                Passage::Changed => {
                    let media = RemoteMedia::clone(settled);
                    return self.connect(media, at, sink);
                }
            }
        }
        self.inbound.handle_rtp(at, from, datagram, sink);
    }

    /// Takes a datagram from the RTCP port.
    pub fn handle_rtcp(&mut self, at: Instant, from: SocketAddr, datagram: &mut [u8]) {
        self.inbound.handle_rtcp(at, from, datagram);
    }

    /// Counts a datagram that was longer than any we take.
    pub fn handle_oversized(&mut self) {
        self.inbound.handle_oversized();
    }

    /// Does what time demands: lost ends of keys, silence.
    pub fn handle_timeout(&mut self, now: Instant, sink: &mut impl Sink) {
        if let Some((gate, _)) = &mut self.gate {
            gate.handle_timeout(now);
        }
        self.inbound.handle_timeout(now, sink);
    }

    /// What the stream has to tell. Call until `None`.
    pub fn poll_news(&mut self) -> Option<News> {
        self.inbound.poll_news()
    }

    /// Whether what this party hears is made here and not by one other alone.
    pub const fn mixes(&self) -> bool {
        self.mix.is_some()
    }

    /// Takes what another says: a packet of sound in `codec`, or of a key.
    pub fn pass_on(&mut self, at: Instant, speaker: Party, codec: Option<G711>, packet: &Packet<'_>) {
        if let Some(mix) = &mut self.mix {
            // Keys that one of several presses are for nobody in particular.
            if let Some(codec) = codec {
                mix.put(speaker, packet.payload.iter().take(LONGEST).map(|code| codec.decode(*code)));
            }
            return;
        }
        let Some(media) = self.inbound.media() else { return };
        let payload_type = match codec {
            Some(_) => Some(media.payload_type),
            None => media.telephone_event,
        };
        let (Some(payload_type), Some(_)) = (payload_type, self.inbound.destination()) else {
            return self.sender.break_stream();
        };
        if self.sender.is_playing() || self.passed.len() >= Self::PASSED || packet.payload.len() > LONGEST {
            return;
        }
        let to = media.codec;
        let samples = codec.map(|_| packet.payload.len());
        let Some(head) = self.sender.pass_on(at, packet, payload_type, samples) else { return };
        let mut bytes = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(rtp::HEADER + FRAME));
        bytes.clear();
        bytes.extend_from_slice(&head);
        match codec {
            Some(from) if from != to => bytes.extend(packet.payload.iter().map(|code| from.recode(*code, to))),
            _ => bytes.extend_from_slice(packet.payload),
        }
        self.passed.push_back(bytes);
    }

    /// The next datagram that is due. Call until `None`.
    ///
    /// * `recorder` — where what we say here is recorded.
    /// * `ended` — gets announcements that were said to their end.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        recorder: Option<&mut Recorder>,
        ended: &mut impl FnMut(Arc<Prompt>),
    ) -> Option<Transmit<'_>> {
        if let Some((to, bytes)) = self.gate.as_mut().and_then(|(gate, _)| gate.poll_transmit()) {
            self.out = bytes;
            return Some(Transmit { to, bytes: &self.out, what: Kind::Report });
        }
        if self.poll_sound(now, recorder, ended) {
            let to = self.inbound.destination()?;
            return Some(Transmit { to, bytes: &self.out, what: Kind::Sound });
        }
        if !self.inbound.is_report_due(now) {
            return None;
        }
        let sending = self.sending(now);
        self.inbound.poll_report(now, Some(sending)).map(Transmit::from)
    }

    /// The last report, which says BYE; once.
    pub fn poll_farewell(&mut self, now: Instant) -> Option<Transmit<'_>> {
        let sending = self.sending(now);
        self.inbound.poll_farewell(now, Some(sending)).map(Transmit::from)
    }

    /// The kernel did not take the packet of the last [`Leg::poll_transmit`].
    pub fn handle_send_failed(&mut self) {
        self.sent = self.sent.saturating_sub(1);
        self.send_failed += 1;
    }

    /// What the leg saw so far.
    pub fn stats(&self) -> LegStats {
        let (heard, reported) = (self.inbound.stats(), self.inbound.reported());
        LegStats { heard, reported, sent: self.sent, send_failed: self.send_failed }
    }

    /// Makes the next packet of sound that is due and has somewhere to go.
    fn poll_sound(
        &mut self,
        now: Instant,
        mut recorder: Option<&mut Recorder>,
        ended: &mut impl FnMut(Arc<Prompt>),
    ) -> bool {
        if let Some(bytes) = self.passed.pop_front() {
            self.seal(&bytes);
            self.spare.push(bytes);
            return self.inbound.destination().is_some();
        }
        loop {
            let Some(media) = self.inbound.media() else { return false };
            let mut steps = [const { None }; 2];
            let due = self.sender.poll(now, media.codec, media.payload_type, self.mix.as_deref_mut(), &mut |step| {
                if let Some(free) = steps.iter_mut().find(|slot| slot.is_none()) {
                    *free = Some(step);
                }
            });
            let Some(due) = due else { return false };
            for step in steps.into_iter().flatten() {
                match step {
                    Progress::Began(prompt, at) => self.note_begin(&prompt, at, recorder.as_deref_mut()),
                    Progress::Ended(prompt, at) => {
                        self.note_end(at, recorder.as_deref_mut());
                        ended(prompt);
                    }
                }
            }
            if self.inbound.destination().is_some() {
                if let Some(recorder) = recorder {
                    recorder.sent(due, self.sender.heard());
                }
                let packet: [u8; rtp::HEADER + FRAME] = *self.sender.packet();
                self.seal(&packet);
                return true;
            }
            self.sender.break_stream();
        }
    }

    /// Makes a packet ready to leave.
    fn seal(&mut self, packet: &[u8]) {
        self.sent += 1;
        if let Some(sealer) = &mut self.sealer {
            sealer.seal_rtp(packet, &mut self.out);
        } else {
            self.out.clear();
            self.out.extend_from_slice(packet);
        }
    }

    fn sending(&self, now: Instant) -> Sending {
        Sending {
            timestamp: self.sender.timestamp_at(now),
            packets: low(self.sent),
            octets: low(self.sent.wrapping_mul(FRAME as u64)),
        }
    }

    fn note_begin(&mut self, prompt: &Prompt, at: Instant, recorder: Option<&mut Recorder>) {
        let who = format!("prompt:{}", prompt.name);
        let samples = u32::try_from(prompt.pcm.len()).unwrap_or(u32::MAX);
        if let Some(recorder) = recorder {
            // Noted with its planned end, so that a crash leaves it; the real end follows.
            recorder.speaker(&who, at, at + Duration::from_secs(1) * samples / super::SAMPLE_RATE);
        }
        self.saying = Some((who, at));
    }

    fn note_end(&mut self, at: Instant, recorder: Option<&mut Recorder>) {
        if let Some((who, from)) = self.saying.take()
            && let Some(recorder) = recorder
        {
            recorder.speaker(&who, from, at);
        }
    }
}

/// Where a browser is, and what its sound is sealed with; before the handshake is over nothing is sent.
fn reached(gate: &Gate) -> (SocketAddr, Option<Box<Srtp>>) {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    match (gate.way(), gate.keys()) {
        (Some(way), Some(keys)) => (way, Some(Box::new(*keys))),
        _ => (nowhere, None),
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
