//! The drill: a line that runs is copied, and goes on elsewhere, on the other database.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::json;

use crate::house::{House, postgres};

const CALLER: &str = "13806352219";

#[tokio::test]
async fn a_running_line_is_copied_and_goes_on_in_another_place_on_the_other_database() {
    let house = House::with(&[("SPEECH__WORKERS", "0")]);
    house.dial(CALLER, "tests/calls/s01.wav").await;
    let call = house.sealed_call(CALLER).await;
    let request =
        json!({ "channel": "web", "text": "三号楼停水了，请核实。", "title": "三号楼停水", "category": "0202" });
    let (status, case) = house.ask("POST", "/api/v1/cases", Some(request)).await;
    assert_eq!(status, 201, "{case}");
    let case = format!("/api/v1/cases/{}", case["id"].as_str().expect("an id"));
    let confirm = json!({ "version": 1, "read_back": true });
    let (status, confirmed) = house.ask("POST", &format!("{case}/actions/confirm"), Some(confirm)).await;
    assert_eq!(status, 200, "{confirmed}");
    let recording = format!("/api/v1/calls/{}/recording", call["id"].as_str().expect("an id"));
    let sound = house.bytes(&recording).await;
    done(&house.run(&["audit", "export"]));

    let passphrase = passphrase(house.folder());
    let folder = house.folder().join("copies");
    fs::create_dir(&folder).expect("a folder");
    let said = done(&house.run(&["backup", path(&folder), "--passphrase-file", path(&passphrase)]));
    let (file, rest) = said.split_once(": ").expect("the file and what is in it");
    assert!(rest.ends_with("1 cases, 1 recordings; the keys are in it, sealed with the passphrase\n"), "{rest}");
    assert_eq!(house.get(&case).await["number"], confirmed["number"], "the line goes on");
    assert_eq!(files(&folder), [Path::new(file)], "one file");

    // Where there is no PostgreSQL the other place is another SQLite file.
    let elsewhere = postgres().await.unwrap_or_default();
    let mut other = House::closed(tempfile::tempdir().expect("a folder"), &[("SPEECH__WORKERS", "0")]);
    if !elsewhere.is_empty() {
        other.set("DATABASE__URL", &elsewhere);
    }
    let checked = done(&other.run(&["restore", file, "--check", "--passphrase-file", path(&passphrase)]));
    assert!(checked.ends_with("whole, and the passphrase opens the keys\n"), "{checked}");
    let refused = other.run(&["restore", file]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("--without-keys"), "{}", text(&refused.stderr));
    let restored = done(&other.run(&["restore", file, "--passphrase-file", path(&passphrase)]));
    assert!(restored.contains("restored: 1 cases, 1 recordings checked, 0 not in the store"), "{restored}");

    other.known_by(&house);
    other.start();
    assert_eq!(other.said, Vec::<String>::new(), "the administrators are those of before");
    assert_eq!(other.get(&case).await, house.get(&case).await);
    let events = format!("{case}/events");
    assert_eq!(other.get(&events).await, house.get(&events).await);
    assert_eq!(other.bytes(&recording).await, sound, "the recording, opened with its key");
    let list = "/api/v1/cases?q=%E5%81%9C%E6%B0%B4";
    assert_eq!(other.get(list).await, house.get(list).await, "the same is found");
    let verified = done(&other.run(&["audit", "verify"]));
    assert!(verified.contains("and 1 signed heads hold"), "{verified}");
    assert_eq!((other.stop(), done(&other.run(&["cases", "rebuild", "--check"])).contains("all as")), (Some(0), true));

    let again = other.run(&["restore", file, "--passphrase-file", path(&passphrase)]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is not empty: table cases has a row"), "{}", text(&again.stderr));
}

#[tokio::test]
async fn a_backup_that_is_killed_leaves_no_finished_file_and_the_next_one_works() {
    let house = House::closed(tempfile::tempdir().expect("a folder"), &[]);
    done(&house.run(&["init"]));
    let (folder, waits) = (house.folder().join("copies"), house.folder().join("city.json"));
    fs::create_dir(&folder).expect("a folder");
    // The city's file is read with the settings, and once more after the tables. A pipe gives it once and holds the backup
    // the second time.
    assert!(Command::new("mkfifo").arg(&waits).status().expect("mkfifo runs").success());
    let mut copying = house.command(&["backup", path(&folder)]);
    let copying = copying.env("HOTLINE__CITY__FILE", &waits).stderr(Stdio::null());
    let mut copying = copying.spawn().expect("hotline runs");
    fs::write(&waits, fs::read("config/demo-city.json").expect("the city")).expect("it is read");
    house.until("unfinished file", async || files(&folder).pop()).await;
    copying.kill().expect("SIGKILL");
    copying.wait().expect("it ends");
    let [left] = <[PathBuf; 1]>::try_from(files(&folder)).expect("one file");
    assert_eq!(left.extension(), Some("part".as_ref()), "{left:?}");
    let refused = house.run(&["restore", path(&left), "--check"]);
    assert!(text(&refused.stderr).contains("is no finished backup"), "{}", text(&refused.stderr));

    let said = done(&house.run(&["backup", path(&folder)]));
    assert!(said.contains("THE KEYS ARE NOT IN IT"), "{said}");
    let [file] = <[PathBuf; 1]>::try_from(files(&folder)).expect("what the dead one left is gone");
    assert_eq!(file.extension(), Some("tar".as_ref()), "{file:?}");
    done(&house.run(&["restore", path(&file), "--check"]));
}

fn passphrase(folder: &Path) -> PathBuf {
    let file = folder.join("passphrase");
    fs::write(&file, "correct horse battery\n").expect("a file");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("for its owner");
    file
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

/// What a command that must succeed has printed.
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path of this test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
