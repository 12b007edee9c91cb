//! Where a packet's sound belongs on the leg's clock.
//!
//! Inside a stream the RTP timestamp decides, so that reordered and late packets land where they were spoken and lost
//! ones leave silence. The clock of arrivals only anchors the stream and keeps it from drifting away.

/// Places the packets of one leg. Positions and spans are samples at 8 kHz.
#[derive(Debug, Default)]
pub struct Timeline {
    current: Option<Anchor>,
    /// The stream before the last change of source: its stragglers still have their place.
    previous: Option<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    ssrc: u32,
    /// Newest timestamp, and the position of its first sample.
    timestamp: u32,
    at: i64,
    /// Smallest lag of the `counted` packets since the last look.
    least_lag: i64,
    counted: u32,
}

/// A packet's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Position of the first sample.
    pub at: i64,
    /// How far behind its place the packet arrived; negative when it came early.
    pub lag: i64,
    /// The stream begins anew here: nothing can be said about the way from the packet before.
    pub fresh: bool,
}

impl Timeline {
    /// More behind than this (1.5 s) is a sender whose timestamps stood still: anchored anew.
    pub const LATE: i64 = 12_000;
    /// More ahead than this (400 ms) is a jump of the timestamp: anchored anew.
    pub const EARLY: i64 = 3_200;
    /// The first packet after a silence that is more behind than this (100 ms): its sender stopped its clock meanwhile.
    const PAUSED: i64 = 800;
    /// Samples taken back per packet while a stream runs ahead (1 ms in 20: 5 %, far above any crystal's error).
    const SLIP: i64 = 8;
    /// Packets over which a stream must lag before it is moved forward (about 1 s).
    const WATCH: u32 = 50;

    /// Finds the place of a packet's sound.
    ///
    /// * `arrival` — position on the leg's clock at which it arrived.
    /// * `marker` — it is the first after a silence (RFC 3551 §4.1).
    /// * `samples` — its length; also the drift that is allowed, but at least 20 ms.
    pub fn place(&mut self, arrival: i64, ssrc: u32, timestamp: u32, marker: bool, samples: usize) -> Place {
        let allowed = i64::try_from(samples).unwrap_or(i64::MAX).max(160);
        if let Some(anchor) = self.current.as_mut().filter(|anchor| anchor.ssrc == ssrc) {
            let place = anchor.expect(arrival, timestamp);
            let paused = marker && place.lag > Self::PAUSED && place.at > anchor.at;
            if place.believable() && !paused {
                anchor.advance(place, timestamp);
                anchor.limit_drift(place.lag, allowed);
                return place;
            }
        } else if let Some(place) = self.straggler(arrival, ssrc, timestamp) {
            return place;
        }
        self.previous = self.current.replace(Anchor { ssrc, timestamp, at: arrival, least_lag: i64::MAX, counted: 0 });
        Place { at: arrival, lag: 0, fresh: true }
    }

    /// The position of a timestamp of the current stream, if it is believable; moves nothing. A key that is held
    /// repeats the timestamp of its begin for up to 8.2 s.
    pub fn find(&self, arrival: i64, ssrc: u32, timestamp: u32) -> Option<i64> {
        let anchor = self.current.filter(|anchor| anchor.ssrc == ssrc)?;
        let place = anchor.expect(arrival, timestamp);
        (-Self::EARLY..=Self::LATE + 0xFFFF).contains(&place.lag).then_some(place.at)
    }

    fn straggler(&self, arrival: i64, ssrc: u32, timestamp: u32) -> Option<Place> {
        let anchor = self.previous.filter(|anchor| anchor.ssrc == ssrc)?;
        let place = anchor.expect(arrival, timestamp);
        // Newer than what it sent before the change: not a straggler, the source is back.
        (place.at <= anchor.at && place.believable()).then_some(place)
    }
}

impl Anchor {
    fn expect(&self, arrival: i64, timestamp: u32) -> Place {
        let at = self.at + i64::from(timestamp.wrapping_sub(self.timestamp).cast_signed());
        Place { at, lag: arrival - at, fresh: false }
    }

    fn advance(&mut self, place: Place, timestamp: u32) {
        if place.at > self.at {
            (self.at, self.timestamp) = (place.at, timestamp);
        }
    }

    /// A packet cannot come early by accident, so running ahead is mended at once, a little per packet. Lagging may
    /// be the network: the stream moves forward only when every packet of a second lagged.
    fn limit_drift(&mut self, lag: i64, allowed: i64) {
        if lag < -allowed {
            self.at -= (-lag - allowed).min(Timeline::SLIP);
            return;
        }
        self.least_lag = self.least_lag.min(lag);
        self.counted += 1;
        if self.counted >= Timeline::WATCH {
            if self.least_lag > allowed {
                self.at += self.least_lag;
            }
            (self.least_lag, self.counted) = (i64::MAX, 0);
        }
    }
}

