//! What the line stores: in S3 that goes away, under keys that change.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;

use crate::{
    house::House,
    s3::{self, Server},
};

/// A second of a call, without anybody who hears it.
async fn dial(house: &House, from: &str) {
    let mut spec = house.citizen(from).playing(sip_test::audio::tone(440.0, 0.3, 8_000));
    spec.hang_up_after = Some(Duration::from_secs(1));
    assert_eq!(sip_test::call(spec).await.expect("a call").status, 200);
}

async fn call_with(house: &House, from: &str, state: &str) -> Value {
    let tail = from[from.len() - 4..].to_owned();
    house
        .until(&format!("a call that is {state}"), async || {
            let calls = house.get("/api/v1/calls").await;
            let items = calls["items"].as_array().expect("items").clone();
            let ours = |call: &Value| call["caller"].as_str().is_some_and(|it| it.ends_with(&tail));
            items.into_iter().find(|call| ours(call) && call["recording_state"] == state)
        })
        .await
}

/// The contents of all files below a folder.
fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(fs::read(entry.path()).expect("readable"));
        }
    }
}

async fn recording(house: &House, call: &Value) -> Vec<u8> {
    house.bytes(&format!("/api/v1/calls/{}/recording", call["id"].as_str().expect("an id"))).await
}

#[tokio::test]
async fn a_line_whose_store_is_away_answers_records_and_stores_when_it_is_back() {
    let server = Server::start().await;
    let mut house = House::with(&[
        ("SPEECH__WORKERS", "0"),
        ("STORAGE__URL", &format!("s3://{}/line", s3::BUCKET)),
        ("STORAGE__S3__ENDPOINT", &server.endpoint()),
        ("STORAGE__S3__ACCESS_KEY", s3::ACCESS_KEY),
        ("STORAGE__S3__SECRET_KEY", s3::SECRET_KEY),
    ]);
    dial(&house, "13900000001").await;
    let first = call_with(&house, "13900000001", "sealed").await;
    assert!(recording(&house, &first).await.starts_with(b"RIFF"));
    assert_eq!(house.get("/readyz").await["parts"]["storage"]["state"], "up");

    server.go_away();
    dial(&house, "13900000002").await;
    call_with(&house, "13900000002", "failed").await;
    let told =
        async || (house.ask("GET", "/readyz", None).await.1["parts"]["storage"]["state"] == "down").then_some(());
    house.until("readiness tells", told).await;
    let metrics = String::from_utf8(house.bytes("/metrics").await).expect("text");
    assert!(metrics.contains("recording_store_failures_total"), "{metrics}");

    server.come_back();
    let second = call_with(&house, "13900000002", "sealed").await;
    assert!(recording(&house, &second).await.starts_with(b"RIFF"));
    assert_eq!(house.stop(), Some(0));
    let mut objects = Vec::new();
    files(server.folder.path(), &mut objects);
    let sealed = objects.iter().filter(|object| object.starts_with(b"hotline\x01")).count();
    assert_eq!(sealed, 4, "two recordings and their sidecars, sealed");
    assert!(!objects.iter().any(|object| object.windows(10).any(|it| it == b"1390000000")), "no number in the store");
    let log = house.log();
    assert!(!log.contains(s3::SECRET_KEY) && !log.contains("1390000000"), "neither secret nor number: {log}");
}

#[tokio::test]
async fn a_new_key_seals_the_next_recording_and_the_line_plays_both() {
    let mut house = House::with(&[("SPEECH__WORKERS", "0")]);
    let keys = |house: &House, command: &str| {
        let done = house.run(&["keys", command]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    };
    dial(&house, "13900000001").await;
    let first = call_with(&house, "13900000001", "sealed").await;
    house.set("VAULT__SUITE", "sm4-gcm");
    keys(&house, "rotate");
    dial(&house, "13900000002").await;
    let second = call_with(&house, "13900000002", "sealed").await;
    for call in [&first, &second] {
        assert!(recording(&house, call).await.starts_with(b"RIFF"));
    }

    let list = keys(&house, "list");
    let lines: Vec<_> = list.lines().collect();
    assert!(lines[0].contains("aes-256-gcm") && lines[0].ends_with("retired"), "{list}");
    assert!(lines[1].contains("sm4-gcm") && lines[1].ends_with("active"), "{list}");
    let file = fs::read_to_string(house.folder().join("keys/master.json")).expect("the keys");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let public = keys(&house, "public");
    assert!(public.contains("-----BEGIN PUBLIC KEY-----"), "{public}");
    for key in file["keys"].as_array().expect("keys") {
        let secret = key["key"].as_str().expect("a key");
        assert!(![&list, &public, &house.log()].iter().any(|text| text.contains(secret)), "no key is shown");
    }
}

#[test]
fn the_keys_of_another_line_are_refused_and_so_is_a_folder_without_one() {
    let mut house = House::closed(tempfile::tempdir().expect("a folder"), &[("SPEECH__WORKERS", "0")]);
    assert_eq!(house.run(&["keys", "list"]).status.code(), Some(1), "looking makes no keys");
    house.start();
    assert_eq!(house.stop(), Some(0));
    let keys = house.folder().join("keys");
    let start = || {
        let done = house.run(&["serve"]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains("vault.keys") && said.contains(&keys.display().to_string()), "{said}");
        said
    };
    fs::rename(keys.join("index.json"), keys.join("away")).expect("moved");
    assert!(start().contains("index.json is missing"));
    fs::rename(&keys, house.folder().join("others")).expect("moved");
    assert!(start().contains("not those of this database"));
}
