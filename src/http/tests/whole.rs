use std::collections::BTreeSet;

use super::*;

/// What the contract promises and this version has.
const PROMISED: &[&str] = &[
    "DELETE /api/v1/me/tokens/{id}",
    "DELETE /api/v1/me/totp",
    "DELETE /api/v1/sessions/current",
    "DELETE /api/v1/sessions/{id}",
    "GET /",
    "GET /api/v1/callbacks",
    "GET /api/v1/calls",
    "GET /api/v1/calls/{id}",
    "GET /api/v1/calls/{id}/peaks",
    "GET /api/v1/calls/{id}/recording",
    "GET /api/v1/calls/{id}/transcript",
    "GET /api/v1/cases",
    "GET /api/v1/cases/{id}",
    "GET /api/v1/cases/{id}/events",
    "GET /api/v1/categories",
    "GET /api/v1/me/tokens",
    "GET /api/v1/places",
    "GET /api/v1/sessions",
    "GET /api/v1/sessions/current",
    "GET /api/v1/units",
    "GET /api/v1/users",
    "GET /api/v1/users/{id}",
    "GET /healthz",
    "GET /metrics",
    "GET /readyz",
    "PATCH /api/v1/cases/{id}",
    "PATCH /api/v1/users/{id}",
    "POST /api/v1/calls/{id}/reveal",
    "POST /api/v1/cases",
    "POST /api/v1/cases/{id}/actions/{action}",
    "POST /api/v1/cases/{id}/reveal",
    "POST /api/v1/me/password",
    "POST /api/v1/me/tokens",
    "POST /api/v1/me/totp",
    "POST /api/v1/me/totp/confirm",
    "POST /api/v1/sessions",
    "POST /api/v1/users",
    "POST /api/v1/users/{id}/actions/disable",
    "POST /api/v1/users/{id}/actions/enable",
    "POST /api/v1/users/{id}/actions/reset_password",
    "POST /api/v1/users/{id}/actions/unlock",
    "POST /api/v1/users/{id}/totp-recovery",
    "POST /api/v1/users/{id}/totp-recovery/approve",
    "PUT /api/v1/users/{id}/roles",
    "PUT /api/v1/calls/{id}/hold",
];

/// Answered one after the other in the life of an account, see `people`.
const OF_PEOPLE: &[&str] = &["/api/v1/me", "/api/v1/sessions", "/api/v1/users"];

#[tokio::test]
async fn every_promised_route_is_described_and_every_described_one_answers() {
    let house = House::open().await;
    let case = house.case().await;
    let call = house.store.case_row(case).await.expect("readable").and_then(|row| row.call_id).expect("a phone case");
    let (token, leader) = (house.token(Role::Agent).await, house.token(Role::ShiftLeader).await);
    let api = house.get("/openapi.json", "").await.json();
    let mut described = BTreeSet::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{} {path}", method.to_uppercase());
            assert!(operation["summary"].is_string(), "{name} has no sentence");
            if OF_PEOPLE.iter().any(|prefix| path.starts_with(prefix)) {
                described.insert(name);
                continue;
            }
            let id = if path.contains("/cases/") { case.to_string() } else { call.to_string() };
            let place = path.replace("{id}", &id).replace("{action}", "confirm");
            let body = serde_json::json!({"version": 1, "address": "3号楼"});
            let answer = match method.as_str() {
                "get" => house.get(&place, &token).await,
                "patch" => house.patch(&place, &token, &body).await,
                _ if path == "/api/v1/cases" => {
                    let request = serde_json::json!({"channel": "web", "text": "三号楼从昨天晚上就停水了。"});
                    house.post(&place, &token, &request).await
                }
                _ if path.ends_with("/reveal") => {
                    let wish = serde_json::json!({"reason": "handling", "purpose": "联系群众"});
                    house.post(&place, &token, &wish).await
                }
                "put" => house.put(&place, &leader, &serde_json::json!({"hold": true})).await,
                _ => house.post(&place, &token, &serde_json::json!({"version": 9})).await,
            };
            let right = match path.as_str() {
                "/api/v1/cases" if method == "post" => StatusCode::CREATED,
                _ if method == "post" && path.ends_with("/{action}") => StatusCode::CONFLICT,
                _ => StatusCode::OK,
            };
            assert_eq!(answer.status, right, "{name}");
            described.insert(name);
        }
    }
    assert_eq!(described, PROMISED.iter().map(ToString::to_string).collect());
}

