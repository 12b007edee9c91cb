//! The media thread's end of a recording.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::Sender,
    },
};

use super::{
    sidecar::{Gap, Speaker},
    writer::{Block, Message},
};
use crate::{
    domain::{ids::CallId, time::UnixMs, transcript::Channel},
    recording::RATE,
};

/// Takes the sound of one call; dropping it ends the recording. Never waits: what it cannot take it counts.
pub struct Tap {
    call: CallId,
    writer: Sender<Message>,
    /// Blocks of all calls that wait for the writer.
    waiting: Arc<AtomicUsize>,
    /// Frames from `base` on, interleaved; frame f stands at `f % RING`.
    ring: Box<[[i16; 2]]>,
    /// Which channels of a frame were given: bit 0 the caller, bit 1 the operator.
    given: Box<[u8]>,
    /// First frame that was not handed to the writer yet.
    base: u64,
    /// One past the last frame that belongs to the recording.
    end: u64,
    /// Caller's stretches without sound since the first one.
    gaps: Vec<Gap>,
    gap_from: Option<u64>,
    caller_heard: bool,
    dropped: u64,
    speakers: usize,
}

impl Tap {
    /// Frames handed over at once: half a second.
    pub const BLOCK: u64 = 4_000;
    /// A block stays open this long for packets that are late (250 ms). What comes later is patched into the file.
    const OPEN: u64 = 2_000;
    const RING: usize = 16_384;
    /// Longest recording: six hours. What lies beyond is dropped and counted.
    const LONGEST: u64 = 6 * 3_600 * RATE as u64;
    /// Blocks of all calls that may wait for the writer: 64 MB, 10 s of 200 calls.
    pub(super) const WAITING: usize = 4_096;
    const GAPS: usize = 256;
    const SPEAKERS: usize = 1_024;

    pub(super) fn new(call: CallId, writer: Sender<Message>, waiting: Arc<AtomicUsize>) -> Self {
        Self {
            call,
            writer,
            waiting,
            ring: vec![[0; 2]; Self::RING].into(),
            given: vec![0; Self::RING].into(),
            base: 0,
            end: 0,
            gaps: Vec::with_capacity(Self::GAPS),
            gap_from: None,
            caller_heard: false,
            dropped: 0,
            speakers: 0,
        }
    }

    /// Notes the wall time of sample 0.
    pub fn began(&mut self, answered: UnixMs) {
        self.send(Message::Began { call: self.call, answered });
    }

    /// Puts sound on a channel; later sound at the same place replaces it.
    ///
    /// * `at` — position of the first sample since the start of the recording, at 8 kHz.
    pub fn push(&mut self, channel: Channel, at: u64, pcm: &[i16]) {
        let room = usize::try_from(Self::LONGEST.saturating_sub(at)).unwrap_or(usize::MAX).min(pcm.len());
        self.dropped += (pcm.len() - room) as u64;
        // What belongs to blocks that are gone is patched; the rest goes into the ring, piece by piece if it is long.
        let old = usize::try_from(self.base.saturating_sub(at)).unwrap_or(usize::MAX).min(room);
        if old > 0 {
            self.patch(channel, at, &pcm[..old]);
        }
        let mut at = at + old as u64;
        for piece in pcm[old..room].chunks(Self::RING / 4) {
            let to = at + piece.len() as u64;
            self.make_room(to);
            let (side, bit) = side(channel);
            let begin = index(at);
            let (first, rest) = piece.split_at(piece.len().min(Self::RING - begin));
            for (begin, samples) in [(begin, first), (0, rest)] {
                let span = begin..begin + samples.len();
                for (frame, sample) in self.ring[span.clone()].iter_mut().zip(samples) {
                    frame[side] = *sample;
                }
                for given in &mut self.given[span] {
                    *given |= bit;
                }
            }
            self.end = self.end.max(to);
            at = to;
        }
    }

    /// Says that a span is silent on purpose (a key was held): no gap.
    pub fn silence(&mut self, channel: Channel, from: u64, to: u64) {
        let to = to.min(self.base + Self::RING as u64);
        for frame in from.max(self.base)..to {
            self.given[index(frame)] |= side(channel).1;
        }
    }

    /// Notes who is to be heard on a channel from sample `from` to sample `to`. A second note with the same channel,
    /// name and `from` moves the end. At most 1,024 notes are taken.
    pub fn speaker(&mut self, channel: Channel, who: &str, from: u64, to: u64) {
        if self.speakers < Self::SPEAKERS {
            self.speakers += 1;
            let speaker = Speaker { channel, who: who.to_owned(), start_ms: ms(from), end_ms: ms(to) };
            self.send(Message::Speaker { call: self.call, speaker });
        }
    }

