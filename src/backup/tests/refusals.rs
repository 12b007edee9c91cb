//! What a backup and a restore refuse, and what they leave behind then: nothing.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, PermissionsExt},
    panic::AssertUnwindSafe,
};

use futures::FutureExt;

use super::*;
use crate::store::StoreError;

#[tokio::test]
async fn a_damaged_byte_in_any_part_is_named_before_anything_is_written() {
    let line = Line::over(TestStore::sqlite().await).await;
    let made = line.copy().await;
    let whole = fs::read(&made.path).expect("a file");
    let parts = parts(&made.path);
    assert_eq!(parts.len(), made.manifest.parts.len() + 2);
    for (name, at, bytes) in &parts {
        let place = Place::sqlite();
        let damaged = place.folder.path().join("damaged.tar");
        let mut copy = whole.clone();
        copy[usize::try_from(at + bytes / 2).expect("in memory")] ^= 1;
        fs::write(&damaged, &copy).expect("a file");
        let refused = place.restore(&damaged).await;
        // The manifest's hash stands for the manifest.
        let name = if name == manifest::SEAL { manifest::MANIFEST } else { name };
        match refused {
            Err(BackupError::Damaged { part, .. }) => assert_eq!(part, name),
            other => panic!("{name}: {other:?}"),
        }
        assert!(!place.folder.path().join("new.db").exists() && !place.keys().exists(), "{name}");
    }
    for (name, at, _) in &parts {
        let damaged = made.path.with_file_name("heading.tar");
        let mut copy = whole.clone();
        copy[usize::try_from(at - 500).expect("in memory")] ^= 1;
        fs::write(&damaged, &copy).expect("a file");
        let refused = Backup::open(&damaged).expect_err("a heading was changed");
        assert!(matches!(refused, BackupError::Damaged { .. } | BackupError::Unfinished(_)), "{name}: {refused}");
    }
}

#[tokio::test]
async fn a_cut_file_is_no_backup_wherever_it_was_cut() {
    let line = Line::over(TestStore::sqlite().await).await;
    let made = line.copy().await;
    let cut = OpenOptions::new().write(true).open(&made.path).expect("a file");
    for length in (0..made.bytes).rev().filter(|length| length % 512 < 2) {
        cut.set_len(length).expect("cut");
        let refused = Backup::open(&made.path).expect_err("it was cut");
        assert!(matches!(refused, BackupError::Unfinished(_)), "{length} bytes: {refused}");
    }
}

#[tokio::test]
async fn without_the_right_passphrase_nothing_is_written() {
    let line = Line::over(TestStore::sqlite().await).await;
    let (made, place) = (line.copy().await, Place::sqlite());
    let wrong = Passphrase::new("incorrect horse battery".into()).expect("long enough");
    let refused = place.put(&made.path, Some(&wrong), true, &mut |_| {}).await;
    assert!(matches!(refused, Err(BackupError::Passphrase(Wrong::Passphrase))), "{refused:?}");
    let refused = place.put(&made.path, None, true, &mut |_| {}).await;
    assert!(matches!(refused, Err(BackupError::NoPassphrase)), "{refused:?}");

    let bare = line.folder.path().join("bare.tar");
    let made = make(&line.making(None), &bare, &mut |_| {}).await.expect("made");
    assert!(!made.manifest.with_keys && made.manifest.parts.iter().all(|part| part.name != manifest::KEYS));
    let refused = place.restore(&bare).await;
    assert!(matches!(refused, Err(BackupError::NoKeys)), "{refused:?}");
    assert!(!place.folder.path().join("new.db").exists() && !place.keys().exists());
}

#[tokio::test]
async fn an_occupied_place_is_refused_and_left_as_it_is() {
    let line = Line::over(TestStore::sqlite().await).await;
    let made = line.copy().await;
    let said = async |place: &Place| match place.restore(&made.path).await {
        Err(BackupError::Occupied { place, found, .. }) => (place, found),
        other => panic!("{other:?}"),
    };
    let place = Place { database: line.test.url(), ..Place::sqlite() };
    let before = rows(&line.test.store).await;
    let (database, found) = said(&place).await;
    assert!(database.starts_with("database /"), "{database}");
    assert_eq!(found, "table cases has a row");
    assert_eq!(rows(&line.test.store).await, before);

    let place = Place { storage: Storage::in_folder(line.folder.path()), ..Place::sqlite() };
    let before = files(line.folder.path());
    let (store, found) = said(&place).await;
    assert!(store.starts_with("storage.url: file://") && found.starts_with("there is "), "{store}: {found}");
    assert_eq!(files(line.folder.path()), before);

    let place = Place::sqlite();
    Vault::in_folder(place.folder.path(), line.test.clock.clone());
    let before = files(&place.keys());
    assert_eq!(said(&place).await.1, "there are keys");
    assert_eq!(files(&place.keys()), before);
    assert!(!place.folder.path().join("new.db").exists());
}

