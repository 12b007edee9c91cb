//! Counting by sequence number: what was lost, came twice or out of order; and interarrival jitter.

/// How a packet stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    InOrder,
    /// Fills a hole.
    Reordered,
    /// Seen before, or so old that nobody can tell.
    Duplicate,
}

/// Sequence numbers of one stream; a new SSRC or a jump of more than 1,000 begins a new one.
#[derive(Debug, Default)]
pub struct Sequence {
    current: Option<Run>,
    lost_before: u64,
    expected_before: u64,
    losses: Losses,
    jitter: f64,
    last_transit: Option<i64>,
}

/// Runs of packets that never came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Runs.
    pub runs: u64,
    /// Packets in all runs.
    pub packets: u64,
    /// Packets of the longest run.
    pub longest: u32,
    open: u32,
}

/// What a report tells the sender of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub ssrc: u32,
    /// Highest sequence number, extended by its cycles.
    pub highest: u32,
    /// Packets since the stream began.
    pub expected: u64,
    pub received: u64,
    /// Units of 1/8000 s.
    pub jitter: u32,
}

#[derive(Debug)]
struct Run {
    ssrc: u32,
    highest: u16,
    cycles: u16,
    /// Packets that should have come.
    expected: u64,
    /// Packets that came, each counted once.
    received: u64,
    /// Bit n: the packet n before `highest` came.
    seen: u128,
}

impl Sequence {
    /// A difference beyond this is a new start of the sender, not loss (RFC 3550 A.1 takes 3,000 and 100).
    const JUMP: i16 = 1_000;

    /// Notes a packet.
    pub fn note(&mut self, ssrc: u32, sequence: u16) -> Arrival {
        if let Some(run) = &mut self.current
            && run.ssrc == ssrc
        {
            let ahead = sequence.wrapping_sub(run.highest).cast_signed();
            if ahead.unsigned_abs() <= Self::JUMP.unsigned_abs() {
                return run.note(sequence, ahead, &mut self.losses);
            }
        }
        if let Some(run) = self.current.take() {
            self.lost_before += run.lost();
            self.expected_before += run.expected;
            run.settle(&mut self.losses);
        }
        self.last_transit = None;
        self.current = Some(Run { ssrc, highest: sequence, cycles: 0, expected: 1, received: 1, seen: 1 });
        Arrival::InOrder
    }

    /// Takes the transit time of an audio packet into the jitter.
    ///
    /// * `transit` — arrival minus timestamp in units of 1/8000 s, from any fixed origin.
    /// * `fresh` — the sender's clock was changed before this packet.
    pub fn transit(&mut self, transit: i64, fresh: bool) {
        // More than two seconds is a timestamp that went round, not the way.
        if let Some(last) = self.last_transit.replace(transit)
            && !fresh
            && (transit - last).abs() <= 16_000
        {
            let change = i32::try_from(transit - last).unwrap_or(i32::MAX);
            self.jitter = smooth_jitter(self.jitter, change);
        }
    }

    /// Packets that never came.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.current.as_ref().map_or(0, Run::lost)
    }

    /// Packets that should have come.
    pub fn expected(&self) -> u64 {
        self.expected_before + self.current.as_ref().map_or(0, |run| run.expected)
    }

    /// How what was lost was spread.
    pub fn losses(&self) -> Losses {
        let mut losses = self.losses;
        if let Some(run) = &self.current {
            run.settle(&mut losses);
        }
        losses
    }

    /// Of the stream that is heard now.
    pub fn progress(&self) -> Option<Progress> {
        let run = self.current.as_ref()?;
        let highest = u32::from(run.cycles) << 16 | u32::from(run.highest);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is no negative")]
        let jitter = self.jitter as u32;
        Some(Progress { ssrc: run.ssrc, highest, expected: run.expected, received: run.received, jitter })
    }

    /// Milliseconds.
    pub fn jitter_ms(&self) -> f64 {
        self.jitter / 8.0
    }
}

impl Losses {
    fn note(&mut self, came: bool) {
        if came {
            self.open = 0;
            return;
        }
        self.runs += u64::from(self.open == 0);
        self.packets += 1;
        self.open += 1;
        self.longest = self.longest.max(self.open);
    }
}

impl Run {
    /// Packets whose fate is still open.
    const OPEN: u64 = 128;

