//! RTP both ways, without sockets: what to send in each 20 ms, and where to put what was heard.

use std::time::Duration;

use crate::audio::{Codec, FRAME, RATE};

/// Damage done to the outgoing stream on purpose, the same for the same seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub seed: u64,
    /// Share of packets that are not sent, 0 to 1.
    pub loss: f64,
    /// Share of packets that are sent after their successor, 0 to 1.
    pub reorder: f64,
    /// Share of packets that are sent twice, 0 to 1.
    pub duplicate: f64,
}

/// First key begins this long after the sound, in ticks of 20 ms.
const KEYS_FROM: usize = 25;
/// A key lasts 100 ms …
const KEY_TICKS: usize = 5;
/// … and the next begins 200 ms after it began.
const KEY_EVERY: usize = 10;

/// Makes the outgoing packets.
pub(crate) struct Talker {
    pcm: Vec<i16>,
    codec: Codec,
    telephone_event: Option<u8>,
    keys: Vec<u8>,
    ssrc: u32,
    first_timestamp: u32,
    sequence: u16,
    faults: Faults,
    dice: fastrand::Rng,
    late: Option<Vec<u8>>,
    pub(crate) keys_sent: usize,
}

impl Talker {
    /// * `keys` — events of RFC 4733 (0 to 15), sent only if the far side takes them.
    pub(crate) fn new(pcm: Vec<i16>, codec: Codec, telephone_event: Option<u8>, keys: Vec<u8>, faults: Faults) -> Self {
        let mut random = fastrand::Rng::new();
        Self {
            pcm,
            codec,
            telephone_event,
            keys,
            ssrc: random.u32(..),
            first_timestamp: random.u32(..),
            sequence: random.u16(..),
            faults,
            dice: fastrand::Rng::with_seed(faults.seed),
            late: None,
            keys_sent: 0,
        }
    }

    /// The stream's source.
    pub(crate) const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Ticks until sound and keys are over.
    pub(crate) fn ticks(&self) -> usize {
        let keys = if self.keys.is_empty() { 0 } else { KEYS_FROM + self.keys.len() * KEY_EVERY };
        self.pcm.len().div_ceil(FRAME).max(keys)
    }

    /// The far side moved or chose another codec.
    pub(crate) fn retune(&mut self, codec: Codec, telephone_event: Option<u8>) {
        (self.codec, self.telephone_event) = (codec, telephone_event);
    }

    /// Datagrams of one tick, mostly one. After the sound's end they hold silence.
    pub(crate) fn packets(&mut self, tick: usize) -> Vec<Vec<u8>> {
        let wanted = match self.key_at(tick) {
            Some((key, part, number)) => self.event(tick - part, key, part, number),
            None => vec![self.sound(tick)],
        };
        let mut out = Vec::with_capacity(2);
        for packet in wanted {
            if self.chance(self.faults.loss) {
                continue;
            }
            if self.late.is_none() && self.chance(self.faults.reorder) {
                self.late = Some(packet);
                continue;
            }
            if self.chance(self.faults.duplicate) {
                out.push(packet.clone());
            }
            out.push(packet);
            out.extend(self.late.take());
        }
        out
    }

    fn key_at(&self, tick: usize) -> Option<(u8, usize, u8)> {
        let number = self.telephone_event?;
        let since = tick.checked_sub(KEYS_FROM)?;
        let key = *self.keys.get(since / KEY_EVERY)?;
        let part = since % KEY_EVERY;
        (part < KEY_TICKS).then_some((key, part, number))
    }

    fn sound(&mut self, tick: usize) -> Vec<u8> {
        let mut packet = self.header(tick, self.codec.payload_type(), tick == 0);
        let from = (tick * FRAME).min(self.pcm.len());
        let frame = &self.pcm[from..(from + FRAME).min(self.pcm.len())];
        packet.extend(frame.iter().map(|sample| self.codec.encode(*sample)));
        packet.resize(12 + FRAME, self.codec.encode(0));
        packet
    }

    /// Source: RFC 4733 §2.3 (layout) and §2.5.1.4 (the end is sent three times).
    fn event(&mut self, began: usize, key: u8, part: usize, number: u8) -> Vec<Vec<u8>> {
        let last = part + 1 == KEY_TICKS;
        let duration = u16::try_from((part + 1) * FRAME).unwrap_or(u16::MAX);
        self.keys_sent += usize::from(last);
        (0..if last { 3 } else { 1 })
            .map(|_| {
                let mut packet = self.header(began, number, part == 0);
                packet.extend([key, if last { 0x8A } else { 0x0A }]);
                packet.extend(duration.to_be_bytes());
                packet
            })
            .collect()
    }

