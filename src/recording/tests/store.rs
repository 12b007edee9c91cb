//! What is in the store: sealed, in a folder and in S3 alike, whole or refused, and never lost while the store is away.

use std::fs;

use super::{s3::Server, *};
use crate::{
    config::{S3, Secret},
    domain::ids::CallId,
    vault::{CHUNK, Vault, VaultError},
};

/// Frames of a recording that does not fit into one part of an upload: 6 MB.
const LONG: usize = 1_500_000;

/// An archive over a store of some kind.
struct Place {
    folder: TempDir,
    server: Option<Server>,
}

impl Place {
    fn folder() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), server: None }
    }

    async fn s3() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), server: Some(Server::start().await) }
    }

    fn storage(&self) -> Storage {
        let mut storage = Storage::in_folder(self.folder.path());
        if let Some(server) = &self.server {
            storage.url = format!("s3://{}/a/line", super::s3::BUCKET);
            storage.s3 = S3 {
                endpoint: server.endpoint(),
                access_key: super::s3::ACCESS_KEY.into(),
                secret_key: Secret(super::s3::SECRET_KEY.into()),
                ..S3::default()
            };
        }
        storage
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it is in S3")
    }

    fn vault(&self) -> Vault {
        Vault::in_folder(self.folder.path(), Clock::standing_at(NOON))
    }

    /// Each is another process.
    fn open(&self) -> Archive {
        Archive::open(&self.storage(), self.vault(), Clock::standing_at(NOON)).expect("an archive")
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// What a process that died left in the spool: `frames` of sound in which every frame is another.
    fn leave(&self, frames: usize) -> CallId {
        let call = CallId::new(Clock::standing_at(NOON).uuid());
        let early = super::super::sidecar::Early::new(facts(call));
        fs::write(self.spool().join(format!("{call}.json")), serde_json::to_vec(&early).expect("JSON")).expect("room");
        let mut file = spool::SpoolFile::create(self.spool().join(format!("{call}.wav"))).expect("room");
        file.append(0, &sound(frames)).expect("room");
        file.close(frames as u64).expect("room");
        call
    }

    /// All bytes that the store has, by name.
    fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let root = match &self.server {
            Some(server) => server.folder.path().to_owned(),
            None => self.folder.path().join("recordings"),
        };
        let (mut folders, mut found) = (vec![root], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push((path.display().to_string(), fs::read(&path).expect("readable")));
                }
            }
        }
        found
    }
}

fn facts(call: CallId) -> CallFacts {
    CallFacts {
        call,
        caller: Some(Private("13806352219".into())),
        called: "12345".into(),
        direction: Direction::Inbound,
        started: NOON,
        fork: None,
        seat: None,
    }
}

/// Left counts up, right counts down.
fn sound(frames: usize) -> Vec<i16> {
    let sample = |frame: usize| i16::try_from(frame % 30_000).expect("small");
    (0..frames).flat_map(|frame| [sample(frame), -sample(frame)]).collect()
}

/// Begins a call, says something and lets the caller hang up.
async fn spoken(archive: &Archive) -> CallId {
    let call = CallId::new(Clock::standing_at(NOON).uuid());
    let mut tap = archive.start(facts(call)).await.expect("room");
    tap.began(NOON);
    tap.push(Channel::Caller, 0, &[9; 8_000]);
    tap.finish(8_000);
    call
}

