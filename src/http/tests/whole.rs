use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{schema::Api, *};

/// One call of an operation, and the status it has to get.
struct Try {
    operation: &'static str,
    /// Nobody: without a token.
    role: Option<Role>,
    path: String,
    headers: &'static [(&'static str, &'static str)],
    body: Option<Value>,
    status: u16,
}

fn get(operation: &'static str, role: Option<Role>, path: impl Into<String>, status: u16) -> Try {
    Try { operation, role, path: path.into(), headers: &[], body: None, status }
}

fn send(operation: &'static str, role: Role, path: impl Into<String>, body: Value, status: u16) -> Try {
    Try { body: Some(body), ..get(operation, Some(role), path, status) }
}

/// What the contract promises and this version has: every operation with its answers, good ones and others.
async fn tries(house: &House) -> Vec<Try> {
    use Role::{Agent, Analyst, Auditor, Callback, Dispatcher, Qc};
    let (case, other) = (house.case().await, house.case().await);
    let row = house.store.case_row(case).await.expect("readable").expect("the case");
    let (call, missed) = (row.call_id.expect("a phone case"), house.missed_call().await);
    let (call, case) = (format!("/api/v1/calls/{call}"), format!("/api/v1/cases/{case}"));
    let nobody = format!("/api/v1/cases/{}", house.clock.uuid());
    let sound = format!("{call}/recording");
    let wish = json!({ "reason": "handling", "purpose": "联系群众" });
    let set_year = "PUT /api/v1/calendar/{year}";
    let mut tries = vec![
        get("GET /", None, "/", 200),
        get("GET /healthz", None, "/healthz", 200),
        get("GET /readyz", None, "/readyz", 200),
        get("GET /metrics", None, "/metrics", 200),
        get("GET /api/v1/units", Some(Agent), "/api/v1/units", 200),
        get("GET /api/v1/units", Some(Agent), "/api/v1/units?limit=0", 400),
        get("GET /api/v1/categories", Some(Agent), "/api/v1/categories?limit=200", 200),
        get("GET /api/v1/places", Some(Agent), "/api/v1/places", 200),
        get("GET /api/v1/calendar", Some(Agent), "/api/v1/calendar?year=2027", 200),
        get("GET /api/v1/calendar", Some(Agent), "/api/v1/calendar?year=1999", 400),
        send(set_year, Role::Sysadmin, "/api/v1/calendar/2027", super::calendar::announced(), 200),
        send(set_year, Role::Sysadmin, "/api/v1/calendar/2026", super::calendar::announced(), 400),
        send(set_year, Agent, "/api/v1/calendar/2027", super::calendar::announced(), 403),
        get("GET /api/v1/calls", Some(Agent), "/api/v1/calls", 200),
        get("GET /api/v1/calls", Some(Auditor), "/api/v1/calls", 404),
        get("GET /api/v1/calls", None, "/api/v1/calls", 401),
        get("GET /api/v1/calls/{id}", Some(Agent), call.clone(), 200),
        get("GET /api/v1/calls/{id}", Some(Agent), format!("/api/v1/calls/{missed}"), 200),
        get("GET /api/v1/calls/{id}/transcript", Some(Agent), format!("{call}/transcript"), 200),
        get("GET /api/v1/calls/{id}/draft", Some(Agent), format!("{call}/draft"), 200),
        get("GET /api/v1/calls/{id}/draft", Some(Agent), format!("/api/v1/calls/{missed}/draft"), 200),
        get("GET /api/v1/calls/{id}/peaks", Some(Agent), format!("{call}/peaks?points=10"), 200),
        get("GET /api/v1/calls/{id}/peaks", Some(Agent), format!("/api/v1/calls/{missed}/peaks"), 404),
        get("GET /api/v1/calls/{id}/recording", Some(Qc), sound.clone(), 200),
        get("GET /api/v1/calls/{id}/recording", Some(Analyst), sound.clone(), 403),
        send("PUT /api/v1/calls/{id}/hold", Role::ShiftLeader, format!("{call}/hold"), json!({ "hold": true }), 200),
        send("POST /api/v1/calls/{id}/reveal", Agent, format!("{call}/reveal"), wish.clone(), 200),
        send("POST /api/v1/cases/{id}/reveal", Agent, format!("{case}/reveal"), wish.clone(), 200),
        send("POST /api/v1/cases/{id}/reveal", Analyst, format!("{case}/reveal"), wish, 403),
        send("POST /api/v1/cases", Agent, "/api/v1/cases", json!({ "channel": "web", "text": "三号楼停水了。" }), 201),
        send("POST /api/v1/cases", Agent, "/api/v1/cases", json!({ "channel": "web" }), 400),
        get("GET /api/v1/seats", Some(Agent), "/api/v1/seats", 200),
        get("GET /api/v1/queues", Some(Agent), "/api/v1/queues", 200),
        get("GET /api/v1/rota", Some(Agent), "/api/v1/rota", 200),
        get("GET /api/v1/rota", Some(Agent), "/api/v1/rota?from=soon", 400),
        send("PUT /api/v1/rota/{date}", Role::ShiftLeader, "/api/v1/rota/2026-11-27", json!({ "turns": [] }), 200),
        send("PUT /api/v1/rota/{date}", Role::ShiftLeader, "/api/v1/rota/today", json!({ "turns": [] }), 400),
        send("PUT /api/v1/seats/{id}/official", Role::DutyOfficial, "/api/v1/seats/8009/official", json!({}), 404),
        send("DELETE /api/v1/seats/{id}/official", Role::DutyOfficial, "/api/v1/seats/8009/official", json!({}), 404),
        send(
            "PUT /api/v1/seats/{id}/state",
            Role::ShiftLeader,
            "/api/v1/seats/8009/state",
            json!({ "state": "idle" }),
            404,
        ),
        send(
            "POST /api/v1/calls/{id}/actions/{action}",
            Role::ShiftLeader,
            format!("{call}/actions/hold"),
            json!({}),
            404,
        ),
        get("GET /api/v1/callbacks", Some(Callback), "/api/v1/callbacks", 200),
        get("GET /api/v1/cases", Some(Agent), "/api/v1/cases", 200),
        get("GET /api/v1/cases/{id}", Some(Agent), case.clone(), 200),
        get("GET /api/v1/cases/{id}", Some(Agent), nobody, 404),
        send("PATCH /api/v1/cases/{id}", Agent, case.clone(), json!({ "version": 1, "address": "3号楼" }), 200),
        send("PATCH /api/v1/cases/{id}", Agent, case.clone(), json!({ "version": 1, "title": "停水" }), 409),
        send("PATCH /api/v1/cases/{id}", Agent, case.clone(), json!({ "title": "停水" }), 400),
        send("PATCH /api/v1/cases/{id}", Agent, case.clone(), json!({ "version": 2, "category": "9999" }), 422),
    ];
    let act = "POST /api/v1/cases/{id}/actions/{action}";
    let moved = |action: &str| format!("{case}/actions/{action}");
    tries.extend([
        send(act, Agent, moved("confirm"), json!({ "version": 2 }), 422),
        send(act, Dispatcher, moved("confirm"), json!({ "version": 2, "read_back": true }), 403),
        send(act, Agent, moved("confirm"), json!({ "version": 2, "read_back": true }), 200),
        send(act, Dispatcher, moved("dispatch"), json!({ "version": 3, "co": ["HEAT"] }), 200),
        send(
            act,
            Role::ShiftLeader,
            format!("/api/v1/cases/{other}/actions/void"),
            json!({ "version": 1, "reason": "test" }),
            200,
        ),
        get("GET /api/v1/cases/{id}", Some(Agent), case.clone(), 200),
        get("GET /api/v1/cases/{id}/events", Some(Agent), format!("{case}/events"), 200),
        get("GET /api/v1/cases", Some(Agent), "/api/v1/cases", 200),
        get("GET /api/v1/insight/corrections", Some(Analyst), "/api/v1/insight/corrections", 200),
        get("GET /api/v1/audit", Some(Auditor), "/api/v1/audit", 200),
        get("GET /api/v1/audit", Some(Auditor), "/api/v1/audit?from=today", 400),
        get("GET /api/v1/audit/export", Some(Auditor), "/api/v1/audit/export", 200),
        get("GET /api/v1/events", Some(Agent), "/api/v1/events", 200),
        get("GET /api/v1/events", Some(Auditor), "/api/v1/events", 404),
    ]);
    for (range, status) in [(&[("range", "bytes=0-99")], 206), (&[("range", "bytes=99999999-")], 416)] {
        let operation = "GET /api/v1/calls/{id}/recording";
        tries.push(Try { headers: range, ..get(operation, Some(Qc), sound.clone(), status) });
    }
    tries
}