    /// Lets the recording grow to `now`: blocks that are old enough go to the writer.
    pub fn advance(&mut self, now: u64) {
        let now = now.min(Self::LONGEST);
        self.end = self.end.max(now);
        while self.base + Self::BLOCK + Self::OPEN <= now {
            self.hand_over(Self::BLOCK);
        }
    }

    /// Ends the recording at `end`; sound up to 20 ms beyond is kept.
    pub fn finish(mut self, end: u64) {
        let end = end.min(Self::LONGEST);
        self.advance(end);
        self.end = self.end.clamp(end, end + 160).max(self.base);
    }

    /// Hands blocks over until frame `to` fits into the ring.
    fn make_room(&mut self, to: u64) {
        let limit = self.base + Self::RING as u64;
        if to <= limit {
            return;
        }
        // A hole longer than the ring is not worth blocks of silence: the writer fills it.
        while self.base < self.end.min(to) && to > self.base + Self::RING as u64 {
            self.hand_over(Self::BLOCK.min(self.end - self.base));
        }
        if to > self.base + Self::RING as u64 {
            self.note_gap(self.base, to - Self::BLOCK);
            self.base = to - Self::BLOCK;
        }
    }

    fn hand_over(&mut self, frames: u64) {
        let (from, to) = (self.base, self.base + frames);
        let length = usize::try_from(frames).unwrap_or(0);
        let mut pcm = Vec::with_capacity(2 * length);
        let begin = index(from);
        let whole = length.min(Self::RING - begin);
        for (begin, length, at) in [(begin, whole, from), (0, length - whole, from + whole as u64)] {
            let span = begin..begin + length;
            pcm.extend_from_slice(self.ring[span.clone()].as_flattened());
            self.ring[span.clone()].fill([0; 2]);
            self.count_gaps(at, span);
        }
        self.base = to;
        self.send_block(Block::Frames { at: from, pcm });
    }

    fn patch(&mut self, channel: Channel, at: u64, pcm: &[i16]) {
        self.send_block(Block::Patch { at, channel, pcm: pcm.to_vec() });
    }

    fn send_block(&mut self, block: Block) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < Self::WAITING {
            self.send(Message::Block { call: self.call, block });
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped += block.samples();
        }
    }

    /// The channel itself has no bound; blocks are bounded by `waiting`, all other messages by the number of calls
    /// and notes. The writer outlives every tap; if it is gone, so is the process.
    fn send(&self, message: Message) {
        let _ = self.writer.send(message);
    }

    /// * `at` — the frame that stands first in a span of the ring.
    fn count_gaps(&mut self, at: u64, span: Range<usize>) {
        let heard = |given: &u8| given & 1 != 0;
        let is_whole = self.given[span.clone()].iter().all(heard);
        if is_whole && self.gap_from.is_none() {
            self.caller_heard |= !span.is_empty();
        } else {
            for (frame, index) in (at..).zip(span.clone()) {
                self.count_gap(frame, heard(&self.given[index]));
            }
        }
        self.given[span].fill(0);
    }

    fn count_gap(&mut self, frame: u64, given: bool) {
        self.caller_heard |= given;
        match self.gap_from {
            Some(from) if given => {
                self.gap_from = None;
                self.note_gap(from, frame);
            }
            None if !given && self.caller_heard => self.gap_from = Some(frame),
            _ => {}
        }
    }

    fn note_gap(&mut self, from: u64, to: u64) {
        if self.gaps.len() < Self::GAPS && to > from {
            self.gaps.push(Gap { channel: Channel::Caller, start_ms: ms(from), end_ms: ms(to) });
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        while self.base < self.end {
            self.hand_over(Self::BLOCK.min(self.end - self.base));
        }
        let gaps = std::mem::take(&mut self.gaps);
        self.send(Message::End { call: self.call, samples: self.end, gaps, dropped: self.dropped });
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tap({}, {} frames)", self.call, self.end)
    }
}

/// Place in an interleaved frame, and bit in `given`.
const fn side(channel: Channel) -> (usize, u8) {
    match channel {
        Channel::Caller => (0, 1),
        Channel::Operator => (1, 2),
    }
}

fn index(frame: u64) -> usize {
    usize::try_from(frame % Tap::RING as u64).unwrap_or(0)
}

