//! `sip-test fuzz`.

use std::path::PathBuf;

use clap::Args;
use sip_test::{FuzzSpec, PhoneError, read_torture};

use super::Ticker;
use crate::print;

/// Sends damaged packets of SIP, SDP, RTP, RTCP and STUN to a server and asks all the while whether it is still there.
///
/// One call is kept up. Exit code 0 if every OPTIONS between the mutants was answered with 200. The same seed damages
/// in the same way. Only for a server of your own.
///
/// Example: sip-test fuzz --to sip:12345@127.0.0.1:5060 --packets 200000 --corpus tests/torture
#[derive(Debug, Args)]
pub(crate) struct Fuzz {
    /// Whom to send them to, for instance sip:12345@127.0.0.1:5060.
    #[arg(long)]
    to: String,
    #[arg(long, default_value_t = 20_000)]
    packets: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A torture folder: its messages are damaged too.
    #[arg(long)]
    corpus: Option<PathBuf>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Fuzz {
    pub(crate) async fn run(self) -> Result<bool, PhoneError> {
        let messages = self.corpus.map(|folder| read_torture(&folder)).transpose()?.unwrap_or_default();
        let corpus = messages.into_iter().map(|message| message.bytes).collect();
        let (mut ticker, mut told) = (Ticker::default(), 0);
        let spec = FuzzSpec { to: self.to, packets: self.packets, seed: self.seed, corpus };
        let report = sip_test::fuzz(spec, |sent| {
            if sent / 1_000 > told {
                told = sent / 1_000;
                ticker.tell(&format!("{sent} of {} mutants", self.packets));
            }
        })
        .await?;
        drop(ticker);
        if self.json {
            print(&serde_json::json!(report).to_string());
        } else {
            let verdict = if report.alive { "and the server is there" } else { "and the server does NOT answer" };
            print(&format!(
                "sent {:?}\nanswers {:?}\n{} calls kept up, {} OPTIONS between, slowest {} ms, {verdict}",
                report.sent, report.answers, report.calls, report.pings, report.slowest_ping_ms
            ));
        }
        Ok(report.alive)
    }
}
