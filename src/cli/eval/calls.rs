//! `hotline eval calls DIR`: hears every sample call as the line would, and beside it each turn as the bare model reads
//! it, so that the figure has its baseline from the same run.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use clap::Args;
use serde::Serialize;

use super::{
    super::{Cli, draft, progress::Progress},
    fields::{Evidence, Score, Scores},
    manifest::{self, Call},
};
use crate::{
    clock::Clock,
    domain::{
        city::City,
        transcript::{Channel, Transcript},
    },
    drafting::{CallFacts, Drafter},
    recording::wav,
    speech::{ModelFiles, Recognizer, cer::Errors},
};

/// Sound before and after a turn that the baseline reads with it, milliseconds.
const BEFORE_MS: u32 = 200;
const AFTER_MS: u32 = 300;

#[derive(Debug, Args)]
pub(in crate::cli) struct Command {
    /// Folder with WAV files and `manifest.jsonl`.
    dir: PathBuf,
    /// One line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// What was heard of one call.
struct Heard {
    call: Call,
    transcript: Transcript,
    errors: Errors,
    raw: Errors,
    /// Both channels together.
    audio_seconds: f64,
    /// One thread's time.
    hearing_seconds: f64,
    /// The same for the bare model on the manifest's turns of both sides.
    raw_seconds: f64,
}

/// The answer of the command.
#[derive(Debug, Serialize)]
struct Report {
    n: usize,
    /// Character error rate over the callers, sum of edits by sum of characters.
    cer: f64,
    /// The same of whisper.cpp alone on the manifest's turns.
    cer_raw: f64,
    /// One thread, per second of one channel.
    seconds_per_audio_second: f64,
    /// The whole pipeline, both sides of all calls.
    seconds: f64,
    /// whisper.cpp alone on the manifest's turns of both sides.
    seconds_raw: f64,
    fields: BTreeMap<&'static str, Score>,
    evidence: Evidence,
    calls: Vec<CallReport>,
}

#[derive(Debug, Serialize)]
struct CallReport {
    id: String,
    cer: f64,
    cer_raw: f64,
    said: String,
    heard: String,
    /// Fields that are wrong: given instead of expected.
    wrong: Vec<String>,
}

pub(super) fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    let settings = cli.settings()?;
    crate::telemetry::Telemetry::start(&settings.log);
    let calls = manifest::read(&command.dir)?;
    let city = settings.load_city()?;
    let drafter = draft::drafter(&settings)?;
    let files = ModelFiles::locate(&settings.speech.models, &settings.speech.model)?;
    let mut progress = Progress::new();
    progress.say("loading the model");
    let recognizer = Recognizer::open(&files, &settings.speech.prompt)?;
    let heard = hear_all(recognizer, &command.dir, &calls, &mut progress);
    progress.clear();
    print(&report(&heard?, &drafter, &city), command.json)
}

