use sha2::Digest;

use super::*;
use crate::domain::role::Role;

#[tokio::test]
async fn calls_are_listed_latest_first_with_masked_numbers() {
    let house = House::open().await;
    let token = house.token(Role::Agent).await;
    let (call, _) = house.call().await;
    house.missed_call().await;
    house.missed_call().await;
    let first = house.get("/api/v1/calls?limit=2", &token).await.json();
    let next = first["next"].as_str().expect("there is more").to_owned();
    let second = house.get(&format!("/api/v1/calls?limit=2&after={next}"), &token).await.json();
    assert_eq!((first["items"].as_array().map(Vec::len), second["items"].as_array().map(Vec::len)), (Some(2), Some(1)));
    assert!(second["next"].is_null());
    let one = house.get(&format!("/api/v1/calls/{call}"), &token).await.json();
    assert_eq!((one["caller"].as_str(), one["called"].as_str()), (Some("138****2219"), Some("12345")));
    assert_eq!(one["started"], "2026-11-23T09:00:00+08:00");
    assert_eq!((one["end_reason"].as_str(), one["recording_state"].as_str()), (Some("caller_hung_up"), Some("sealed")));
    assert_eq!((one["direction"].as_str(), one["recording_ms"].as_u64()), (Some("inbound"), Some(3_000)));
    assert!(one["seat"].is_null() && one["case_id"].is_null());
}

#[tokio::test]
async fn calls_of_a_number_are_found_however_it_is_written() {
    let house = House::open().await;
    let token = house.token(Role::Agent).await;
    let (call, _) = house.call().await;
    house.missed_call().await;
    for phone in ["13806352219", "%2B86%20138-0635-2219", "013806352219"] {
        let found = house.get(&format!("/api/v1/calls?phone={phone}"), &token).await.json();
        let ids: Vec<_> = found["items"].as_array().expect("items").iter().map(|it| it["id"].clone()).collect();
        assert_eq!(ids, [call.to_string()], "{phone}");
    }
    let nobody = house.get("/api/v1/calls?phone=13806352218", &token).await.json();
    assert_eq!(nobody["items"], serde_json::json!([]));
    let senseless = house.get("/api/v1/calls?phone=anonymous", &token).await;
    assert_eq!((senseless.status, senseless.json()["field"].as_str()), (StatusCode::BAD_REQUEST, Some("phone")));
}

#[tokio::test]
async fn a_recording_may_be_held_by_those_who_settle_disputes_until_it_is_deleted() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let path = format!("/api/v1/calls/{call}");
    let (agent, leader) = (house.token(Role::Agent).await, house.token(Role::ShiftLeader).await);
    let hold = async |token: &str, hold: bool| {
        house.put(&format!("{path}/hold"), token, &serde_json::json!({ "hold": hold })).await
    };
    assert_eq!(hold(&agent, true).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hold(&leader, true).await.json()["hold"], true);
    assert_eq!(house.get(&path, &agent).await.json()["hold"], true);
    assert_eq!(hold(&leader, false).await.json()["hold"], false);

    let audit = house.store.audit_after(0, 10).await.expect("the audit");
    let told = audit.iter().filter(|row| row.record.subject == format!("call:{call}"));
    let told: Vec<_> = told.map(|row| (row.record.action.as_str(), row.record.user.is_some())).collect();
    assert_eq!(told, [("hold_set", true), ("hold_cleared", true)]);

    let mut tx = house.store.begin().await.expect("a transaction");
    assert!(tx.begin_deleting(call).await.expect("begun") && tx.recording_deleted(call).await.expect("deleted"));
    tx.commit().await.expect("stored");
    assert_eq!(hold(&leader, true).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let gone = house.get(&format!("{path}/recording"), &agent).await;
    let state = gone.json()["recording_state"].clone();
    assert_eq!((gone.status, state), (StatusCode::NOT_FOUND, "deleted".into()));
}