impl Place {
    fn believable(self) -> bool {
        (-Timeline::EARLY..=Timeline::LATE).contains(&self.lag)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: u32 = 160;

    #[test]
    fn late_and_reordered_packets_land_where_they_were_spoken() {
        let mut timeline = Timeline::default();
        let first = u32::MAX - 200; // wraps on the way
        let places = [(0, 0), (2, 400), (1, 420), (3, 900)].map(|(number, arrival)| {
            timeline.place(1_000 + arrival, 7, first.wrapping_add(number * FRAME), false, 160).at
        });
        assert_eq!(places, [1_000, 1_320, 1_160, 1_480]);
    }

    #[test]
    fn a_jump_of_the_timestamp_does_not_become_hours_of_silence() {
        let mut timeline = Timeline::default();
        timeline.place(0, 7, 0, false, 160);
        assert_eq!(timeline.place(160, 7, 2_000_000_000, false, 160).at, 160);
        assert_eq!(timeline.place(320, 7, 2_000_000_160, false, 160).at, 320);
    }

    #[test]
    fn a_new_source_is_anchored_to_its_arrival_and_the_old_ones_straggler_keeps_its_place() {
        let mut timeline = Timeline::default();
        timeline.place(0, 7, 0, false, 160);
        timeline.place(330, 7, 320, false, 160);
        assert_eq!(timeline.place(500, 8, 99, false, 160).at, 500);
        assert_eq!(timeline.place(510, 7, 160, false, 160).at, 160, "the straggler");
        assert_eq!(timeline.place(660, 8, 259, false, 160).at, 660, "did not disturb the new source");
    }

    #[test]
    fn a_sender_that_pauses_its_timestamps_is_brought_forward_within_a_second() {
        let mut timeline = Timeline::default();
        timeline.place(0, 7, 0, false, 160);
        let pause = 8_000;
        let lags: Vec<i64> =
            (1..=110_u32).map(|n| timeline.place(i64::from(n * FRAME) + pause, 7, n * FRAME, false, 160).lag).collect();
        assert_eq!(lags[0], pause);
        assert_eq!(lags[109], 0);
        let long = 110 * i64::from(FRAME) + pause + 80_000;
        assert_eq!(timeline.place(long, 7, 111 * FRAME, false, 160).at, long, "ten seconds are seen at once");
    }

    #[test]
    fn a_silence_is_as_long_as_it_was_whether_the_sender_s_clock_ran_on_or_stopped() {
        for stopped in [false, true] {
            let mut timeline = Timeline::default();
            timeline.place(0, 7, 0, true, 160);
            timeline.place(160, 7, 160, false, 160);
            let first = if stopped { 320 } else { 8_160 };
            assert_eq!(timeline.place(8_160, 7, first, true, 160).at, 8_160, "a second later");
            assert_eq!(timeline.place(8_330, 7, first + 160, false, 160).at, 8_320);
        }
        let mut timeline = Timeline::default();
        timeline.place(0, 7, 0, true, 160);
        assert_eq!(timeline.place(900, 7, 320, true, 160).at, 320, "late by 72 ms is the network");
    }

    proptest! {
        /// Clocks that differ by up to 1 % (real ones: 0.01 %), jitter up to 60 ms, for ten minutes.
        #[test]
        fn drift_stays_within_a_packet_and_a_second_of_watching(permille in -10_i64..=10, seed in any::<u32>()) {
            let mut timeline = Timeline::default();
            let mut noise = seed | 1;
            for number in 0..30_000_i64 {
                noise ^= noise << 13; noise ^= noise >> 17; noise ^= noise << 5;
                let spoken = number * 160 * (1_000 + permille) / 1_000;
                let jitter = i64::from(noise % 480);
                let timestamp = u32::try_from(number * 160).expect("small");
                let place = timeline.place(spoken + jitter, 7, timestamp, false, 160);
                let drift = place.at - spoken;
                prop_assert!((-160 - 160..=480 + 160 + 160).contains(&drift), "packet {number}: {drift}");
            }
        }

        #[test]
        fn no_packet_is_placed_far_from_its_arrival(
            packets in proptest::collection::vec((0_i64..2_000, any::<u32>(), 0_u32..3), 1..200),
        ) {
            let (mut timeline, mut arrival) = (Timeline::default(), 0);
            for (step, timestamp, ssrc) in packets {
                arrival += step;
                let place = timeline.place(arrival, ssrc, timestamp, false, 160);
                prop_assert!(place.at >= arrival - Timeline::LATE && place.at <= arrival + Timeline::EARLY);
            }
        }
    }
}
