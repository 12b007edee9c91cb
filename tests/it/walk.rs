//! The main job: a call comes in, is answered, recorded, heard, drafted, confirmed and dispatched.

use serde_json::json;
use sip_test::audio::{self, Side};

use crate::house::House;

const CALLER: &str = "13806352219";
const CALL: &str = "tests/calls/s01.wav";

#[tokio::test]
async fn a_dialled_call_is_recorded_heard_drafted_confirmed_and_dispatched_through_the_public_api() {
    let house = House::open();
    let report = house.dial(CALLER, CALL).await;
    assert_eq!(report.status, 200);

    let call = house.sealed_call(CALLER).await;
    let id = call["id"].as_str().expect("an id");
    assert_eq!(call["caller"], "138****2219", "numbers are masked");
    assert_eq!(call["end_reason"], "caller_hung_up");
    the_recording_is_what_was_said(&house, id).await;

    let transcript = house.transcript(id).await;
    let words = transcript["utterances"].to_string();
    assert!(words.contains("停水"), "{words}");
    assert!(!words.contains("operator"), "the announcement is not speech of the operator: {words}");

    let case = house.case_of(id).await;
    assert_eq!(case["state"], "draft");
    assert_eq!(case["call_id"], id);
    assert_eq!(case["fields"]["category"]["value"], "0202", "water supply: {case:#}");
    assert_eq!(case["fields"]["callback_phone"]["value"], CALLER);
    assert_eq!(case["fields"]["place"]["value"], "E003");
    for key in FIELDS {
        assert!(case["fields"].get(key).is_some(), "every key is always there: {key}");
    }

    let path = format!("/api/v1/cases/{}", case["id"].as_str().expect("an id"));
    let (status, case) = house
        .ask("POST", &format!("{path}/actions/confirm"), Some(json!({ "version": case["version"], "read_back": true })))
        .await;
    assert_eq!((status, &case["state"]), (200, &json!("registered")), "{case}");
    assert!(case["clocks"]["citizen_started"].is_string(), "the citizen's clock runs: {case}");

    let (status, case) =
        house.ask("POST", &format!("{path}/actions/dispatch"), Some(json!({ "version": case["version"] }))).await;
    assert_eq!((status, &case["state"]), (200, &json!("dispatched")), "{case}");
    assert!(case["clocks"]["unit_due"].is_string(), "the unit's clock runs: {case}");

    let events = house.get(&format!("{path}/events")).await;
    assert!(events["items"].as_array().is_some_and(|it| it.len() >= 3), "drafted, confirmed, dispatched: {events}");
}

#[test]
fn the_first_start_makes_the_first_administrator_and_shows_the_password_once() {
    let mut house = House::closed(tempfile::tempdir().expect("a folder"), &[("SPEECH__WORKERS", "0")]);
    house.start();
    assert!(house.said.iter().any(|line| line.starts_with("one-time password: ")), "{:?}", house.said);
    assert_eq!(house.stop(), Some(0));
    house.start();
    assert_eq!(house.said, Vec::<String>::new(), "the second start has nothing to tell");
}

const FIELDS: [&str; 12] = [
    "title",
    "description",
    "category",
    "request_type",
    "place",
    "address",
    "caller_name",
    "callback_phone",
    "occurred_at",
    "wanted",
    "urgency",
    "secret",
];

/// The caller's channel equals what was sent: correlation ≥ 0.95 after alignment, to its end, and then silence.
async fn the_recording_is_what_was_said(house: &House, call: &str) {
    let path = format!("/api/v1/calls/{call}/recording");
    let file = house.folder().join("fetched.wav");
    std::fs::write(&file, house.bytes(&path).await).expect("a file");
    let sent = audio::read(CALL.as_ref(), Side::Left).expect("the sample call");
    let heard = audio::read(&file, Side::Left).expect("the recording");
    let best = audio::align(&sent, &heard, 8_000);
    assert!(best.correlation >= 0.95, "correlation {best:?}");
    assert!(heard.len() + 160 >= sent.len(), "{} samples were sent, {} recorded", sent.len(), heard.len());
    // A busy machine hears of the hang-up a little later; nothing but silence may stand there.
    let late = heard.get(sent.len() + 160..).unwrap_or_default();
    assert!(late.len() < 8_000 && late.iter().all(|sample| *sample == 0), "{} samples after the end", late.len());

    let right = audio::read(&file, Side::Right).expect("the other side");
    let welcome = audio::read("config/prompts/welcome.wav".as_ref(), Side::Left).expect("the welcome");
    let said = audio::align(&welcome, &right, 8_000);
    assert!(said.correlation >= 0.95, "the welcome is on the right channel: {said:?}");

    let part = house.send("GET", &path, None).await;
    assert_eq!(part.headers()["accept-ranges"], "bytes");
    let peaks = house.get(&format!("/api/v1/calls/{call}/peaks?points=50")).await;
    assert!(peaks.to_string().len() > 200, "{peaks}");
}
