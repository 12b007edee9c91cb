//! What the line tells machines: metrics as Prometheus likes them, traces that a collector can join.

use std::collections::BTreeSet;

use tempfile::tempdir;

use crate::{collector::Collector, exposition, house::House};

#[tokio::test]
async fn the_metrics_of_a_call_and_of_the_door_keep_to_the_custom() {
    let house = House::with(&[("SPEECH__WORKERS", "0")]);
    let mut spec = house.citizen("13806352219");
    spec.hang_up_after = Some(std::time::Duration::from_secs(1));
    sip_test::call(spec).await.expect("a call");
    house.sealed_call("13806352219").await;
    let made_up = reqwest::Method::from_bytes(b"DIAL13806352219").expect("a method");
    for path in ["/healthz", "/api/v1/calls/13806352219", "/nowhere/13806352219?q=13806352219"] {
        house.send("GET", path, None).await;
        house.send(made_up.as_str(), path, None).await;
    }
    let text = house
        .until("backlog in the metrics", async || {
            let text = house.send("GET", "/metrics", None).await.text().await.expect("a text");
            let (samples, _) = exposition::read(&text);
            let waits = samples.iter().find(|it| {
                it.name == "hotline_jobs" && it.labels["kind"] == "transcribe" && it.labels["state"] == "waiting"
            });
            waits.is_some_and(|waits| waits.value > 0.5).then_some(text)
        })
        .await;
    let (samples, wrong) = exposition::read(&text);
    assert_eq!(wrong, Vec::<String>::new());
    let there: BTreeSet<_> = samples.iter().map(|sample| sample.name.as_str()).collect();
    for name in [
        "hotline_build_info",
        "hotline_part_up",
        "hotline_calls_active",
        "hotline_calls_answered_total",
        "hotline_calls_ended_total",
        "hotline_call_setup_seconds_bucket",
        "hotline_recordings_growing",
        "hotline_recording_bytes_total",
        "hotline_jobs_oldest_age_seconds",
        "hotline_http_requests_total",
        "hotline_http_request_duration_seconds_bucket",
        "hotline_database_connections",
        "hotline_disk_free_bytes",
        "hotline_sip_requests_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(there.contains(name), "{name} is missing in\n{text}");
    }
    let value = |name: &str| samples.iter().filter(|it| it.name == name).map(|it| it.value).sum::<f64>();
    assert!(value("hotline_calls_answered_total") > 0.5 && value("hotline_recording_bytes_total") > 20_000.0, "{text}");
    assert!(value("hotline_calls_active").abs() < 0.5, "the call is over");
}

// The collector answers while this thread waits for the line to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_the_requests_about_it_are_traced_and_joined_by_the_calls_id() {
    let collector = Collector::open().await;
    let mut house = House::with(&[("SPEECH__WORKERS", "0"), ("TELEMETRY__OTLP_ENDPOINT", &collector.url())]);
    let mut spec = house.citizen("13806352219");
    spec.hang_up_after = Some(std::time::Duration::from_secs(1));
    sip_test::call(spec).await.expect("a call");
    let call = house.sealed_call("13806352219").await["id"].as_str().expect("an id").to_owned();
    assert_eq!(house.stop(), Some(0));

    let spans = collector.spans();
    let find =
        |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {spans:#?}"));
    let (invite, walk) = (find("sip.invite"), find("call"));
    assert!(invite.parent.is_empty() && walk.parent == invite.id, "a call begins with its INVITE");
    assert_eq!(walk.attributes["call.end_reason"], "caller_hung_up");
    for name in ["sip.invite", "call", "recording.open", "recording.seal"] {
        let span = find(name);
        assert_eq!((&span.trace, &span.attributes["call.id"]), (&walk.trace, &call), "{name}");
        assert_eq!(span.resource["service.name"], "hotline");
        assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));
    }
    let request = find("GET /api/v1/calls");
    assert_eq!(request.attributes["http.response.status_code"], "200");
    assert_eq!(request.attributes["http.route"], "/api/v1/calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nothing_up_and_is_told_of_once() {
    // A port that nobody listens on: it was free a moment ago, and it is ours until somebody listens.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    held.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let nobody = format!("http://{}", held.local_addr().expect("an address"));
    let settings = [("SPEECH__WORKERS", "0"), ("TELEMETRY__OTLP_ENDPOINT", nobody.as_str())];
    let mut house = House::closed(tempdir().expect("a folder"), &settings);
    house.start();
    let lost = async || {
        let text = house.send("GET", "/metrics", None).await.text().await.expect("a text");
        let (samples, _) = exposition::read(&text);
        samples.iter().find(|it| it.name == "hotline_traces_lost_total").map_or(0.0, |it| it.value)
    };
    let first = house.until("lost spans", async || Some(lost().await).filter(|lost| *lost > 0.5)).await;
    house.until("more lost spans", async || Some(lost().await).filter(|lost| *lost > first + 0.5)).await;
    assert_eq!(house.log().matches("the collector is away").count(), 1, "{}", house.log());

    let collector = Collector::on(held.listen(64).expect("the port is ours"));
    house.until("spans", async || Some(()).filter(|()| !collector.spans().is_empty())).await;
    house.until("word of it", async || house.log().contains("the collector is back").then_some(())).await;
    assert_eq!(house.stop(), Some(0));
}
