//! `./dev bench`: what is claimed, measured, each figure beside a baseline from the same run.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are what this is for")]

mod cases;
mod editors;
#[path = "../it/house.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod house;
mod plain;
mod sealing;

use std::{fs, time::Duration};

use house::House;
use serde_json::Value;
use sip_test::{CallSpec, audio};

/// Calls at once.
const CALLS: u32 = 40;
/// Seconds each call talks.
const SECONDS: u32 = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|it| it == plain::ARGUMENT) {
        return plain::serve(arguments[2].as_ref());
    }
    // `-- sealing` measures that alone.
    let named: Vec<_> = arguments.iter().skip(1).filter(|it| !it.starts_with("--")).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|it| *it == name);
    println!("machine: {} cores; each line: ours, the baseline of this run, ours / baseline", cores());
    if wanted("sealing") {
        sealing::measure();
    }
    if wanted("calls") {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(recorded_calls());
    }
    if wanted("hearing") {
        hearing();
    }
    if wanted("cases") {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(many_cases());
    }
    if wanted("editors") {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(many_editors());
    }
}

/// Editors at once on both databases.
async fn many_editors() {
    editors::many("SQLite", None).await;
    if let Some(url) = house::postgres().await {
        editors::many("PostgreSQL", Some(url)).await;
    }
}

/// Lists and searches on both databases.
async fn many_cases() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| format!("sqlite://{}/{name}.db", folder.path().display());
    cases::lists("SQLite", &file("small"), &file("large")).await;
    if let (Some(small), Some(large)) = (house::postgres().await, house::postgres().await) {
        cases::lists("PostgreSQL", &small, &large).await;
    }
}

/// Processor time of a recorded call against the simplest server one would write: a thread per call.
async fn recorded_calls() {
    let house = House::with(&[("SPEECH__WORKERS", "0")]);
    let folder = tempfile::tempdir().expect("a folder");
    let plain = plain::Plain::start(folder.path());
    let talk = audio::tone(440.0, 0.3, (SECONDS * audio::RATE) as usize);

    let before = processor_seconds(house.pid());
    dial_all(&house.sip.to_string(), &talk).await;
    let ours = processor_seconds(house.pid()) - before;
    let before = processor_seconds(plain.pid());
    dial_all(&plain.address, &talk).await;
    let theirs = processor_seconds(plain.pid()) - before;

    let share = |seconds: f64| 100.0 * seconds / (f64::from(CALLS) * f64::from(SECONDS));
    println!(
        "recorded call, {CALLS} at once, % of a core a call: {:.3}  a thread a call with hound: {:.3}  ratio {:.2}",
        share(ours),
        share(theirs),
        ours / theirs
    );
}

/// The whole pipeline against raw whisper.cpp on the manifest's turns: errors and time.
fn hearing() {
    let house = House::closed(tempfile::tempdir().expect("a folder"), &[]);
    let done = house.run(&["eval", "calls", "tests/calls", "--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let figure = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
    for (name, ours, raw) in
        [("caller CER, 14 sample calls", "cer", "cer_raw"), ("hearing, seconds of one core", "seconds", "seconds_raw")]
    {
        let (ours, raw) = (figure(ours), figure(raw));
        println!("{name}: {ours:.3}  raw whisper.cpp on the manifest's turns: {raw:.3}  ratio {:.2}", ours / raw);
    }
}

async fn dial_all(address: &str, talk: &[i16]) {
    let calls = (0..CALLS).map(|number| {
        let mut spec = CallSpec::new(format!("sip:12345@{address}")).playing(talk.to_vec());
        spec.from = format!("139000{number:05}");
        sip_test::call(spec)
    });
    let all = futures::future::join_all(calls);
    let reports = tokio::time::timeout(Duration::from_mins(2), all).await.expect("calls end");
    for report in reports {
        assert_eq!(report.expect("a call").status, 200);
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// User and system time of a process, in seconds (`/proc/PID/stat`, ticks of 10 ms).
fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    let fields = stat.rsplit(')').next().expect("fields after the name");
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<f64>().ok()).sum();
    ticks / 100.0
}