/// Hears all calls, one thread a core, in the manifest's order.
fn hear_all(first: Recognizer, dir: &Path, calls: &[Call], progress: &mut Progress) -> anyhow::Result<Vec<Heard>> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(calls.len());
    let mut recognizers = (1..threads).map(|_| first.fork()).collect::<Result<Vec<_>, _>>()?;
    recognizers.push(first);
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let mut heard = thread::scope(|scope| {
        for mut recognizer in recognizers {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((index, call)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    calls.get(index).map(|call| (index, call))
                } {
                    if sender.send((index, hear(&mut recognizer, dir, call))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut heard = Vec::new();
        for (index, result) in results {
            heard.push((index, result?));
            progress.bar(&format!("{} of {} calls", heard.len(), calls.len()), heard.len() as u64, calls.len() as u64);
        }
        anyhow::Ok(heard)
    })?;
    heard.sort_by_key(|(index, _)| *index);
    Ok(heard.into_iter().map(|(_, heard)| heard).collect())
}

fn hear(recognizer: &mut Recognizer, dir: &Path, call: &Call) -> anyhow::Result<Heard> {
    let path = dir.join(&call.wav);
    let format = wav::format(&path)?;
    let clock = Clock::system();
    let begun = clock.instant();
    let transcript = recognizer.transcribe(&path, &[], &mut || {})?;
    let hearing_seconds = clock.instant().duration_since(begun).as_secs_f64();
    let text: String = of(&transcript, Channel::Caller).collect();
    let said = call.said(Channel::Caller);
    let (mut read, begun) = (String::new(), clock.instant());
    for turn in &call.turns {
        let (from, to) = (ms(turn.start).saturating_sub(BEFORE_MS), ms(turn.end).saturating_add(AFTER_MS));
        let words = recognizer.read(&wav::read_slice(&path, turn.speaker, from, to)?, format.rate)?;
        if turn.speaker == Channel::Caller {
            read.push_str(&words);
        }
    }
    let raw_seconds = clock.instant().duration_since(begun).as_secs_f64();
    Ok(Heard {
        call: call.clone(),
        errors: Errors::between(&said, &text),
        raw: Errors::between(&said, &read),
        transcript,
        audio_seconds: f64::from(format.samples) * f64::from(format.channels) / f64::from(format.rate),
        hearing_seconds,
        raw_seconds,
    })
}

fn of(transcript: &Transcript, channel: Channel) -> impl Iterator<Item = &str> {
    let utterances = transcript.utterances.iter().filter(move |utterance| utterance.channel == channel);
    utterances.map(|utterance| utterance.text.as_str())
}

fn report(heard: &[Heard], drafter: &Drafter, city: &City) -> Report {
    let (mut errors, mut raw) = (Errors::default(), Errors::default());
    let (mut audio, mut hearing, mut bare) = (0.0, 0.0, 0.0);
    for call in heard {
        errors += call.errors;
        raw += call.raw;
        audio += call.audio_seconds;
        hearing += call.hearing_seconds;
        bare += call.raw_seconds;
    }
    let started = Clock::system().now();
    let mut scores = Scores::default();
    let calls = heard.iter().map(|heard| CallReport {
        wrong: {
            let facts = CallFacts { caller_id: heard.call.caller_id.as_deref(), started };
            scores.add(&heard.call, &drafter.draft(&heard.transcript, &facts), city)
        },
        id: heard.call.id.clone(),
        cer: heard.errors.rate(),
        cer_raw: heard.raw.rate(),
        said: heard.call.said(Channel::Caller),
        heard: of(&heard.transcript, Channel::Caller).collect(),
    });
    let calls: Vec<_> = calls.collect();
    let seconds_per_audio_second = hearing / f64::max(audio, 1e-9);
    Report {
        n: heard.len(),
        cer: errors.rate(),
        cer_raw: raw.rate(),
        seconds_per_audio_second,
        seconds: hearing,
        seconds_raw: bare,
        fields: scores.fields,
        evidence: scores.evidence,
        calls,
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    println!("{:<6} {:>6} {:>6}  heard", "call", "CER %", "raw %");
    for call in &report.calls {
        println!("{:<6} {:>6.1} {:>6.1}  {}", call.id, call.cer * 100.0, call.cer_raw * 100.0, call.heard);
        for wrong in &call.wrong {
            println!("{:22}{wrong}", "");
        }
    }
    println!("\n{:<16} {:>6} {:>8} {:>8} {:>6} {:>9}", "field", "right", "invented", "missing", "top 3", "likeness");
    for (name, score) in &report.fields {
        let top3 = score.top3.map_or_else(String::new, |top3| top3.to_string());
        let likeness = score.likeness.map_or_else(String::new, |likeness| format!("{likeness:.2}"));
        let Score { right, invented, missing, .. } = score;
        println!("{name:<16} {right:>6} {invented:>8} {missing:>8} {top3:>6} {likeness:>9}");
    }
    let Evidence { values, wrong } = &report.evidence;
    println!("\n{values} values from speech, {} with evidence outside its turn {}", wrong.len(), wrong.join(", "));
    println!(
        "{} calls: CER {:.1} % (bare model on the manifest's turns {:.1} %), {:.2} s a second of sound",
        report.n,
        report.cer * 100.0,
        report.cer_raw * 100.0,
        report.seconds_per_audio_second
    );
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds within a call")]
fn ms(seconds: f64) -> u32 {
    (seconds * 1000.0).round().clamp(0.0, 4e9) as u32
}
