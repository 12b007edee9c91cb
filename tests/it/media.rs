//! The sound of a call as the outside sees it: sealed media, reports, and how it is rated.

use std::time::Duration;

use sip_test::audio::{self, tone, tone_share};

use crate::house::House;

#[tokio::test]
async fn a_sealed_call_is_heard_at_both_ends_and_on_the_wire_by_nobody() {
    let house = House::with(&[("SPEECH__WORKERS", "0")]);
    let mut spec = house.citizen("13806352219").playing(tone(440.0, 0.5, 9 * 8_000));
    spec.srtp = true;
    let report = sip_test::call(spec).await.expect("a call");
    assert_eq!((report.status, report.bye_status), (200, Some(200)));
    assert!(report.packets_received > 400, "our stream is opened: {report:?}");
    assert!(report.heard.iter().any(|sample| sample.abs() > 1_000), "the welcome");
    assert!(tone_share(&report.on_the_wire, 440.0) < 0.01, "an eavesdropper hears noise");
    let (call, left) = recorded(&house, "13806352219").await;
    assert!(tone_share(&left[8_000..8 * 8_000], 440.0) > 0.99, "the recording holds what was said");
    let quality = &call["quality"];
    assert_eq!(quality["heard"]["lost"], 0, "{quality}");
    assert!(report.reports_heard > 0 && report.report_said_bye, "sealed reports are opened: {report:?}");
    assert!(quality["reported"]["mos"].as_f64().is_some_and(|mos| mos > 3.0), "{quality}");
    assert!(!house.log().contains("inline:"), "keys are not logged");
}

#[tokio::test]
async fn a_call_over_a_bad_line_is_rated_worse_than_one_over_a_good_line() {
    let house = House::with(&[("SPEECH__WORKERS", "0")]);
    let mut scores = Vec::new();
    for (from, loss) in [("13806352201", 0.0), ("13806352202", 0.1)] {
        let mut spec = house.citizen(from).playing(tone(440.0, 0.5, 9 * 8_000));
        spec.faults.loss = loss;
        let report = sip_test::call(spec).await.expect("a call");
        assert!(report.reports_heard > 0 && report.report_said_bye, "{report:?}");
        let (call, left) = recorded(&house, from).await;
        assert!(tone_share(&left[8_000..8 * 8_000], 440.0) > 0.8);
        let (heard, packets) = (&call["quality"]["heard"], report.packets_sent);
        let lost = heard["lost"].as_u64().expect("a count");
        assert!(lost + packets >= heard["packets"].as_u64().expect("a count"), "{heard}");
        assert!((lost > 20) == (loss > 0.0), "{heard}");
        assert!(call["quality"]["round_trip_ms"].as_f64().is_some_and(|ms| (0.0..60_000.0).contains(&ms)), "{call}");
        scores.push(heard["mos"].as_f64().expect("a score"));
    }
    // A busy machine costs the good one a little.
    assert!(scores[1] < 2.5 && scores[0] > scores[1] + 1.0, "{scores:?}");
    let metrics = house.send("GET", "/metrics", None).await.text().await.expect("a text");
    for name in ["hotline_call_mos_count{direction=\"heard\"} 2", "hotline_call_round_trip_seconds_count 2"] {
        assert!(metrics.contains(name), "{name}");
    }
}

#[tokio::test]
async fn where_sealing_is_required_a_call_in_clear_hears_488() {
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("RTP__SRTP", "require")]);
    let mut spec = house.citizen("13806352219");
    spec.hang_up_after = Some(Duration::from_secs(1));
    assert_eq!(sip_test::call(spec.clone()).await.expect("an answer").status, 488);
    spec.no_sdp = true;
    spec.srtp = true;
    let report = sip_test::call(spec.clone()).await.expect("a call");
    assert_eq!(report.status, 200, "our own offer is sealed");
    assert!(report.packets_received > 20);
    (spec.no_sdp, spec.from) = (false, "13806352220".into());
    assert_eq!(sip_test::call(spec).await.expect("a call").status, 200);
}

/// The call as the API shows it, and the caller's side of its recording.
async fn recorded(house: &House, from: &str) -> (serde_json::Value, Vec<i16>) {
    let call = house.sealed_call(from).await;
    let id = call["id"].as_str().expect("an id");
    let file = house.folder().join(from).with_extension("wav");
    std::fs::write(&file, house.bytes(&format!("/api/v1/calls/{id}/recording")).await).expect("a file");
    let (caller, _) = audio::read_both(&file).expect("a recording");
    (house.get(&format!("/api/v1/calls/{id}")).await, caller)
}
