//! A hundred calls at once over a bad network: every one is recorded, with gaps where packets were lost and nowhere else.

use std::time::Duration;

use sip_test::{
    Expect, Faults, LoadSpec,
    audio::{self, Side, align},
    load,
};

use crate::house::House;

const CALLS: usize = 100;

#[tokio::test]
async fn a_hundred_calls_at_once_with_lost_and_swapped_packets_are_all_recorded() {
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("LINE__MAX_CALLS", "120")]);
    let mut spec = LoadSpec::new(format!("sip:12345@{}", house.sip));
    (spec.calls, spec.total, spec.rate, spec.length) = (CALLS, CALLS, 50.0, Duration::from_secs(12));
    spec.from = "13811110000".into();
    spec.play = audio::read("tests/calls/s01.wav".as_ref(), Side::Left).expect("the sample call");
    spec.expect = Expect::Sound(audio::read("config/prompts/welcome.wav".as_ref(), Side::Left).expect("welcome"));
    spec.faults = Faults { seed: 1, loss: 0.05, reorder: 0.05, duplicate: 0.0 };
    spec.each = true;
    let said = spec.play.clone();
    let report = load(spec, |_| {}).await.expect("a load");
    assert!(report.good, "{report:#?}\n{}", house.log());
    assert_eq!((report.completed, report.packets_lost), (100, 0), "{report:#?}");
    assert!(report.most_up > 90, "all of them at once: {}", report.most_up);

    // Each recording holds its own call: the caller's words on the left, the announcement on the right.
    for call in report.each.iter().step_by(7) {
        let row = house.sealed_call(&call.from).await;
        let wav = house.bytes(&format!("/api/v1/calls/{}/recording", row["id"].as_str().expect("an id"))).await;
        let file = house.folder().join("one.wav");
        std::fs::write(&file, wav).expect("a file");
        let (caller, _) = audio::read_both(&file).expect("a recording");
        let words = sip_test::load::said(&said, call.said_from, 11 * 8_000);
        let found = align(&words, &caller, 4_000);
        // A lost packet is silence: the shares of loss and of what is left add up to one.
        assert!(found.correlation > 0.93, "{}: {found:?} with {} packets withheld", call.from, call.packets_withheld);
    }
    let ended = house.get("/api/v1/calls?limit=200").await;
    assert_eq!(ended["items"].as_array().map(Vec::len), Some(CALLS), "none is missing");
}

/// 30 calls for 40 seconds in `./dev test`; `./dev soak` sets `HOTLINE_SOAK_SECONDS` to 600, which makes it 120.
#[tokio::test]
async fn calls_that_come_and_go_for_long_leave_memory_and_open_files_as_they_were() {
    /// What the second half may need more than the first, KiB: a KiB lost with each call is seen in the soak.
    const GROWTH: u64 = 3 * 1024;
    const LENGTH: u64 = 10;
    let seconds: u64 = std::env::var("HOTLINE_SOAK_SECONDS").map_or(40, |text| text.parse().expect("a number"));
    let calls = if seconds < 600 { 30 } else { 120 };
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("LINE__MAX_CALLS", "130")]);
    let before = house.handles();
    let mut spec = LoadSpec::new(format!("sip:12345@{}", house.sip));
    let rounds = seconds / LENGTH;
    (spec.calls, spec.total) = (calls, calls * usize::try_from(rounds).expect("few"));
    (spec.rate, spec.length) = (50.0, Duration::from_secs(LENGTH));
    spec.play = audio::tone(440.0, 0.3, 8_000);

    let (mut seen, mut looked) = (Vec::new(), std::time::Duration::ZERO);
    let report = load(spec, |progress| {
        // The first calls bring buffers and threads with them; at the end fewer are up.
        if progress.up == calls && progress.passed > looked {
            looked = progress.passed;
            seen.push((house.resident(), house.handles()));
        }
    });
    let report = report.await.expect("a load");
    assert!(report.good && report.completed == report.begun as u64, "{report:#?}\n{}", house.log());
    let (first, second) = seen.split_at(seen.len() / 2);
    let most = |part: &[(u64, usize)]| (part.iter().map(|it| it.0).max(), part.iter().map(|it| it.1).max());
    println!(
        "{} calls, {calls} at once: KiB and handles at most {:?}, then {:?}",
        report.begun,
        most(first),
        most(second)
    );
    let ((memory, handles), (later, more)) = (most(first), most(second));
    assert!(later < memory.map(|kib| kib + GROWTH), "memory grows: {memory:?} KiB, then {later:?}");
    // Those that are being sealed hold a file each for a moment.
    assert!(more <= handles.map(|count| count + calls), "open files grow: {handles:?}, then {more:?}");
    house.until("the files of all calls to be closed", async || (house.handles() <= before + 4).then_some(())).await;
}
