//! What a load comes to.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use tokio::time::Instant;

use super::{
    ALIKE, LoadSpec,
    caller::{Caller, End},
    media::Ended,
};

/// Most lines about single calls.
const MOST_LINES: usize = 10_000;

/// How it stands, once a second.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub begun: usize,
    pub total: usize,
    /// Calls that ring, talk or hang up.
    pub up: usize,
    pub answered: u64,
    pub refused: u64,
    pub failed: u64,
    pub passed: Duration,
}

/// Times in milliseconds, to a hundredth.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Delays {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// How a load went.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    pub begun: usize,
    pub answered: u64,
    /// Answered, held for their length, and our BYE was answered with 200.
    pub completed: u64,
    /// Final answers of 300 and above to the INVITE.
    pub refused: BTreeMap<u16, u64>,
    /// Why calls failed; a call may fail for its sound too.
    pub failed: BTreeMap<String, u64>,
    /// Most calls that talked at once.
    pub most_up: usize,
    /// From the INVITE to its 200.
    pub setup_ms: Delays,
    /// INVITEs and BYEs sent again.
    pub repeated: u64,
    /// Messages `rsip` could not read.
    pub malformed: u64,
    pub packets_sent: u64,
    /// Not sent on purpose.
    pub packets_withheld: u64,
    pub packets_received: u64,
    /// Never came although later ones did.
    pub packets_lost: u64,
    /// Times at which one or more were missing.
    pub gaps: u64,
    /// Came twice or after a later one.
    pub packets_late: u64,
    /// Came from an address that the call does not talk to.
    pub packets_strange: u64,
    /// Packets of RTCP that came.
    pub reports_received: u64,
    pub seconds_heard: f64,
    /// Calls that were answered and heard nothing at all.
    pub silent_calls: u64,
    /// How much what was heard is like what the far side plays; only where that is known.
    pub heard_correlation: Option<Correlation>,
    /// How late our own thread was at most; above 20 ms the figures tell of this machine, not of the far side.
    pub own_delay_ms: f64,
    pub took_s: f64,
    /// Whether every call was as it should be.
    pub good: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<EachCall>,
}

/// Of all calls that were compared.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Correlation {
    pub calls: usize,
    pub least: f64,
    pub median: f64,
}

/// One call of a load.
#[derive(Clone, Debug, Serialize)]
pub struct EachCall {
    pub from: String,
    pub call_id: String,
    /// `completed`, `refused 503` or why it failed.
    pub end: String,
    pub setup_ms: Option<f64>,
    pub packets_sent: u64,
    pub packets_withheld: u64,
    pub packets_received: u64,
    pub packets_lost: u64,
    /// Frame of 20 ms with which it began to say what all calls say.
    pub said_from: usize,
    pub heard_correlation: Option<f64>,
}

pub(super) struct Tally {
    started: Instant,
    pub(super) begun: usize,
    pub(super) answered: u64,
    pub(super) malformed: u64,
    talking: usize,
    /// Microseconds.
    setups: Vec<u32>,
    correlations: Vec<f32>,
    report: LoadReport,
}

impl Tally {
    pub(super) fn new(spec: &LoadSpec, started: Instant) -> Self {
        Self {
            started,
            begun: 0,
            answered: 0,
            malformed: 0,
            talking: 0,
            setups: Vec::with_capacity(spec.total.min(1_000_000)),
            correlations: Vec::new(),
            report: LoadReport {
                begun: 0,
                answered: 0,
                completed: 0,
                refused: BTreeMap::new(),
                failed: BTreeMap::new(),
                most_up: 0,
                setup_ms: Delays::default(),
                repeated: 0,
                malformed: 0,
                packets_sent: 0,
                packets_withheld: 0,
                packets_received: 0,
                packets_lost: 0,
                gaps: 0,
                packets_late: 0,
                packets_strange: 0,
                reports_received: 0,
                seconds_heard: 0.0,
                silent_calls: 0,
                heard_correlation: None,
                own_delay_ms: 0.0,
                took_s: 0.0,
                good: false,
                each: Vec::new(),
            },
        }
    }

    pub(super) fn answered(&mut self, setup: Duration) {
        self.answered += 1;
        self.talking += 1;
        self.report.most_up = self.report.most_up.max(self.talking);
        self.setups.push(u32::try_from(setup.as_micros()).unwrap_or(u32::MAX));
    }

