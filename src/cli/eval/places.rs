//! `hotline eval places`: spoken sentences with and without a place.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{cli::Cli, drafting::PlaceFinder};

#[derive(Debug, Args)]
pub(in crate::cli) struct Command {
    /// Rows `{text, place_id}`; `place_id` null where no place of the city is meant.
    file: PathBuf,
    /// One line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
struct Row {
    text: String,
    place_id: Option<String>,
}

/// What came out; `invented` counts places given where there was none.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    n: usize,
    accuracy: f64,
    invented: usize,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let finder = PlaceFinder::new(&cli.settings()?.load_city()?);
    let file = std::fs::File::open(&command.file).with_context(|| command.file.display().to_string())?;
    let mut outcome = Outcome::default();
    let mut right = 0_u32;
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let place = || format!("{} line {}", command.file.display(), index + 1);
        let line = line.with_context(place)?;
        if line.trim().is_empty() {
            continue;
        }
        let row: Row = serde_json::from_str(&line).with_context(place)?;
        let found = finder.find(&row.text);
        outcome.n += 1;
        right += u32::from(found == row.place_id);
        outcome.invented += usize::from(row.place_id.is_none() && found.is_some());
    }
    let n = u32::try_from(outcome.n).unwrap_or(u32::MAX).max(1);
    outcome.accuracy = f64::from(right) / f64::from(n);
    if command.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        println!("{right} of {} right, {} invented", outcome.n, outcome.invented);
    }
    Ok(())
}
