//! What a leg sends: one continuous stream over announcements, the silence between them, and what others say.
//!
//! Silence is sent too: it keeps the way through NATs open, and a caller who hears a line does not hang up.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    G711, Prompt,
    mix::Mix,
    passage::{Passage, Place},
    rtp::{self, Packet},
};

/// Samples of one packet: 20 ms.
pub const FRAME: usize = 160;
const PTIME: Duration = Duration::from_millis(20);

/// The outgoing stream of one leg.
pub struct Sender {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// The next packet is the first after a break.
    marker: bool,
    /// When the next packet leaves; `None` before the first connect.
    due: Option<Instant>,
    /// While somebody is heard.
    passage: Option<Passage>,
    queue: VecDeque<Arc<Prompt>>,
    /// Samples of the front announcement that were said.
    said: usize,
    packet: [u8; rtp::HEADER + FRAME],
    heard: [i16; FRAME],
    /// Samples of `heard` that belong to an announcement or a mix.
    spoken: usize,
}

/// What happened to the announcements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its first sample leaves at this time.
    Began(Arc<Prompt>, Instant),
    /// Its last sample left before this time.
    Ended(Arc<Prompt>, Instant),
}

impl Sender {
    /// Announcements that may wait; the next one is refused.
    pub const WAITING: usize = 16;
    /// A thread that slept longer than this leaves the missed packets out instead of sending a burst.
    const STALL: Duration = Duration::from_millis(200);
    /// Who is heard and says nothing for this long, not even silence, gives way to silence of our own.
    const LULL: Duration = Duration::from_millis(200);

    /// * `random` — first SSRC, sequence number and timestamp (RFC 3550 §5.1).
    pub fn new(random: [u32; 3]) -> Self {
        let [ssrc, sequence, timestamp] = random;
        let [low, high, ..] = sequence.to_le_bytes();
        Self {
            ssrc,
            sequence: u16::from_le_bytes([low, high]),
            timestamp,
            marker: true,
            due: None,
            passage: None,
            queue: VecDeque::with_capacity(Self::WAITING),
            said: 0,
            packet: [0; rtp::HEADER + FRAME],
            heard: [0; FRAME],
            spoken: 0,
        }
    }

    /// Begins to send, if it does not yet.
    pub fn start(&mut self, now: Instant) {
        self.due.get_or_insert(now);
    }

    /// Adds an announcement; false if too many wait already.
    pub fn play(&mut self, prompt: Arc<Prompt>) -> bool {
        let room = self.queue.len() < Self::WAITING;
        if room {
            self.queue.push_back(prompt);
        }
        room
    }

    /// Forgets announcements one by one: the front one first. Call until `None`.
    pub fn stop_playing(&mut self) -> Option<Arc<Prompt>> {
        self.said = 0;
        self.queue.pop_front()
    }

