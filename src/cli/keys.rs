//! `hotline keys …`: the keys of the vault; never a key itself.

use clap::Subcommand;
use jiff::{Timestamp, tz};

use super::Cli;
use crate::{
    clock::Clock,
    domain::time::UnixMs,
    vault::{KeyState, Vault},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows which keys seal and open what is stored.
    List,
    /// Prints the public key that the audit's signatures are verified with.
    Public,
    /// Makes a new key that seals from now on; the others still open what they sealed.
    Rotate,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let settings = cli.settings()?.vault;
    let vault = Vault::existing(&settings.keys, Clock::system())?;
    match command {
        Command::List => {
            for key in vault.keys() {
                let state = if key.state == KeyState::Active { "active" } else { "retired" };
                println!("{}  {:<11}  {}  {state}", key.id, key.suite, day(key.created));
            }
        }
        Command::Public => {
            let key = vault.public_key();
            println!("key {}\n{}", key.id, key.pem.trim_end());
        }
        Command::Rotate => {
            let new = vault.rotate(settings.suite)?;
            println!(
                "{}: seals with {} from now on; make a new copy of {}",
                new.id,
                new.suite,
                settings.keys.display()
            );
        }
    }
    Ok(())
}

/// The city's day.
fn day(at: UnixMs) -> String {
    let at = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned_datetime(tz::offset(8).to_time_zone()).strftime("%Y-%m-%d").to_string()
}
