//! What a recorded call costs, how fast a call is answered, and how soon after it there is a draft.

use std::{
    fs,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use hotline::clock::Clock;
use sip_test::{
    LoadReport, LoadSpec,
    audio::{self, Side},
    load,
};

use crate::{
    house::{House, resident},
    plain::Plain,
};

/// Calls at once.
pub const CALLS: [usize; 3] = [20, 100, 200];
/// Seconds each call talks.
const SECONDS: u64 = 20;
/// Seconds after the first call when all are up, and seconds over which their cost is then taken.
const UP: u64 = 5;
const WINDOW: u64 = 10;
/// Calls begun a second when answering is measured.
const RATE: f64 = 50.0;

/// Processor time and memory of a call, at several numbers of calls, against the simplest server one would write: a thread a
/// call.
pub async fn recorded() {
    let talk = audio::tone(440.0, 0.3, 8_000 * 5);
    for calls in CALLS {
        let house = House::with(&[("SPEECH__WORKERS", "0"), ("LINE__MAX_CALLS", "220")]);
        let ours = cost(&format!("sip:12345@{}", house.sip), house.pid(), calls, &talk).await;
        drop(house);
        let folder = tempfile::tempdir().expect("a folder");
        let plain = Plain::start(folder.path());
        let theirs = cost(&format!("sip:12345@{}", plain.address), plain.pid(), calls, &talk).await;
        println!(
            "recorded call, {calls} at once, while talking, % of a core a call: {:.3}  a thread a call with hound: {:.3}  ratio {:.2}",
            ours.talking,
            theirs.talking,
            ours.talking / theirs.talking
        );
        println!(
            "recorded call, {calls} at once, {SECONDS} s with set-up, seal and row, %: {:.3}  {:.3}  ratio {:.2}; memory, kB a call: {:.0}  {:.0}",
            ours.whole,
            theirs.whole,
            ours.whole / theirs.whole,
            ours.memory,
            theirs.memory
        );
    }
}

/// From INVITE to 200.
pub async fn set_up() {
    let spec = |to: String| {
        let mut spec = LoadSpec::new(to);
        (spec.calls, spec.total, spec.rate, spec.length) = (200, 1_000, RATE, Duration::from_secs(2));
        spec
    };
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("LINE__MAX_CALLS", "220")]);
    let ours = run(spec(format!("sip:12345@{}", house.sip))).await.setup_ms;
    drop(house);
    let folder = tempfile::tempdir().expect("a folder");
    let plain = Plain::start(folder.path());
    let theirs = run(spec(format!("sip:12345@{}", plain.address))).await.setup_ms;
    println!(
        "set-up at {RATE:.0} calls/s, ms: p50 {:.1} p99 {:.1}  a server without checks, ports, rows: p50 {:.1} p99 {:.1}  ratio {:.1}, {:.1}",
        ours.p50,
        ours.p99,
        theirs.p50,
        theirs.p99,
        ours.p50 / theirs.p50,
        ours.p99 / theirs.p99
    );
}

/// From the BYE of a call of one minute to the case that it makes.
pub async fn draft() {
    /// Each call alone with one worker.
    const APART: Duration = Duration::from_secs(15);
    const TIMES: usize = 8;
    let house = House::with(&[("SPEECH__WORKERS", "1")]);
    let words: Vec<i16> = ["s01", "s02", "s04"]
        .iter()
        .flat_map(|name| audio::read(format!("tests/calls/{name}.wav").as_ref(), Side::Left).expect("a sample call"))
        .take(60 * 8_000)
        .collect();
    let clock = Clock::system();
    let calls = (0..TIMES).map(|number| {
        let (house, words, clock) = (&house, words.clone(), &clock);
        async move {
            tokio::time::sleep(APART * u32::try_from(number).expect("few")).await;
            let from = format!("1390007{number:04}");
            sip_test::call(house.citizen(&from).playing(words)).await.expect("a call");
            let begun = clock.instant();
            let call = house.sealed_call(&from).await;
            house.case_of(call["id"].as_str().expect("an id")).await;
            clock.instant().duration_since(begun).as_secs_f64()
        }
    });
    let mut took = futures::future::join_all(calls).await;
    took.sort_by(f64::total_cmp);
    let file = house.folder().join("minute.wav");
    write(&file, &words);
    let begun = clock.instant();
    let path = file.display().to_string();
    assert!(house.run(&["transcribe", &path, "--json"]).status.success());
    let cold = clock.instant().duration_since(begun).as_secs_f64();
    println!(
        "draft after the hang-up of a 60 s call, s: p50 {:.2} p95 {:.2}  a new process that only hears it: {cold:.2}  ratio {:.2}",
        took[TIMES / 2],
        took[TIMES - 1],
        took[TIMES / 2] / cold
    );
}

