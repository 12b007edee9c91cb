//! `sip-test misbehave`.

use clap::{Args, builder::PossibleValuesParser};
use sip_test::{Misdeed, Outcome, PhoneError};
use tokio::task::JoinSet;

use crate::{address, print};

/// Does what no phone should and tells whether the server answered as it has to.
///
/// NAME is one of the list below, or `all`: then all are done at once, those for TCP only with --tcp. Exit code 0 if
/// the server did right, 1 with what came instead. The longest take 45 seconds.
#[derive(Debug, Args)]
#[command(after_help = list())]
pub(crate) struct Misbehave {
    /// What to do.
    #[arg(value_parser = PossibleValuesParser::new(names()), hide_possible_values = true)]
    name: String,
    /// Whom to do it to, for instance sip:12345@127.0.0.1:5060.
    #[arg(long)]
    to: String,
    /// Over TCP.
    #[arg(long)]
    tcp: bool,
    /// Prints a JSON object for each.
    #[arg(long)]
    json: bool,
}

impl Misbehave {
    pub(crate) async fn run(self) -> Result<bool, PhoneError> {
        let deeds: Vec<Misdeed> = match Misdeed::named(&self.name) {
            Some(deed) => vec![deed],
            None => Misdeed::ALL.into_iter().filter(|deed| self.tcp || !deed.needs_tcp()).collect(),
        };
        let to = address(self.to, self.tcp);
        let mut all = JoinSet::new();
        for deed in deeds {
            let to = to.clone();
            all.spawn(async move { sip_test::misbehave(deed, &to).await });
        }
        let mut good = true;
        while let Some(done) = all.join_next().await {
            let Ok(outcome) = done else { return Ok(false) };
            let outcome = outcome?;
            good &= outcome.good;
            print(&if self.json { serde_json::json!(outcome).to_string() } else { in_words(&outcome) });
        }
        Ok(good)
    }
}

fn in_words(outcome: &Outcome) -> String {
    let Outcome { name, deed, right, came, good } = outcome;
    let verdict = if *good { "right" } else { "WRONG" };
    format!("{verdict}  {name}: {deed}\n       wanted: {right}\n       came:   {came}")
}

fn names() -> Vec<&'static str> {
    Misdeed::ALL.into_iter().map(Misdeed::name).chain(["all"]).collect()
}

fn list() -> String {
    let lines = Misdeed::ALL.into_iter().map(|deed| {
        let tcp = if deed.needs_tcp() { " (TCP)" } else { "" };
        format!("  {:<19} {}{tcp}\n  {:<19} wants {}\n", deed.name(), deed.deed(), "", deed.right())
    });
    format!("Names:\n{}", lines.collect::<String>())
}