#[tokio::test]
async fn the_description_can_be_read_by_people() {
    let house = House::open().await;
    let page = house.get("/docs/", "").await;
    assert!(page.status == StatusCode::OK && page.header("content-type").starts_with("text/html"));
    let home = house.get("/", "").await;
    assert!(String::from_utf8_lossy(&home.body).contains("/docs/"));
    assert_eq!(
        serde_json::to_value(super::super::openapi()).expect("JSON"),
        house.get("/openapi.json", "").await.json()
    );
}

#[tokio::test]
async fn readiness_names_the_part_that_is_down() {
    let house = House::open().await;
    assert_eq!(house.get("/healthz", "").await.status, StatusCode::OK);
    let ready = house.get("/readyz", "").await;
    assert_eq!((ready.status, ready.json()["status"].as_str()), (StatusCode::OK, Some("ready")));
    house.readiness.set(Part::Worker, Health::Down { reason: "no model".into() });
    let degraded = house.get("/readyz", "").await;
    assert_eq!((degraded.status, degraded.json()["status"].as_str()), (StatusCode::OK, Some("degraded")));
    house.readiness.set(Part::Sip, Health::Down { reason: "port 5060 is in use".into() });
    let down = house.get("/readyz", "").await;
    assert_eq!((down.status, down.json()["status"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("down")));
    let parts = &down.json()["parts"];
    assert_eq!(
        (parts["sip"]["reason"].as_str(), parts["storage"]["state"].as_str()),
        (Some("port 5060 is in use"), Some("up"))
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_seen_at_once() {
    let house = House::open().await;
    let token = house.token(Role::Agent).await;
    house.store.close().await;
    let down = house.get("/readyz", "").await;
    assert_eq!(
        (down.status, down.json()["parts"]["database"]["state"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("down"))
    );
    let answer = house.get("/api/v1/calls", &token).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
    assert_eq!(answer.header("retry-after"), "2");
}

#[tokio::test]
async fn the_citys_lists_are_paged_and_searched() {
    let house = House::open().await;
    let token = house.token(Role::Sysadmin).await;
    for list in ["units", "categories", "places"] {
        let (mut after, mut seen) = (String::new(), BTreeSet::new());
        loop {
            let page = house.get(&format!("/api/v1/{list}?limit=7{after}"), &token).await.json();
            for item in page["items"].as_array().expect("items") {
                let id = item["id"].as_str().or(item["code"].as_str()).expect("an id").to_owned();
                assert!(seen.insert(id), "each once");
            }
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={}", next.replace('/', "%2F"));
        }
        assert!(seen.len() > 7, "{list}: {}", seen.len());
    }
    let found = house.get("/api/v1/places?q=光岳新村", &token).await.json();
    assert_eq!((found["items"][0]["id"].as_str(), found["items"][0]["kind"].as_str()), (Some("E003"), Some("estate")));
}

#[tokio::test]
async fn a_stopping_door_lets_answers_end_and_takes_no_new_ones() {
    let house = House::open().await;
    assert_eq!(house.get("/healthz", "").await.status, StatusCode::OK);
    let House { url, client, stop, .. } = house;
    drop(stop);
    // The port closes once the accepting loop has seen the token.
    let closed = async {
        while client.get(format!("{url}/healthz")).send().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the door closes");
}
