//! Damaged packets against the real program: it lives, answers, and does not grow.
//!
//! 20,000 of them in `./dev test`; `./dev soak` sets `HOTLINE_MUTANTS` to 200,000.

use sip_test::{FuzzSpec, fuzz, read_torture};

use crate::house::House;

/// What the line, at rest, may hold more of after the second half than after the first, MiB. Equal halves, so that what
/// grows with the load alone does not count; a KiB lost with each of 100,000 mutants does.
const GROWTH: u64 = 96;
/// Mutants sent at a stretch. Every third makes a call of a moment, which has to be sealed on the disk; on a real line
/// those come one after the other.
const STRETCH: u64 = 2_000;
/// Open files and sockets at which a stretch may begin.
const BREATH: usize = 500;
/// As many are left when the calls that nobody acknowledged are over too, after half a minute.
const REST: usize = 100;

#[tokio::test]
async fn mutated_packets_neither_stop_the_line_nor_make_it_grow() {
    let packets: u64 = std::env::var("HOTLINE_MUTANTS").map_or(20_000, |text| text.parse().expect("a number"));
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("LINE__MAX_CALLS", "100")]);
    let corpus: Vec<_> =
        read_torture("tests/torture".as_ref()).expect("our own set").into_iter().map(|it| it.bytes).collect();
    let half = packets.div_ceil(2 * STRETCH);
    let mut at_rest = Vec::new();
    for seed in 1..=2 * half {
        let to = format!("sip:12345@{}", house.sip);
        let report = fuzz(FuzzSpec { to, packets: STRETCH, seed, corpus: corpus.clone() }, |_| {}).await;
        let report = report.expect("a port");
        assert!(report.alive, "seed {seed}: {report:?}\n{}", house.log());
        settle(&house, BREATH).await;
        if seed % half == 0 {
            settle(&house, REST).await;
            at_rest.push(house.resident() / 1024);
        }
    }
    println!("{at_rest:?} MiB at rest after each half of {packets} mutants");
    assert!(at_rest[1] < at_rest[0] + GROWTH, "{at_rest:?} MiB");
    // As long as thousands of calls of a moment are not in the books yet, the next one is asked to come back (503).
    let taken = house.until("place for a call", async || {
        let call = sip_test::call(house.citizen("13800000001").playing(vec![0; 8_000])).await.expect("a call");
        (call.status != 503).then_some(call)
    });
    let call = taken.await;
    assert_eq!((call.status, call.bye_status), (200, Some(200)));
}

/// Waits until no more than so many files and sockets are open.
async fn settle(house: &House, most: usize) {
    house.until("end of what the mutants began", async || (house.handles() < most).then_some(())).await;
}
