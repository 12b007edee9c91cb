//! `hotline recover`: imports recordings that have no row.

use super::Cli;
use crate::{cases, clock::Clock, jobs::Queue, recording::Archive, vault::Vault};

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    let vault = Vault::open(&settings.vault, Clock::system())?;
    let archive = Archive::open(&settings.storage, vault.clone(), Clock::system())?;
    let imported =
        super::on_store(&settings, async |store| Ok(cases::import(&Queue::new(store), &archive, &vault).await?))?;
    println!("recordings imported: {imported}");
    Ok(())
}
