//! `hotline audit …`: the chain of who read, revealed, exported, logged in and changed rights.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::Subcommand;

use super::{Cli, WrongUse, progress::Progress};
use crate::{
    audit::{self, Auditor},
    clock::Clock,
    config::Settings,
    domain::audit::SignedHead,
    recording::Papers,
    store::Store,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Checks every entry and every signed head; names the first thing that does not fit.
    Verify {
        /// A signed head that was kept elsewhere; may be given several times.
        #[arg(long = "head", value_name = "FILE")]
        heads: Vec<PathBuf>,
    },
    /// Signs the head of the day, unless that was done, writes it beside the recordings and prints it.
    Export,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    match command {
        Command::Verify { heads } => {
            let kept = heads.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
            let mut progress = Progress::new();
            let verified = super::on_store(&settings, async |store| {
                let auditor = auditor(&settings, store)?;
                Ok(auditor.verify(kept, |done, all| progress.bar("checking the audit", done, all)).await?)
            });
            progress.clear();
            let verified = verified?;
            println!("audit: {} entries and {} signed heads hold", verified.entries, verified.heads);
        }
        Command::Export => {
            match super::on_store(&settings, async |store| Ok(auditor(&settings, store)?.export().await?))? {
                Some(head) => print!("{}", audit::text(&head)),
                None => println!("audit: there are no entries yet"),
            }
        }
    }
    Ok(())
}

fn auditor(settings: &Settings, store: Store) -> anyhow::Result<Auditor> {
    let keys = audit::existing_keys(&settings.vault.keys, Clock::system())?;
    Ok(Auditor::new(store, Papers::open(&settings.storage)?, keys))
}

fn read(file: &PathBuf) -> anyhow::Result<SignedHead> {
    let text = fs::read_to_string(file).with_context(|| format!("--head: {}", file.display()))?;
    let wrong = |error| WrongUse(format!("--head: {} is no signed head: {error}", file.display()));
    Ok(serde_json::from_str(&text).map_err(wrong)?)
}
