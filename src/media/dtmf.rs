//! Keys as named telephone events (RFC 4733 §2).

use std::time::{Duration, Instant};

/// A key that was pressed and let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    pub key: char,
    pub duration_ms: u32,
}

/// Turns event packets into keys. An event is known by its source and timestamp: its updates and the end packet with
/// two repetitions are one key, in whatever order they come.
#[derive(Debug, Default)]
pub struct Keypad {
    open: Option<Event>,
    /// Events that were told already, oldest first.
    told: [Option<(u32, u32)>; 8],
}

#[derive(Clone, Copy, Debug)]
struct Event {
    ssrc: u32,
    timestamp: u32,
    code: u8,
    /// 1/8000 s, of this and the segments before it.
    duration: u32,
    /// Length of the segments before this one.
    before: u32,
    heard: Instant,
}

impl Keypad {
    /// An event whose end never came is over this long after its last packet.
    pub const PATIENCE: Duration = Duration::from_millis(300);
    const KEYS: &[u8; 16] = b"0123456789*#ABCD";

    /// Takes the payload of an event packet; gives the key that it ends.
    ///
    /// Of a payload with several events only the first is read.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        ssrc: u32,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Option<Digit> {
        let [code, flags, high, low, ..] = *payload else { return None };
        if usize::from(code) >= Self::KEYS.len() || self.told.contains(&Some((ssrc, timestamp))) {
            return None;
        }
        let duration = u32::from(u16::from_be_bytes([high, low]));
        let mut finished = None;
        let event = match self.open {
            Some(open) if (open.ssrc, open.timestamp) == (ssrc, timestamp) => {
                Event { duration: open.duration.max(open.before + duration), heard: now, ..open }
            }
            // A key held for more than 8.2 s goes on in a new segment (§2.5.1.3).
            Some(open) if !marker && open.continues_at(ssrc, timestamp, code) => {
                self.tell((open.ssrc, open.timestamp));
                Event { timestamp, before: open.duration, duration: open.duration + duration, heard: now, ..open }
            }
            Some(open) if open.ssrc == ssrc && timestamp.wrapping_sub(open.timestamp).cast_signed() < 0 => return None,
            other => {
                finished = other.map(|open| self.close(open));
                Event { ssrc, timestamp, code, duration, before: 0, heard: now }
            }
        };
        self.open = Some(event);
        if flags & 0x80 != 0 {
            // Two keys cannot end with one packet unless the first one's end was lost; then the first waits no more
            // and is told now, the second at the next of its end packets or at its timeout.
            if finished.is_none() {
                return Some(self.close(event));
            }
        }
        finished
    }

    /// Gives the key whose end packets were lost.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Digit> {
        let open = self.open.filter(|open| now.saturating_duration_since(open.heard) >= Self::PATIENCE)?;
        Some(self.close(open))
    }

    fn close(&mut self, event: Event) -> Digit {
        self.open = None;
        self.tell((event.ssrc, event.timestamp));
        Digit { key: char::from(Self::KEYS[usize::from(event.code) % 16]), duration_ms: event.duration / 8 }
    }

    fn tell(&mut self, id: (u32, u32)) {
        self.told.rotate_left(1);
        self.told[7] = Some(id);
    }
}

impl Event {
    fn continues_at(&self, ssrc: u32, timestamp: u32, code: u8) -> bool {
        let ahead = timestamp.wrapping_sub(self.timestamp);
        self.ssrc == ssrc && self.code == code && (0xF000..=0x1_0000).contains(&ahead)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SSRC: u32 = 5;

    fn payload(code: u8, end: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [code, if end { 0x8A } else { 0x0A }, high, low]
    }

    /// Seven updates and three ends of one key.
    fn press(code: u8) -> Vec<[u8; 4]> {
        let updates = (1..=7).map(|n| payload(code, false, n * 160));
        updates.chain(std::iter::repeat_n(payload(code, true, 1_280), 3)).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "only differences count here")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn three_end_packets_are_one_key() {
        let (mut keypad, now) = (Keypad::default(), start());
        let told: Vec<_> =
            press(11).iter().filter_map(|bytes| keypad.handle_packet(now, SSRC, 1_000, false, bytes)).collect();
        assert_eq!(told, [Digit { key: '#', duration_ms: 160 }]);
    }

    #[test]
    fn the_same_key_again_is_another_key() {
        let (mut keypad, now) = (Keypad::default(), start());
        let mut told = String::new();
        for (timestamp, code) in [(0, 1), (4_000, 1), (8_000, 2)] {
            for bytes in press(code) {
                told.extend(keypad.handle_packet(now, SSRC, timestamp, false, &bytes).map(|digit| digit.key));
            }
        }
        assert_eq!(told, "112");
    }

    #[test]
    fn a_key_without_its_end_packets_is_told_after_a_moment_or_before_the_next() {
        let (mut keypad, now) = (Keypad::default(), start());
        assert_eq!(keypad.handle_packet(now, SSRC, 0, true, &payload(4, false, 800)), None);
        assert_eq!(keypad.handle_timeout(now), None);
        assert_eq!(keypad.handle_packet(now, SSRC, 9_000, true, &payload(5, false, 160)).map(|d| d.key), Some('4'));
        let later = now + Keypad::PATIENCE;
        assert_eq!(keypad.handle_timeout(later), Some(Digit { key: '5', duration_ms: 20 }));
        assert_eq!(keypad.handle_timeout(later), None);
        assert_eq!(
            keypad.handle_packet(later, SSRC, 0, true, &payload(4, true, 800)),
            None,
            "the late end of the first"
        );
    }

    #[test]
    fn a_key_held_for_long_is_one_key_over_its_segments() {
        let (mut keypad, now) = (Keypad::default(), start());
        keypad.handle_packet(now, SSRC, 0, true, &payload(0, false, 0xFFFF));
        keypad.handle_packet(now, SSRC, 0xFFFF, false, &payload(0, false, 800));
        let told = keypad.handle_packet(now, SSRC, 0xFFFF, false, &payload(0, true, 1_600));
        assert_eq!(told, Some(Digit { key: '0', duration_ms: (65_535 + 1_600) / 8 }));
    }

    #[test]
    fn other_events_and_short_payloads_are_no_keys() {
        let (mut keypad, now) = (Keypad::default(), start());
        assert_eq!(keypad.handle_packet(now, SSRC, 0, true, &payload(16, true, 800)), None);
        assert_eq!(keypad.handle_packet(now, SSRC, 0, true, &[1, 0x80]), None);
        assert_eq!(keypad.handle_timeout(now + Keypad::PATIENCE), None);
    }

    proptest! {
        #[test]
        fn lost_and_shuffled_packets_of_a_press_are_at_most_one_key_and_never_another(
            order in Just((0..10_usize).collect::<Vec<_>>()).prop_shuffle(),
            kept in 1..10_usize,
        ) {
            let (mut keypad, now) = (Keypad::default(), start());
            let packets = press(7);
            let mut told: Vec<_> = order[..kept]
                .iter()
                .filter_map(|&index| keypad.handle_packet(now, SSRC, 3_000, false, &packets[index]))
                .collect();
            told.extend(keypad.handle_timeout(now + Keypad::PATIENCE));
            prop_assert_eq!(told.iter().map(|digit| digit.key).collect::<String>(), "7");
        }
    }
}
