//! What goes wrong on a real machine: one clear sentence, the right exit code, nothing lost.

use std::{fs, net::UdpSocket, process::Command};

use sip_test::audio::{self, Side};
use tempfile::tempdir;

use crate::house::{House, models};

const CALLER: &str = "13963580026";

#[tokio::test]
async fn a_worker_killed_in_mid_job_loses_nothing_and_the_case_comes_once() {
    let house = House::open();
    house.dial(CALLER, "tests/calls/s04.wav").await;
    let worker = house.until("worker at work", async || busy_worker(house.pid())).await;
    assert!(Command::new("kill").args(["-KILL", &worker.to_string()]).status().expect("kill runs").success());

    let call = house.sealed_call(CALLER).await;
    let case = house.case_of(call["id"].as_str().expect("an id")).await;
    assert_eq!(case["urgency"], "emergency_now", "the gas leak is found: {case:#}");
    let cases = house.get("/api/v1/cases").await;
    assert_eq!(cases["items"].as_array().map(Vec::len), Some(1), "one call, one case");
}

#[tokio::test]
async fn a_line_killed_in_a_call_keeps_the_recording_and_drafts_it_after_the_restart() {
    let mut house = House::open();
    let said = audio::read("tests/calls/s04.wav".as_ref(), Side::Left).expect("the sample call");
    // The far end dies: the phone's own verdict does not matter.
    let phone = tokio::spawn(sip_test::call(house.citizen(CALLER).playing(said)));
    house
        .until("eleven seconds of recording", async || {
            let spool = fs::read_dir(house.folder().join("spool")).ok()?;
            let grown = spool.flatten().filter_map(|it| it.metadata().ok()).map(|it| it.len()).max()?;
            (grown > 11 * 8_000 * 4).then_some(())
        })
        .await;
    house.kill();
    phone.abort();

    house.start();
    let call = house.sealed_call(CALLER).await;
    assert_eq!(call["end_reason"], "interrupted");
    let case = house.case_of(call["id"].as_str().expect("an id")).await;
    assert_eq!(case["state"], "draft");
    assert_eq!(case["urgency"], "emergency_now", "what was said before the crash counts: {case:#}");
    assert_eq!(house.stop(), Some(0), "a line ends cleanly when asked");
}

#[test]
fn a_damaged_model_is_refused_in_one_sentence_before_it_is_loaded() {
    let folder = tempdir().expect("a folder");
    for entry in fs::read_dir(models()).expect("the models").flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
        }
    }
    let model = folder.path().join("ggml-base-q8_0.bin");
    let mut bytes = fs::read(&model).expect("its bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    fs::write(&model, bytes).expect("a damaged file");

    let path = folder.path().display().to_string();
    let house = House::closed(tempdir().expect("a folder"), &[("SPEECH__MODELS", &path)]);
    let done = house.run(&["transcribe", "tests/calls/s01.wav"]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains(&path) && said.contains("model install"), "names the file and the way out: {said}");
    assert_eq!(house.run(&["model", "verify"]).status.code(), Some(1));
}

#[tokio::test]
async fn with_a_damaged_model_the_line_still_answers_and_the_job_waits() {
    let folder = tempdir().expect("a folder");
    fs::write(folder.path().join("ggml-base-q8_0.bin"), b"not a model").expect("a file");
    let path = folder.path().display().to_string();
    let mut house = House::with(&[("SPEECH__MODELS", &path)]);
    house.dial(CALLER, "tests/calls/s04.wav").await;
    let call = house.sealed_call(CALLER).await;
    let ready = house
        .until("degraded", async || {
            let ready = house.get("/readyz").await;
            (ready["status"] == "degraded").then_some(ready)
        })
        .await;
    assert!(ready.to_string().contains("worker"), "{ready}");

    // The model comes back: the same call is heard.
    assert_eq!(house.stop(), Some(0));
    house.set("SPEECH__MODELS", &models().display().to_string());
    house.start();
    let case = house.case_of(call["id"].as_str().expect("an id")).await;
    assert_eq!(case["state"], "draft");
}

#[test]
fn a_port_in_use_is_named_and_exits_1() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let house = House::closed(tempdir().expect("a folder"), &[("SIP__UDP", &address)]);
    let done = house.run(&["serve"]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains(&address), "{said}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_and_exits_1() {
    // A file where a folder should be: not even root can write below it.
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, b"").expect("a file");
    let spool = file.join("spool").display().to_string();
    for (key, value) in [
        ("STORAGE__SPOOL", spool.clone()),
        ("STORAGE__URL", format!("file://{spool}")),
        ("DATABASE__URL", format!("sqlite://{spool}/hotline.db")),
    ] {
        let house = House::closed(tempdir().expect("a folder"), &[(key, &value)]);
        let done = house.run(&["serve"]);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains(&spool), "{key}: {said}");
    }
}

#[test]
fn every_wrong_setting_is_named_with_its_key_and_exits_2() {
    // Values that are out of range, then values of the wrong kind and a key that does not exist.
    let ranges = [("RTP__PORTS", "9-"), ("LINE__MAX_CALLS", "0")];
    let kinds = [("HTTP__LISTEN", "nowhere"), ("LINE__MAX_CALLS", "many"), ("SPEECH__NONSENSE", "1")];
    for (settings, keys) in [
        (&ranges[..], &["rtp.ports", "line.max_calls"][..]),
        (&kinds[..], &["http.listen", "line.max_calls", "nonsense"][..]),
    ] {
        let house = House::closed(tempdir().expect("a folder"), settings);
        for command in [&["config", "check"][..], &["serve"]] {
            let done = house.run(command);
            let said = String::from_utf8_lossy(&done.stderr).to_lowercase();
            assert_eq!(done.status.code(), Some(2), "{said}");
            assert!(keys.iter().all(|key| said.contains(key)), "{keys:?}: {said}");
        }
    }
}

/// A child of the line that has used the processor for more than it takes to load the model.
pub fn busy_worker(line: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{line}/task/{line}/children")).ok()?;
    let mut all: Vec<u32> = children.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    for task in fs::read_dir(format!("/proc/{line}/task")).ok()?.flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|it| it.parse::<u32>().ok()));
    }
    all.into_iter().find(|child| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let ticks: Option<u64> = stat.rsplit(')').next().and_then(|it| it.split_whitespace().nth(11)?.parse().ok());
        ticks.is_some_and(|ticks| ticks > 150)
    })
}
