//! `hotline calendar …`: which days are worked, and a new year of the State Council's.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Subcommand;

use super::{Cli, WrongUse, progress::Progress};
use crate::{
    cases::{CaseError, Cases},
    domain::{
        calendar::{CalendarError, DayKind},
        year::YearPlan,
    },
    jobs::Queue,
    store::{Recalculation, RecalculationState, Store},
};

/// Bytes of a year's file; a real one has about two thousand.
const LARGEST: u64 = 256 * 1024;
/// How often a command looks how far the running line is.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Puts a year into force and brings the dates of open cases to it.
    ///
    /// The file holds what the notice says, with the keys of `calendar.years` in the city's file: year, source, holidays (each
    /// with name, from and to), `makeup_workdays`.
    Import { file: PathBuf },
    /// Prints the days of a year that differ from the week's pattern.
    Show { year: i16 },
}

pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    let city = Arc::new(settings.load_city()?);
    match command {
        Command::Import { file } => {
            let plan = read(file)?;
            super::on_store(&settings, async |store| import(&Cases::new(store.clone(), city)?, store, &plan).await)
        }
        Command::Show { year } => {
            super::on_store(&settings, async |store| show(&Cases::new(store, city)?, *year).await)
        }
    }
}

fn read(file: &PathBuf) -> anyhow::Result<YearPlan> {
    let wrong = |problem: String| WrongUse(format!("{}: {problem}", file.display()));
    let size = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
    if size > LARGEST {
        return Err(wrong(format!("{size} bytes are no year's calendar")).into());
    }
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut json = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| wrong(error.to_string()).into())
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
async fn import(cases: &Cases, store: Store, plan: &YearPlan) -> anyhow::Result<()> {
    // Years of the settings come first, so that the import stands above them.
    cases.adopt_years().await?;
    let imported = cases.import_year(plan, None).await.map_err(usage)?;
    if !imported.is_new {
        println!("{}: in force already, as revision {}", plan.year, imported.revision);
        return Ok(());
    }
    let (queue, mut progress) = (Queue::new(store), Progress::new());
    let end = loop {
        // A line that runs may have taken the job; then this waits for it.
        let tell =
            |now: &Recalculation| progress.say(&format!("open cases looked at: {}", now.changed + now.unchanged));
        let took = cases.recalculate_next(&queue, tell).await?;
        let now = cases.recalculation(imported.revision).await?.context("the year that was just imported is gone")?;
        if now.state != RecalculationState::Running {
            break now;
        }
        if !took {
            progress.say(&format!("open cases looked at by the running line: {}", now.changed + now.unchanged));
            tokio::time::sleep(LOOK).await;
        }
    };
    progress.clear();
    let year = plan.year;
    match end.state {
        RecalculationState::Superseded => {
            println!("{year}: in force as revision {}; a later import recalculates open cases", imported.revision);
        }
        _ => println!(
            "{year}: in force as revision {}; open cases with new dates: {}, unchanged: {}",
            imported.revision, end.changed, end.unchanged
        ),
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
async fn show(cases: &Cases, year: i16) -> anyhow::Result<()> {
    let known = cases.year(year).await?;
    let origin = known.calendar.origin(year);
    let provisional = if origin.provisional { ", provisional" } else { "" };
    println!("{year}: {}{provisional}", origin.source.as_deref().unwrap_or("not known; weekends alone are off"));
    for day in known.calendar.days(year).filter(|day| matches!(day.kind, DayKind::Holiday | DayKind::Makeup)) {
        let what = day.name.unwrap_or("worked");
        println!("{} {:?} {what}", day.date, day.date.weekday());
    }
    Ok(())
}

/// Mistakes in the file are the writer's to mend.
fn usage(error: CaseError) -> anyhow::Error {
    match error {
        CaseError::Calendar(error @ CalendarError::Year { .. }) => WrongUse(error.to_string()).into(),
        error => error.into(),
    }
}
