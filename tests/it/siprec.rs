//! Another switch forks its calls to the line (SIPREC, RFC 7866): both sides recorded, heard and drafted like any call.

use std::{path::Path, time::Duration};

use serde_json::Value;
use sip_test::{
    EndedBy, ForkReport, ForkSpec, Telling,
    audio::{self, Side},
};

use crate::house::House;

/// The switch is this machine.
const TRUSTED: (&str, &str) = ("SIPREC__SOURCES", "[\"127.0.0.1\"]");
const DEAF: (&str, &str) = ("SPEECH__WORKERS", "0");
const CALL: &str = "tests/calls/s01.wav";
const CALLER: &str = "13806352219";
/// Hertz of what each side says.
const TONES: [f64; 2] = [440.0, 1_000.0];

fn spec(house: &House) -> ForkSpec {
    let second = |hertz| audio::tone(hertz, 0.4, 24_000);
    let mut spec = ForkSpec::new(format!("sip:recorder@{}", house.sip));
    (spec.caller_says, spec.seat_says) = (second(TONES[0]), second(TONES[1]));
    spec.caller = CALLER.into();
    spec
}

async fn fork(house: &House, spec: ForkSpec) -> ForkReport {
    sip_test::fork(spec).await.unwrap_or_else(|error| panic!("{error}\n{}", house.log()))
}

/// The newest call, once its recording is sealed.
async fn sealed(house: &House) -> Value {
    house
        .until("sealed call", async || {
            let calls = house.get("/api/v1/calls?limit=1").await;
            let call = calls["items"][0].clone();
            (call["recording_state"] == "sealed").then_some(call)
        })
        .await
}

/// Both sides of a call's recording.
async fn sides(house: &House, call: &Value) -> [Vec<i16>; 2] {
    let path = format!("/api/v1/calls/{}/recording", call["id"].as_str().expect("an id"));
    let file = house.folder().join("fetched.wav");
    std::fs::write(&file, house.bytes(&path).await).expect("a file");
    [Side::Left, Side::Right].map(|side| audio::read(&file, side).expect("the recording"))
}

/// Each side has its own tone, the whole of it, and nothing of the other's; both at the same time.
fn each_has_its_tone(sides: &[Vec<i16>; 2], least_samples: usize) {
    let spans = [0, 1].map(|side| {
        let (pcm, own, other) = (&sides[side], TONES[side], TONES[1 - side]);
        let loud = |sample: &i16| sample.unsigned_abs() > 500;
        let first = pcm.iter().position(loud).unwrap_or_else(|| panic!("side {side} is silent"));
        let last = pcm.iter().rposition(loud).expect("some sound");
        let sound = &pcm[first..=last];
        assert!(sound.len() >= least_samples, "side {side}: {} samples", sound.len());
        let middle = &sound[sound.len() / 4..sound.len() / 4 + 4_000];
        assert!(audio::tone_share(middle, own) > 0.95, "side {side} has its own tone");
        assert!(audio::tone_share(middle, other) < 0.01, "side {side} has nothing of the other");
        (first, last)
    });
    assert!(spans[0].0.abs_diff(spans[1].0) <= 400, "both on one clock: {spans:?}");
}

#[tokio::test]
async fn a_forked_call_has_the_caller_left_and_the_operator_right() {
    let house = House::with(&[TRUSTED, DEAF]);
    // The seat's stream stands first: labels tell, not the order.
    let report = fork(&house, ForkSpec { seat_first: true, ..spec(&house) }).await;
    assert_eq!((report.status, report.ended_by, report.bye_status), (200, EndedBy::Phone, Some(200)), "{report:?}");
    assert_eq!((report.taken, report.is_recorder), ([true; 2], true));
    assert_eq!(report.labels, ["97", "96"], "labels are kept, in the order of the offer");

    let call = sealed(&house).await;
    assert_eq!((&call["origin"], &call["seat"], &call["called"]), (&"forked".into(), &"8001".into(), &"12345".into()));
    assert_eq!((&call["caller"], &call["end_reason"]), (&"138****2219".into(), &"switch_hung_up".into()));
    assert_eq!(call["session_id"].as_str(), Some(report.call_id.as_str()));
    let sides = sides(&house, &call).await;
    each_has_its_tone(&sides, 24_000 - 480);
    for (pcm, hertz) in sides.iter().zip(TONES) {
        let found = audio::align(&audio::tone(hertz, 0.4, 24_000), pcm, 8_000);
        assert!(found.correlation >= 0.95, "{hertz} Hz: {found:?}");
    }
}