    /// Whether an announcement is being said or waits.
    pub fn is_playing(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Makes a packet of what another says part of this stream.
    ///
    /// * `samples` — it is sound of this length; nothing for a key.
    /// * returns — the header, unless the packet came too late to have a place.
    pub fn pass_on(
        &mut self,
        at: Instant,
        packet: &Packet<'_>,
        payload_type: u8,
        samples: Option<usize>,
    ) -> Option<[u8; rtp::HEADER]> {
        let clock = self.timestamp_at(at);
        let going = self.passage.filter(|passage| passage.carries(packet, clock));
        let begins = going.is_none();
        let mut passage = going.unwrap_or_else(|| {
            // Never back into what was sent already.
            let ahead = self.timestamp.wrapping_sub(clock).cast_signed() > 0;
            let timestamp = if ahead { self.timestamp } else { clock };
            Passage::begin(packet, Place { sequence: self.sequence, timestamp })
        });
        let Place { sequence, timestamp } = passage.place(packet)?;
        self.passage = Some(passage);
        if sequence.wrapping_sub(self.sequence).cast_signed() >= 0 {
            self.sequence = sequence.wrapping_add(1);
            if let Some(samples) = samples {
                let samples = u32::try_from(samples).unwrap_or(u32::MAX);
                self.timestamp = timestamp.wrapping_add(samples);
                self.due = Some(at + Duration::from_micros(125) * samples);
            }
        }
        let marker = std::mem::take(&mut self.marker) || begins || packet.marker;
        Some(rtp::header(payload_type, marker, sequence, timestamp, self.ssrc))
    }

    /// Makes the next packet if one is due, and says when its first sample leaves. Packet and sound are then in
    /// [`Sender::packet`] and [`Sender::heard`].
    ///
    /// * `mix` — where several are heard.
    /// * `progress` — takes beginning and end of announcements.
    pub fn poll(
        &mut self,
        now: Instant,
        codec: G711,
        payload_type: u8,
        mix: Option<&mut Mix>,
        progress: &mut impl FnMut(Progress),
    ) -> Option<Instant> {
        let patience = if self.passage.is_some() && !self.is_playing() { Self::LULL } else { Duration::ZERO };
        let mut due = self.due.filter(|due| *due + patience <= now)?;
        self.passage = None;
        let behind = now.duration_since(due);
        if behind >= Self::STALL {
            let missed = u32::try_from(behind.as_millis() / PTIME.as_millis()).unwrap_or(u32::MAX);
            due += PTIME * missed;
            self.timestamp = self.timestamp.wrapping_add(missed.wrapping_mul(160));
            self.marker = true;
        }
        self.fill(due, codec, mix, progress);
        let head = rtp::header(payload_type, self.marker, self.sequence, self.timestamp, self.ssrc);
        self.packet[..rtp::HEADER].copy_from_slice(&head);
        self.marker = false;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        self.due = Some(due + PTIME);
        Some(due)
    }

    /// The present on the stream's clock.
    pub fn timestamp_at(&self, now: Instant) -> u32 {
        let samples = |span: Duration| u32::try_from(span.as_micros() / 125).unwrap_or(u32::MAX);
        match self.due {
            Some(due) if due > now => self.timestamp.wrapping_sub(samples(due - now)),
            Some(due) => self.timestamp.wrapping_add(samples(now - due)),
            None => self.timestamp,
        }
    }

    /// The packet of the last [`Sender::poll`].
    pub const fn packet(&self) -> &[u8; rtp::HEADER + FRAME] {
        &self.packet
    }

    /// What the last packet held of an announcement or a mix, as the other side decodes it.
    pub fn heard(&self) -> &[i16] {
        &self.heard[..self.spoken]
    }

    /// A packet that was not sent (hold, nobody there) is a break in the stream; so is the end of what somebody said.
    pub fn break_stream(&mut self) {
        (self.marker, self.passage) = (true, None);
    }

    fn fill(&mut self, due: Instant, codec: G711, mix: Option<&mut Mix>, progress: &mut impl FnMut(Progress)) {
        // The end is told when its last packet was heard, which is when the next one leaves.
        if self.queue.front().is_some_and(|prompt| self.said >= prompt.pcm.len())
            && let Some(prompt) = self.stop_playing()
        {
            progress(Progress::Ended(prompt, due));
        }
        let mut frame = [0; FRAME];
        let mut length = 0;
        if let Some(prompt) = self.queue.front() {
            if self.said == 0 {
                progress(Progress::Began(Arc::clone(prompt), due));
            }
            let rest = &prompt.pcm[self.said.min(prompt.pcm.len())..];
            length = rest.len().min(FRAME);
            frame[..length].copy_from_slice(&rest[..length]);
            self.said += length;
        } else if let Some(mix) = mix {
            (frame, length) = (mix.take(), FRAME);
        }
        self.spoken = length;
        let payload = &mut self.packet[rtp::HEADER..];
        for (index, ((code, heard), sample)) in payload.iter_mut().zip(&mut self.heard).zip(frame).enumerate() {
            *code = if index < length { codec.encode(sample) } else { codec.silence() };
            *heard = if index < length { codec.decode(*code) } else { 0 };
        }
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sender({} announcements)", self.queue.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "only differences count here")]
    fn start() -> Instant {
        Instant::now()
    }

    fn prompt(name: &str, samples: usize) -> Arc<Prompt> {
        Arc::new(Prompt { name: name.into(), pcm: vec![1_000; samples] })
    }

    #[test]
    fn announcements_and_silence_are_one_stream() {
        let (now, mut sender) = (start(), Sender::new([u32::MAX; 3]));
        sender.start(now);
        assert!(sender.play(prompt("one", 400)) && sender.play(prompt("two", 160)));
        let (mut story, mut packets) = (Vec::new(), Vec::new());
        for number in 0..6 {
            let due = sender.poll(now + PTIME * number, G711::Alaw, 8, None, &mut |step| {
                story.push(match step {
                    Progress::Began(prompt, at) => (prompt.name.clone(), true, (at - now).as_millis()),
                    Progress::Ended(prompt, at) => (prompt.name.clone(), false, (at - now).as_millis()),
                });
            });
            assert_eq!(due, Some(now + PTIME * number));
            let packet = rtp::parse(sender.packet()).expect("our own packets are RTP");
            packets.push((packet.marker, packet.sequence, packet.timestamp, packet.payload[0]));
        }
        let told = |name: &str, began, ms| (name.to_owned(), began, ms);
        assert_eq!(
            story,
            [told("one", true, 0), told("one", false, 60), told("two", true, 60), told("two", false, 80)]
        );
        let (loud, quiet) = (G711::Alaw.encode(1_000), G711::Alaw.silence());
        assert_eq!(packets[0], (true, 65_535, u32::MAX, loud));
        assert_eq!(packets[1], (false, 0, 159, loud));
        assert_eq!(packets[5], (false, 4, 159 + 4 * 160, quiet));
    }

    #[test]
    fn a_thread_that_slept_sends_no_burst_and_keeps_the_clock() {
        let (now, mut sender) = (start(), Sender::new([0; 3]));
        sender.start(now);
        sender.poll(now, G711::Ulaw, 0, None, &mut |_| ());
        let late = now + Duration::from_millis(1_020);
        assert_eq!(sender.poll(late, G711::Ulaw, 0, None, &mut |_| ()), Some(late));
        let packet = rtp::parse(sender.packet()).expect("our own packets are RTP");
        assert_eq!((packet.sequence, packet.timestamp, packet.marker), (1, 51 * 160, true));
        assert_eq!(sender.poll(late, G711::Ulaw, 0, None, &mut |_| ()), None, "one is enough");
    }

    #[test]
    fn the_stream_s_clock_runs_between_its_packets() {
        let (now, mut sender) = (start(), Sender::new([7, 7, 100]));
        sender.start(now);
        sender.poll(now, G711::Alaw, 8, None, &mut |_| ());
        let at = |ms| sender.timestamp_at(now + Duration::from_millis(ms));
        assert_eq!((at(0), at(5), at(20), at(30)), (100, 140, 260, 340));
    }

    #[test]
    fn nothing_is_due_before_the_leg_is_connected() {
        let mut sender = Sender::new([0; 3]);
        assert_eq!(sender.poll(start(), G711::Alaw, 8, None, &mut |_| ()), None);
    }

    #[test]
    fn only_so_many_announcements_wait() {
        let mut sender = Sender::new([0; 3]);
        let accepted = (0..40).filter(|_| sender.play(prompt("x", 1))).count();
        assert_eq!(accepted, Sender::WAITING);
    }
}
