//! The same line on the other database, and split over processes that share nothing but it and the store of recordings.

use serde_json::json;

use crate::house::{House, postgres};

const CALLER: &str = "13963580026";

#[tokio::test]
async fn the_walk_goes_over_three_processes_on_one_postgresql() {
    let Some(url) = postgres().await else { return };
    let mut house = House::closed(tempfile::tempdir().expect("a folder"), &[("DATABASE__URL", &url)]);
    house.split(&["edge", "api", "worker"]);
    house.start();

    let report = house.dial(CALLER, "tests/calls/s04.wav").await;
    assert_eq!(report.status, 200);
    let call = house.sealed_call(CALLER).await;
    let case = house.case_of(call["id"].as_str().expect("an id")).await;
    assert_eq!(case["urgency"], "emergency_now", "the worker's draft is read through the API: {case:#}");

    let path = format!("/api/v1/cases/{}/actions", case["id"].as_str().expect("an id"));
    let confirm = json!({ "version": case["version"], "read_back": true });
    let (status, case) = house.ask("POST", &format!("{path}/confirm"), Some(confirm)).await;
    assert_eq!((status, &case["state"]), (200, &json!("registered")), "{case}");
    let (status, case) =
        house.ask("POST", &format!("{path}/dispatch"), Some(json!({ "version": case["version"] }))).await;
    assert_eq!((status, &case["state"]), (200, &json!("dispatched")), "{case}");
    assert_eq!(house.stop(), Some(0), "each process ends cleanly when asked");
}

#[tokio::test]
async fn a_line_killed_in_a_call_on_postgresql_loses_nothing() {
    let Some(url) = postgres().await else { return };
    let mut house = House::with(&[("DATABASE__URL", &url)]);
    house.dial(CALLER, "tests/calls/s04.wav").await;
    house.kill();
    house.start();
    let call = house.sealed_call(CALLER).await;
    let case = house.case_of(call["id"].as_str().expect("an id")).await;
    assert_eq!(case["state"], "draft");
    let cases = house.get("/api/v1/cases").await;
    assert_eq!(cases["items"].as_array().map(Vec::len), Some(1), "one call, one case");
}
