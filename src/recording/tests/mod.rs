//! The archive as a whole, on a real folder.

#[path = "../../../tests/it/s3.rs"]
mod s3;
mod store;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::{
    clock::Clock,
    config::Storage,
    domain::{
        call::{Direction, EndReason},
        time::UnixMs,
        transcript::Channel,
    },
    telemetry::Private,
    vault::Vault,
};

const NOON: UnixMs = UnixMs(1_795_406_400_000); // 2026-11-23 12:00 in China
const CLOSING: Closing = Closing { ended: UnixMs(NOON.0 + 60_000), reason: EndReason::CallerHungUp };

struct House {
    folder: TempDir,
    archive: Archive,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = Archive::in_folder(folder.path(), Clock::standing_at(NOON));
        Self { folder, archive }
    }

    /// Another process on the same folders.
    fn again(&self) -> Archive {
        Archive::in_folder(self.folder.path(), Clock::standing_at(NOON))
    }

    async fn begin(&self) -> (crate::domain::ids::CallId, Tap) {
        let call = crate::domain::ids::CallId::new(Clock::standing_at(NOON).uuid());
        let facts = CallFacts {
            call,
            caller: Some(Private("13806352219".into())),
            called: "12345".into(),
            direction: Direction::Inbound,
            started: NOON,
            fork: None,
            seat: None,
        };
        let mut tap = self.archive.start(facts).await.expect("room");
        tap.began(UnixMs(NOON.0 + 500));
        (call, tap)
    }

    fn spool(&self) -> usize {
        fs::read_dir(self.folder.path().join("spool")).expect("the spool").count()
    }
}

/// Waits for a state of the disk, which another thread brings about.
async fn until(mut state: impl FnMut() -> bool) {
    let patience = std::time::Duration::from_mins(1);
    let waiting = async {
        while !state() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, waiting).await.expect("the state is reached");
}

#[tokio::test]
async fn a_sealed_recording_has_its_hash_its_sidecar_and_its_day() {
    let house = House::new();
    let (call, mut tap) = house.begin().await;
    tap.push(Channel::Caller, 0, &vec![100; 24_000]);
    tap.push(Channel::Operator, 8_000, &[-200; 800]);
    tap.speaker(Channel::Operator, "prompt:welcome", 8_000, 8_800);
    tap.finish(24_000);
    let sealed = house.archive.seal(call, CLOSING).await.expect("sealed");

    assert_eq!(sealed.key, format!("2026/11/23/{call}.wav"));
    assert_eq!((sealed.samples, sealed.sample_rate, sealed.duration_ms()), (24_000, 8_000, 3_000));
    assert_eq!((sealed.answered, sealed.ended), (Some(UnixMs(NOON.0 + 500)), CLOSING.ended));
    assert_eq!(sealed.prompts(Channel::Operator), [(1_000, 1_100)]);
    assert_eq!((sealed.dropped_samples, &sealed.trouble), (0, &None));
    let path = house.archive.fetch(&sealed.key).await.expect("stored");
    let bytes = fs::read(&path).expect("readable");
    drop(path);
    assert_eq!(sealed.sha256, hex::encode(Sha256::digest(&bytes)));
    assert_eq!(house.spool(), 0);

    let length = house.archive.size(&sealed.key).await.expect("stored");
    assert_eq!(length, bytes.len() as u64);
    let part = house.archive.read(&sealed.key, 40..100).await.expect("a range");
    assert_eq!(part[..], bytes[40..100]);
    let beyond = house.archive.read(&sealed.key, length - 4..length + 100).await.expect("cut at the end");
    assert_eq!(beyond.len(), 4);

    assert_eq!(house.archive.seal(call, CLOSING).await.expect("again"), sealed, "asking twice changes nothing");
    assert_eq!(house.again().calls().await.expect("readable"), [call]);
    assert_eq!(house.again().stored(call).await.expect("readable"), Some(sealed));
}

#[tokio::test]
async fn the_sidecar_is_json_with_the_names_that_others_rely_on() {
    let house = House::new();
    let (call, mut tap) = house.begin().await;
    tap.push(Channel::Caller, 80, &[1; 160]);
    tap.speaker(Channel::Caller, "caller", 80, 240);
    drop(tap);
    let sealed = house.archive.seal(call, CLOSING).await.expect("sealed");
    let sidecar = house.archive.read(&sealed.key.replace(".wav", ".json"), 0..u64::MAX).await.expect("stored");
    let json: serde_json::Value = serde_json::from_slice(&sidecar).expect("JSON");
    assert_eq!(json["call"], call.to_string());
    assert_eq!((&json["caller"], &json["called"]), (&"13806352219".into(), &"12345".into()));
    assert_eq!((&json["direction"], &json["reason"]), (&"inbound".into(), &"caller_hung_up".into()));
    let caller = serde_json::json!([{"channel": "caller", "who": "caller", "start_ms": 10, "end_ms": 30}]);
    assert_eq!(json["speakers"], caller);
}

