use serde_json::json;

use super::*;

#[tokio::test]
async fn what_was_heard_and_meant_is_for_those_who_teach_the_line_and_names_nobody() {
    let house = House::open().await;
    let case = house.case().await;
    let (agent, analyst) = (house.token(Role::Agent).await, house.token(Role::Analyst).await);
    let path = format!("/api/v1/cases/{case}");
    let edits =
        json!({"version": 1, "category": "0501", "title": "三号楼停水", "caller_name": "张三", "address": "3号楼"});
    assert_eq!(house.patch(&path, &agent, &edits).await.status, StatusCode::OK);
    house.patch(&path, &agent, &json!({"version": 2, "title": "3号楼停水"})).await;

    let first = house.get("/api/v1/insight/corrections?limit=2", &analyst).await.json();
    let next = first["next"].as_str().expect("more").to_owned();
    let rest = house.get(&format!("/api/v1/insight/corrections?limit=2&after={next}"), &analyst).await.json();
    assert!(rest["next"].is_null());
    let pairs: Vec<_> =
        [&first, &rest].iter().flat_map(|page| page["items"].as_array().expect("items").clone()).collect();
    let told: Vec<_> =
        pairs.iter().map(|pair| (pair["field"].clone(), pair["heard"].clone(), pair["meant"].clone())).collect();
    assert_eq!(
        told,
        [
            (json!("category"), json!("0202"), json!("0501")),
            (json!("title"), json!("光岳新村***停水"), json!("三号楼停水")),
            (json!("title"), json!("光岳新村***停水"), json!("***停水")),
        ],
        "a second thought is held against what was heard, and the address is nobody's to know"
    );
    assert_eq!((&pairs[0]["confidence"], &pairs[0]["seq"]), (&json!(0.9), &json!(2)));
    let one = house.get("/api/v1/insight/corrections?field=category", &analyst).await.json();
    assert_eq!(one["items"].as_array().map(Vec::len), Some(1));

    for (role, status) in [
        (Role::KbEditor, StatusCode::OK),
        (Role::Qc, StatusCode::OK),
        (Role::Agent, StatusCode::NOT_FOUND),
        (Role::Sysadmin, StatusCode::NOT_FOUND),
    ] {
        let token = house.token(role).await;
        assert_eq!(house.get("/api/v1/insight/corrections", &token).await.status, status, "{role}");
    }
    let audited = house.store.audit_after(0, 1_000).await.expect("the audit");
    let exports = audited.iter().filter(|row| row.record.action == "export" && row.record.subject == "corrections");
    assert_eq!(exports.count(), 5, "each page that was given out");
    let wrong = house.get("/api/v1/insight/corrections?after=nowhere", &analyst).await;
    assert_eq!((wrong.status, wrong.json()["field"].as_str()), (StatusCode::BAD_REQUEST, Some("after")));

    house.patch(&path, &agent, &json!({"version": 3, "secret": true})).await;
    let none = house.get("/api/v1/insight/corrections", &analyst).await.json();
    assert_eq!(none["items"], json!([]), "a secret caller's words teach nobody");
    house.patch(&path, &agent, &json!({"version": 4, "secret": false})).await;
    let again = house.get("/api/v1/insight/corrections", &analyst).await.json();
    assert_eq!(again["items"].as_array().map(Vec::len), Some(5), "the three, and both about the secret");
}
