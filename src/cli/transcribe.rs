//! `hotline transcribe FILE.wav`: what was said, by whom and when.

use std::path::PathBuf;

use clap::Args;

use super::{Cli, progress::Progress};
use crate::{
    domain::transcript::Channel,
    speech::{ModelFiles, Recognizer},
};

#[derive(Debug, Args)]
pub(super) struct Command {
    /// 16-bit WAV: left the caller, right the operator; a mono file is the caller alone.
    file: PathBuf,
    /// One JSON object, as the API gives it.
    #[arg(long)]
    json: bool,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    crate::telemetry::Telemetry::start(&settings.log);
    let settings = settings.speech;
    let files = ModelFiles::locate(&settings.models, &settings.model)?;
    let mut progress = Progress::new();
    progress.say("loading the model");
    let mut recognizer = Recognizer::open(&files, &settings.prompt)?;
    progress.say("listening");
    let transcript = recognizer.transcribe(&command.file, &[], &mut || {});
    progress.clear();
    let transcript = transcript?;
    if command.json {
        println!("{}", serde_json::to_string(&transcript)?);
        return Ok(());
    }
    for utterance in &transcript.utterances {
        let who = match utterance.channel {
            Channel::Caller => "caller  ",
            Channel::Operator => "operator",
        };
        let (start, end) = (f64::from(utterance.start_ms) / 1000.0, f64::from(utterance.end_ms) / 1000.0);
        println!("{start:7.2} {end:7.2}  {who}  {:.2}  {}", utterance.confidence, utterance.text);
    }
    Ok(())
}
