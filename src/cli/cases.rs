//! `hotline cases …`: views of the cases' histories.

use std::{
    io::{Write, stdout},
    sync::Arc,
};

use anyhow::bail;
use clap::Subcommand;

use super::{Cli, progress::Progress};
use crate::cases::{self, Cases, Rebuild};

/// Corrections read at once.
const AT_ONCE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes rows, units, search words and corrections anew from the events; safe while the line runs.
    Rebuild {
        /// Only compares; exit code 1 names the first case that differs.
        #[arg(long)]
        check: bool,
    },
    /// Prints what was heard and what the operators meant, one JSON object a line, oldest first.
    Corrections {
        /// Only this field's, for instance `category`.
        #[arg(long)]
        field: Option<String>,
    },
}

pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Rebuild { check } => rebuild(cli, *check),
        Command::Corrections { field } => corrections(cli, field.as_deref()),
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn rebuild(cli: &Cli, check: bool) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    let mut progress = Progress::new();
    let (what, doing) =
        if check { (Rebuild::Check, "comparing cases") } else { (Rebuild::All, "making views of cases anew") };
    let done = super::on_store(&settings, async |store| {
        Ok(cases::rebuild(&store, what, |done, total| progress.bar(doing, done, total)).await?)
    });
    progress.clear();
    let done = done?;
    match (&done.first, check) {
        (Some((case, part)), true) => {
            bail!(
                "case {case}: its {part} is not what its events say; {} of {} cases differ; run `hotline cases rebuild`",
                done.differed,
                done.cases
            )
        }
        (None, true) => println!("cases compared: {}, all as their events say", done.cases),
        (_, false) => println!("cases: {}, made anew: {}", done.cases, done.differed),
    }
    Ok(())
}

fn corrections(cli: &Cli, field: Option<&str>) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    let city = Arc::new(settings.load_city()?);
    super::on_store(&settings, async |store| {
        let cases = Cases::new(store, city)?;
        cases.corrections_given(None, field).await?;
        let (mut out, mut after) = (stdout().lock(), None);
        loop {
            let (page, next) = cases.corrections(field, after.as_ref(), AT_ONCE).await?;
            for correction in page {
                writeln!(out, "{}", serde_json::to_string(&correction)?)?;
            }
            after = next;
            if after.is_none() {
                return Ok(());
            }
        }
    })
}
