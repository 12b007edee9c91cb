//! What a line needs goes away under its calls and comes back: a disk, the database, its workers. Nobody starts it again.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use sip_test::audio;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    exposition,
    house::{self, House},
    trouble::busy_worker,
};

const CALLER: &str = "13963580101";
const OTHER: &str = "13963580202";

/// A file system of 8 MB below a folder, for as long as this lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing where mounting is not allowed.
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).expect("a folder");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&path).output();
        if done.is_ok_and(|done| done.status.success()) {
            return Some(Self(path));
        }
        println!("not run: a full disk; mounting a small tmpfs needs root and CAP_SYS_ADMIN");
        None
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file");
        let mut piece = vec![7_u8; 65_536];
        while !piece.is_empty() {
            if file.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("the filler");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the line may still be there when the test has failed.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_disk_that_is_full_in_a_call_and_freed_costs_the_sound_of_that_time_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(folder.path().join("disk")) else { return };
    let path = disk.0.display().to_string();
    let mut house = House::closed(
        folder,
        &[
            ("SPEECH__WORKERS", "0"),
            ("DATABASE__URL", &format!("sqlite://{path}/hotline.db")),
            ("STORAGE__URL", &format!("file://{path}/recordings")),
            ("STORAGE__SPOOL", &format!("{path}/spool")),
        ],
    );
    house.start();

    // A tone of half a minute; the disk is full in its middle.
    let phone = tokio::spawn(sip_test::call(house.citizen(CALLER).playing(tone(30))));
    let second = 8_000 * 4;
    house.until("five seconds", async || (spooled(&disk.0) > 5 * second).then_some(())).await;
    disk.fill();
    house
        .until("trouble", async || (metric(&house, "hotline_recording_trouble_total").await > 2.0).then_some(()))
        .await;
    let before = spooled(&disk.0);
    disk.free();
    house.until("more sound", async || (spooled(&disk.0) > before + 5 * second).then_some(())).await;
    let report = phone.await.expect("a phone").expect("a call");
    assert_eq!(report.status, 200, "the call went on");

    let call = house.sealed_call(CALLER).await;
    assert_eq!(call["end_reason"], "caller_hung_up", "{call}");
    let wav = house.bytes(&format!("/api/v1/calls/{}/recording", call["id"].as_str().expect("an id"))).await;
    let file = house.folder().join("one.wav");
    fs::write(&file, wav).expect("room");
    let (caller, _) = audio::read_both(&file).expect("a recording");
    assert!(caller.len() >= 29 * 8_000, "nothing is cut off: {} samples", caller.len());
    let loud: Vec<bool> = caller.chunks(1_000).map(|part| part.iter().any(|it| it.unsigned_abs() > 5_000)).collect();
    let (first, last) = (&loud[2..40], &loud[loud.len() - 40..loud.len() - 4]);
    assert!(first.iter().chain(last).all(|loud| *loud), "five seconds before and after are there: {loud:?}");
    let silent = loud[40..loud.len() - 40].iter().filter(|loud| !**loud).count();
    assert!(silent >= 4, "and a hole where the disk was full: {loud:?}");

    // Full from before a call until after it: the caller is not lost.
    disk.fill();
    let report = sip_test::call(house.citizen(OTHER).playing(tone(2))).await.expect("an answer of some kind");
    disk.free();
    println!("with a full disk a new call hears {}", report.status);
    house.until("the caller in the books", async || known(&house, OTHER).await).await;
    // And the next one is as any other.
    house.dial(CALLER, "tests/calls/s04.wav").await;
    house
        .until("two sealed calls", async || {
            let calls = house.get("/api/v1/calls?limit=200").await;
            let sealed = calls["items"].as_array()?.iter().filter(|call| {
                call["recording_state"] == "sealed"
                    && call["caller"].as_str().is_some_and(|it| it.ends_with(&CALLER[7..]))
            });
            (sealed.count() == 2).then_some(())
        })
        .await;
    assert_eq!(house.stop(), Some(0));
}

