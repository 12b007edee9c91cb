//! The command line: one file a subcommand, thin. Exit codes: 0 done, 1 failed, 2 wrong use or configuration.

mod audit;
mod backup;
mod calendar;
mod cases;
mod classify;
mod config;
mod db;
mod draft;
mod eval;
mod keys;
mod lifecycle;
mod model;
mod openapi;
mod progress;
mod recover;
mod rota;
mod serve;
mod transcribe;
mod user;
mod worker;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    clock::Clock,
    config::{ConfigError, Settings},
    store::Store,
};

/// Settings of a working copy, and of the package.
const HERE: &str = "config/hotline.toml";
const INSTALLED: &str = "/etc/hotline/hotline.toml";

#[derive(Debug, Parser)]
#[command(name = "hotline", version, about = "A city's 12345 line: answers, records, hears, drafts, closes the loop")]
struct Cli {
    /// Settings file; any setting can be overridden by HOTLINE__SECTION__KEY in the environment.
    ///
    /// Without it config/hotline.toml, and if that is not there /etc/hotline/hotline.toml.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks and exports the chain of who read, revealed, exported, logged in and changed rights.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Copies the line, also one that runs, into one file: database, recordings, keys.
    Backup(backup::MakeCommand),
    /// Shows the calendar and puts a new year into force.
    #[command(subcommand)]
    Calendar(calendar::Command),
    /// Looks after what is derived from the cases' histories.
    #[command(subcommand)]
    Cases(cases::Command),
    /// Trains and measures the category classifier.
    #[command(subcommand)]
    Classify(classify::Command),
    /// Looks at the settings.
    #[command(subcommand)]
    Config(config::Command),
    /// Looks after the database.
    #[command(subcommand)]
    Db(db::Command),
    /// Makes the first administrator with a one-time password, if there is nobody yet.
    Init,
    /// Looks after the keys that recordings are sealed with.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Prints the states and moves of a case.
    Lifecycle(lifecycle::Arguments),
    /// Drafts a case from a recording or a text.
    Draft(draft::Command),
    /// Measures on samples.
    #[command(subcommand)]
    Eval(eval::Command),
    /// Installs and checks speech models.
    #[command(subcommand)]
    Model(model::Command),
    /// Prints the description of the HTTP API.
    Openapi,
    /// Imports recordings that have no row.
    Recover,
    /// Puts a backup into an empty database, on either kind, and proves it.
    Restore(backup::RestoreCommand),
    /// Shows the officials' rota and puts a day of it into force.
    #[command(subcommand)]
    Rota(rota::Command),
    /// Runs the line: SIP, media, recording, hearing, drafting, API.
    Serve(serve::Serve),
    /// Hears a recording.
    Transcribe(transcribe::Command),
    /// Adds people and gives them tokens.
    #[command(subcommand)]
    User(user::Command),
    /// The child that hears; `hotline serve` starts it.
    #[command(hide = true)]
    Worker(worker::Command),
}

impl Cli {
    /// The settings file: the one that was named, the one here, or the package's.
    fn file(&self) -> PathBuf {
        let here = || Path::new(HERE).is_file() || !Path::new(INSTALLED).is_file();
        self.config.clone().unwrap_or_else(|| if here() { HERE } else { INSTALLED }.into())
    }

    /// Settings as the command line and the environment give them.
    fn settings(&self) -> Result<Settings, ConfigError> {
        Settings::load(&self.file())
    }
}

/// The command was used in a way that cannot work; the exit code says so.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongUse(String);

/// Runs a short piece of work on the database.
fn on_store<T>(settings: &Settings, work: impl AsyncFnOnce(Store) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(&settings.database.url, Clock::system()).await?;
        let outcome = work(store.clone()).await;
        store.close().await;
        outcome
    })
}

/// Parses the arguments, runs the subcommand and says in one sentence what went wrong.
#[expect(clippy::print_stderr, reason = "the last word of a command goes to standard error")]
pub fn run() -> ExitCode {
    // Every TLS connection of this process uses this one; nothing was installed before it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Command::Audit(command) => audit::run(&cli, command),
        Command::Backup(command) => backup::make(&cli, command),
        Command::Calendar(command) => calendar::run(&cli, command),
        Command::Rota(command) => rota::run(&cli, command),
        Command::Cases(command) => cases::run(&cli, command),
        Command::Classify(command) => classify::run(&cli, command),
        Command::Config(command) => config::run(&cli, command),
        Command::Db(command) => db::run(&cli, command),
        Command::Draft(command) => draft::run(&cli, command),
        Command::Eval(command) => eval::run(&cli, command),
        Command::Init => user::init(&cli),
        Command::Keys(command) => keys::run(&cli, command),
        Command::Lifecycle(arguments) => lifecycle::run(arguments),
        Command::Model(command) => model::run(&cli, command),
        Command::Openapi => openapi::run(),
        Command::Recover => recover::run(&cli),
        Command::Restore(command) => backup::restore(&cli, command),
        Command::Serve(command) => serve::run(&cli, command),
        Command::Transcribe(command) => transcribe::run(&cli, command),
        Command::User(command) => user::run(&cli, command),
        Command::Worker(command) => worker::run(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hotline: {error:#}");
            if error.chain().any(|cause| cause.is::<ConfigError>() || cause.is::<WrongUse>()) {
                ExitCode::from(2)
            } else {
                ExitCode::from(1)
            }
        }
    }
}
