//! How well the two ends of a call could hear each other: an estimate from what RTP counts and RTCP reports.
//!
//! The E-model (ITU-T G.107) with all its settings but delay and loss at their defaults:
//!
//! ```text
//! R      = 93.2 − Id − Ie,eff
//! Id     = 0.024·d + 0.11·max(0, d − 177.3)            d: milliseconds from mouth to ear
//! Ie,eff = Ie + (95 − Ie)·P / (P/BurstR + Bpl)         P: packets that were not heard, per cent
//! MOS    = 1 + 0.035·R + R·(R − 60)·(100 − R)·7·10⁻⁶   1 below R = 0, 4.5 above R = 100
//! d      = 20 ms (a packet) + round trip / 2 + 2 · jitter (what a jitter buffer adds)
//! BurstR = mean run of losses · (1 − P/100), at least 1
//! ```
//!
//! Sources: G.107 (06/2015) §7 and annex B; Id as fitted by Cole and Rosenbluth, "Voice over IP performance monitoring"
//! (2001); G.113 appendix I: G.711 has Ie = 0 and Bpl = 4.3 where losses stay silent, 25.1 where they are concealed. We
//! conceal nothing in a recording; telephones do. It is an estimate of the line, not of noise, echo or accents.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Quality of a call's sound, estimated with the E-model (ITU-T G.107) from RTP counts and RTCP reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// What we heard of them; null when nothing came.
    pub heard: Option<Way>,
    /// What they heard of us, by their RTCP reports; null when they never reported.
    pub reported: Option<Way>,
    /// To them and back, milliseconds, mean of the call; null when their reports do not tell.
    pub round_trip_ms: Option<f64>,
}

/// One direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Way {
    /// Mean opinion score, 1 (bad) to 4.5 (excellent); 4.41 is the best that G.711 can do.
    pub mos: f64,
    /// Rating factor R of G.107; below 0 to 93.2.
    pub rating: f64,
    /// Packets that should have come.
    pub packets: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets more than 200 ms behind their time: recorded, but a listener would have missed them. Null where not known.
    pub late: Option<u64>,
    /// Interarrival jitter at the end of the call, milliseconds (RFC 3550 §6.4.1).
    pub jitter_ms: f64,
    /// The longest run of lost packets, milliseconds. Null where not known.
    pub longest_loss_ms: Option<u32>,
    /// How much losses came in bursts: 1 when they were scattered by chance (BurstR of G.107). Null where not known.
    pub burst_ratio: Option<f64>,
}

/// What is known of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub packets: u64,
    pub lost: u64,
    pub late: Option<u64>,
    /// Runs of lost packets.
    pub runs: Option<u64>,
    pub longest_loss_ms: Option<u32>,
    pub jitter_ms: f64,
}

/// What becomes of a lost packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is silence.
    Silent,
    /// The decoder makes up for it.
    Concealed,
}

impl Way {
    /// R without delay and loss.
    const BEST: f64 = 93.2;

    /// Rates a direction.
    ///
    /// * `round_trip_ms` — without it the way itself is taken to need no time.
    /// * returns — nothing where there were no packets.
    pub fn rate(figures: &Figures, loss: Loss, round_trip_ms: Option<f64>) -> Option<Self> {
        let Figures { packets, lost, late, runs, longest_loss_ms, jitter_ms } = *figures;
        if packets == 0 {
            return None;
        }
        let lost = lost.min(packets);
        let share = |count: u64| number(count.min(packets)) / number(packets);
        let burst_ratio = runs.map(|runs| {
            let run = if runs == 0 { 1.0 } else { number(lost) / number(runs) };
            (run * (1.0 - share(lost))).max(1.0)
        });
        let delay_ms = 20.0 + round_trip_ms.unwrap_or(0.0) / 2.0 + 2.0 * jitter_ms;
        let missed = share(lost.saturating_add(late.unwrap_or(0)));
        let rating = Self::BEST - of_delay(delay_ms) - of_loss(missed * 100.0, burst_ratio.unwrap_or(1.0), loss);
        Some(Self {
            mos: round(opinion(rating), 100.0),
            rating: round(rating, 10.0),
            packets,
            lost,
            late,
            jitter_ms: round(jitter_ms, 10.0),
            longest_loss_ms,
            burst_ratio: burst_ratio.map(|ratio| round(ratio, 100.0)),
        })
    }

