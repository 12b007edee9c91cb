//! The supervisor's stories, with shell scripts in the place of workers: the real one is tested with the real model.

use std::{fs, time::Duration};

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Health, Live, Program, supervise};
use crate::{
    clock::Clock,
    domain::{
        call::{Direction, EndReason, RecordingState},
        ids::CallId,
        time::UnixMs,
    },
    jobs::{Kind, Queue},
    recording::Archive,
    store::{CallRow, JobState, Store, StoredRecording},
    telemetry::Private,
    vault::Vault,
};

const NINE: UnixMs = UnixMs(1_795_395_600_000);
/// Where the recording stands.
const KEY: &str = "2026/11/23/a.wav";
/// Longest wait for a state; a loaded machine needs some of it, a broken program all.
const PATIENCE: Duration = Duration::from_mins(1);

/// A line with one sealed recording that waits to be heard.
struct Line {
    queue: Queue,
    archive: Archive,
    clock: Clock,
    call: CallId,
    health: Health,
    stopping: CancellationToken,
    folder: TempDir,
}

impl Line {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::standing_at(NINE);
        let path = |name: &str| folder.path().join(name).display().to_string();
        let store = Store::open(&format!("sqlite://{}", path("line.db")), clock.clone()).await.expect("a database");
        let archive = Archive::in_folder(folder.path(), clock.clone());
        let call = CallId::new(clock.uuid());
        let recording = StoredRecording { key: KEY.into(), sha256: "0".repeat(64), samples: 8000 };
        let wav = folder.path().join("recordings").join(&recording.key);
        fs::create_dir_all(wav.parent().expect("a folder")).expect("made");
        fs::write(wav, b"sound").expect("written");
        let queue = Queue::new(store.clone());
        let row = CallRow::begun(call, Direction::Inbound, Some(Private("13800000000".into())), "12345".into(), NINE);
        let mut tx = store.begin().await.expect("a transaction");
        tx.add_call(&row).await.expect("added");
        tx.commit().await.expect("committed");
        let (reason, state) = (EndReason::CallerHungUp, RecordingState::Sealed);
        queue.call_ended(call, NINE, reason, state, Some(&recording), None).await.expect("ended");
        Self { queue, archive, clock, call, health: Health::of(1), stopping: CancellationToken::new(), folder }
    }

    /// Runs the supervisor over a shell script; `$STATE` is a file that outlives its workers.
    fn start(&self, script: &str) -> JoinHandle<()> {
        let state = self.folder.path().join("state").display().to_string();
        let script = format!("STATE={state}; {script}");
        let program = Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] };
        let (queue, archive, health) = (self.queue.clone(), self.archive.clone(), self.health.clone());
        tokio::spawn(supervise(queue, archive, program, 1, Live::default(), health, self.stopping.clone()))
    }

    /// Lets time pass and wakes the queue until `reached`.
    async fn until(&self, what: &str, reached: impl AsyncFn(&Self) -> bool) {
        let waiting = async {
            let mut turn = 0_u32;
            while !reached(self).await {
                self.clock.set(self.clock.now() + Duration::from_secs(2));
                turn += 1;
                self.queue.enqueue(Kind::Draft, format!("wake {turn}")).await.expect("added");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not reached: {what}"));
    }

    async fn stop(&self, supervisor: JoinHandle<()>) {
        self.stopping.cancel();
        tokio::time::timeout(PATIENCE, supervisor).await.expect("it ends when told").expect("it does not panic");
    }

    async fn is_heard(&self) -> bool {
        self.queue.store().transcript(self.call).await.expect("read").is_some()
    }
}

/// Reads a task and takes its id.
const READ: &str = r#"read task; id=${task#*\"id\":\"}; id=${id%%\"*}; echo x >> $STATE"#;
const READY: &str = r#"echo '{"kind":"ready"}'"#;
const HEARD: &str = r#"echo "{\"kind\":\"heard\",\"id\":\"$id\",\"utterances\":[],\"until\":[1000,1000]}""#;

fn attempts(line: &Line) -> usize {
    fs::read_to_string(line.folder.path().join("state")).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn a_worker_killed_at_work_is_replaced_and_the_recording_heard() {
    let line = Line::new().await;
    let dies_once = format!("{READY}; {READ}; [ $(wc -l < $STATE) = 1 ] && kill -9 $$; {HEARD}; read more");
    let supervisor = line.start(&dies_once);
    line.until("the recording is heard", Line::is_heard).await;
    assert_eq!(attempts(&line), 2);
    assert_eq!(line.health.degraded(), None);
    line.stop(supervisor).await;
    assert!(line.queue.dead_letters().await.expect("read").is_empty());
}

#[tokio::test]
async fn a_bad_file_becomes_a_dead_letter_with_the_reason_after_three_attempts() {
    let line = Line::new().await;
    let failed = r#"echo "{\"kind\":\"failed\",\"id\":\"$id\",\"error\":\"a.wav is not a recording\",\"retry\":true}""#;
    let supervisor = line.start(&format!("{READY}; while {READ}; do {failed}; done"));
    let dead = async |line: &Line| !line.queue.dead_letters().await.expect("read").is_empty();
    line.until("a dead letter", dead).await;
    let letters = line.queue.dead_letters().await.expect("read");
    assert_eq!(letters[0].error.as_deref(), Some("a.wav is not a recording"));
    assert_eq!(letters[0].attempts, 3);
    line.stop(supervisor).await;
    assert!(!line.is_heard().await);
}

#[tokio::test]
async fn without_a_model_jobs_wait_and_the_reason_is_told() {
    let line = Line::new().await;
    // The model is missing until the file is there.
    let mended = line.folder.path().join("mended");
    let unfit = r#"echo '{"kind":"unfit","reason":"model file x is missing"}'"#;
    let test = format!("[ -e {} ] || {{ {unfit}; exit 1; }}", mended.display());
    let supervisor = line.start(&format!("{test}; {READY}; {READ}; {HEARD}; read more"));
    let told = async |line: &Line| line.health.degraded().as_deref() == Some("model file x is missing");
    line.until("the reason is told", told).await;
    let waiting = line.queue.store().jobs(JobState::Waiting).await.expect("read");
    let job = waiting.iter().find(|job| job.kind == Kind::Transcribe.as_str()).expect("it waits");
    assert_eq!(job.attempts, 0, "a missing model is not the recording's fault");
    fs::write(mended, b"").expect("written");
    line.until("the recording is heard", Line::is_heard).await;
    assert_eq!(line.health.degraded(), None);
    line.stop(supervisor).await;
}

#[tokio::test]
async fn a_recording_whose_key_was_not_copied_here_yet_waits_and_loses_no_attempt() {
    let line = Line::new().await;
    let other = tempfile::tempdir().expect("another machine of the line");
    let sealed = Vault::in_folder(other.path(), line.clock.clone()).seal(KEY, b"sound").expect("sealed there");
    fs::write(line.folder.path().join("recordings").join(KEY), sealed).expect("in the store of both");
    let supervisor = line.start(&format!("{READY}; {READ}; {HEARD}; read more"));
    let given_back = async |line: &Line| {
        let waiting = line.queue.store().jobs(JobState::Waiting).await.expect("read");
        let job = waiting.iter().find(|job| job.kind == Kind::Transcribe.as_str());
        job.is_some_and(|job| job.run_at > NINE && job.attempts == 0)
    };
    line.until("it was tried and given back", given_back).await;
    assert_eq!(attempts(&line), 0, "no worker saw it");
    let keys = |folder: &TempDir| folder.path().join("keys/master.json");
    fs::copy(keys(&other), keys(&line.folder)).expect("copied");
    line.until("the recording is heard", Line::is_heard).await;
    line.stop(supervisor).await;
    let spool = fs::read_dir(line.folder.path().join("spool")).expect("the spool").count();
    assert_eq!(spool, 0, "the opened copy went with the job");
}

#[tokio::test]
async fn a_supervisor_that_is_told_to_stop_gives_the_job_back_untouched() {
    let line = Line::new().await;
    let supervisor = line.start(&format!("{READY}; {READ}; read never"));
    line.until("the worker is at it", async |line| attempts(line) == 1).await;
    line.stop(supervisor).await;
    let waiting = line.queue.store().jobs(JobState::Waiting).await.expect("read");
    let job = waiting.iter().find(|job| job.kind == Kind::Transcribe.as_str()).expect("it waits again");
    assert_eq!(job.attempts, 0);
}
