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
    clock::{self, Clock},
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
    /// Reads each side of the first N calls from beginning to end as well, to compare the time: slow.
    #[arg(long, value_name = "N", default_value_t = 0)]
    whole: usize,
}

/// What was heard of one call.
struct Heard {
    call: Call,
    transcript: Transcript,
    errors: Errors,
    raw: Errors,
    /// Both channels together.
    audio_seconds: f64,
    cost: Cost,
}

/// Processor time of one thread for both sides of a call, seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// The whole pipeline, from the file to the transcript.
    pipeline: f64,
    /// whisper.cpp alone on the very utterances the pipeline read.
    bare: f64,
    /// whisper.cpp alone on each side from beginning to end, in its own windows of 30 seconds.
    whole: Option<f64>,
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
    /// Processor time of the whole pipeline, both sides of all calls.
    seconds: f64,
    /// The same of whisper.cpp alone on the utterances that the pipeline read.
    seconds_raw: f64,
    /// The pipeline's part for calls that were also read whole, and whisper.cpp's for reading each side whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    against_whole: Option<(f64, f64)>,
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
    let heard = hear_all(recognizer, command, &calls, &mut progress);
    progress.clear();
    print(&report(&heard?, &drafter, &city), command.json)
}

/// Hears all calls, one thread a core, in the manifest's order.
fn hear_all(
    first: Recognizer,
    command: &Command,
    calls: &[Call],
    progress: &mut Progress,
) -> anyhow::Result<Vec<Heard>> {
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
                    if sender.send((index, hear(&mut recognizer, &command.dir, call, index < command.whole))).is_err() {
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

fn hear(recognizer: &mut Recognizer, dir: &Path, call: &Call, whole: bool) -> anyhow::Result<Heard> {
    let path = dir.join(&call.wav);
    let format = wav::format(&path)?;
    let (transcript, pipeline) = timed(|| Ok(recognizer.transcribe(&path, &[], &mut || {})?))?;
    let text: String = of(&transcript, Channel::Caller).collect();
    let said = call.said(Channel::Caller);
    let mut cost = Cost { pipeline, bare: 0.0, whole: whole.then_some(0.0) };
    for channel in [Channel::Caller, Channel::Operator] {
        let pcm = wav::read_channel(&path, channel)?;
        for sound in recognizer.cut(&pcm, format.rate)? {
            cost.bare += timed(|| Ok(recognizer.read_bare(sound)?))?.1;
        }
        if let Some(seconds) = &mut cost.whole {
            *seconds += timed(|| Ok(recognizer.read_whole(&pcm, format.rate)?))?.1;
        }
    }
    let mut read = String::new();
    for turn in &call.turns {
        let (from, to) = (ms(turn.start).saturating_sub(BEFORE_MS), ms(turn.end).saturating_add(AFTER_MS));
        let words = recognizer.read(&wav::read_slice(&path, turn.speaker, from, to)?, format.rate)?;
        if turn.speaker == Channel::Caller {
            read.push_str(&words);
        }
    }
    Ok(Heard {
        call: call.clone(),
        errors: Errors::between(&said, &text),
        raw: Errors::between(&said, &read),
        transcript,
        audio_seconds: f64::from(format.samples) * f64::from(format.channels) / f64::from(format.rate),
        cost,
    })
}

/// What a task gives, and the processor time it took in seconds.
fn timed<T>(task: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, f64)> {
    let begun = clock::thread_time();
    let done = task()?;
    Ok((done, clock::thread_time().saturating_sub(begun).as_secs_f64()))
}

fn of(transcript: &Transcript, channel: Channel) -> impl Iterator<Item = &str> {
    let utterances = transcript.utterances.iter().filter(move |utterance| utterance.channel == channel);
    utterances.map(|utterance| utterance.text.as_str())
}

fn report(heard: &[Heard], drafter: &Drafter, city: &City) -> Report {
    let (mut errors, mut raw) = (Errors::default(), Errors::default());
    let (mut audio, mut cost, mut against_whole) = (0.0, Cost::default(), None);
    for call in heard {
        errors += call.errors;
        raw += call.raw;
        audio += call.audio_seconds;
        cost.pipeline += call.cost.pipeline;
        cost.bare += call.cost.bare;
        if let Some(whole) = call.cost.whole {
            let (ours, theirs) = against_whole.unwrap_or_default();
            against_whole = Some((ours + call.cost.pipeline, theirs + whole));
        }
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
    let seconds_per_audio_second = cost.pipeline / f64::max(audio, 1e-9);
    Report {
        n: heard.len(),
        cer: errors.rate(),
        cer_raw: raw.rate(),
        seconds_per_audio_second,
        seconds: cost.pipeline,
        seconds_raw: cost.bare,
        against_whole,
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
