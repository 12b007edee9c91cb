//! `hotline worker`: the child process that hears; started by `hotline serve`, not by people.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::Log,
    speech::{ModelFiles, work},
    telemetry::Telemetry,
};

#[derive(Debug, Args)]
pub(super) struct Command {
    #[arg(long)]
    models: PathBuf,
    #[arg(long)]
    model: String,
    #[arg(long)]
    prompt: String,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    Telemetry::start(&Log { filter: "info".into(), json: false });
    let files = ModelFiles::locate(&command.models, &command.model);
    Ok(work::serve(files, &command.prompt)?)
}