#[tokio::test]
async fn other_keys_than_those_of_the_database_are_no_restore() {
    let line = Line::over(TestStore::sqlite().await).await;
    let (made, place) = (line.copy().await, Place::sqlite());
    Vault::in_folder(place.folder.path(), line.test.clock.clone());
    let refused = place.restore_the_database(&made.path).await;
    assert!(matches!(refused, Err(BackupError::OtherKeys)), "{refused:?}");
    let opened = Store::open(&place.database, line.test.clock.clone()).await;
    assert!(matches!(opened, Err(StoreError::Unfinished(_))), "{opened:?}");
}

#[tokio::test]
async fn a_restore_that_was_cut_short_looks_like_no_line() {
    let line = Line::over(TestStore::sqlite().await).await;
    let made = line.copy().await;
    for moment in ["putting recordings back", "putting users back", "making views of cases", "checking the audit"] {
        let place = Place::sqlite();
        let told = &mut |step: Step<'_>| assert_ne!(step.what, moment, "the machine dies now");
        let died = AssertUnwindSafe(place.put(&made.path, Some(&passphrase()), true, told)).catch_unwind().await;
        assert!(died.is_err(), "{moment}");
        let opened = Store::open(&place.database, line.test.clock.clone()).await;
        assert!(matches!(opened, Err(StoreError::Unfinished(_))), "{moment}: {opened:?}");
        let again = place.restore(&made.path).await.expect_err("half of it is there").to_string();
        assert!(again.contains("did not finish; empty it"), "{moment}: {again}");
    }
}

#[tokio::test]
async fn what_a_dead_backup_left_is_taken_away_and_what_a_living_one_writes_is_not() {
    let line = Line::over(TestStore::sqlite().await).await;
    let (folder, now) = (tempfile::tempdir().expect("a folder"), line.test.clock.now());
    let dead = folder.path().join("hotline-20261122-033000.tar.part");
    fs::write(&dead, b"half").expect("a file");
    let alive = folder.path().join("hotline-20261122-043000.tar.part");
    let writing = File::create(&alive).expect("a file");
    writing.lock().expect("locked");
    let target = target(folder.path(), now).expect("a name");
    assert_eq!(target, folder.path().join("hotline-20261123-090000.tar"));
    assert!(!dead.exists() && alive.exists());

    let second = folder.path().join("hotline-20261122-043000.tar");
    let refused = make(&line.making(None), &second, &mut |_| {}).await;
    assert!(matches!(refused, Err(BackupError::Busy(_))), "{refused:?}");
    assert!(alive.exists());

    let made = make(&line.making(None), &target, &mut |_| {}).await.expect("made");
    let mode = fs::metadata(&made.path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "for the line's user alone");
    let refused = make(&line.making(None), &target, &mut |_| {}).await;
    assert!(matches!(refused, Err(BackupError::Exists(_))), "{refused:?}");
    let wish = folder.path().join("no-tar");
    assert!(matches!(super::target(&wish, now), Err(BackupError::Target(_))));
}

#[tokio::test]
async fn a_backup_that_fails_leaves_no_file() {
    let line = Line::over(TestStore::sqlite().await).await;
    let (folder, nowhere) = (tempfile::tempdir().expect("a folder"), line.folder.path().join("no-city.json"));
    let making = Making { city: &nowhere, ..line.making(None) };
    let failed = make(&making, &folder.path().join("line.tar"), &mut |_| {}).await;
    assert!(matches!(failed, Err(BackupError::File { .. })), "{failed:?}");
    assert_eq!(files(folder.path()).len(), 0);
}

#[tokio::test]
async fn a_backup_of_a_later_version_is_not_guessed_at() {
    let line = Line::over(TestStore::sqlite().await).await;
    let made = line.copy().await;
    let parts = parts(&made.path);
    let [.., (_, at, bytes), (_, seal, _)] = parts.as_slice() else { panic!("manifest and seal") };
    let file = OpenOptions::new().read(true).write(true).open(&made.path).expect("a file");
    let mut text = vec![0; usize::try_from(*bytes).expect("in memory")];
    file.read_exact_at(&mut text, *at).expect("the manifest");
    let later = String::from_utf8(text).expect("text").replace("\"format\": 1", "\"format\": 2");
    file.write_all_at(later.as_bytes(), *at).expect("written");
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&later));
    file.write_all_at(hash.as_bytes(), *seal).expect("written");
    let refused = Backup::open(&made.path).expect_err("unknown");
    assert!(matches!(refused, BackupError::Newer(_)), "{refused}");
}

/// Name, first byte and length of all that is in an archive, as any tool sees it.
fn parts(path: &Path) -> Vec<(String, u64, u64)> {
    let mut archive = tar::Archive::new(File::open(path).expect("a file"));
    let entries = archive.entries_with_seek().expect("an archive").map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.path().expect("a name").to_string_lossy().into_owned();
        (name, entry.raw_file_position(), entry.size())
    });
    entries.collect()
}