#[tokio::test]
async fn after_a_crash_the_recording_is_there_up_to_the_last_second() {
    let house = House::new();
    let (call, mut tap) = house.begin().await;
    tap.push(Channel::Caller, 0, &vec![7; 80_000]);
    tap.speaker(Channel::Caller, "caller", 0, 160);
    tap.speaker(Channel::Operator, "prompt:welcome", 0, 52_000);
    tap.advance(80_000);
    let spool = house.folder.path().join("spool");
    let wav = spool.join(format!("{call}.wav"));
    until(|| wav::read_channel(&wav, Channel::Caller).is_ok_and(|pcm| pcm.len() >= 72_000)).await;
    // What the disk holds at this moment is what kill -9 leaves. Half a block more than the header knows.
    let after = tempfile::tempdir().expect("a folder");
    fs::create_dir(after.path().join("spool")).expect("a folder");
    for file in fs::read_dir(&spool).expect("the spool") {
        let path = file.expect("a file").path();
        let mut bytes = fs::read(&path).expect("readable");
        if path == wav {
            bytes.extend_from_slice(&[7, 0, 0, 0, 7]);
        }
        fs::write(after.path().join("spool").join(path.file_name().expect("a name")), bytes).expect("room");
    }

    let archive = Archive::in_folder(after.path(), Clock::standing_at(NOON));
    let recovered = archive.recover().await.expect("recovered");
    let [sealed] = &recovered[..] else { panic!("{recovered:?}") };
    assert_eq!((sealed.facts.call, sealed.reason), (call, EndReason::Interrupted));
    assert_eq!(sealed.facts.caller, Some(Private("13806352219".into())), "who called is known");
    assert!((72_001..=80_001).contains(&sealed.samples), "{}", sealed.samples);
    assert_eq!(sealed.ended, UnixMs(NOON.0 + 500 + i64::try_from(sealed.duration_ms()).expect("small")));
    let spans: Vec<_> = sealed.speakers.iter().map(|it| (it.who.as_str(), it.end_ms)).collect();
    assert_eq!(spans, [("caller", u32::try_from(sealed.duration_ms()).expect("small")), ("prompt:welcome", 6_500)]);
    let path = archive.fetch(&sealed.key).await.expect("stored");
    let caller = wav::read_channel(&path, Channel::Caller).expect("readable");
    assert_eq!(caller.len() as u64, sealed.samples);
    assert!(caller.iter().all(|sample| *sample == 7));
    assert_eq!(archive.recover().await.expect("again"), [], "nothing is left");
    assert_eq!(archive.seal(call, CLOSING).await.expect("known"), *sealed, "an interrupted call stays interrupted");
}

#[tokio::test]
async fn a_recording_that_another_process_still_writes_is_left_alone() {
    let house = House::new();
    let (call, mut tap) = house.begin().await;
    tap.push(Channel::Caller, 0, &[7; 8_000]);
    assert_eq!(house.again().recover().await.expect("nothing to do"), []);
    drop(tap);
    assert_eq!(house.archive.recover().await.expect("nothing to do"), [], "nor is one's own");
    assert_eq!(house.archive.seal(call, CLOSING).await.expect("sealed").samples, 8_000);
}

#[tokio::test]
async fn a_process_that_ended_without_sealing_is_made_good_by_the_next() {
    let house = House::new();
    let (call, mut tap) = house.begin().await;
    tap.push(Channel::Caller, 0, &[7; 8_000]);
    drop(tap);
    let sidecar = house.folder.path().join("spool").join(format!("{call}.json"));
    let wav = sidecar.with_extension("wav");
    until(|| wav::read_channel(&wav, Channel::Caller).is_ok_and(|pcm| pcm.len() == 8_000)).await;
    until(|| !super::seal::is_locked(&wav)).await;
    fs::write(&sidecar, b"{ torn").expect("room");
    let recovered = house.again().recover().await.expect("recovered");
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0].samples, 8_000, "the sound is kept even if nobody knows whose it is");
    assert_eq!(house.spool(), 0);
}

