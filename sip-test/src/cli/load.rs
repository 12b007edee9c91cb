//! `sip-test load`.

use std::{collections::BTreeMap, fmt::Display, path::PathBuf, time::Duration};

use clap::Args;
use sip_test::{Expect, Faults, LoadReport, LoadSpec, PhoneError, audio};

use super::Ticker;
use crate::{Channel, Law, address, print};

/// Makes many calls at once and reports how they went.
///
/// --calls is how many are up at once, --rate how many are begun a second, --seconds how long each talks; --total is
/// how many are made in all, by default each of --calls once. So `--calls 100 --rate 20 --seconds 60` makes a hundred
/// calls that are all up after five seconds, and `--calls 50 --total 3000 --rate 25 --seconds 2` makes calls for two
/// minutes. Exit code 0 only if every call was answered, heard sound and ended as it should.
///
/// Example: sip-test load --to sip:12345@127.0.0.1:5060 --calls 100 --rate 20 --seconds 60 --play call.wav --loss 0.05
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
pub(crate) struct Load {
    /// Whom to call, for instance sip:12345@127.0.0.1:5060.
    #[arg(long)]
    to: String,
    /// Calls up at once.
    #[arg(long, default_value_t = 10, value_parser = number(1, sip_test::load::MOST_CALLS))]
    calls: u64,
    /// Calls in all [default: as many as --calls].
    #[arg(long, value_parser = number(1, sip_test::load::MOST_TOTAL))]
    total: Option<u64>,
    /// Calls begun a second.
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// How long each call talks, from its answer on.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    seconds: u64,
    /// WAV file that is said round and round, each call from a place of its own; silence without one.
    #[arg(long)]
    play: Option<PathBuf>,
    /// Channel of a stereo file.
    #[arg(long, value_enum, default_value = "left")]
    channel: Channel,
    /// WAV file the far side plays from its answer on, or `echo` if it says back what it hears: what is heard is
    /// compared with it.
    #[arg(long)]
    expect: Option<String>,
    /// Share of packets that are not sent, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    loss: f64,
    /// Longest delay put on a packet, milliseconds; packets keep their order.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    jitter: u64,
    /// Share of packets that are sent after their successor, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    reorder: f64,
    /// Share of packets that are sent twice, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    duplicate: f64,
    /// The same seed loses the same packets.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first call; the next call has the next one.
    #[arg(long, default_value = "13800000000")]
    from: String,
    /// Offers this codec alone.
    #[arg(long, value_enum)]
    codec: Option<Law>,
    /// One TCP connection for all calls instead of UDP.
    #[arg(long)]
    tcp: bool,
    /// A refusal is counted, but is no failure: for tests of a line that is full.
    #[arg(long)]
    may_refuse: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    /// With --json: adds a line for each of the first 10,000 calls.
    #[arg(long, requires = "json")]
    each: bool,
}

impl Load {
    pub(crate) async fn run(self) -> Result<bool, PhoneError> {
        let side = self.channel.side();
        let spec = LoadSpec {
            from: self.from,
            calls: usize::try_from(self.calls).unwrap_or(usize::MAX),
            total: usize::try_from(self.total.unwrap_or(self.calls)).unwrap_or(usize::MAX),
            rate: self.rate,
            length: Duration::from_secs(self.seconds),
            play: self.play.map(|path| audio::read(&path, side)).transpose()?.unwrap_or_default(),
            expect: match self.expect.as_deref() {
                None => Expect::Anything,
                Some("echo") => Expect::Echo,
                Some(path) => Expect::Sound(audio::read(path.as_ref(), audio::Side::Left)?),
            },
            faults: Faults { seed: self.seed, loss: self.loss, reorder: self.reorder, duplicate: self.duplicate },
            jitter: Duration::from_millis(self.jitter),
            codec: self.codec.map(Law::codec),
            may_refuse: self.may_refuse,
            each: self.each,
            ..LoadSpec::new(address(self.to, self.tcp))
        };
        let mut ticker = Ticker::default();
        let report = sip_test::load(spec, |now| {
            ticker.tell(&format!(
                "{:>4.0} s: {} of {} calls begun, {} up, {} answered, {} refused, {} failed",
                now.passed.as_secs_f64(),
                now.begun,
                now.total,
                now.up,
                now.answered,
                now.refused,
                now.failed,
            ));
        })
        .await?;
        drop(ticker);
        print(&if self.json { serde_json::json!(report).to_string() } else { in_words(&report) });
        Ok(report.good)
    }
}

fn in_words(report: &LoadReport) -> String {
    let setup = report.setup_ms;
    let mut text = format!(
        "calls     {} begun, {} answered, {} completed, {} at once at most, {:.1} s in all\n\
         refused   {}\n\
         failed    {}\n\
         set-up    p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms, max {:.2} ms; {} requests sent again\n\
         said      {} packets sent, {} withheld on purpose\n\
         heard     {} packets ({:.1} s), {} lost in {} gaps, {} late or double, {} from strangers, {} reports\n",
        report.begun,
        report.answered,
        report.completed,
        report.most_up,
        report.took_s,
        counts(&report.refused),
        counts(&report.failed),
        setup.p50,
        setup.p95,
        setup.p99,
        setup.max,
        report.repeated,
        report.packets_sent,
        report.packets_withheld,
        report.packets_received,
        report.seconds_heard,
        report.packets_lost,
        report.gaps,
        report.packets_late,
        report.packets_strange,
        report.reports_received,
    );
    if let Some(found) = report.heard_correlation {
        let line = format!(
            "alike     correlation of what was heard with what is expected: least {:.3}, median {:.3} of {} calls\n",
            found.least, found.median, found.calls
        );
        text.push_str(&line);
    }
    let busy = ": this machine was too busy, the figures tell of it and not of the far side";
    let verdict = if report.own_delay_ms > 20.0 { busy } else { "" };
    format!("{text}own delay {:.1} ms at most{verdict}", report.own_delay_ms)
}

fn counts<K: Display>(all: &BTreeMap<K, u64>) -> String {
    if all.is_empty() {
        return "none".into();
    }
    all.iter().map(|(what, count)| format!("{count} × {what}")).collect::<Vec<_>>().join("; ")
}

fn number(least: u64, most: usize) -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(least..=u64::try_from(most).unwrap_or(u64::MAX))
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    (0.0..=1.0).contains(&value).then_some(value).ok_or_else(|| "is not between 0 and 1".into())
}

fn rate(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    (0.01..=10_000.0).contains(&value).then_some(value).ok_or_else(|| "is not between 0.01 and 10000".into())
}
