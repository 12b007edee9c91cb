//! `hotline draft`: the fields of a case from a recording or from text.

use std::{
    io::{Read, stdin},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context;
use clap::Args;

use super::{Cli, progress::Progress};
use crate::{
    clock::Clock,
    config::Settings,
    domain::transcript::{Channel, Transcript, Utterance},
    drafting::{CallFacts, Classifier, Drafter},
    speech::{ModelFiles, Recognizer},
};

/// Bytes of text that are read.
const LARGEST: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Command {
    /// 16-bit WAV: left the caller, right the operator.
    #[arg(required_unless_present = "text", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A text file instead, `-` for standard input; one utterance a line, the operator's begin with `operator:`.
    #[arg(long)]
    text: Option<PathBuf>,
    /// The number the call came from.
    #[arg(long)]
    caller_id: Option<String>,
    /// One line of JSON.
    #[arg(long)]
    json: bool,
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    let drafter = drafter(&settings)?;
    let transcript = match (&command.file, &command.text) {
        (Some(file), _) => {
            crate::telemetry::Telemetry::start(&settings.log);
            let files = ModelFiles::locate(&settings.speech.models, &settings.speech.model)?;
            let mut progress = Progress::new();
            progress.say("loading the model");
            let mut recognizer = Recognizer::open(&files, &settings.speech.prompt)?;
            progress.say("listening");
            let transcript = recognizer.transcribe(file, &[], &mut || {});
            progress.clear();
            transcript?
        }
        (None, Some(text)) => lines(&read(text)?),
        (None, None) => Transcript::default(),
    };
    let facts = CallFacts { caller_id: command.caller_id.as_deref(), started: Clock::system().now() };
    let draft = drafter.draft(&transcript, &facts);
    if command.json {
        println!("{}", serde_json::to_string(&draft)?);
    } else {
        println!("{}", serde_json::to_string_pretty(&draft)?);
    }
    Ok(())
}

/// The drafter of the settings' city and classifier.
pub(super) fn drafter(settings: &Settings) -> anyhow::Result<Drafter> {
    let city = Arc::new(settings.load_city()?);
    let classifier = Classifier::load(&settings.city.classifier)?;
    Ok(Drafter::new(city, classifier))
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        stdin().take(LARGEST).read_to_string(&mut text).context("standard input")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        file.take(LARGEST).read_to_string(&mut text).with_context(|| path.display().to_string())?;
    }
    Ok(text)
}

/// Text without sound: a line is an utterance, a character lasts a quarter of a second.
fn lines(text: &str) -> Transcript {
    let mut utterances = Vec::new();
    let mut start_ms = 0_u32;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (channel, words) = match (line.strip_prefix("operator:"), line.strip_prefix("caller:")) {
            (Some(words), _) => (Channel::Operator, words.trim()),
            (None, Some(words)) => (Channel::Caller, words.trim()),
            (None, None) => (Channel::Caller, line),
        };
        let length = u32::try_from(words.chars().count()).unwrap_or(u32::MAX).saturating_mul(250);
        let end_ms = start_ms.saturating_add(length);
        utterances.push(Utterance { channel, start_ms, end_ms, text: words.to_owned(), confidence: 1.0 });
        start_ms = end_ms;
    }
    Transcript { utterances, r#final: true }
}