    /// A call is over.
    ///
    /// * `sound` — what it heard, if it was answered.
    pub(super) fn over(
        &mut self,
        spec: &LoadSpec,
        from: &str,
        caller: &Caller,
        end: End,
        sound: Option<(&Ended, Option<f64>)>,
    ) {
        let report = &mut self.report;
        report.repeated += u64::from(caller.repeated);
        let mut fail = |why: &str| *report.failed.entry(why.to_owned()).or_default() += 1;
        let words = match end {
            End::Completed => "completed".to_owned(),
            End::Refused(status) => format!("refused {status}"),
            End::Failed(why) => {
                fail(why);
                why.to_owned()
            }
        };
        let correlation = sound.and_then(|(_, correlation)| correlation);
        if correlation.is_some_and(|found| found < ALIKE) {
            fail("heard another sound than expected");
        }
        if end == End::Completed && sound.is_some_and(|(ended, _)| ended.heard.received == 0) {
            fail("heard nothing");
            report.silent_calls += 1;
        }
        match end {
            End::Completed => report.completed += 1,
            End::Refused(status) => *report.refused.entry(status).or_default() += 1,
            End::Failed(_) => {}
        }
        let heard = sound.map(|(ended, _)| &ended.heard);
        if let Some((ended, _)) = sound {
            self.talking = self.talking.saturating_sub(1);
            let heard = &ended.heard;
            report.packets_sent += heard.sent;
            report.packets_withheld += heard.withheld;
            report.packets_received += heard.received;
            report.packets_lost += heard.lost;
            report.gaps += heard.gaps;
            report.packets_late += heard.late;
            report.packets_strange += heard.strangers;
            report.reports_received += heard.reports;
            report.own_delay_ms = report.own_delay_ms.max(milliseconds(ended.latest));
        }
        #[expect(clippy::cast_possible_truncation, reason = "three digits of a correlation are enough")]
        self.correlations.extend(correlation.map(|found| found as f32));
        if spec.each && report.each.len() < MOST_LINES {
            report.each.push(EachCall {
                from: from.to_owned(),
                call_id: caller.call_id().to_owned(),
                end: words,
                setup_ms: caller.setup.map(milliseconds),
                packets_sent: heard.map_or(0, |heard| heard.sent),
                packets_withheld: heard.map_or(0, |heard| heard.withheld),
                packets_received: heard.map_or(0, |heard| heard.received),
                packets_lost: heard.map_or(0, |heard| heard.lost),
                said_from: heard.map_or(0, |heard| heard.frame),
                heard_correlation: correlation,
            });
        }
    }

    pub(super) fn progress(&self, total: usize, up: usize, now: Instant) -> Progress {
        Progress {
            begun: self.begun,
            total,
            up,
            answered: self.answered,
            refused: self.report.refused.values().sum(),
            failed: self.report.failed.values().sum(),
            passed: now - self.started,
        }
    }

    pub(super) fn report(mut self, spec: &LoadSpec, now: Instant) -> LoadReport {
        let mut report = self.report;
        report.begun = self.begun;
        report.answered = self.answered;
        report.malformed = self.malformed;
        report.setup_ms = delays(&mut self.setups);
        report.seconds_heard = Duration::from_millis(report.packets_received.saturating_mul(20)).as_secs_f64();
        report.heard_correlation = correlation(&mut self.correlations);
        report.took_s = milliseconds(now - self.started) / 1_000.0;
        report.good =
            report.failed.is_empty() && (spec.may_refuse || report.refused.is_empty()) && report.malformed == 0;
        report
    }
}

fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 100_000.0).round() / 100.0
}

/// Nearest rank: p99 is the smallest time that 99 of 100 calls did not exceed.
fn delays(setups: &mut [u32]) -> Delays {
    setups.sort_unstable();
    let rank = |percent: usize| {
        let index = (setups.len() * percent).div_ceil(100).saturating_sub(1);
        setups.get(index).map_or(0.0, |micros| milliseconds(Duration::from_micros(u64::from(*micros))))
    };
    Delays { p50: rank(50), p95: rank(95), p99: rank(99), max: rank(100) }
}

fn correlation(all: &mut [f32]) -> Option<Correlation> {
    all.sort_unstable_by(f32::total_cmp);
    let round = |value: f32| (f64::from(value) * 1_000.0).round() / 1_000.0;
    Some(Correlation { calls: all.len(), least: round(*all.first()?), median: round(*all.get(all.len() / 2)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_by_nearest_rank() {
        let mut setups: Vec<u32> = (1..=200).rev().map(|index| index * 1_000).collect();
        let found = delays(&mut setups);
        assert_eq!((found.p50, found.p95, found.p99, found.max), (100.0, 190.0, 198.0, 200.0));
        assert!(delays(&mut []).max.abs() < f64::EPSILON);
    }
}
