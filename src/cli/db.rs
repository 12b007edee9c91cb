//! `hotline db migrate`.

use clap::Subcommand;

use super::Cli;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes the database if it is not there and brings its tables up to date.
    Migrate,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Migrate => {
            let settings = cli.settings()?;
            super::on_store(&settings, async |_| Ok(()))?;
            println!("{}: up to date", settings.database.url);
            Ok(())
        }
    }
}
