use serde_json::json;

use super::*;

#[tokio::test]
async fn a_draft_is_shown_corrected_confirmed_and_dispatched() {
    let house = House::open().await;
    let path = format!("/api/v1/cases/{}", house.case().await);
    let (agent, dispatcher) = (house.token(Role::Agent).await, house.token(Role::Dispatcher).await);
    let draft = house.get(&path, &agent).await.json();
    assert_eq!((draft["state"].as_str(), draft["version"].as_u64()), (Some("draft"), Some(1)));
    assert_eq!(draft["fields"]["category"]["value"], "0202");
    assert!(draft["fields"]["wanted"]["value"].is_null(), "every field key is there");
    let allowed: Vec<_> = draft["allowed_actions"].as_array().expect("a list").iter().collect();
    assert!(allowed.contains(&&json!("confirm")), "{allowed:?}");

    let edited =
        house.patch(&path, &agent, &json!({"version": 1, "fields": {"address": "3号楼", "wanted": "恢复供水"}})).await;
    assert_eq!((edited.status, edited.json()["version"].as_u64()), (StatusCode::OK, Some(2)));
    assert_eq!(edited.json()["fields"]["address"]["source"], "operator");
    let confirmed =
        house.post(&format!("{path}/actions/confirm"), &agent, &json!({"version": 2, "read_back": true})).await;
    assert_eq!((confirmed.status, confirmed.json()["state"].as_str()), (StatusCode::OK, Some("registered")));
    assert!(confirmed.json()["clocks"]["citizen_started"].as_str().expect("a time").ends_with("+08:00"));
    let version = confirmed.json()["version"].clone();
    let sent = house.post(&format!("{path}/actions/dispatch"), &dispatcher, &json!({"version": version})).await;
    assert_eq!((sent.status, sent.json()["state"].as_str()), (StatusCode::OK, Some("dispatched")));
    assert!(sent.json()["lead"].is_string(), "the catalogue's choice");

    let history = house.get(&format!("{path}/events?limit=2"), &agent).await.json();
    let rest =
        house.get(&format!("{path}/events?after={}", history["next"].as_str().expect("more")), &agent).await.json();
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().expect("items").iter().map(|it| it["event"].as_str().expect("a name").into()).collect()
    };
    assert_eq!(
        (names(&history), names(&rest)),
        (vec!["draft".into(), "edit".into()], vec!["confirm".into(), "dispatch".into()])
    );
}

#[tokio::test]
async fn a_stale_version_is_409_with_what_changed() {
    let house = House::open().await;
    let path = format!("/api/v1/cases/{}", house.case().await);
    let agent = house.token(Role::Agent).await;
    house.patch(&path, &agent, &json!({"version": 1, "title": "停水"})).await;
    let stale = house.patch(&path, &agent, &json!({"version": 1, "title": "没水"})).await;
    assert_eq!((stale.status, stale.problem().as_str()), (StatusCode::CONFLICT, "stale-version"));
    let (version, change) = (stale.json()["version"].clone(), stale.json()["changes"][0].clone());
    assert_eq!((version, change["event"].as_str()), (json!(2), Some("edit")));
    assert_eq!(change["data"]["fields"]["title"], "停水");
}

