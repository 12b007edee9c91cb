//! Words and fields while a caller still talks, heard by the real model.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use sip_test::audio::{self, Side};

use crate::house::House;

fn side(wav: &str, side: Side) -> Vec<i16> {
    audio::read(Path::new(wav), side).expect("a sample call")
}

fn welcome() -> Duration {
    let pcm = side("config/prompts/welcome.wav", Side::Left);
    Duration::from_millis(u64::try_from(pcm.len() / 8).expect("some seconds"))
}

/// Names of the events that come from now on.
async fn watch(house: &House) -> Arc<Mutex<Vec<String>>> {
    let mut stream = house.send("GET", "/api/v1/events", None).await;
    let (seen, names) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&names);
    tokio::spawn(async move {
        while let Ok(Some(piece)) = stream.chunk().await {
            let mut text = seen.lock().expect("whole");
            text.extend_from_slice(&piece);
            let read = String::from_utf8_lossy(&text)
                .lines()
                .filter_map(|line| line.strip_prefix("event: ").map(str::to_owned))
                .collect();
            *kept.lock().expect("whole") = read;
        }
    });
    names
}

#[tokio::test]
async fn words_of_both_sides_and_the_fields_they_fill_are_there_while_the_caller_still_talks() {
    let house = House::open();
    let events = watch(&house).await;
    let mut seat = house.seat("8001", |spec| spec.play = side("tests/calls/s01.wav", Side::Right)).await;
    let mut spec = house.citizen("13806352219").playing(side("tests/calls/s01.wav", Side::Left));
    spec.lead_in = welcome();
    // They go on being connected after their last word, so that it is heard in the call too.
    spec.hang_up_after = Some(Duration::from_mins(1));
    let phone = tokio::spawn(sip_test::call(spec));
    let call = house
        .until("call", async || {
            let calls = house.get("/api/v1/calls").await;
            calls["items"][0]["id"].as_str().map(str::to_owned)
        })
        .await;
    let mut grew: Vec<usize> = Vec::new();
    let words = house
        .until("words of both", async || {
            let transcript = house.get(&format!("/api/v1/calls/{call}/transcript")).await;
            let said = transcript["utterances"].as_array().expect("utterances").clone();
            assert_eq!(transcript["final"], false);
            if grew.last() != Some(&said.len()) {
                grew.push(said.len());
            }
            let sides: BTreeSet<_> = said.iter().filter_map(|it| it["channel"].as_str()).collect();
            let whole: String = said.iter().filter_map(|it| it["text"].as_str()).collect();
            (sides.len() == 2 && whole.contains("2219") | whole.contains("219")).then(|| said.clone())
        })
        .await;
    assert!(grew.len() > 2, "they came one after another: {grew:?}");
    assert!(words.iter().filter_map(|it| it["text"].as_str()).any(|text| text.contains("停水")), "{words:#?}");
    let fields = house.get(&format!("/api/v1/calls/{call}/draft")).await;
    assert_eq!(
        (&fields["category"]["value"], &fields["callback_phone"]["value"]),
        (&"0202".into(), &"13806352219".into())
    );
    let row = house.get(&format!("/api/v1/calls/{call}")).await;
    assert_eq!((&row["ended"], &row["case_id"]), (&Value::Null, &Value::Null), "the call goes on");
    let events = events.lock().expect("whole").clone();
    assert!(events.iter().any(|it| it == "transcript") && events.iter().any(|it| it == "draft"), "{events:?}");

    assert_eq!(phone.await.expect("the phone runs").expect("a call").status, 200);
    seat.next_call().await.expect("a call");
    let case = house.case_of(&call).await;
    assert_eq!(case["fields"]["category"]["value"], "0202");
    let last = house.transcript(&call).await;
    assert!(last["utterances"].as_array().is_some_and(|last| last.len() + 1 >= words.len()), "{last:#}");
    let log = house.log();
    let heard = log.lines().filter(|line| line.contains("recording heard")).count();
    assert_eq!(heard, 2, "the last words, and the whole once more: {log}");
}

#[tokio::test]
async fn thirty_calls_that_end_at_once_are_all_drafted_oldest_first_each_once() {
    const CALLS: usize = 30;
    let house = House::with(&[("LINE__MAX_CALLS", "40")]);
    let said = side("tests/calls/s04.wav", Side::Left);
    let mut phones = Vec::new();
    for number in 0..CALLS {
        let mut spec = house.citizen(&format!("138063541{number:02}")).playing(said.clone());
        spec.hang_up_after = Some(Duration::from_secs(12));
        phones.push(tokio::spawn(sip_test::call(spec)));
        // One is older than another.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for phone in phones {
        assert_eq!(phone.await.expect("the phone runs").expect("a call").status, 200);
    }
    let calls = house
        .until_within(Duration::from_mins(15), "case of every call", async || {
            let page = house.get("/api/v1/calls?limit=200").await;
            let calls = page["items"].as_array().expect("items").clone();
            calls.iter().all(|call| call["case_id"].is_string()).then_some(calls)
        })
        .await;
    let cases: BTreeSet<_> = calls.iter().filter_map(|call| call["case_id"].as_str()).collect();
    assert_eq!((calls.len(), cases.len()), (CALLS, CALLS));
    let page = house.get("/api/v1/cases?limit=200").await;
    let drafted = page["items"].as_array().expect("items");
    assert_eq!(drafted.len(), CALLS, "no call has two");
    // Numbers are given in the order of drafting; ends within a second of each other are at once.
    let mut order: Vec<(jiff::Timestamp, &str)> = drafted
        .iter()
        .map(|case| {
            let call = calls.iter().find(|call| call["case_id"] == case["id"]).expect("its call");
            let ended = call["ended"].as_str().and_then(|it| it.parse().ok()).expect("a time");
            (ended, case["number"].as_str().expect("a number"))
        })
        .collect();
    order.sort_by_key(|(_, number)| number.to_owned());
    for (place, (ended, number)) in order.iter().enumerate() {
        let later = order[..place].iter().find(|(before, _)| before.duration_since(*ended).as_millis() > 1_000);
        assert!(later.is_none(), "{number} was drafted after {later:?}, which ended later");
    }
}
