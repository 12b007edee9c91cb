//! All fourteen sample calls, dialled through SIP and A-law, then judged by `hotline eval calls`.

use std::{fs, path::Path};

use serde_json::Value;

use crate::house::House;

const CALLS: &str = "tests/calls";

#[tokio::test]
async fn fourteen_sample_calls_through_sip_are_heard_as_well_as_by_raw_whisper_and_drafted_right() {
    // The recordings are judged by the command below; the line's own workers may rest.
    let house = House::with(&[("SPEECH__WORKERS", "0")]);
    let manifest = fs::read_to_string(Path::new(CALLS).join("manifest.jsonl")).expect("the manifest");
    let calls: Vec<Value> = manifest.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    assert_eq!(calls.len(), 14);

    let recorded = house.folder().join("recorded");
    fs::create_dir(&recorded).expect("a folder");
    fs::write(recorded.join("manifest.jsonl"), &manifest).expect("a file");
    let dialled =
        calls.iter().map(|call| house.dial(text(&call["caller_id"]), Path::new(CALLS).join(text(&call["wav"]))));
    for report in futures::future::join_all(dialled).await {
        assert_eq!(report.status, 200);
    }
    for call in &calls {
        let row = house.sealed_call(text(&call["caller_id"])).await;
        let bytes = house.bytes(&format!("/api/v1/calls/{}/recording", text(&row["id"]))).await;
        fs::write(recorded.join(text(&call["wav"])), bytes).expect("a file");
    }
    judge(&house, &recorded);
}

#[tokio::test]
async fn fourteen_sample_calls_with_both_sides_find_both_hazards_and_no_false_emergency() {
    let house = House::closed(tempfile::tempdir().expect("a folder"), &[]);
    judge(&house, Path::new(CALLS));
}

/// The promises of the line, on whatever recordings lie in `folder`.
fn judge(house: &House, folder: &Path) {
    let done = house.run(&["eval", "calls", folder.to_str().expect("a path"), "--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    println!("{report:#}");
    assert_eq!(report["n"], 14);

    let (cer, raw) = (report["cer"].as_f64().expect("cer"), report["cer_raw"].as_f64().expect("cer_raw"));
    assert!(cer <= raw + 0.02, "caller CER {cer:.4} is more than two points above raw whisper.cpp's {raw:.4}");
    let fields = &report["fields"];
    assert_eq!(fields["category"]["top3"], 14, "{fields}");
    assert_eq!(fields["urgency"]["right"], 14, "hazards and emergencies found, none invented: {fields}");
    let outside = &report["evidence"]["wrong"];
    assert_eq!(outside, &serde_json::json!([]), "every value from speech has its span in the right turn");
    assert!(report["evidence"]["values"].as_u64() > Some(40), "values were looked at");
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
