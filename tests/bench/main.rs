//! `./dev bench`: what is claimed, measured, each figure beside a baseline from the same run.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are what this is for")]

mod bridged;
mod calls;
mod cases;
mod editors;
#[path = "../it/house.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod house;
mod plain;
mod sealing;

use house::House;
use serde_json::Value;

/// Sample calls of which each side is also read whole: slow.
const WHOLE: &str = "4";

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
        tokio::runtime::Runtime::new().expect("a runtime").block_on(calls::recorded());
    }
    if wanted("bridged") {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(bridged::bridged());
    }
    if wanted("setup") {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(calls::set_up());
    }
    if wanted("live") {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(calls::live());
    }
    if wanted("draft") {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(calls::draft());
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

/// The whole pipeline against the bare model: errors on the manifest's turns, time on the very utterances that were read, and
/// time when each side is read from beginning to end.
fn hearing() {
    let house = House::closed(tempfile::tempdir().expect("a folder"), &[]);
    let done = house.run(&["eval", "calls", "tests/calls", "--whole", WHOLE, "--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let figure = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let whole = &report["against_whole"];
    for (name, ours, theirs, baseline) in [
        ("caller CER, 14 sample calls", &report["cer"], &report["cer_raw"], "raw whisper.cpp on the manifest's turns"),
        (
            "hearing, seconds of one core",
            &report["seconds"],
            &report["seconds_raw"],
            "raw whisper.cpp on the same utterances",
        ),
        ("hearing, 4 calls", &whole[0], &whole[1], "each channel read whole at full context"),
    ] {
        let (ours, theirs) = (figure(ours), figure(theirs));
        println!("{name}: {ours:.3}  {baseline}: {theirs:.3}  ratio {:.3}", ours / theirs);
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}
