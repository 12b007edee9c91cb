use serde_json::json;

use super::*;
use crate::{domain::audit::Record, store::AuditRow};

#[tokio::test]
async fn each_fetch_of_a_recording_and_each_reading_of_a_transcript_is_in_the_audit() {
    let house = House::open().await;
    let ((call, _), silent) = (house.call().await, house.missed_call().await);
    let (qc, analyst) = (house.token(Role::Qc).await, house.token(Role::Analyst).await);
    let path = format!("/api/v1/calls/{call}");
    let sound = format!("{path}/recording");
    let whole = house.get(&sound, &qc).await;
    house.send(Method::GET, &sound, &qc, &[("range", "bytes=0-99")], None).await;
    // Nothing is heard by these.
    house.send(Method::HEAD, &sound, &qc, &[], None).await;
    house.send(Method::GET, &sound, &qc, &[("if-none-match", whole.header("etag"))], None).await;
    house.send(Method::GET, &sound, &qc, &[("range", "bytes=99999999-")], None).await;
    house.get(&sound, &analyst).await;
    house.get(&format!("{path}/transcript"), &analyst).await;
    house.get(&format!("/api/v1/calls/{silent}/transcript"), &analyst).await;
    let size = whole.body.len();
    let expected = [
        ("qc", "recording_read", json!({ "from": 0, "to": size, "of": size })),
        ("qc", "recording_read", json!({ "from": 0, "to": 100, "of": size })),
        ("analyst", "transcript_read", json!({})),
    ];
    let rows = house.store.audit_after(0, 100).await.expect("readable");
    let rows: Vec<_> = rows.iter().filter(|row| row.record.subject == format!("call:{call}")).collect();
    let detail = |row: &AuditRow| serde_json::from_str::<Value>(&row.record.detail).expect("JSON");
    let seen: Vec<_> =
        rows.iter().map(|row| (row.record.name.as_str(), row.record.action.as_str(), detail(row))).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_auditor_alone_reads_the_audit_and_is_in_it() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let (agent, auditor) = (house.token(Role::Agent).await, house.token(Role::Auditor).await);
    house.get(&format!("/api/v1/calls/{call}/transcript"), &agent).await;
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Auditor) {
        let token = house.token(role).await;
        for path in ["/api/v1/audit", "/api/v1/audit/export"] {
            assert_eq!(house.get(path, &token).await.status, StatusCode::NOT_FOUND, "{role}");
        }
    }
    let page = house.get(&format!("/api/v1/audit?subject=call:{call}&limit=1"), &auditor).await.json();
    let entry = &page["items"][0];
    assert_eq!(
        (entry["action"].as_str(), entry["at"].as_str()),
        (Some("transcript_read"), Some("2026-11-23T09:00:00+08:00"))
    );
    let user = entry["user"].as_str().expect("who").to_owned();
    let count = async |query: &str| {
        let page = house.get(&format!("/api/v1/audit?{query}"), &auditor).await.json();
        page["items"].as_array().unwrap_or_else(|| panic!("{query}: {page}")).len()
    };
    assert_eq!(count(&format!("user={user}&action=transcript_read")).await, 1);
    assert_eq!(count("action=audit_read&limit=200").await, 3, "the two before and this one");
    assert_eq!(count("action=transcript_read&from=2026-11-23T09:00:00.001%2B08:00").await, 0);
    assert_eq!(count("action=transcript_read&to=2026-11-23T01:00:00Z").await, 0);
    assert_eq!(count("action=transcript_read&from=2026-11-23T01:00:00Z").await, 1);
    for (query, key) in
        [("user=li", "user"), ("action=nothing", "action"), ("from=today", "from"), ("after=x", "after")]
    {
        let answer = house.get(&format!("/api/v1/audit?{query}"), &auditor).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.json()["detail"].as_str().expect("words").contains(key), "{}", answer.json());
    }
}

#[tokio::test]
async fn the_export_is_a_chain_that_anybody_can_check() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let (agent, auditor) = (house.token(Role::Agent).await, house.token(Role::Auditor).await);
    for _ in 0..1_200 {
        let mut tx = house.store.begin().await.expect("a writer");
        tx.audit(crate::store::AuditEntry {
            user: None,
            name: "li \"x\"\n".into(),
            action: crate::domain::audit::Action::Export,
            subject: "audit".into(),
            detail: json!({ "z": 1, "a": [true] }),
        });
        tx.commit().await.expect("committed");
    }
    house.get(&format!("/api/v1/calls/{call}/transcript"), &agent).await;
    let answer = house.get("/api/v1/audit/export", &auditor).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/x-ndjson"));
    let (mut prev, mut count) = (crate::domain::audit::BEGINNING.to_owned(), 0);
    for line in String::from_utf8(answer.body).expect("text").lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        let text = |key: &str| entry[key].as_str().map(str::to_owned);
        let record = Record {
            seq: entry["seq"].as_u64().expect("a number"),
            at: UnixMs(entry["at"].as_i64().expect("a number")),
            user: text("user"),
            name: text("name").expect("a name"),
            action: text("action").expect("a word"),
            subject: text("subject").expect("a subject"),
            detail: text("detail").expect("a text"),
            prev,
        };
        prev = text("hash").expect("a hash");
        assert_eq!(record.hash(), prev, "{line}");
        count = record.seq;
    }
    let (end, hash) = house.store.audit_head().await.expect("readable");
    assert_eq!((count, prev), (end, hash), "up to the export's own entry");
}

#[tokio::test]
async fn what_cannot_be_noted_is_not_read() {
    let house = House::open().await;
    let (call, _) = house.call().await;
    let agent = house.token(Role::Agent).await;
    let url = format!("sqlite://{}", house.folder.path().join("hotline.db").display());
    let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.expect("the database");
    sqlx::raw_sql("DELETE FROM audit_head").execute(&mut other).await.expect("broken");
    for path in ["recording", "transcript"] {
        let answer = house.get(&format!("/api/v1/calls/{call}/{path}"), &agent).await;
        assert!(answer.status.is_server_error(), "{path}: {}", answer.status);
    }
}