/// Answered one after the other in the life of an account, see `people`.
const OF_PEOPLE: &[&str] = &["/api/v1/me", "/api/v1/sessions", "/api/v1/users"];

#[tokio::test]
async fn every_promised_operation_is_described_and_every_answer_is_as_described() {
    let house = House::open().await;
    let api = Api(house.get("/openapi.json", "").await.json());
    let mut described = BTreeMap::new();
    for (path, item) in api.0["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{} {path}", method.to_uppercase());
            assert!(operation["summary"].is_string(), "{name} has no sentence");
            if OF_PEOPLE.iter().any(|prefix| path.starts_with(prefix)) {
                continue;
            }
            described.insert(name, operation);
        }
    }
    let tries = tries(&house).await;
    let tried: BTreeSet<_> = tries.iter().map(|it| it.operation.to_owned()).collect();
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), tried, "each is tried and each is described");
    let mut wrong = Vec::new();
    for Try { operation, role, path, headers, body, status } in tries {
        let token = match role {
            Some(role) => house.token(role).await,
            None => String::new(),
        };
        let method: Method = operation.split(' ').next().and_then(|method| method.parse().ok()).expect("a method");
        let kind = [("content-type", "application/json")];
        let headers: Vec<_> = headers.iter().chain(kind.iter().filter(|_| body.is_some())).copied().collect();
        let body = body.map(|body| body.to_string());
        let answer = house.send(method, &path, &token, &headers, body.as_deref()).await;
        let (answered, kind) = (answer.status.as_u16(), answer.header("content-type").to_owned());
        let name = format!("{operation} as {role:?} at {path}");
        if answered != status {
            wrong.push(format!("{name}: {answered} and not {status}: {}", String::from_utf8_lossy(&answer.body)));
        }
        wrong.extend(
            api.check(described[operation], answered, &kind, &answer.body)
                .into_iter()
                .map(|it| format!("{name}: {it}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_version_that_was_seen_may_come_as_a_tag() {
    let house = House::open().await;
    let path = format!("/api/v1/cases/{}", house.case().await);
    let agent = house.token(Role::Agent).await;
    let seen = house.get(&path, &agent).await;
    assert_eq!(seen.header("etag"), "\"1\"");
    let edit = async |tag: &str| {
        let headers = [("content-type", "application/json"), ("if-match", tag)];
        house.send(Method::PATCH, &path, &agent, &headers, Some("{\"title\":\"停水\"}")).await
    };
    let edited = edit("\"1\"").await;
    assert_eq!((edited.status, edited.header("etag")), (StatusCode::OK, "\"2\""));
    let stale = edit("\"1\"").await;
    assert_eq!((stale.status, stale.problem().as_str()), (StatusCode::CONFLICT, "stale-version"));
    assert_eq!(edit("*").await.status, StatusCode::BAD_REQUEST);
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
