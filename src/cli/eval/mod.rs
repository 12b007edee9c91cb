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
    ///
    /// Each field has `right`, `invented` (given where the manifest has none), `missing`; category and wanted also
    /// `top3`. Title and address are right from half of the characters in order on; wanted and occurred_at from
    /// an overlap of one half: twice the characters both have by all of them, whatever their order, 八点 as 8点. No word
    /// about secrecy counts as `false`.
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