#[tokio::test]
async fn sealing_waits_for_the_tap_and_may_be_given_up_and_asked_again() {
    let house = House::new();
    let (call, mut tap) = house.begin().await;
    tap.push(Channel::Caller, 0, &[7; 800]);
    let archive = house.archive.clone();
    let first = tokio::spawn(async move { archive.seal(call, CLOSING).await });
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.is_err_and(|error| error.is_cancelled()));
    let archives = [house.archive.clone(), house.archive.clone()];
    let both = archives.map(|archive| tokio::spawn(async move { archive.seal(call, CLOSING).await }));
    drop(tap);
    let mut answers = Vec::new();
    for one in both {
        answers.push(one.await.expect("ran").expect("sealed"));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].samples, 800);
}

#[tokio::test]
async fn many_calls_at_once_are_all_whole() {
    let house = Arc::new(House::new());
    let mut calls = Vec::new();
    for number in 0..40_i16 {
        let (call, mut tap) = house.begin().await;
        for block in 0..50 {
            tap.push(Channel::Caller, block * 160, &[number + 1; 160]);
            tap.advance(block * 160);
        }
        calls.push((number, call));
    }
    for (number, call) in calls {
        let sealed = house.archive.seal(call, CLOSING).await.expect("sealed");
        let path = house.archive.fetch(&sealed.key).await.expect("stored");
        let caller = wav::read_channel(&path, Channel::Caller).expect("readable");
        assert_eq!((caller.len(), caller[7_999]), (8_000, number + 1));
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let house = House::new();
    let call = crate::domain::ids::CallId::new(Clock::system().uuid());
    assert!(matches!(house.archive.seal(call, CLOSING).await, Err(RecordingError::NotFound(_))));
    assert!(matches!(house.archive.size("2026/11/23/none.wav").await, Err(RecordingError::NoKey(_))));
    assert!(matches!(house.archive.read("../../etc/passwd", 0..9).await, Err(RecordingError::NoKey(_))));
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), b"in the way").expect("room");
    let mut storage = Storage::in_folder(folder.path());
    let open =
        |storage: &Storage| Archive::open(storage, Vault::in_folder(folder.path(), Clock::system()), Clock::system());
    storage.spool = folder.path().join("file/spool");
    let error = open(&storage).expect_err("a file is no folder");
    assert!(error.to_string().contains("storage.spool") && error.to_string().contains("file/spool"), "{error}");
    storage.spool = folder.path().join("spool");
    storage.url = "ftp://bucket".into();
    assert!(open(&storage).expect_err("nobody knows it").to_string().contains("ftp://bucket"));
}

#[tokio::test]
async fn peaks_show_where_who_was_loud() {
    let house = House::new();
    let (call, mut tap) = house.begin().await;
    tap.push(Channel::Caller, 400_000, &vec![16_384; 400_000]);
    tap.push(Channel::Operator, 0, &[-8_192; 100]);
    drop(tap);
    let key = house.archive.seal(call, CLOSING).await.expect("sealed").key;
    let peaks = house.archive.peaks(&key, 4).await.expect("stored");
    assert_eq!(peaks.duration_ms, 100_000);
    let half = [0.0, 0.5, 0.0, 0.0];
    assert_eq!(peaks.points, [[0.0, 0.0, -0.25, 0.0], [0.0; 4], half, half]);
    assert_eq!(house.archive.peaks(&key, 0).await.expect("clamped").points.len(), 1);
}

#[test]
fn slices_are_cut_by_milliseconds_and_mono_is_the_callers_side() {
    let call = Path::new("tests/calls/s01.wav");
    let whole = wav::read_channel(call, Channel::Caller).expect("a sample call");
    assert_eq!(whole.len(), 231_898);
    let slice = wav::read_slice(call, Channel::Caller, 3_550, 11_980).expect("a sample call");
    assert_eq!(slice[..], whole[28_400..95_840]);
    assert!(wav::read_slice(call, Channel::Operator, 3_600_000, 3_700_000).expect("past the end").is_empty());
    let mono = Path::new("config/prompts/welcome.wav");
    assert_eq!(wav::read_channel(mono, Channel::Caller).expect("mono").len(), 52_635);
    assert!(wav::read_channel(mono, Channel::Operator).expect("mono").is_empty());
    let error = wav::read_channel(Path::new("Cargo.toml"), Channel::Caller).expect_err("no sound");
    assert!(error.to_string().contains("Cargo.toml"), "{error}");
}