#[tokio::test]
async fn a_wrong_move_is_422_and_one_for_others_403() {
    let house = House::open().await;
    let path = format!("/api/v1/cases/{}", house.case().await);
    let (agent, dispatcher) = (house.token(Role::Agent).await, house.token(Role::Dispatcher).await);
    let early = house.post(&format!("{path}/actions/dispatch"), &dispatcher, &json!({"version": 1})).await;
    assert_eq!((early.status, early.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "refused"));
    assert_eq!((early.json()["reason"].as_str(), early.json()["state"].as_str()), (Some("state"), Some("draft")));
    let unread = house.post(&format!("{path}/actions/confirm"), &agent, &json!({"version": 1})).await;
    assert_eq!((unread.status, unread.json()["reason"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("guard")));
    let others =
        house.post(&format!("{path}/actions/confirm"), &dispatcher, &json!({"version": 1, "read_back": true})).await;
    assert_eq!((others.status, others.problem().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    let wrong = house.patch(&path, &agent, &json!({"version": 1, "fields": {"category": "9999"}})).await;
    assert_eq!((wrong.status, wrong.json()["reason"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("fields")));
    assert_eq!(wrong.json()["fields"][0]["field"], "category");
    let unknown = house.post(&format!("{path}/actions/frobnicate"), &agent, &json!({"version": 1})).await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_names_the_field() {
    let house = House::open().await;
    let path = format!("/api/v1/cases/{}", house.case().await);
    let agent = house.token(Role::Agent).await;
    for (body, field) in [
        (json!({}), "version"),
        (json!({"version": "one"}), "version"),
        (json!({"version": 1, "fields": 7}), "fields"),
        (json!({"version": 1, "fields": {"secret": "perhaps"}}), "secret"),
        (json!({"version": 1, "colour": "red"}), "colour"),
    ] {
        let answer = house.patch(&path, &agent, &body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::BAD_REQUEST, "bad-request"), "{body}");
        assert_eq!(answer.json()["field"], field, "{body}");
    }
    let json = [("content-type", "application/json")];
    for (body, status, problem) in [
        ("{", StatusCode::BAD_REQUEST, "bad-request"),
        ("[1]", StatusCode::BAD_REQUEST, "bad-request"),
        ("{} {}", StatusCode::BAD_REQUEST, "bad-request"),
        (
            &format!("{{\"version\": 1, \"title\": \"{}\"}}", "长".repeat(100_000)),
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
        ),
    ] {
        let answer = house.send(Method::PATCH, &path, &agent, &json, Some(body)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, problem));
    }
    let text = house.send(Method::PATCH, &path, &agent, &[], Some("{}")).await;
    assert_eq!((text.status, text.problem().as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type"));
}

#[tokio::test]
async fn cases_are_found_by_state_words_and_unit() {
    let house = House::open().await;
    let (first, second) = (house.case().await, house.case().await);
    let (agent, dispatcher) = (house.token(Role::Agent).await, house.token(Role::Dispatcher).await);
    let path = format!("/api/v1/cases/{first}/actions");
    house.post(&format!("{path}/confirm"), &agent, &json!({"version": 1, "read_back": true})).await;
    let sent =
        house.post(&format!("{path}/dispatch"), &dispatcher, &json!({"version": 2, "lead": "WATER", "co": []})).await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.json());
    let count = async |query: &str, token: &str| {
        let page = house.get(&format!("/api/v1/cases{query}"), token).await.json();
        page["items"].as_array().map_or_else(|| panic!("{query}: {page}"), Vec::len)
    };
    assert_eq!((count("", &agent).await, count("?limit=1", &agent).await), (2, 1));
    assert_eq!((count("?state=draft", &agent).await, count("?state=dispatched", &agent).await), (1, 1));
    assert_eq!((count("?q=停水", &agent).await, count("?q=噪音", &agent).await), (2, 0));
    assert_eq!((count("?unit=WATER", &agent).await, count("?overdue=true", &agent).await), (1, 0));
    let liaison = house.token(Role::UnitLiaison).await;
    assert_eq!(count("", &liaison).await, 1, "a unit finds its own");
    let hidden = house.get(&format!("/api/v1/cases/{second}"), &liaison).await;
    assert_eq!((hidden.status, hidden.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
    let auditor = house.token(Role::Auditor).await;
    assert_eq!(house.get("/api/v1/cases", &auditor).await.status, StatusCode::NOT_FOUND);
    for (query, key) in [("?state=lost", "state"), ("?overdue=maybe", "overdue"), ("?limit=201", "limit")] {
        let answer = house.get(&format!("/api/v1/cases{query}"), &agent).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.json()["detail"].as_str().expect("words").contains(key));
    }
}
