//! A power cut may come between any two writes. What has reached the disk by then is seen in the line's own system calls:
//! recording and sidecar are safe in the store before the spool lets go of them, and before the row that points to them.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use crate::house::House;

const CALLER: &str = "13963580303";

/// A tracer beside a running line.
struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn recording_and_sidecar_are_safe_in_the_store_before_the_spool_is_emptied_and_before_their_row() {
    let house = House::with(&[("SPEECH__WORKERS", "0")]);
    let trace = house.folder().join("trace");
    let calls = "trace=fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,link,linkat,pwrite64";
    let tracer = Command::new("strace")
        .args(["-f", "-qq", "-y", "-s", "8192", "-e", calls, "-o"])
        .arg(&trace)
        .args(["-p", &house.pid().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(tracer) = tracer else {
        println!("not run: the order of writes; strace is not installed (`./dev test` installs it)");
        return;
    };
    let mut tracer = Tracer(tracer);
    let traced = house
        .until("tracer", async || {
            let status = fs::read_to_string(format!("/proc/{}/status", house.pid())).ok()?;
            let attached = status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
            let gone = tracer.0.try_wait().ok()?.is_some();
            (attached || gone).then_some(attached)
        })
        .await;
    if !traced {
        println!("not run: the order of writes; strace may not attach here (ptrace)");
        return;
    }
    house.dial(CALLER, "tests/calls/s04.wav").await;
    let call = house.sealed_call(CALLER).await;
    let id = call["id"].as_str().expect("an id").to_owned();
    let spool = format!("spool/{id}.wav");
    let story = house
        .until("emptied spool", async || {
            let story = fs::read_to_string(&trace).ok()?;
            first(&story, &["unlink", &spool]).is_some().then_some(story)
        })
        .await;

    let row = first(&story, &["pwrite64", "hotline.db-wal", &format!("{id}.wav")]).expect("the row's way into the log");
    let emptied = first(&story, &["unlink", &spool]).expect("seen before");
    let safe = |what: &[&str]| {
        let at = first(&story, what).unwrap_or_else(|| panic!("{what:?} is not in the trace"));
        assert!(
            at < row.min(emptied),
            "{what:?} stands at {at}, the row at {row}, the end of the spool file at {emptied}"
        );
    };
    // The recording as it grew, the final sidecar beside it, then both in the store.
    safe(&["fsync", &spool]);
    safe(&["rename", &format!("spool/{id}.json")]);
    for stored in [format!("{id}.wav"), format!("{id}.json")] {
        safe(&["fsync", "recordings/", &stored]);
    }
    let committed = story.lines().skip(row).position(|line| line.contains("sync(") && line.contains("hotline.db-wal"));
    assert!(committed.is_some(), "the row is synced");
    drop(tracer);
}

/// The first line of a trace that holds all of these.
fn first(story: &str, what: &[&str]) -> Option<usize> {
    story.lines().position(|line| what.iter().all(|it| line.contains(it)))
}
