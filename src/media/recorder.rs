//! Puts the sound of a call on the recording's clock.

use std::{sync::Arc, time::Instant};

use super::{G711, SAMPLE_RATE};
use crate::{
    domain::{time::UnixMs, transcript::Channel},
    recording::Tap,
};

/// Longest sound of one packet that is recorded: 200 ms.
pub const LONGEST: usize = 1_600;

/// Positions of a call: samples since its media began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
}

/// The recording side of a call.
pub struct Recorder {
    clock: Clock,
    open: Option<Open>,
    /// The last sounds before the recording began: the command may be overtaken by packets that belong to it.
    early: [Option<Early>; 8],
    next_early: usize,
    /// The packet that is being decoded; its room is used again.
    scratch: Vec<i16>,
}

struct Open {
    tap: Tap,
    /// Position of sample 0.
    zero: i64,
    /// Whose sound was received.
    spans: Vec<Voice>,
}

/// One who was heard on a channel, in samples of the recording.
struct Voice {
    channel: Channel,
    who: Arc<str>,
    from: u64,
    to: u64,
}

struct Early {
    channel: Channel,
    who: Arc<str>,
    at: i64,
    samples: usize,
    pcm: [i16; 320],
}

impl Clock {
    /// * `epoch` — any time; positions count from it.
    pub const fn new(epoch: Instant) -> Self {
        Self { epoch }
    }

    /// A time as position.
    pub fn position(self, time: Instant) -> i64 {
        let samples = |nanos: u128| i64::try_from(nanos * u128::from(SAMPLE_RATE) / 1_000_000_000).unwrap_or(i64::MAX);
        match time.checked_duration_since(self.epoch) {
            Some(since) => samples(since.as_nanos()),
            None => -samples(self.epoch.duration_since(time).as_nanos()),
        }
    }
}

impl Recorder {
    /// Voices whose end is noted at the end; more do not come together in one call.
    const VOICES: usize = 32;

    pub fn new(epoch: Instant) -> Self {
        let early = [const { None }; 8];
        Self { clock: Clock::new(epoch), open: None, early, next_early: 0, scratch: Vec::with_capacity(LONGEST) }
    }

    /// Begins the recording; its sample 0 is `zero`, `answered` in wall time.
    pub fn begin(&mut self, mut tap: Tap, zero: Instant, answered: UnixMs) {
        tap.began(answered);
        self.open = Some(Open { tap, zero: self.clock.position(zero), spans: Vec::new() });
        for index in 0..self.early.len() {
            if let Some(early) = self.early[(self.next_early + index) % self.early.len()].take() {
                self.put_heard(early.channel, &early.who, early.at, &early.pcm[..early.samples]);
            }
        }
    }

    /// Received sound of a channel, as it came in a packet.
    ///
    /// * `who` — the speaker's name in the sidecar.
    pub fn heard(&mut self, channel: Channel, who: &Arc<str>, at: i64, codec: G711, payload: &[u8]) {
        let mut pcm = std::mem::take(&mut self.scratch);
        pcm.clear();
        pcm.extend(payload[..payload.len().min(LONGEST)].iter().map(|code| codec.decode(*code)));
        if self.open.is_some() {
            self.put_heard(channel, who, at, &pcm);
        } else {
            let samples = pcm.len().min(320);
            let mut early = Early { channel, who: who.clone(), at, samples, pcm: [0; 320] };
            early.pcm[..samples].copy_from_slice(&pcm[..samples]);
            self.early[self.next_early] = Some(early);
            self.next_early = (self.next_early + 1) % self.early.len();
        }
        self.scratch = pcm;
    }

    /// Somebody spoke whose sound is recorded together with that of others.
    pub fn spoke(&mut self, channel: Channel, who: &Arc<str>, at: i64, samples: usize) {
        let Some(open) = &self.open else { return };
        let from = u64::try_from(at - open.zero).unwrap_or(0);
        self.note(channel, who, from, from + samples.min(LONGEST) as u64);
    }

    /// A key was held from `at` on: the span stays silent and is no loss.
    pub fn key(&mut self, channel: Channel, at: i64, samples: u16) {
        if let Some(open) = &mut self.open {
            let from = at - open.zero;
            let clip = |position: i64| u64::try_from(position).unwrap_or(0);
            open.tap.silence(channel, clip(from), clip(from + i64::from(samples)));
        }
    }

    /// What we said in a packet.
    pub fn sent(&mut self, due: Instant, pcm: &[i16]) {
        let at = self.clock.position(due);
        if let Some(open) = &mut self.open {
            open.put(Channel::Operator, at, pcm);
        }
    }

    /// Who was heard on the right channel.
    pub fn speaker(&mut self, who: &str, from: Instant, to: Instant) {
        let (from, to) = (self.clock.position(from), self.clock.position(to));
        if let Some(open) = &mut self.open
            && to > open.zero
        {
            let clip = |position: i64| u64::try_from(position - open.zero).unwrap_or(0);
            open.tap.speaker(Channel::Operator, who, clip(from), clip(to));
        }
    }

    /// Lets the recording grow to `now`.
    pub fn advance(&mut self, now: Instant) {
        let now = self.clock.position(now);
        if let Some(open) = &mut self.open {
            open.tap.advance(u64::try_from(now - open.zero).unwrap_or(0));
        }
    }

    /// Ends the recording at `end`.
    pub fn end(&mut self, end: Instant) {
        let end = self.clock.position(end);
        if let Some(mut open) = self.open.take() {
            for voice in &open.spans {
                open.tap.speaker(voice.channel, &voice.who, voice.from, voice.to);
            }
            open.tap.finish(u64::try_from(end - open.zero).unwrap_or(0));
        }
    }

    fn put_heard(&mut self, channel: Channel, who: &Arc<str>, at: i64, pcm: &[i16]) {
        let Some(open) = &mut self.open else { return };
        let Some((from, to)) = open.put(channel, at, pcm) else { return };
        self.note(channel, who, from, to);
    }

    /// Notes when somebody was heard.
    fn note(&mut self, channel: Channel, who: &Arc<str>, from: u64, to: u64) {
        let Some(open) = &mut self.open else { return };
        let known = open.spans.iter_mut().rev().find(|voice| voice.channel == channel && voice.who == *who);
        if let Some(voice) = known {
            (voice.from, voice.to) = (voice.from.min(from), voice.to.max(to));
        } else if open.spans.len() < Self::VOICES {
            open.tap.speaker(channel, who, from, to);
            open.spans.push(Voice { channel, who: who.clone(), from, to });
        }
    }
}

impl Open {
    /// Cuts what lies before sample 0.
    fn put(&mut self, channel: Channel, at: i64, pcm: &[i16]) -> Option<(u64, u64)> {
        let at = at - self.zero;
        let before = usize::try_from(-at).unwrap_or(0).min(pcm.len());
        let (at, pcm) = (u64::try_from(at).unwrap_or(0), &pcm[before..]);
        if pcm.is_empty() {
            return None;
        }
        self.tap.push(channel, at, pcm);
        Some((at, at + pcm.len() as u64))
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recorder(open: {})", self.open.is_some())
    }
}
