//! `hotline config check`.

use clap::Subcommand;

use super::Cli;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Reports every mistake with file and key; exit code 2 if there is one.
    Check,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Check => {
            cli.settings()?;
            println!("{}: no mistakes", cli.file().display());
            Ok(())
        }
    }
}
