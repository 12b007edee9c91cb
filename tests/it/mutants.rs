//! Damaged packets against the real program: it lives, answers, and does not grow.
//!
//! 20,000 of them in `./dev test`; `./dev soak` sets `HOTLINE_MUTANTS` to 200,000.

use std::fs;

use sip_test::{FuzzSpec, fuzz, read_torture};

use crate::house::House;

/// What the line may hold more of at the end than after the first tenth, MiB: a thousand transactions a second live for
/// half a minute, 5 KiB each. 2 KiB lost with each of 200,000 mutants would be 400.
const GROWTH: u64 = 256;
/// Mutants sent at a stretch. Every third makes a call of a moment, which has to be sealed on the disk; on a real line
/// those come one after the other.
const STRETCH: u64 = 2_000;
/// Open files and sockets at which a stretch may begin.
const HANDLES: usize = 500;

#[tokio::test]
async fn mutated_packets_neither_stop_the_line_nor_make_it_grow() {
    let packets: u64 = std::env::var("HOTLINE_MUTANTS").map_or(20_000, |text| text.parse().expect("a number"));
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("LINE__MAX_CALLS", "100")]);
    let to = format!("sip:12345@{}", house.sip);
    let corpus: Vec<_> =
        read_torture("tests/torture".as_ref()).expect("our own set").into_iter().map(|it| it.bytes).collect();
    let stretches = packets.div_ceil(STRETCH);
    let mut before = 0;
    for seed in 0..stretches {
        let spec = FuzzSpec { to: to.clone(), packets: STRETCH, seed, corpus: corpus.clone() };
        let report = fuzz(spec, |_| {}).await.expect("a port");
        assert!(report.alive, "seed {seed}: {report:?}\n{}", house.log());
        house
            .until("end of what the mutants began", async || {
                let handles = fs::read_dir(format!("/proc/{}/fd", house.pid())).ok()?.count();
                (handles < HANDLES).then_some(())
            })
            .await;
        if seed == stretches / 10 {
            before = resident(house.pid());
        }
    }
    let after = resident(house.pid());
    println!("{before} MiB after the first tenth, {after} MiB after {packets} mutants");
    assert!(after < before + GROWTH, "from {before} to {after} MiB");
    let call = sip_test::call(house.citizen("13800000001").playing(vec![0; 8_000])).await.expect("a call");
    assert_eq!((call.status, call.bye_status), (200, Some(200)));
}

/// Memory a process has in use, MiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("kB") / 1024
}