/// From the end of an utterance to its words, while the call goes on, against words that come when it is over.
pub async fn live() {
    let ours = words_of("true").await;
    let theirs = words_of("false").await;
    let at = |of: &[f64], share: usize| of[(of.len() - 1) * share / 100];
    println!(
        "words after the end of an utterance, one live call, {} utterances, s: p50 {:.2} p95 {:.2}  heard after the call: p50 {:.2} p95 {:.2}  ratio {:.3}",
        ours.len(),
        at(&ours, 50),
        at(&ours, 95),
        at(&theirs, 50),
        at(&theirs, 95),
        at(&ours, 50) / at(&theirs, 50)
    );
}

/// Seconds from the end of each utterance of some sample calls, one after another, to its words; in order of length.
async fn words_of(live: &str) -> Vec<f64> {
    let house = House::with(&[("SPEECH__LIVE", live)]);
    let clock = Clock::system();
    let mut lags = Vec::new();
    for name in ["s01", "s02", "s03", "s05", "s06"] {
        let file = format!("tests/calls/{name}.wav");
        let words = audio::read(file.as_ref(), Side::Left).expect("a sample call");
        let answered = Arc::new(OnceLock::new());
        let from = format!("13900080{name}").replace('s', "0");
        let mut spec = house.citizen(&from).playing(words);
        spec.answered = Some(Arc::clone(&answered));
        // The last words have their pause too.
        spec.hang_up_after = Some(Duration::from_secs(36));
        let phone = tokio::spawn(sip_test::call(spec));
        let tail = &from[from.len() - 4..];
        let call = house
            .until("call", async || {
                let calls = house.get("/api/v1/calls").await;
                let of = calls["items"]
                    .as_array()?
                    .iter()
                    .find(|it| it["caller"].as_str().is_some_and(|it| it.ends_with(tail)))?;
                of["id"].as_str().map(str::to_owned)
            })
            .await;
        let mut seen = 0;
        loop {
            let transcript = house.get(&format!("/api/v1/calls/{call}/transcript")).await;
            let said = transcript["utterances"].as_array().expect("utterances").clone();
            let since =
                answered.get().map_or(0.0, |answered: &std::time::Instant| (clock.instant() - *answered).as_secs_f64());
            for utterance in said.iter().skip(seen) {
                let end = utterance["end_ms"].as_f64().expect("milliseconds") / 1e3;
                lags.push(since - end);
            }
            seen = seen.max(said.len());
            if transcript["final"] == true {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        phone.await.expect("the phone runs").expect("a call");
    }
    lags.sort_by(f64::total_cmp);
    lags
}

struct Cost {
    /// % of a core a call while all talk.
    talking: f64,
    /// The same over whole calls.
    whole: f64,
    /// Kilobytes a call.
    memory: f64,
}

async fn cost(to: &str, pid: u32, calls: usize, talk: &[i16]) -> Cost {
    let mut spec = LoadSpec::new(to);
    (spec.calls, spec.total, spec.rate, spec.length) = (calls, calls, 100.0, Duration::from_secs(SECONDS));
    spec.play = talk.to_vec();
    let (empty, before) = (resident(pid), processor_seconds(pid));
    let window = async {
        tokio::time::sleep(Duration::from_secs(UP)).await;
        let begun = processor_seconds(pid);
        tokio::time::sleep(Duration::from_secs(WINDOW)).await;
        (processor_seconds(pid) - begun, resident(pid))
    };
    let (report, (talking, full)) = tokio::join!(run(spec), window);
    assert_eq!(usize::try_from(report.answered).ok(), Some(calls), "{report:?}");
    #[expect(clippy::cast_precision_loss, reason = "some hundred calls, a few seconds")]
    let share = |seconds: f64, of: u64| 100.0 * seconds / (calls as f64 * of as f64);
    #[expect(clippy::cast_precision_loss, reason = "kilobytes of a small process")]
    let memory = (full.saturating_sub(empty)) as f64 / calls as f64;
    Cost { talking: share(talking, WINDOW), whole: share(processor_seconds(pid) - before, SECONDS), memory }
}

async fn run(spec: LoadSpec) -> LoadReport {
    load(spec, |_| {}).await.expect("a load")
}

fn write(file: &Path, pcm: &[i16]) {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(file, spec).expect("a file");
    for sample in pcm {
        wav.write_sample(*sample).expect("a sample");
    }
    wav.finalize().expect("a whole file");
}

/// User and system time of a process, in seconds (`/proc/PID/stat`, ticks of 10 ms).
pub fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    let fields = stat.rsplit(')').next().expect("fields after the name");
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<f64>().ok()).sum();
    ticks / 100.0
}