    /// Share of packets that never came, 0 to 1.
    pub fn loss(&self) -> f64 {
        number(self.lost) / number(self.packets.max(1))
    }
}

/// Id.
fn of_delay(delay_ms: f64) -> f64 {
    0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0)
}

/// Ie,eff of G.711.
///
/// * `missed` — per cent.
fn of_loss(missed: f64, burst_ratio: f64, loss: Loss) -> f64 {
    let robustness = match loss {
        Loss::Silent => 4.3,
        Loss::Concealed => 25.1,
    };
    95.0 * missed / (missed / burst_ratio + robustness)
}

/// MOS of a rating.
///
/// Source: G.107 annex B.
fn opinion(rating: f64) -> f64 {
    let rating = rating.clamp(0.0, 100.0);
    // Just above 0 the curve dips below the scale.
    (1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6).max(1.0)
}

fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Counts of one call are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "see above")]
const fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(lost: u64, runs: u64, jitter_ms: f64, round_trip_ms: f64) -> Way {
        let figures = Figures { packets: 10_000, lost, runs: Some(runs), jitter_ms, ..Figures::default() };
        Way::rate(&figures, Loss::Silent, Some(round_trip_ms)).expect("packets")
    }

    /// Values of G.107 table B.1 and of the formulas above, worked out by hand.
    #[test]
    fn ratings_and_opinions_are_those_of_the_standard() {
        for (rating, expected) in [(93.2, 4.41), (90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((opinion(rating) - expected).abs() < 0.01, "R {rating}: {}", opinion(rating));
        }
        assert!((of_delay(100.0) - 2.4).abs() < 1e-9 && (of_delay(277.3) - 17.6552).abs() < 1e-9);
        assert!((of_loss(1.0, 1.0, Loss::Silent) - 95.0 / 5.3).abs() < 1e-9);
        assert!((of_loss(1.0, 1.0, Loss::Concealed) - 95.0 / 26.1).abs() < 1e-9);
    }

    #[test]
    fn a_clean_line_is_as_good_as_g_711_can_be() {
        let way = rate(0, 0, 0.0, 0.0);
        assert_eq!((way.mos, way.rating, way.burst_ratio), (4.4, 92.7, Some(1.0)));
    }

    #[test]
    fn losses_in_bursts_are_worse_than_the_same_number_scattered() {
        let (scattered, bursts) = (rate(300, 291, 0.0, 0.0), rate(300, 30, 0.0, 0.0));
        assert_eq!((scattered.burst_ratio, bursts.burst_ratio), (Some(1.0), Some(9.7)));
        assert!(bursts.mos < scattered.mos && scattered.mos < 3.3, "{scattered:?} {bursts:?}");
        assert!((bursts.loss() - 0.03).abs() < 1e-9);
    }

    #[test]
    fn what_comes_too_late_counts_as_missed_and_no_packets_are_no_rating() {
        let figures = Figures { packets: 1_000, late: Some(10), ..Figures::default() };
        let late = Way::rate(&figures, Loss::Silent, None).expect("packets");
        let lost = Figures { lost: 10, late: None, ..figures };
        let lost = Way::rate(&lost, Loss::Silent, None).expect("packets");
        assert!((late.mos - lost.mos).abs() < 1e-9 && late.mos < 3.9, "{late:?} {lost:?}");
        assert_eq!(Way::rate(&Figures::default(), Loss::Silent, None), None);
    }

    proptest! {
        #[test]
        fn every_score_is_on_the_scale_and_worse_is_never_better(
            packets in 1_u64..1_000_000, lost in 0_u64..2_000_000, late in 0_u64..2_000_000, runs in 0_u64..1_000,
            jitter_ms in 0.0..10_000.0, round_trip_ms in 0.0..60_000.0,
        ) {
            let figures = Figures { packets, lost, late: Some(late), runs: Some(runs), longest_loss_ms: None, jitter_ms };
            let way = Way::rate(&figures, Loss::Silent, Some(round_trip_ms)).expect("packets");
            prop_assert!((1.0..=4.5).contains(&way.mos), "{:?}", way);
            let slower = Way::rate(&figures, Loss::Silent, Some(round_trip_ms + 50.0)).expect("packets");
            prop_assert!(slower.rating <= way.rating);
            let more = Figures { late: Some(late + packets / 10), ..figures };
            prop_assert!(Way::rate(&more, Loss::Silent, Some(round_trip_ms)).expect("packets").rating <= way.rating);
        }
    }
}