async fn one_story(place: Place) {
    let archive = place.open();
    let short = spoken(&archive).await;
    place.leave(LONG);
    let short = archive.seal(short, CLOSING).await.expect("sealed");
    let [long] = <[Sealed; 1]>::try_from(archive.recover().await.expect("recovered")).expect("the long one");
    assert_eq!((short.samples, long.samples), (8_000, LONG as u64));
    assert_eq!(fs::read_dir(place.spool()).expect("the spool").count(), 0);

    // Whoever has the store's bytes has nothing.
    for (name, bytes) in place.stored() {
        let shows = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(
            !shows(b"WAVEfmt ") && !shows(b"13806352219") && !shows(&[9, 0, 0, 0, 9, 0, 0, 0]),
            "{name} shows something"
        );
    }

    // Another process reads all of it, whole and in any part.
    let archive = place.open();
    assert_eq!(archive.stored(short.facts.call).await.expect("readable"), Some(short.clone()));
    assert_eq!(archive.calls().await.expect("a list"), {
        let mut calls = [short.facts.call, long.facts.call];
        calls.sort();
        calls
    });
    for sealed in [&short, &long] {
        let copy = archive.fetch(&sealed.key).await.expect("a copy");
        let whole = fs::read(&copy).expect("readable");
        assert_eq!(sealed.sha256, hex::encode(Sha256::digest(&whole)), "the hash is that of the WAV");
        assert_eq!(archive.size(&sealed.key).await.expect("there"), whole.len() as u64);
        let border = CHUNK as u64;
        for part in [0..44, 40..100, border - 1..border + 1, 3 * border..5 * border, border..border, 7..u64::MAX] {
            let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(whole.len());
            let expected = &whole[clip(part.start)..clip(part.end)];
            assert_eq!(archive.read(&sealed.key, part.clone()).await.expect("there"), expected, "{part:?}");
        }
        let path = copy.to_path_buf();
        drop(copy);
        assert!(!path.exists(), "the copy goes with its reader");
    }
    let peaks = archive.peaks(&long.key, 1).await.expect("there");
    assert_eq!(peaks.points, [[0.0, 29_999.0 / 32_768.0, -29_999.0 / 32_768.0, 0.0]]);
    archive.ready().await.expect("the store is there");
    let papers = archive.papers();
    assert!(papers.put("audit/2026-11-23.json", "head").await.expect("written"));
    assert!(!papers.put("audit/2026-11-23.json", "another").await.expect("a look"), "written once");
    assert_eq!(papers.get("audit/2026-11-23.json").await.expect("a look").as_deref(), Some("head"));
    assert_eq!(papers.names("audit").await.expect("a list"), ["audit/2026-11-23.json"]);

    archive.delete(&long.key).await.expect("deleted");
    assert!(matches!(archive.read(&long.key, 0..9).await, Err(RecordingError::NoKey(_))));
    assert_eq!(archive.stored(long.facts.call).await.expect("a look"), None);
    archive.delete(&long.key).await.expect("what is gone is gone");
    assert_eq!(archive.calls().await.expect("a list"), [short.facts.call]);
}

#[tokio::test]
async fn recordings_in_a_folder_are_sealed_read_in_part_recovered_and_deleted() {
    one_story(Place::folder()).await;
}

#[tokio::test]
async fn recordings_in_s3_are_sealed_read_in_part_recovered_and_deleted() {
    one_story(Place::s3().await).await;
}

#[tokio::test]
async fn what_was_written_before_there_were_keys_is_read_as_it_is() {
    let place = Place::folder();
    let archive = place.open();
    let call = spoken(&archive).await;
    let sealed = archive.seal(call, CLOSING).await.expect("sealed");
    let copy = archive.fetch(&sealed.key).await.expect("a copy");
    let wav = place.folder.path().join("recordings").join(&sealed.key);
    fs::copy(&copy, &wav).expect("as the old version wrote it");
    fs::write(wav.with_extension("json"), serde_json::to_vec_pretty(&sealed).expect("JSON")).expect("room");

    let archive = place.open();
    assert_eq!(archive.stored(call).await.expect("readable"), Some(sealed.clone()));
    assert_eq!(archive.read(&sealed.key, 0..4).await.expect("readable")[..], *b"RIFF");
    assert_eq!(archive.size(&sealed.key).await.expect("there"), 44 + 8_000 * 4);
    assert_eq!(archive.peaks(&sealed.key, 10).await.expect("readable").points.len(), 10);
    assert_eq!(*archive.fetch(&sealed.key).await.expect("there"), *wav, "no copy is needed");
    assert!(wav.exists(), "and the original stays");
}

#[tokio::test]
async fn what_was_changed_cut_or_renamed_in_the_store_is_refused() {
    let place = Place::folder();
    let archive = place.open();
    let call = place.leave(100_000);
    let sealed = archive.recover().await.expect("recovered").remove(0);
    let wav = place.folder.path().join("recordings").join(&sealed.key);
    let whole = fs::read(&wav).expect("readable");
    let read = async |part| place.open().read(&sealed.key, part).await;
    let changed = |answer| matches!(answer, Err(RecordingError::Vault(VaultError::Changed(_))));

    let mut flipped = whole.clone();
    flipped[200_000] ^= 1;
    fs::write(&wav, flipped).expect("written");
    assert!(changed(read(199_000..200_000).await));
    read(0..1_000).await.expect("what was not changed is there");
    fs::write(&wav, &whole[..whole.len() - 1]).expect("written");
    assert!(changed(read(0..1_000).await));
    let other = place.leave(100_000);
    let other = archive.seal(other, CLOSING).await.expect("sealed");
    fs::copy(wav.with_file_name(format!("{}.wav", other.facts.call)), &wav).expect("another call's");
    assert!(changed(read(0..1_000).await));
    fs::copy(wav.with_file_name(format!("{}.json", other.facts.call)), wav.with_extension("json")).expect("copied");
    assert!(changed(place.open().stored(call).await.map(|_| bytes::Bytes::new())));
}

