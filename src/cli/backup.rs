//! `hotline backup` and `hotline restore`: a line in one file, and back.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;

use super::{Cli, WrongUse, progress::Progress};
use crate::{
    backup::{self, Backup, BackupError, Making, Manifest, Restoring, Step},
    clock::Clock,
    recording::Copies,
    store::Store,
    vault::Passphrase,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hotline backup /srv/backups --passphrase-file /etc/hotline/backup.passphrase
  hotline backup /srv/backups --without-recordings     # where the store of recordings is copied by other means")]
pub(super) struct MakeCommand {
    /// A folder, in which the file is named by the time, or a file that ends in .tar.
    target: PathBuf,
    /// Holds the passphrase that the keys are sealed with, twelve characters or more; without it the keys stay out.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Leaves the recordings out; which there are and what they hash to is in the backup all the same.
    #[arg(long)]
    without_recordings: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hotline restore /srv/backups/hotline-20261125-033000.tar --check
  hotline --config new.toml restore /srv/backups/hotline-20261125-033000.tar --passphrase-file backup.passphrase
  hotline restore /srv/backups/hotline-20261125-033000.tar --without-keys --without-recordings   # the database alone")]
pub(super) struct RestoreCommand {
    /// What `hotline backup` made.
    file: PathBuf,
    /// Holds the passphrase that the keys were sealed with.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Leaves the keys out: they are put into vault.keys by hand.
    #[arg(long)]
    without_keys: bool,
    /// Leaves the recordings out: those in the store stay.
    #[arg(long)]
    without_recordings: bool,
    /// Only reads the file and checks that it is whole, and with a passphrase that it opens the keys.
    #[arg(long)]
    check: bool,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn make(cli: &Cli, command: &MakeCommand) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    let (clock, mut progress) = (Clock::system(), Progress::new());
    let passphrase = command.passphrase_file.as_deref().map(passphrase).transpose()?;
    let target = backup::target(&command.target, clock.now()).map_err(usage)?;
    let made = on_runtime(async {
        let store = Store::open_as_it_is(&settings.database.url, clock.clone()).await?;
        let making = Making {
            store: &store,
            copies: &Copies::open(&settings.storage)?,
            keys: &settings.vault.keys,
            city: &settings.city.file,
            passphrase: passphrase.as_ref(),
            with_recordings: !command.without_recordings,
            clock: &clock,
        };
        let made = backup::make(&making, &target, &mut |step| tell(&mut progress, step)).await;
        store.close().await;
        made
    });
    progress.clear();
    let made = made?;
    let keys = if made.manifest.with_keys {
        "the keys are in it, sealed with the passphrase".to_owned()
    } else {
        let folder = settings.vault.keys.display();
        format!("THE KEYS ARE NOT IN IT: without a copy of {folder} no recording of it can be heard")
    };
    println!("{}: {} MB, {}; {keys}", made.path.display(), made.bytes.div_ceil(1_000_000), contents(&made.manifest));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn restore(cli: &Cli, command: &RestoreCommand) -> anyhow::Result<()> {
    let passphrase = command.passphrase_file.as_deref().map(passphrase).transpose()?;
    let backup = Backup::open(&command.file)?;
    let (manifest, mut progress) = (backup.manifest(), Progress::new());
    let facts = format!("{}: made {}, {}", command.file.display(), manifest.made, contents(manifest));
    if command.check {
        let whole = backup.verify(&mut |step| tell(&mut progress, step));
        progress.clear();
        whole?;
        match &passphrase {
            Some(passphrase) => {
                backup.keys(Some(passphrase)).map_err(usage)?;
                println!("{facts}; whole, and the passphrase opens the keys");
            }
            None => println!("{facts}; whole"),
        }
        return Ok(());
    }
    let settings = cli.settings()?;
    let clock = Clock::system();
    let restoring = Restoring {
        database: &settings.database.url,
        storage: &settings.storage,
        keys: &settings.vault.keys,
        passphrase: passphrase.as_ref(),
        with_keys: !command.without_keys,
        with_recordings: !command.without_recordings,
        clock: &clock,
    };
    let restored =
        on_runtime(async { backup::restore(&restoring, &backup, &mut |step| tell(&mut progress, step)).await });
    progress.clear();
    let restored = restored?;
    println!(
        "{facts}; restored: {} cases, {} recordings checked, {} not in the store, {} entries of the audit hold",
        restored.cases, restored.recordings, restored.absent, restored.audit.entries
    );
    Ok(())
}

fn on_runtime<T>(work: impl Future<Output = Result<T, BackupError>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work).map_err(usage)
}

fn tell(progress: &mut Progress, step: Step<'_>) {
    progress.bar(step.what, step.done, step.of);
}

fn contents(manifest: &Manifest) -> String {
    let (cases, recordings) = (manifest.rows("cases"), manifest.recordings);
    match (manifest.with_recordings, manifest.missing) {
        (false, _) => format!("{cases} cases, {recordings} recordings by name alone"),
        (true, 0) => format!("{cases} cases, {recordings} recordings"),
        (true, missing) => {
            format!("{cases} cases, {recordings} recordings, of which {missing} files were not in the store")
        }
    }
}

/// The first line of a file that nobody else may read.
fn passphrase(file: &Path) -> anyhow::Result<Passphrase> {
    let named = || format!("--passphrase-file {}", file.display());
    let mode = fs::metadata(file).with_context(named)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let problem = format!("{}: others may read it (mode {mode:o}); run `chmod 600` on it", named());
        return Err(WrongUse(problem).into());
    }
    let text = zeroize::Zeroizing::new(fs::read_to_string(file).with_context(named)?);
    let line = text.lines().next().unwrap_or_default().to_owned();
    Passphrase::new(line).map_err(|wrong| WrongUse(format!("{}: {wrong}", named())).into())
}

/// What the one at the keyboard can mend by saying something else.
fn usage(error: BackupError) -> anyhow::Error {
    match error {
        BackupError::Target(_) | BackupError::NoPassphrase | BackupError::NoKeys => WrongUse(error.to_string()).into(),
        error => error.into(),
    }
}
