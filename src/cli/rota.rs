//! `hotline rota …`: officials' turns on the lines.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use jiff::{ToSpan, civil::Date};
use serde::Deserialize;

use super::{Cli, WrongUse};
use crate::{
    domain::{
        calendar::local,
        rota::{DayPlan, TurnPlan, day},
    },
    users::{By, UserError, Users},
};

/// Bytes of a file; a hundred turns have about twenty thousand.
const LARGEST: u64 = 1024 * 1024;
/// Days that are shown, the first included.
const DAYS: i64 = 7;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Puts a day's turns in the place of those that were there.
    ///
    /// The file holds `date` and `turns`, each with person (name of an account with the role `duty_official`), rank, from, to
    /// and, if there are any, desk and topics.
    Import { file: PathBuf },
    /// Prints the turns of a week.
    Show {
        /// The first day, `2026-11-27`; today unless it is named.
        from: Option<Date>,
    },
}

/// What a file holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rota {
    date: String,
    turns: Vec<TurnPlan>,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    match command {
        Command::Import { file } => {
            let Rota { date, turns } = read(file)?;
            let wrong = || WrongUse(format!("{}: date: `{date}` is no day such as 2026-11-27", file.display()));
            let date: Date = date.parse().map_err(|_| wrong())?;
            let desks: Vec<_> = settings.acd.desks.iter().map(|desk| desk.id.as_str().into()).collect();
            // Without any there is the one that the line makes by itself.
            let desks = Some(desks).filter(|desks| !desks.is_empty());
            let people = settings.people.clone();
            let turns = super::on_store(&settings, async |store| {
                let users = Users::new(store, &people);
                let turns = users.set_rota(&By::machine(), date, DayPlan { turns }, desks.as_deref()).await;
                turns.map_err(|error| match error {
                    UserError::Rota(error) => WrongUse(format!("{}: {error}", file.display())).into(),
                    error => anyhow::Error::new(error),
                })
            })?;
            println!("{date}: {} turns", turns.len());
        }
        Command::Show { from } => {
            let turns = super::on_store(&settings, async |store| {
                let from = from.unwrap_or_else(|| local(store.clock().now()).date());
                let last = from.saturating_add((DAYS - 1).days());
                let (begin, _) = day(from).context("no day of the calendar")?;
                let (_, end) = day(last).context("no day of the calendar")?;
                Ok(store.turns(begin, end).await?)
            })?;
            for turn in turns {
                let (starts, ends) = (local(turn.starts), local(turn.ends));
                let desk = turn.desk.map_or_else(|| "all desks".into(), |desk| desk.to_string());
                let topics = turn.topics.join("、");
                println!(
                    "{} {}-{}\t{}\t{}\t{desk}\t{topics}",
                    starts.date(),
                    starts.strftime("%H:%M"),
                    ends.strftime("%H:%M"),
                    turn.name,
                    turn.rank
                );
            }
        }
    }
    Ok(())
}

fn read(file: &PathBuf) -> anyhow::Result<Rota> {
    let wrong = |problem: String| WrongUse(format!("{}: {problem}", file.display()));
    let size = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
    if size > LARGEST {
        return Err(wrong(format!("{size} bytes are no day's rota")).into());
    }
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut json = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| wrong(error.to_string()).into())
}