#[tokio::test]
async fn while_the_store_is_away_recordings_wait_in_the_spool_and_are_sealed_when_it_is_back() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let place = Place::s3().await;
    let archive = place.open();
    let mut calls = [spoken(&archive).await, spoken(&archive).await];
    calls.sort();
    place.server().go_away();
    for call in calls {
        assert!(archive.seal(call, CLOSING).await.expect_err("the store is away").may_pass());
    }
    assert!(archive.is_late());
    assert!(recorder.handle().render().contains("recording_store_failures_total 2"));
    let late = archive.seal_late().await;
    assert!(late.sealed.is_empty() && late.trouble.is_some());
    assert_eq!(fs::read_dir(place.spool()).expect("the spool").count(), 4, "nothing is lost");

    place.server().come_back();
    let late = archive.seal_late().await;
    assert!(late.trouble.is_none(), "{:?}", late.trouble);
    let sealed: Vec<_> = late.sealed.iter().map(|it| (it.facts.call, it.samples, it.reason, it.ended)).collect();
    assert_eq!(sealed, calls.map(|call| (call, 8_000, CLOSING.reason, CLOSING.ended)));
    assert!(!archive.is_late());
    assert_eq!(fs::read_dir(place.spool()).expect("the spool").count(), 0);
    assert_eq!(archive.seal(calls[0], CLOSING).await.expect("known"), late.sealed[0], "asking again changes nothing");
}

#[tokio::test]
async fn what_a_dead_process_left_waits_too_when_the_store_is_away_at_the_start() {
    let place = Place::s3().await;
    let died = place.open();
    let ended = spoken(&died).await;
    place.server().go_away();
    died.seal(ended, CLOSING).await.expect_err("the store is away");
    drop(died);
    let unended = place.leave(800);

    let archive = place.open();
    assert_eq!(archive.recover().await.expect("a look"), []);
    assert!(archive.is_late());
    place.server().come_back();
    let late = archive.seal_late().await;
    let mut reasons: Vec<_> = late.sealed.iter().map(|it| (it.facts.call, it.reason)).collect();
    reasons.sort_by_key(|(call, _)| *call != ended);
    assert_eq!(reasons, [(ended, CLOSING.reason), (unended, EndReason::Interrupted)]);
    assert!(!archive.is_late());
}

#[tokio::test]
async fn without_the_key_file_recordings_wait_until_it_is_back() {
    let place = Place::folder();
    let archive = place.open();
    let call = spoken(&archive).await;
    let keys = place.folder.path().join("keys/master.json");
    let away = keys.with_extension("away");
    fs::rename(&keys, &away).expect("moved");
    let error = archive.seal(call, CLOSING).await.expect_err("nothing to seal with");
    assert!(error.to_string().contains("master.json"), "{error}");
    fs::rename(&away, &keys).expect("moved");
    assert_eq!(archive.seal_late().await.sealed.len(), 1);
}

#[tokio::test]
async fn readiness_says_what_is_wrong_with_the_store() {
    let place = Place::s3().await;
    let ready = async |storage: &Storage| {
        let archive = Archive::open(storage, place.vault(), Clock::standing_at(NOON)).expect("an archive");
        archive.ready().await
    };
    ready(&place.storage()).await.expect("all is well");
    let mut wrong = place.storage();
    wrong.s3.secret_key = Secret("guessed".into());
    ready(&wrong).await.expect_err("a wrong key");
    let mut wrong = place.storage();
    wrong.url = "s3://another".into();
    ready(&wrong).await.expect_err("no such bucket");
    place.server().go_away();
    ready(&place.storage()).await.expect_err("away");

    let place = Place::folder();
    let archive = place.open();
    fs::remove_dir_all(place.folder.path().join("recordings")).expect("a disk that is gone");
    let reason = archive.ready().await.expect_err("gone");
    assert!(reason.contains("storage.url"), "{reason}");
    fs::create_dir(place.folder.path().join("recordings")).expect("back");
    archive.ready().await.expect_err("the answer holds for some seconds");
}