// The way to the database has to go on while the line is started.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_longer_than_anybody_waits_gets_its_rows_when_it_is_back() {
    let Some(url) = house::postgres().await else { return };
    let wire = Wire::to(&url).await;
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("DATABASE__URL", &wire.url)]);
    wire.cut();
    let report = sip_test::call(house.citizen(CALLER).playing(tone(3))).await.expect("a call");
    assert_eq!(report.status, 200, "answered without the database");
    house.until("the line to give up", async || house.log().contains("no row yet").then_some(())).await;
    wire.mend().await;
    let call = house.sealed_call(CALLER).await;
    assert_eq!(call["end_reason"], "caller_hung_up", "{call}");
    house.dial(OTHER, "tests/calls/s04.wav").await;
    house.sealed_call(OTHER).await;
}

#[tokio::test]
async fn workers_killed_again_and_again_leave_the_caller_on_the_call_back_list_and_the_next_call_is_heard() {
    let house = House::open();
    house.dial(CALLER, "tests/calls/s04.wav").await;
    let call = house.sealed_call(CALLER).await;
    let id = call["id"].as_str().expect("an id");
    let listed = house
        .until("dead letter", async || {
            if let Some(worker) = busy_worker(house.pid()) {
                let _ = Command::new("kill").args(["-KILL", &worker.to_string()]).status();
            }
            let missed = house.get("/api/v1/callbacks?kind=missed").await;
            missed["items"].as_array()?.iter().find(|it| it["call_id"] == id).cloned()
        })
        .await;
    assert!(listed.to_string().contains("not_heard"), "{listed}");
    house.dial(OTHER, "tests/calls/s04.wav").await;
    let next = house.sealed_call(OTHER).await;
    let case = house.case_of(next["id"].as_str().expect("an id")).await;
    assert_eq!(case["urgency"], "emergency_now", "{case:#}");
}

/// The way to a PostgreSQL, which can be cut.
struct Wire {
    /// The database's address over this way.
    url: String,
    here: SocketAddr,
    there: String,
    open: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Wire {
    async fn to(url: &str) -> Self {
        let address = url.split_once('@').map_or(url, |(_, rest)| rest).split('/').next().expect("a host").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let here = listener.local_addr().expect("its address");
        let wire = Self { url: url.replace(&address, &here.to_string()), here, there: address, open: Arc::default() };
        wire.serve(listener);
        wire
    }

    fn serve(&self, listener: TcpListener) {
        let there = self.there.clone();
        let task = tokio::spawn(async move {
            let mut ways = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let there = there.clone();
                ways.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(there).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        *self.open.lock().expect("nobody panicked") = Some(task);
    }

    /// All connections break, and new ones are refused.
    fn cut(&self) {
        if let Some(task) = self.open.lock().expect("nobody panicked").take() {
            task.abort();
        }
    }

    async fn mend(&self) {
        self.serve(TcpListener::bind(self.here).await.expect("the same port"));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut();
    }
}

fn tone(seconds: usize) -> Vec<i16> {
    audio::tone(440.0, 0.5, seconds * audio::RATE as usize)
}

/// Bytes of the longest recording that grows.
fn spooled(disk: &Path) -> u64 {
    let spool = fs::read_dir(disk.join("spool")).expect("the spool");
    spool.flatten().filter_map(|it| it.metadata().ok()).map(|it| it.len()).max().unwrap_or(0)
}

async fn metric(house: &House, name: &str) -> f64 {
    let (samples, _) = exposition::read(&String::from_utf8_lossy(&house.bytes("/metrics").await));
    samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
}

/// Whether a caller is in a call's row or on the call-back list.
async fn known(house: &House, from: &str) -> Option<()> {
    let calls = house.get("/api/v1/calls?limit=200").await;
    let is_theirs = |call: &serde_json::Value| call["caller"].as_str().is_some_and(|it| it.ends_with(&from[7..]));
    calls["items"].as_array()?.iter().any(is_theirs).then_some(())
}
