//! `sip-test torture`.

use std::path::PathBuf;

use clap::Args;
use sip_test::{PhoneError, TortureReport, read_torture};

use crate::{address, print};

/// Plays a folder of raw messages to a server and judges the answers by the folder's index.tsv.
///
/// After each message the server has to answer an OPTIONS. Prints what is wrong, and every message with --json. Exit
/// code 0 if all were answered as allowed. Messages are in NAME.sip or NAME.dat; answers are awaited on the port in
/// their Via. Over TCP a message whose end only its datagram tells may also hear 400, 413, 513, or nothing.
///
/// Example: sip-test torture tests/torture --to sip:12345@127.0.0.1:5060 --strict
#[derive(Debug, Args)]
pub(crate) struct Torture {
    folder: PathBuf,
    /// Whom to send them to, for instance sip:12345@127.0.0.1:5060.
    #[arg(long)]
    to: String,
    /// Over TCP, each message on a connection of its own.
    #[arg(long)]
    tcp: bool,
    /// Silence is wrong where an answer may come.
    #[arg(long)]
    strict: bool,
    /// Prints a JSON object for each message.
    #[arg(long)]
    json: bool,
}

impl Torture {
    pub(crate) async fn run(self) -> Result<bool, PhoneError> {
        let all = read_torture(&self.folder)?;
        let (to, mut wrong) = (address(self.to, self.tcp), 0);
        for message in &all {
            let report = sip_test::torture(&to, message, self.strict).await?;
            wrong += usize::from(!report.good);
            if self.json {
                print(&serde_json::json!(report).to_string());
            } else if !report.good {
                print(&in_words(&report));
            }
        }
        if !self.json {
            print(&format!("{} messages, {wrong} answered wrongly", all.len()));
        }
        Ok(wrong == 0)
    }
}

fn in_words(report: &TortureReport) -> String {
    let dead = if report.alive { "" } else { "; the server does not answer OPTIONS any more" };
    format!("WRONG  {} ({}): came {:?}, allowed {}{dead}", report.name, report.what, report.came, report.allowed)
}
