//! `hotline eval`: how well the line hears and understands, measured on samples.

mod places;

use clap::Subcommand;

use super::Cli;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Places in spoken sentences: {n, accuracy, invented}.
    Places(places::Command),
}

pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Places(command) => places::run(cli, command),
    }
}
