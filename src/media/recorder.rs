//! Puts a leg's sound on the recording's clock.

use std::time::Instant;

use super::{G711, SAMPLE_RATE};
use crate::{
    domain::{time::UnixMs, transcript::Channel},
    recording::Tap,
};

/// Longest sound of one packet that is recorded: 200 ms.
pub const LONGEST: usize = 1_600;

/// The recording side of a leg. Positions are samples on the leg's clock, which began at `epoch`.
pub struct Recorder {
    epoch: Instant,
    open: Option<Open>,
    /// The last sounds before the recording began: the command may be overtaken by packets that belong to it.
    early: [Early; 8],
    next_early: usize,
    /// The packet that is being decoded; its room is used again.
    scratch: Vec<i16>,
}

struct Open {
    tap: Tap,
    /// Position of sample 0.
    zero: i64,
    /// Span of the received sound of each channel so far, in samples of the recording.
    spans: [Option<(u64, u64)>; 2],
}

#[derive(Clone, Copy)]
struct Early {
    channel: Channel,
    at: i64,
    samples: usize,
    pcm: [i16; 320],
}

impl Recorder {
    pub fn new(epoch: Instant) -> Self {
        let early = [Early { channel: Channel::Caller, at: 0, samples: 0, pcm: [0; 320] }; 8];
        Self { epoch, open: None, early, next_early: 0, scratch: Vec::with_capacity(LONGEST) }
    }

    /// A time as position on the leg's clock.
    pub fn position(&self, time: Instant) -> i64 {
        let samples = |nanos: u128| i64::try_from(nanos * u128::from(SAMPLE_RATE) / 1_000_000_000).unwrap_or(i64::MAX);
        match time.checked_duration_since(self.epoch) {
            Some(since) => samples(since.as_nanos()),
            None => -samples(self.epoch.duration_since(time).as_nanos()),
        }
    }

    /// Begins the recording; its sample 0 is `zero`, `answered` in wall time.
    pub fn begin(&mut self, mut tap: Tap, zero: Instant, answered: UnixMs) {
        tap.began(answered);
        self.open = Some(Open { tap, zero: self.position(zero), spans: [None; 2] });
        for index in 0..self.early.len() {
            let early = self.early[(self.next_early + index) % self.early.len()];
            self.put_heard(early.channel, early.at, &early.pcm[..early.samples]);
        }
    }

    /// Received sound of a channel, as it came in a packet.
    pub fn heard(&mut self, channel: Channel, at: i64, codec: G711, payload: &[u8]) {
        let mut pcm = std::mem::take(&mut self.scratch);
        pcm.clear();
        pcm.extend(payload.iter().take(LONGEST).map(|code| codec.decode(*code)));
        if self.open.is_some() {
            self.put_heard(channel, at, &pcm);
        } else {
            let samples = pcm.len().min(320);
            let early = &mut self.early[self.next_early];
            (early.channel, early.at, early.samples) = (channel, at, samples);
            early.pcm[..samples].copy_from_slice(&pcm[..samples]);
            self.next_early = (self.next_early + 1) % self.early.len();
        }
        self.scratch = pcm;
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
        let at = self.position(due);
        if let Some(open) = &mut self.open {
            open.put(Channel::Operator, at, pcm);
        }
    }

    /// Who was heard on the right channel.
    pub fn speaker(&mut self, who: &str, from: Instant, to: Instant) {
        let (from, to) = (self.position(from), self.position(to));
        if let Some(open) = &mut self.open
            && to > open.zero
        {
            let clip = |position: i64| u64::try_from(position - open.zero).unwrap_or(0);
            open.tap.speaker(Channel::Operator, who, clip(from), clip(to));
        }
    }

    /// Lets the recording grow to `now`.
    pub fn advance(&mut self, now: Instant) {
        let now = self.position(now);
        if let Some(open) = &mut self.open {
            open.tap.advance(u64::try_from(now - open.zero).unwrap_or(0));
        }
    }

    /// Ends the recording at `end`.
    pub fn end(&mut self, end: Instant) {
        let end = self.position(end);
        if let Some(mut open) = self.open.take() {
            for channel in [Channel::Caller, Channel::Operator] {
                if let Some((from, to)) = open.spans[side(channel)] {
                    open.tap.speaker(channel, name(channel), from, to);
                }
            }
            open.tap.finish(u64::try_from(end - open.zero).unwrap_or(0));
        }
    }

    fn put_heard(&mut self, channel: Channel, at: i64, pcm: &[i16]) {
        let Some(open) = &mut self.open else { return };
        let Some((from, to)) = open.put(channel, at, pcm) else { return };
        if let Some((first, last)) = &mut open.spans[side(channel)] {
            (*first, *last) = ((*first).min(from), (*last).max(to));
        } else {
            open.spans[side(channel)] = Some((from, to));
            open.tap.speaker(channel, name(channel), from, to);
        }
    }
}

/// Who speaks in the received sound of a channel, as the sidecar names them.
const fn name(channel: Channel) -> &'static str {
    match channel {
        Channel::Caller => "caller",
        Channel::Operator => "operator",
    }
}

const fn side(channel: Channel) -> usize {
    match channel {
        Channel::Caller => 0,
        Channel::Operator => 1,
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
