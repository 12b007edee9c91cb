//! `hotline keys …`: the keys of the vault; never a key itself.

use clap::Subcommand;
use jiff::{Timestamp, tz};
use serde_json::json;

use super::Cli;
use crate::{
    clock::Clock,
    domain::{audit::Action, time::UnixMs},
    store::AuditEntry,
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
    let settings = cli.settings()?;
    let vault = Vault::existing(&settings.vault.keys, Clock::system())?;
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
            let new = super::on_store(&settings, async |store| {
                let mut tx = store.begin().await?;
                let new = vault.rotate(settings.vault.suite)?;
                tx.audit(AuditEntry {
                    user: None,
                    name: "hotline keys rotate".into(),
                    action: Action::KeyRotated,
                    subject: format!("key:{}", new.id),
                    detail: json!({ "suite": new.suite }),
                });
                tx.commit().await?;
                Ok(new)
            })?;
            let folder = settings.vault.keys.display();
            println!("{}: seals with {} from now on; make a new copy of {folder}", new.id, new.suite);
        }
    }
    Ok(())
}

/// The city's day.
fn day(at: UnixMs) -> String {
    let at = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned_datetime(tz::offset(8).to_time_zone()).strftime("%Y-%m-%d").to_string()
}
