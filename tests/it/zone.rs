//! The city's days, whatever zone the server stands in: the real program around midnight in China.

use hotline::{clock::Clock, domain::calendar::instant};
use serde_json::{Value, json};

use crate::house::{House, faketime};

/// Behind, at, and ahead of China by so much that each has another day at midnight in China.
const ZONES: [&str; 3] = ["America/Los_Angeles", "UTC", "Pacific/Kiritimati"];
/// In the city. A new year begins between them, and the answer's five workdays begin after New Year's Day and its weekend.
const EVENING: &str = "2026-12-31T23:55:00";
const MORNING: &str = "2027-01-01T00:00:05";

#[tokio::test]
async fn numbers_times_and_due_dates_are_the_citys_in_every_zone() {
    let Some(library) = faketime() else { return };
    for zone in ZONES {
        let mut house = House::closed(tempfile::tempdir().expect("a folder"), &[("SPEECH__WORKERS", "0")]);
        house.surround("TZ", zone);
        house.surround("LD_PRELOAD", &library.display().to_string());
        house.surround("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        for (begin, day, started) in
            [(EVENING, "20261231", "2026-12-31T23:5"), (MORNING, "20270101", "2027-01-01T00:0")]
        {
            house.surround("FAKETIME", &until(begin));
            house.start();
            let case = dispatched(&house).await;
            assert_eq!(case["number"], format!("{day}-000001"), "{zone}");
            let clock = case["clocks"]["citizen_started"].as_str().expect("it runs");
            assert!(clock.starts_with(started) && clock.ends_with("+08:00"), "{zone}: {clock}");
            let lead = &case["orders"][0];
            assert_eq!(lead["sign_due"], "2027-01-05T17:30:00.000+08:00", "{zone}");
            assert_eq!(lead["reply_due"], "2027-01-11T17:30:00.000+08:00", "{zone}");
            assert_eq!(case["clocks"]["provisional"], true, "{zone}: 2027 is not announced");
            assert_eq!(house.get("/api/v1/calendar").await["year"], day[..4].parse::<i16>().expect("a year"), "{zone}");
            assert_eq!(house.stop(), Some(0));
        }
    }
}

/// A case that a unit has been asked about, through every step of the API.
async fn dispatched(house: &House) -> Value {
    let request = json!({
        "channel": "web", "text": "物业公司乱收费，请核实处理。", "title": "物业乱收费", "category": "0101", "request_type": "投诉"
    });
    let (status, mut case) = house.ask("POST", "/api/v1/cases", Some(request)).await;
    assert_eq!(status, 201, "{case}");
    let path = format!("/api/v1/cases/{}/actions", case["id"].as_str().expect("an id"));
    for (action, wish) in [("confirm", json!({ "read_back": true })), ("dispatch", json!({ "time_class": "GENERAL" }))]
    {
        let mut wish = wish;
        wish["version"] = case["version"].clone();
        (_, case) = house.ask("POST", &format!("{path}/{action}"), Some(wish)).await;
    }
    assert_eq!(case["state"], "dispatched", "{case}");
    case
}

/// How far a moment of the city lies from now, as the library wants it.
fn until(moment: &str) -> String {
    let moment = instant(moment.parse().expect("a local time"));
    format!("{:+}", (moment.0 - Clock::system().now().0) / 1000)
}
