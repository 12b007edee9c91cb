//! The command line: one file a subcommand, thin. Exit codes: 0 done, 1 failed, 2 wrong use or configuration.

mod config;
mod model;
mod openapi;
mod progress;
mod transcribe;
mod worker;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::{ConfigError, Settings};

#[derive(Debug, Parser)]
#[command(name = "hotline", version, about = "A city's 12345 line: answers, records, hears, drafts, closes the loop")]
struct Cli {
    /// Settings file; any setting can be overridden by HOTLINE__SECTION__KEY in the environment.
    #[arg(long, global = true, default_value = "config/hotline.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Looks at the settings.
    #[command(subcommand)]
    Config(config::Command),
    /// Installs and checks speech models.
    #[command(subcommand)]
    Model(model::Command),
    /// Prints the description of the HTTP API.
    Openapi,
    /// Hears a recording.
    Transcribe(transcribe::Command),
    /// The child that hears; `hotline serve` starts it.
    #[command(hide = true)]
    Worker(worker::Command),
}

impl Cli {
    /// Settings as the command line and the environment give them.
    fn settings(&self) -> Result<Settings, ConfigError> {
        Settings::load(&self.config)
    }
}

/// Parses the arguments, runs the subcommand and says in one sentence what went wrong.
#[expect(clippy::print_stderr, reason = "the last word of a command goes to standard error")]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Command::Config(command) => config::run(&cli, command),
        Command::Model(command) => model::run(&cli, command),
        Command::Openapi => openapi::run(),
        Command::Transcribe(command) => transcribe::run(&cli, command),
        Command::Worker(command) => worker::run(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hotline: {error:#}");
            if error.chain().any(<dyn std::error::Error>::is::<ConfigError>) {
                ExitCode::from(2)
            } else {
                ExitCode::from(1)
            }
        }
    }
}