    fn header(&mut self, tick: usize, payload_type: u8, marker: bool) -> Vec<u8> {
        let samples = u32::try_from(tick * FRAME).unwrap_or(u32::MAX);
        let mut packet = Vec::with_capacity(12 + FRAME);
        packet.extend([0x80, payload_type | if marker { 0x80 } else { 0 }]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.first_timestamp.wrapping_add(samples).to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.dice.f64() < share
    }
}

/// Places incoming packets on the call's clock.
pub(crate) struct Listener {
    heard: Vec<i16>,
    limit: usize,
    stream: Option<Stream>,
    /// Streams seen (SSRC changes plus one).
    pub(crate) streams: u32,
    pub(crate) keys: String,
    last_key: Option<u32>,
}

struct Stream {
    ssrc: u32,
    timestamp: u32,
    at: i64,
}

/// A timestamp this far from the arrival time (in samples) is a jump, not jitter.
const JUMP: i64 = 2 * RATE as i64;

impl Listener {
    /// * `limit` — longest recording in samples; what comes later is dropped.
    pub(crate) fn new(limit: usize) -> Self {
        Self { heard: Vec::new(), limit, stream: None, streams: 0, keys: String::new(), last_key: None }
    }

    /// One datagram.
    ///
    /// * `since` — time since the call was answered.
    /// * returns — whether it was sound or a key.
    pub(crate) fn hear(&mut self, datagram: &[u8], since: Duration, telephone_event: Option<u8>) -> bool {
        let Some((payload_type, timestamp, ssrc, payload)) = parse(datagram) else { return false };
        if Some(payload_type) == telephone_event {
            self.key(timestamp, payload);
            return true;
        }
        let Some(codec) = Codec::of_payload_type(payload_type) else { return false };
        let arrival = i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 8) * i64::from(RATE) / 1000;
        let at = self.place(ssrc, timestamp, arrival);
        for (index, byte) in payload.iter().enumerate() {
            let Some(position) = usize::try_from(at).ok().map(|at| at + index).filter(|at| *at < self.limit) else {
                continue;
            };
            if self.heard.len() <= position {
                self.heard.resize(position + 1, 0);
            }
            self.heard[position] = codec.decode(*byte);
        }
        true
    }

    /// What was heard, silence up to `length`.
    pub(crate) fn finish(mut self, length: Duration) -> Vec<i16> {
        self.take(length)
    }

    /// The same, once.
    pub(crate) fn take(&mut self, length: Duration) -> Vec<i16> {
        let samples = usize::try_from(length.as_millis()).unwrap_or(usize::MAX / 8) * 8;
        self.heard.resize(samples.min(self.limit).max(self.heard.len()), 0);
        std::mem::take(&mut self.heard)
    }

    fn place(&mut self, ssrc: u32, timestamp: u32, arrival: i64) -> i64 {
        if let Some(stream) = &self.stream
            && stream.ssrc == ssrc
        {
            let at = stream.at + i64::from(timestamp.wrapping_sub(stream.timestamp).cast_signed());
            if (at - arrival).abs() < JUMP {
                return at;
            }
        } else {
            self.streams += 1;
        }
        self.stream = Some(Stream { ssrc, timestamp, at: arrival });
        arrival
    }

    fn key(&mut self, timestamp: u32, payload: &[u8]) {
        let ended = payload.len() >= 4 && payload[1] & 0x80 != 0;
        if ended && self.last_key != Some(timestamp) && self.keys.len() < 256 {
            self.last_key = Some(timestamp);
            self.keys.extend(KEYS.get(usize::from(payload[0])).map(|key| char::from(*key)));
        }
    }
}

/// Which packets of a stream came, told by their sequence numbers.
#[derive(Default)]
pub(crate) struct Track {
    stream: Option<Place>,
    /// Never came although later ones did.
    pub(crate) lost: u64,
    /// Times at which one or more were missing.
    pub(crate) gaps: u64,
    /// Came twice or after a later one.
    pub(crate) late: u64,
}

/// Where a stream stands.
struct Place {
    ssrc: u32,
    highest: u16,
    /// Which of the last 64 came, the highest in the lowest bit.
    came: u64,
}

impl Track {
    /// One packet; another SSRC begins anew.
    pub(crate) fn note(&mut self, ssrc: u32, sequence: u16) {
        let Some(place) = self.stream.as_mut().filter(|place| place.ssrc == ssrc) else {
            self.stream = Some(Place { ssrc, highest: sequence, came: u64::MAX });
            return;
        };
        let ahead = sequence.wrapping_sub(place.highest).cast_signed();
        let distance = u32::from(ahead.unsigned_abs());
        if ahead > 0 {
            let missing = u64::from(distance - 1);
            self.lost += missing;
            self.gaps += u64::from(missing > 0);
            place.highest = sequence;
            place.came = place.came.checked_shl(distance).unwrap_or(0) | 1;
        } else {
            self.late += 1;
            let bit = 1_u64.checked_shl(distance).unwrap_or(0);
            if place.came & bit == 0 && bit != 0 {
                place.came |= bit;
                self.lost = self.lost.saturating_sub(1);
            }
        }
    }
}

