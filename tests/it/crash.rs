//! The line is killed again and again while callers talk: what they said is there, and each call is drafted once.
//!
//! 20 moments in `./dev test`; `./dev soak` sets `HOTLINE_KILLS` to 200. `HOTLINE_SEED` gives the moments of another run
//! again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use hotline::clock::Clock;
use serde_json::Value;
use sip_test::audio::{self, Side};

use crate::{
    exposition::{self, Sample},
    house::{House, PATIENCE},
    stalls::Stalls,
};

/// Callers at each moment. The first hangs up after two seconds, so that a moment may also hit sealing, hearing, drafting.
const CALLERS: usize = 4;
/// Samples of two seconds.
const SHORT: usize = 16_000;
/// A sample of speech, not of the room.
const LOUD: u16 = 2_000;
/// Sound that may be lost.
const LOST: Duration = Duration::from_secs(1);

struct Dialled {
    from: String,
    /// When the caller heard our 200.
    answered: Arc<OnceLock<Instant>>,
    /// From there to the end of the line.
    talked: Option<Duration>,
    /// What the machine itself stood still of it.
    stalled: Duration,
}

#[tokio::test]
async fn a_line_killed_at_random_moments_loses_at_most_a_second_of_each_call_and_drafts_it_once() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let clock = Clock::system();
    let moments = number("HOTLINE_KILLS", 20);
    let mut seed = number("HOTLINE_SEED", clock.now().0.unsigned_abs());
    println!("HOTLINE_SEED={seed}");
    // Knuth's generator: any spread will do, as long as it can be had again.
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    // From the first word on: most calls live no longer than the greeting.
    let said = audio::read("tests/calls/s04.wav".as_ref(), Side::Left).expect("the sample call");
    let first = said.iter().position(|sample| sample.unsigned_abs() > LOUD).expect("somebody speaks");
    let said = &said[first..];

    let mut house = House::open();
    let stalls = Stalls::watch(house.folder());
    let mut dialled = Vec::new();
    for _ in 0..moments {
        let (first, mut phones) = (dialled.len(), Vec::new());
        for caller in 0..CALLERS {
            let from = format!("1380635{:04}", dialled.len());
            let answered = Arc::new(OnceLock::new());
            let words = if caller == 0 { &said[..SHORT] } else { said };
            let mut spec = house.citizen(&from).playing(words.to_vec());
            spec.answered = Some(Arc::clone(&answered));
            phones.push(tokio::spawn(sip_test::call(spec)));
            dialled.push(Dialled { from, answered, talked: None, stalled: Duration::ZERO });
            tokio::time::sleep(Duration::from_millis(random(300))).await;
        }
        // The moment itself; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random(3_500))).await;
        let killed = clock.instant();
        house.kill();
        phones.iter().for_each(tokio::task::JoinHandle::abort);
        let stalled = stalls.of_the_last(2 * LOST);
        for it in &mut dialled[first..] {
            it.talked = it.answered.get().map(|answered| killed.saturating_duration_since(*answered));
            it.stalled = stalled;
        }
        house.start();
    }

    // Each moment leaves calls to be heard.
    let patience = PATIENCE + Duration::from_secs(15 * moments);
    let calls = house.until_within(patience, "end to all the work", async || settled(&house).await).await;
    let missed = by_call(&all(&house, "/api/v1/callbacks?kind=missed").await);
    let (mut interrupted, mut most) = (0, Duration::ZERO);
    for Dialled { from, talked, stalled, .. } in &dialled {
        let tail = &from[from.len() - 4..];
        let same: Vec<_> =
            calls.iter().filter(|call| call["caller"].as_str().is_some_and(|it| it.ends_with(tail))).collect();
        if same.is_empty() && talked.is_none() {
            continue;
        }
        let [call] = same.as_slice() else { panic!("{} calls of {from}, who was answered: {talked:?}", same.len()) };
        let listed = missed.get(&text(call, "id")).copied().unwrap_or(0);
        assert!(call["case_id"].is_string() || listed == 1, "drafted or on the call-back list: {call}");
        if call["end_reason"] != "interrupted" {
            continue;
        }
        interrupted += 1;
        assert_eq!(listed, 1, "on the call-back list, once: {call}");
        let Some(talked) = talked else { continue };
        let kept = Duration::from_millis(call["recording_ms"].as_u64().unwrap_or(0));
        let lost = talked.saturating_sub(kept);
        assert!(
            lost <= LOST + *stalled,
            "{lost:?} of {talked:?} are lost; the machine stood still {stalled:?}: {call}"
        );
        most = most.max(lost);
    }
    println!("{} callers, {interrupted} interrupted, {} calls, at most {most:?} lost", dialled.len(), calls.len());
    assert!(interrupted > dialled.len() / 4, "the moments hit calls");

    let cases = all(&house, "/api/v1/cases").await;
    let of_calls: BTreeSet<_> = cases.iter().map(|case| text(case, "call_id")).collect();
    assert_eq!(of_calls.len(), cases.len(), "no call has two cases");
    assert_eq!(calls.iter().filter(|call| call["case_id"].is_string()).count(), cases.len(), "each case is its call's");
    assert!(!cases.is_empty(), "callers spoke");
    assert_eq!(house.stop(), Some(0));
}

/// All calls, once none is open any more and nothing is left to be heard or drafted.
async fn settled(house: &House) -> Option<Vec<Value>> {
    let metrics = house.bytes("/metrics").await;
    let (samples, _) = exposition::read(&String::from_utf8_lossy(&metrics));
    let waits = |job: &Sample| job.name == "hotline_jobs" && job.labels["state"] != "dead" && job.value > 0.0;
    let calls = all(house, "/api/v1/calls").await;
    let is_open = |call: &Value| call["ended"].is_null() || call["recording_state"] == "recording";
    (!samples.iter().any(waits) && !calls.iter().any(is_open)).then_some(calls)
}

fn by_call(callbacks: &[Value]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for entry in callbacks {
        *found.entry(text(entry, "call_id")).or_default() += 1;
    }
    found
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Every page of a list.
async fn all(house: &House, path: &str) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = house.get(&format!("{path}{sign}limit=200{after}")).await;
        found.extend(page["items"].as_array().expect("items").iter().cloned());
        let Some(next) = page["next"].as_str() else { return found };
        after = format!("&after={next}");
    }
}
