//! A shift with more callers than seats: who came first is answered first, everybody is answered, nobody twice.
//!
//! Six callers on two seats in `./dev test`; `./dev soak` sets `HOTLINE_QUEUE_SECONDS` to 300 for sixty on twenty.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hotline::clock::Clock;
use sip_test::audio;
use tokio::task::JoinSet;

use crate::house::{House, PATIENCE};

/// Samples a second.
const RATE: usize = 8_000;
/// How much earlier a caller has to have come to be answered earlier for certain: what registering, ringing and a busy machine
/// may shift.
const NEAR: Duration = Duration::from_secs(1);
/// How long each operator talks, in turn.
const TALKS: [u64; 5] = [2, 5, 3, 4, 6];

#[tokio::test]
async fn sixty_callers_on_twenty_seats_are_answered_in_order_and_none_is_lost_or_taken_twice() {
    let whole = std::env::var("HOTLINE_QUEUE_SECONDS").ok().map(|text| text.parse().expect("a number"));
    let (callers, seats, lasts) = whole.map_or((6, 2, 20), |seconds: u64| (60, 20, seconds));
    let clock = Clock::system();
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("ACD__WRAP_UP_SECONDS", "1")]);
    let mut taken = JoinSet::new();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    for number in 0..seats {
        let talk = Duration::from_secs(TALKS[number % TALKS.len()]);
        let mut seat = house
            .seat(&(8_001 + number).to_string(), |spec| {
                spec.play = audio::tone(700.0, 8_000.0, 10 * RATE);
                spec.hang_up_after = Some(talk);
            })
            .await;
        let (clock, mut stopped) = (clock.clone(), stopped.clone());
        taken.spawn(async move {
            let mut calls = Vec::new();
            loop {
                tokio::select! {
                    call = seat.next_call() => {
                        let call = call.expect("the seat goes on");
                        let lasted = Duration::from_millis(call.duration_ms);
                        let answered = clock.instant().checked_sub(lasted).expect("after the machine began");
                        calls.push((call.from, call.status, answered));
                    }
                    _ = stopped.wait_for(|stopped| *stopped) => break,
                }
            }
            seat.unregister().await.expect("it leaves");
            calls
        });
    }

    let (begun, mut phones, mut dialled) = (clock.instant(), JoinSet::new(), BTreeMap::new());
    let mut dial = |phones: &mut JoinSet<_>| {
        let from = format!("1380635{:04}", dialled.len());
        let mut spec = house.citizen(&from).playing(audio::tone(500.0, 8_000.0, 300 * RATE));
        spec.hang_up_after = Some(Duration::from_secs(290));
        dialled.insert(from, clock.instant());
        phones.spawn(sip_test::call(spec));
    };
    for _ in 0..callers {
        dial(&mut phones);
        // Callers come one after another.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while let Some(report) = tokio::time::timeout(PATIENCE, phones.join_next()).await.expect("everybody is answered") {
        let report = report.expect("the phone runs").expect("a call");
        assert_eq!((report.status, report.ended_by), (200, sip_test::EndedBy::Far), "the operator hung up");
        if clock.instant() - begun < Duration::from_secs(lasts) {
            dial(&mut phones);
        }
    }
    stop.send(true).expect("the seats listen");
    let taken: Vec<_> = taken.join_all().await.into_iter().flatten().collect();

    assert_eq!(taken.len(), dialled.len(), "each call was taken once");
    let mut order: Vec<(Instant, Instant, &str)> = Vec::new();
    for (from, came) in &dialled {
        let of: Vec<_> = taken.iter().filter(|(who, ..)| who.contains(from.as_str())).collect();
        let [(_, 200, answered)] = of.as_slice() else { panic!("{from} was taken {} times: {of:?}", of.len()) };
        order.push((*came, *answered, from));
    }
    order.sort();
    for (place, (came, answered, from)) in order.iter().enumerate() {
        let overtaken =
            order[place + 1..].iter().find(|(later, sooner, _)| *later > *came + NEAR && *sooner + NEAR < *answered);
        assert!(overtaken.is_none(), "{from} came before {overtaken:?} and was answered after");
    }
    let waits = order.iter().map(|(came, answered, _)| *answered - *came);
    println!("{} calls on {seats} seats, the longest waited {:?}", order.len(), waits.max().unwrap_or_default());
    let missed = house.get("/api/v1/callbacks?kind=missed").await;
    assert!(missed["items"].as_array().is_some_and(Vec::is_empty), "{missed}");
}