/// A sound with silence before it, at most ten minutes of it.
pub(crate) fn after_silence(lead_in: Duration, sound: &[i16]) -> Vec<i16> {
    let mut pcm = vec![0; usize::try_from(lead_in.as_millis()).unwrap_or(0).min(600_000) * 8];
    pcm.extend(sound);
    pcm
}

const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// Events of a row of keys; the first that is no key is the error.
pub(crate) fn events(keys: &str) -> Result<Vec<u8>, char> {
    let event = |key: char| KEYS.iter().position(|known| char::from(*known) == key.to_ascii_uppercase());
    keys.chars().map(|key| event(key).and_then(|event| u8::try_from(event).ok()).ok_or(key)).collect()
}

/// Payload type, timestamp, SSRC and payload of a packet of RTP (RFC 3550 §5.1); `None` for anything else.
pub(crate) fn parse(datagram: &[u8]) -> Option<(u8, u32, u32, &[u8])> {
    let head: &[u8; 12] = datagram.first_chunk()?;
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let mut start = 12 + 4 * usize::from(head[0] & 0x0F);
    if head[0] >> 6 != 2 || (64..96).contains(&(head[1] & 0x7F)) {
        return None;
    }
    if head[0] & 0x10 != 0 {
        let extension = datagram.get(start..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    let padding = if head[0] & 0x20 == 0 { 0 } else { usize::from(*datagram.last()?) };
    let payload = datagram.get(start..datagram.len().checked_sub(padding)?)?;
    Some((head[1] & 0x7F, word(4), word(8), payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{align, tone};

    fn through(talker: &mut Talker, ticks: usize) -> Listener {
        let mut listener = Listener::new(80_000);
        for tick in 0..ticks {
            for packet in talker.packets(tick) {
                let since = Duration::from_millis(20 * u64::try_from(tick).unwrap());
                assert!(listener.hear(&packet, since, Some(101)));
            }
        }
        listener
    }

    #[test]
    fn what_is_said_is_heard_in_place_although_packets_swap_and_double() {
        let mut sent = tone(400.0, 0.4, 8_000);
        sent.extend(tone(900.0, 0.2, 8_000));
        let faults = Faults { seed: 7, loss: 0.0, reorder: 0.2, duplicate: 0.2 };
        let mut talker = Talker::new(sent.clone(), Codec::Alaw, None, Vec::new(), faults);
        let ticks = talker.ticks();
        let heard = through(&mut talker, ticks).finish(Duration::from_secs(2));
        let found = align(&sent, &heard, 400);
        assert!(found.offset.abs() <= 160 && found.correlation > 0.97, "{found:?}");
    }

    #[test]
    fn the_same_seed_loses_the_same_packets() {
        let faults = Faults { seed: 3, loss: 0.1, ..Faults::default() };
        let lost = || {
            let mut talker = Talker::new(vec![0; 160_000], Codec::Ulaw, None, Vec::new(), faults);
            (0..1_000).filter(|tick| talker.packets(*tick).is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(lost(), lost());
        assert!((60..140).contains(&lost().len()));
    }

    #[test]
    fn each_key_is_one_key_in_spite_of_three_end_packets() {
        let mut talker = Talker::new(Vec::new(), Codec::Alaw, Some(101), events("1*#9").unwrap(), Faults::default());
        let ticks = talker.ticks();
        assert_eq!(through(&mut talker, ticks).keys, "1*#9");
        assert_eq!((talker.keys_sent, events("12x")), (4, Err('x')));
    }

    #[test]
    fn a_stream_that_jumps_is_placed_by_its_arrival() {
        let mut listener = Listener::new(80_000);
        let packet = |timestamp: u32| {
            let mut packet = vec![0x80, 8, 0, 1];
            packet.extend(timestamp.to_be_bytes());
            packet.extend([0, 0, 0, 9]);
            packet.extend([0x55; 160]);
            packet
        };
        listener.hear(&packet(1_000), Duration::ZERO, None);
        listener.hear(&packet(900_000_000), Duration::from_secs(1), None);
        assert_eq!(listener.heard.len(), 8_160);
        assert!(!listener.hear(&[0x80, 200, 0], Duration::ZERO, None), "a stump is nothing");
    }
}
