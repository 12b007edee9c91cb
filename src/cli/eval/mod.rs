//! `hotline eval`: how well the line hears and understands, measured on samples.

mod calls;
mod fields;
mod manifest;
mod places;

use clap::Subcommand;

use super::Cli;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Sample calls heard and drafted: {n, cer, cer_raw, fields}.
    Calls(calls::Command),
    /// Places in spoken sentences: {n, accuracy, invented}.
    Places(places::Command),
}

pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Calls(command) => calls::run(cli, command),
        Command::Places(command) => places::run(cli, command),
    }
}
