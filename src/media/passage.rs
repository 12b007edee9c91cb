//! One side's stream as a stretch of the stream that another hears: sequence numbers and timestamps are moved, nothing else,
//! so that losses and reordering on the way here stay visible to the listener's jitter buffer.

use super::rtp::Packet;

/// How far the numbers of a source are moved.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    ssrc: u32,
    /// The source's newest sequence number.
    newest: u16,
    /// What was made of it.
    given: u16,
    /// Sequence numbers from the first packet to the newest; stops at what a straggler could be behind.
    length: u16,
    /// To add to timestamps.
    shift: u32,
}

/// Where a packet stands in the listener's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub sequence: u16,
    pub timestamp: u32,
}

impl Passage {
    /// A timestamp further from the listener's clock than this (1.5 s) begins anew.
    const STRAY: i32 = 12_000;
    /// Half of the numbers: what is further ahead is behind.
    const BEHIND: u16 = 0x8000;

    /// Begins with a packet that stands at `place` in the listener's stream.
    pub const fn begin(packet: &Packet<'_>, place: Place) -> Self {
        let shift = place.timestamp.wrapping_sub(packet.timestamp);
        Self { ssrc: packet.ssrc, newest: packet.sequence, given: place.sequence, length: 0, shift }
    }

    /// Whether the passage goes on with this packet.
    ///
    /// * `clock` — the present on the listener's clock.
    pub const fn carries(&self, packet: &Packet<'_>, clock: u32) -> bool {
        let stray = packet.timestamp.wrapping_add(self.shift).wrapping_sub(clock).cast_signed();
        self.ssrc == packet.ssrc && stray > -Self::STRAY && stray < Self::STRAY
    }

    /// The packet's place; nothing for one from before the passage began: its numbers are given already.
    pub fn place(&mut self, packet: &Packet<'_>) -> Option<Place> {
        let ahead = packet.sequence.wrapping_sub(self.newest);
        let sequence = self.given.wrapping_add(ahead);
        if ahead < Self::BEHIND {
            (self.newest, self.given) = (packet.sequence, sequence);
            self.length = self.length.saturating_add(ahead).min(Self::BEHIND);
        } else if ahead.wrapping_neg() > self.length {
            return None;
        }
        Some(Place { sequence, timestamp: packet.timestamp.wrapping_add(self.shift) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Packet<'static> {
        Packet { payload_type: 8, marker: false, sequence, timestamp, ssrc, payload: &[] }
    }

    fn begun() -> Passage {
        Passage::begin(&packet(1, 65_000, u32::MAX), Place { sequence: 10, timestamp: 800 })
    }

    #[test]
    fn losses_and_reordering_stay_as_they_are() {
        let mut passage = begun();
        let mut place =
            |step: u16| passage.place(&packet(1, 65_000_u16.wrapping_add(step), u32::MAX)).map(|it| it.sequence);
        assert_eq!([0, 1, 4, 3, 2].map(&mut place), [Some(10), Some(11), Some(14), Some(13), Some(12)]);
        for step in 5..=65_535 {
            assert_eq!(place(step), Some(10_u16.wrapping_add(step)), "over the end of the numbers");
        }
    }

    #[test]
    fn timestamps_keep_their_distance() {
        let mut passage = begun();
        let second = passage.place(&packet(1, 65_001, 159)).expect("newer");
        assert_eq!((second.sequence, second.timestamp), (11, 960));
    }

    #[test]
    fn what_is_older_than_the_first_packet_has_no_place() {
        let mut passage = begun();
        assert_eq!(passage.place(&packet(1, 64_999, 0)), None);
        assert!(passage.place(&packet(1, 65_001, 0)).is_some());
        assert_eq!(passage.place(&packet(1, 64_999, 0)), None);
    }

    #[test]
    fn another_source_or_a_jump_of_the_clock_begins_anew() {
        let passage = begun();
        assert!(passage.carries(&packet(1, 65_001, 159), 900));
        assert!(!passage.carries(&packet(2, 65_001, 159), 900));
        assert!(!passage.carries(&packet(1, 65_001, 80_000), 900));
    }
}