#[tokio::test]
async fn a_forked_call_is_held_and_goes_on_and_names_that_come_later_are_taken() {
    let house = House::with(&[TRUSTED, DEAF]);
    let mut spec = ForkSpec { telling: Telling::Late, ..spec(&house) };
    spec.hold = Some((Duration::from_millis(600), Duration::from_millis(800)));
    let report = fork(&house, spec).await;
    assert_eq!((report.status, report.bye_status, report.statuses), (200, Some(200), vec![200, 200, 200]));
    let call = sealed(&house).await;
    assert_eq!((&call["origin"], &call["seat"]), (&"forked".into(), &"8001".into()));
    assert_eq!(call["caller"], "138****2219");
    let found = house.get(&format!("/api/v1/calls?phone={CALLER}")).await;
    assert_eq!(found["items"][0]["id"], call["id"], "the call is found by its caller");
    let sides = sides(&house, &call).await;
    for pcm in &sides {
        let held = pcm.chunks(160).filter(|frame| frame.iter().all(|it| *it == 0)).count();
        assert!(held >= 10, "{held} frames are silent");
        assert!(
            pcm[pcm.len() - 4_000..pcm.len() - 800].iter().any(|it| it.unsigned_abs() > 500),
            "sound after the hold"
        );
    }
}

#[tokio::test]
async fn an_untrusted_switch_is_refused_and_broken_metadata_cost_no_recording() {
    let mut house = House::with(&[DEAF]);
    let report = fork(&house, spec(&house)).await;
    assert_eq!((report.status, report.ended_by), (403, EndedBy::Refused));
    assert_eq!(house.get("/api/v1/calls").await["items"], serde_json::json!([]));
    assert_eq!(house.stop(), Some(0));

    house.set(TRUSTED.0, TRUSTED.1);
    house.start();
    let report = fork(&house, ForkSpec { telling: Telling::Broken, ..spec(&house) }).await;
    assert_eq!((report.status, report.taken), (200, [true; 2]));
    let call = sealed(&house).await;
    assert_eq!(
        (&call["origin"], &call["seat"], &call["caller"]),
        (&"forked_untold".into(), &Value::Null, &Value::Null)
    );
    each_has_its_tone(&sides(&house, &call).await, 24_000 - 480);
    assert!(house.log().contains("does not say who speaks"), "{}", house.log());
    assert!(!house.log().contains(CALLER), "no number stands in the log");
}

#[tokio::test]
async fn a_line_killed_in_a_forked_call_keeps_both_sides_and_who_spoke() {
    let mut house = House::with(&[TRUSTED, DEAF]);
    let mut spec = spec(&house);
    (spec.caller_says, spec.seat_says) = (audio::tone(TONES[0], 0.4, 240_000), audio::tone(TONES[1], 0.4, 240_000));
    let switch = tokio::spawn(sip_test::fork(spec));
    let spool = house.folder().join("spool");
    let grown = |path: &Path| {
        let files = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
        let wav = files.filter(|it| it.path().extension().is_some_and(|it| it == "wav"));
        wav.filter_map(|it| it.metadata().ok()).map(|it| it.len()).max().unwrap_or(0)
    };
    house.until("two seconds of sound", async || (grown(&spool) > 64_000).then_some(())).await;
    house.kill();
    switch.abort();
    house.start();
    let call = sealed(&house).await;
    assert_eq!((&call["end_reason"], &call["origin"]), (&"interrupted".into(), &"forked".into()));
    assert_eq!((&call["seat"], &call["caller"]), (&"8001".into(), &"138****2219".into()));
    each_has_its_tone(&sides(&house, &call).await, 12_000);
}

#[tokio::test]
async fn a_forked_sample_call_ends_as_a_draft_that_quotes_who_said_it() {
    let house = House::with(&[TRUSTED]);
    let (caller_says, seat_says) = audio::read_both(CALL.as_ref()).expect("the sample call");
    let report = fork(&house, ForkSpec { caller_says, seat_says, ..spec(&house) }).await;
    assert_eq!(report.status, 200);
    let call = sealed(&house).await;
    let id = call["id"].as_str().expect("an id");

    let transcript = house.transcript(id).await;
    let spoken = |channel: &str| -> String {
        let all = transcript["utterances"].as_array().expect("utterances").iter();
        all.filter(|it| it["channel"] == channel).filter_map(|it| it["text"].as_str()).collect()
    };
    assert!(spoken("caller").contains("停水"), "{transcript:#}");
    assert!(
        spoken("operator").contains("电话"),
        "the operator is heard, not taken for an announcement: {transcript:#}"
    );

    let case = house.case_of(id).await;
    let fields = &case["fields"];
    assert_eq!((&case["state"], &fields["category"]["value"]), (&"draft".into(), &"0202".into()), "{case:#}");
    assert_eq!((&fields["place"]["value"], &fields["callback_phone"]["value"]), (&"E003".into(), &CALLER.into()));
    let mut quoted = 0;
    for (name, field) in fields.as_object().expect("fields").iter().filter(|(_, field)| field["source"] == "speech") {
        for span in field["evidence"].as_array().into_iter().flatten() {
            let said = transcript["utterances"].as_array().expect("utterances").iter().any(|it| {
                it["channel"] == span["channel"]
                    && it["start_ms"].as_u64() <= span["start_ms"].as_u64()
                    && span["end_ms"].as_u64() <= it["end_ms"].as_u64()
            });
            assert!(said, "{name} quotes what nobody said there: {span}");
            quoted += usize::from(span["channel"] == "caller");
        }
    }
    assert!(quoted >= 3, "the caller is quoted: {case:#}");
}