fn ms(samples: u64) -> u32 {
    u32::try_from(samples / 8).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    fn tap() -> (Tap, Receiver<Message>) {
        let (sender, receiver) = channel();
        (Tap::new(CallId::new(Clock::system().uuid()), sender, Arc::default()), receiver)
    }

    /// What a writer would have on disk, and what `End` said.
    fn written(messages: &Receiver<Message>) -> (Vec<[i16; 2]>, u64, Vec<Gap>, u64) {
        let mut frames: Vec<[i16; 2]> = Vec::new();
        loop {
            match messages.recv().expect("a dropped tap ends the recording") {
                Message::Block { block: Block::Frames { at, pcm }, .. } => {
                    frames.resize(usize::try_from(at).expect("small"), [0; 2]);
                    frames.extend(pcm.chunks(2).map(|frame| [frame[0], frame[1]]));
                }
                Message::Block { block: Block::Patch { at, channel, pcm }, .. } => {
                    for (frame, sample) in (usize::try_from(at).expect("small")..).zip(pcm) {
                        frames[frame][side(channel).0] = sample;
                    }
                }
                Message::End { samples, gaps, dropped, .. } => return (frames, samples, gaps, dropped),
                _ => {}
            }
        }
    }

    #[test]
    fn packets_that_come_after_their_block_was_written_are_patched_in() {
        let (mut tap, messages) = tap();
        tap.push(Channel::Caller, 0, &[1; 160]);
        tap.advance(20_000);
        tap.push(Channel::Caller, 160, &[2; 160]);
        tap.push(Channel::Operator, 19_900, &[3; 160]);
        tap.finish(20_000);
        let (frames, samples, ..) = written(&messages);
        assert_eq!((samples, frames.len()), (20_060, 20_060), "sound just beyond the end is kept");
        assert_eq!((frames[159], frames[160], frames[319], frames[320]), ([1, 0], [2, 0], [2, 0], [0, 0]));
        assert_eq!((frames[19_899], frames[19_900]), ([0, 0], [0, 3]));
    }

    #[test]
    fn what_did_not_arrive_is_silence_and_a_gap() {
        let (mut tap, messages) = tap();
        tap.push(Channel::Caller, 800, &[9; 800]);
        tap.push(Channel::Caller, 2_400, &[9; 800]);
        tap.silence(Channel::Caller, 3_200, 4_000);
        tap.push(Channel::Caller, 4_000, &[9; 160]);
        tap.finish(4_160);
        let (_, _, gaps, dropped) = written(&messages);
        assert_eq!(gaps, [Gap { channel: Channel::Caller, start_ms: 200, end_ms: 300 }]);
        assert_eq!(dropped, 0);
    }

    #[test]
    fn a_writer_that_stands_still_costs_sound_but_neither_memory_nor_the_call() {
        let (mut tap, messages) = tap();
        tap.waiting.store(Tap::WAITING, Ordering::Relaxed);
        for second in 0..100_u64 {
            tap.push(Channel::Caller, second * 8_000, &[1; 8_000]);
        }
        assert_eq!(messages.try_iter().count(), 0);
        tap.waiting.store(0, Ordering::Relaxed);
        tap.finish(800_000);
        let (frames, samples, _, dropped) = written(&messages);
        assert_eq!((frames.len(), samples), (800_000, 800_000), "the length stays true");
        assert!(dropped >= 700_000, "{dropped}");
    }

    #[test]
    fn a_position_hours_ahead_does_not_become_hours_of_blocks() {
        let (mut tap, messages) = tap();
        tap.push(Channel::Caller, 5 * 3_600 * 8_000, &[1; 160]);
        tap.push(Channel::Caller, u64::MAX, &[1; 160]);
        drop(tap);
        let blocks = messages.try_iter().filter(|message| matches!(message, Message::Block { .. })).count();
        assert!(blocks <= 2, "{blocks}");
    }

    proptest! {
        #[test]
        fn any_order_of_pieces_gives_the_same_recording(
            order in Just((0..100_u64).collect::<Vec<_>>()).prop_shuffle(),
            advances in proptest::collection::vec(0_u64..20_000, 0..20),
        ) {
            let (mut tap, messages) = tap();
            for (step, piece) in order.into_iter().enumerate() {
                let value = i16::try_from(piece + 1).expect("small");
                tap.push(Channel::Caller, piece * 160, &[value; 160]);
                if let Some(to) = advances.get(step) {
                    tap.advance(*to);
                }
            }
            drop(tap);
            let (frames, samples, ..) = written(&messages);
            prop_assert!(samples >= 16_000);
            for piece in 0..100_usize {
                let value = i16::try_from(piece + 1).expect("small");
                prop_assert!(frames[piece * 160..(piece + 1) * 160].iter().all(|frame| *frame == [value, 0]));
            }
        }
    }
}