#[tokio::test]
async fn a_recording_is_given_whole_and_hashes_to_its_tag() {
    let house = House::open().await;
    let (call, sealed) = house.call().await;
    let (path, token) = (format!("/api/v1/calls/{call}/recording"), house.token(Role::Qc).await);
    let whole = house.get(&path, &token).await;
    assert_eq!((whole.status, whole.header("content-type")), (StatusCode::OK, "audio/wav"));
    assert_eq!(whole.header("etag"), format!("\"{}\"", sealed.sha256));
    assert_eq!(whole.header("content-length"), whole.body.len().to_string());
    assert_eq!(hex::encode(sha2::Sha256::digest(&whole.body)), sealed.sha256);
    let head = house.send(Method::HEAD, &path, &token, &[], None).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), whole.header("content-length"));
    let known = house.send(Method::GET, &path, &token, &[("if-none-match", whole.header("etag"))], None).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[tokio::test]
async fn a_recording_is_given_in_ranges() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let (path, token) = (format!("/api/v1/calls/{call}/recording"), house.token(Role::Agent).await);
    let whole = house.get(&path, &token).await.body;
    let size = whole.len();
    let ask = async |range: &str| house.send(Method::GET, &path, &token, &[("range", range)], None).await;
    for (range, part) in [
        ("bytes=0-43", 0..44),
        ("bytes=1000-", 1_000..size),
        ("bytes=-100", size - 100..size),
        ("bytes=44-99999999", 44..size),
    ] {
        let answer = ask(range).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes {}-{}/{size}", part.start, part.end - 1));
        assert!(answer.body == whole[part], "{range}");
    }
    let outside = ask(&format!("bytes={size}-")).await;
    assert_eq!((outside.status, outside.problem().as_str()), (StatusCode::RANGE_NOT_SATISFIABLE, "range"));
    assert_eq!(outside.header("content-range"), format!("bytes */{size}"));
}

#[tokio::test]
async fn the_transcript_and_the_outline_of_a_call_are_given() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let token = house.token(Role::Agent).await;
    let heard = house.get(&format!("/api/v1/calls/{call}/transcript"), &token).await.json();
    assert_eq!((heard["final"].as_bool(), heard["utterances"][0]["channel"].as_str()), (Some(true), Some("caller")));
    let peaks = house.get(&format!("/api/v1/calls/{call}/peaks?points=10"), &token).await.json();
    assert_eq!((peaks["points"].as_array().map(Vec::len), peaks["duration_ms"].as_u64()), (Some(10), Some(3_000)));
    let middle = &peaks["points"][5];
    assert!(middle[0].as_f64() < Some(-0.45) && middle[1].as_f64() > Some(0.45), "the caller's tone: {middle}");
    assert!(middle[2].as_f64().expect("a number").abs() < 0.01, "nobody spoke on the right: {middle}");
    let unheard = house.missed_call().await;
    let unheard = house.get(&format!("/api/v1/calls/{unheard}/transcript"), &token).await.json();
    assert_eq!((unheard["final"].as_bool(), unheard["utterances"].as_array().map(Vec::len)), (Some(false), Some(0)));
}

#[tokio::test]
async fn a_call_without_a_recording_says_why_there_is_none() {
    let house = House::open().await;
    let (call, token) = (house.missed_call().await, house.token(Role::Agent).await);
    for path in ["recording", "peaks"] {
        let answer = house.get(&format!("/api/v1/calls/{call}/{path}"), &token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
        assert_eq!(answer.json()["recording_state"], "none");
    }
}

#[tokio::test]
async fn the_callback_list_masks_whom_to_call() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let token = house.token(Role::Callback).await;
    let list = house.get("/api/v1/callbacks?kind=missed&state=open", &token).await.json();
    assert_eq!((list["items"][0]["phone"].as_str(), list["next"].is_null()), (Some("138****2219"), true));
    assert_eq!(list["items"][0]["call_id"], call.to_string());
    let none = house.get("/api/v1/callbacks?kind=followup", &token).await.json();
    assert_eq!(none["items"].as_array().map(Vec::len), Some(0));
}