    fn note(&mut self, sequence: u16, ahead: i16, losses: &mut Losses) -> Arrival {
        if ahead > 0 {
            let steps = u32::from(ahead.unsigned_abs());
            for step in 0..steps {
                // What leaves the window has come by now or never will.
                if self.expected + u64::from(step) >= Self::OPEN {
                    losses.note(self.seen >> (Self::OPEN - 1) != 0);
                }
                self.seen <<= 1;
            }
            self.seen |= 1;
            self.cycles = self.cycles.wrapping_add(u16::from(sequence < self.highest));
            self.highest = sequence;
            self.expected += u64::from(steps);
            self.received += 1;
            return Arrival::InOrder;
        }
        match 1_u128.checked_shl(u32::from(ahead.unsigned_abs())) {
            Some(bit) if self.seen & bit == 0 => {
                self.seen |= bit;
                self.received += 1;
                // Before the first packet of the run: it was not expected either.
                self.expected = self.expected.max(u64::from(ahead.unsigned_abs()) + 1).max(self.received);
                Arrival::Reordered
            }
            _ => Arrival::Duplicate,
        }
    }

    /// Nothing more comes: decides the packets that are still open.
    fn settle(&self, losses: &mut Losses) {
        for back in (0..self.expected.min(Self::OPEN)).rev() {
            losses.note(self.seen >> back & 1 != 0);
        }
        losses.open = 0;
    }

    fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }
}

/// Smooths interarrival jitter the way receivers report it.
///
/// * `transit_delta` — change in relative transit time, in RTP timestamp units (125 µs each at 8 kHz).
/// * returns — the new estimate, same unit.
///
/// Source: RFC 3550 §6.4.1, gain 1/16.
fn smooth_jitter(estimate: f64, transit_delta: i32) -> f64 {
    estimate + (f64::from(transit_delta.unsigned_abs()) - estimate) / 16.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn loss_reordering_and_duplicates_are_counted_across_the_wrap() {
        use Arrival::{Duplicate as D, InOrder as I, Reordered as R};
        let mut sequence = Sequence::default();
        let heard: Vec<_> = [65_533, 65_534, 0, 65_535, 65_535, 3, 2].map(|number| sequence.note(1, number)).into();
        assert_eq!(heard, [I, I, I, R, D, I, R]);
        assert_eq!(sequence.lost(), 1, "only number 1 is missing");
    }

    #[test]
    fn a_new_source_begins_anew_and_keeps_what_was_lost_before() {
        let mut sequence = Sequence::default();
        for (ssrc, number) in [(1, 10), (1, 12), (2, 40_000), (2, 40_001), (2, 10)] {
            sequence.note(ssrc, number);
        }
        assert_eq!(sequence.lost(), 1);
    }

    #[test]
    fn runs_of_loss_are_counted_once_nobody_can_fill_them() {
        let mut sequence = Sequence::default();
        // Lost: 5, 10 to 14, 301; number 20 comes late.
        for number in (0..400_u16).filter(|it| ![5, 20, 301].contains(it) && !(10..15).contains(it)) {
            sequence.note(1, number.wrapping_add(65_500));
            if number == 40 {
                sequence.note(1, 20_u16.wrapping_add(65_500));
            }
        }
        let Losses { runs, packets, longest, .. } = sequence.losses();
        assert_eq!((runs, packets, longest), (3, 7, 5));
        assert_eq!((sequence.lost(), sequence.expected()), (7, 400));
        let progress = sequence.progress().expect("a stream");
        assert_eq!(progress.highest, (1 << 16) + 399 - 36, "one cycle");
        assert_eq!((progress.expected, progress.received), (400, 393));
    }

    #[test]
    fn even_arrival_has_no_jitter_and_uneven_has() {
        let mut sequence = Sequence::default();
        for _ in 0..100 {
            sequence.transit(5_000, false);
        }
        assert!(sequence.jitter_ms() < 1e-9);
        for step in 0..200 {
            sequence.transit(5_000 + (step % 2) * 80, false);
        }
        assert!((sequence.jitter_ms() - 10.0).abs() < 0.1, "80 units are 10 ms");
        sequence.transit(5_000 - (1 << 32), false);
        sequence.transit(6_000 - (1 << 32), true);
        assert!(sequence.jitter_ms() < 10.1, "the timestamp went round, and the sender's clock was changed");
    }

    proptest! {
        #[test]
        fn any_order_of_a_window_loses_nothing(
            start in any::<u16>(),
            order in Just((0..60_u16).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut sequence = Sequence::default();
            for step in &order {
                prop_assert_ne!(sequence.note(9, start.wrapping_add(*step)), Arrival::Duplicate);
            }
            prop_assert_eq!(sequence.lost(), 0);
            prop_assert_eq!(sequence.losses().packets, 0);
            for step in order {
                prop_assert_eq!(sequence.note(9, start.wrapping_add(step)), Arrival::Duplicate);
            }
        }
    }
}
