//! From what a leg counted to what the books say of a call's sound.

use crate::{
    domain::quality::{Figures, Loss, Quality, Way},
    media::LegStats,
};

/// Rates both directions of a leg.
///
/// * returns — nothing for a call without a packet either way.
pub(super) fn rate(stats: &LegStats) -> Option<Quality> {
    let heard = &stats.heard;
    let round_trip_ms = stats.reported.and_then(|reported| reported.round_trip_ms);
    let figures = Figures {
        packets: heard.expected,
        lost: heard.lost,
        late: Some(heard.late),
        runs: Some(heard.loss_runs),
        longest_loss_ms: Some(heard.longest_loss_ms),
        jitter_ms: f64::from(heard.jitter_ms),
    };
    let reported = stats.reported.and_then(|reported| {
        let (lost, jitter_ms) = (reported.lost, reported.jitter_ms);
        let figures = Figures { packets: stats.sent, lost, jitter_ms, ..Figures::default() };
        Way::rate(&figures, Loss::Concealed, round_trip_ms)
    });
    let heard = Way::rate(&figures, Loss::Silent, round_trip_ms);
    let round_trip_ms = round_trip_ms.map(|ms| (ms * 10.0).round() / 10.0);
    (heard.is_some() || reported.is_some()).then_some(Quality { heard, reported, round_trip_ms })
}

/// Adds a call that is over to the metrics.
pub(super) fn measure(quality: &Quality) {
    for (direction, way) in [("heard", &quality.heard), ("reported", &quality.reported)] {
        let Some(way) = way else { continue };
        metrics::histogram!("hotline_call_mos", "direction" => direction).record(way.mos);
        metrics::histogram!("hotline_call_loss_ratio", "direction" => direction).record(way.loss());
        metrics::histogram!("hotline_call_jitter_seconds", "direction" => direction).record(way.jitter_ms / 1_000.0);
    }
    if let Some(ms) = quality.round_trip_ms {
        metrics::histogram!("hotline_call_round_trip_seconds").record(ms / 1_000.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Reported, StreamStats};

    #[test]
    fn both_directions_are_rated_and_a_call_without_packets_is_not() {
        assert_eq!(rate(&LegStats::default()), None);
        let heard = StreamStats {
            expected: 1_000,
            received: 990,
            lost: 10,
            loss_runs: 5,
            longest_loss_ms: 60,
            ..StreamStats::default()
        };
        let reported = Some(Reported { lost: 20, jitter_ms: 4.0, round_trip_ms: Some(80.04) });
        let quality = rate(&LegStats { heard: heard.clone(), reported, sent: 1_000, send_failed: 0 }).expect("packets");
        let (ours, theirs) = (quality.heard.expect("heard"), quality.reported.expect("reported"));
        assert_eq!(
            (ours.packets, ours.lost, ours.longest_loss_ms, ours.burst_ratio),
            (1_000, 10, Some(60), Some(1.98))
        );
        assert_eq!((theirs.packets, theirs.lost, theirs.late, theirs.jitter_ms), (1_000, 20, None, 4.0));
        assert!(theirs.mos > ours.mos, "a telephone conceals: {theirs:?} {ours:?}");
        assert_eq!(quality.round_trip_ms, Some(80.0));
        let quality = rate(&LegStats { heard, ..LegStats::default() }).expect("packets");
        assert!(quality.reported.is_none() && quality.round_trip_ms.is_none());
    }
}
