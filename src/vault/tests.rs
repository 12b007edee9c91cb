//! The vault as a whole, on a real folder.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;

use super::*;
use crate::domain::time::UnixMs;

const NOON: UnixMs = UnixMs(1_795_406_400_000);

struct House {
    folder: TempDir,
    vault: Vault,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = open(folder.path(), CipherSuite::Aes256Gcm).expect("the first keys");
        Self { folder, vault }
    }

    /// Another process with the same keys.
    fn again(&self) -> Vault {
        open(self.folder.path(), CipherSuite::Aes256Gcm).expect("the same keys")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("keys").join(name)
    }
}

fn open(folder: &Path, suite: CipherSuite) -> Result<Vault, VaultError> {
    Vault::open(&config::Vault { keys: folder.join("keys"), suite }, Clock::standing_at(NOON))
}

#[test]
fn the_first_start_makes_keys_for_the_lines_user_alone_and_the_next_uses_them() {
    let house = House::new();
    for name in ["master.json", "index.json", "signing.json"] {
        let mode = fs::metadata(house.file(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(house.file("")).expect("a folder").permissions().mode() & 0o777, 0o700);
    let sealed = house.vault.seal("a", b"secret").expect("sealed");
    let other = house.again();
    assert_eq!(other.unseal("a", &sealed).expect("the same key"), b"secret");
    assert_eq!(other.fingerprint("13806352219"), house.vault.fingerprint("13806352219"));
    assert_eq!((other.public_key(), other.mark()), (house.vault.public_key(), house.vault.mark()));
    assert_ne!(House::new().vault.mark(), house.vault.mark(), "another line has other keys");
}

#[test]
fn many_first_starts_at_once_agree_on_the_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let marks: Vec<String> = std::thread::scope(|scope| {
        let start = || open(folder.path(), CipherSuite::Aes256Gcm).expect("keys").mark();
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        starts.into_iter().map(|start| start.join().expect("no panic")).collect()
    });
    assert!(marks.iter().all(|mark| *mark == marks[0]), "{marks:?}");
}

#[test]
fn a_first_start_that_was_cut_short_begins_anew() {
    let house = House::new();
    fs::remove_file(house.file("master.json")).expect("removed");
    fs::write(house.file(".making"), b"").expect("as before the last file was written");
    assert_ne!(house.again().mark(), house.vault.mark());
    assert!(!house.file(".making").exists());
}

#[test]
fn a_key_file_that_is_missing_open_to_others_or_damaged_is_named_with_what_to_do() {
    for name in ["master.json", "index.json", "signing.json"] {
        let house = House::new();
        let path = house.file(name);
        let whole = fs::read_to_string(&path).expect("readable");
        let refusal = || {
            let error = open(house.folder.path(), CipherSuite::Aes256Gcm).expect_err("refused").to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            error
        };
        let secret = whole.split("\"key\": \"").nth(1).expect("a key")[..64].to_owned();
        for damaged in [
            whole.replace(&secret, &secret.chars().rev().collect::<String>()),
            whole.replace("aes-256-gcm", "sm4-gcm"),
            whole.replace(&NOON.0.to_string(), "1"),
            whole[..whole.len() / 2].to_owned(),
            whole.replace("\"active\"", "\"retired\"").replace(&secret, "00"),
            String::new(),
            "{\"keys\": []}".to_owned(),
        ] {
            fs::write(&path, damaged).expect("written");
            let error = refusal();
            assert!(error.contains("damaged") && error.contains("backup"), "{error}");
            assert!(!error.contains(&secret), "no key in an error");
        }
        fs::write(&path, &whole).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("opened");
        assert!(refusal().contains("chmod 600"));
        fs::remove_file(&path).expect("removed");
        assert!(refusal().contains("missing"));
    }
}

#[test]
fn a_new_key_seals_from_now_on_and_the_old_stays_readable_also_in_a_process_that_runs() {
    let house = House::new();
    let running = house.again();
    let before = running.seal("a", b"old").expect("sealed");
    let new = house.vault.rotate(CipherSuite::Aes256Gcm).expect("a new key");
    let after = running.seal("a", b"new").expect("sealed");
    let key_of = |sealed: &[u8]| format::made(sealed).expect("sealed").master;
    assert_eq!(key_of(&after), new.id, "nobody restarted it");
    assert_ne!(key_of(&before), new.id);
    for vault in [&house.vault, &running, &house.again()] {
        assert_eq!(vault.unseal("a", &before).expect("readable"), b"old");
        assert_eq!(vault.unseal("a", &after).expect("readable"), b"new");
        let states: Vec<_> = vault.keys().iter().map(|key| key.state).collect();
        assert_eq!(states, [KeyState::Retired, KeyState::Active]);
    }
}

#[test]
fn another_suite_in_the_settings_gets_a_key_and_both_stay_readable() {
    let house = House::new();
    let before = house.vault.seal("a", b"old").expect("sealed");
    let hash = house.vault.fingerprint("13806352219");
    let chinese = open(house.folder.path(), CipherSuite::Sm4Gcm).expect("the same keys");
    let new = chinese.follow(CipherSuite::Sm4Gcm).expect("a key for it").expect("a new one");
    assert_eq!((new.suite, new.state), (CipherSuite::Sm4Gcm, KeyState::Active));
    let after = chinese.seal("a", b"new").expect("sealed");
    assert_eq!(format::made(&after).expect("sealed").suite, CipherSuite::Sm4Gcm);
    assert_eq!(chinese.unseal("a", &before).expect("readable"), b"old");
    assert_eq!(chinese.fingerprint("13806352219"), hash, "who called is found as before");
    let again = open(house.folder.path(), CipherSuite::Sm4Gcm).expect("the same keys");
    assert_eq!(again.follow(CipherSuite::Sm4Gcm).expect("nothing to do"), None);
    assert_eq!(again.keys().len(), 2, "one new key, not one a start");
}

#[test]
fn without_its_key_file_a_running_line_seals_nothing_it_might_not_read_again() {
    let house = House::new();
    let sealed = house.vault.seal("a", b"text").expect("sealed");
    fs::remove_file(house.file("master.json")).expect("removed");
    house.vault.seal("a", b"text").expect_err("the key would be lost with the process");
    assert_eq!(house.vault.unseal("a", &sealed).expect("what is in memory reads on"), b"text");
}

#[test]
fn what_was_sealed_elsewhere_names_the_key_that_is_wanted() {
    let (house, other) = (House::new(), House::new());
    let sealed = other.vault.seal("a", b"text").expect("sealed");
    let error = house.vault.unseal("a", &sealed).expect_err("a strange key").to_string();
    assert!(error.contains(&other.vault.keys()[0].id.to_string()), "{error}");
    let error = house.vault.unseal("b", &house.vault.seal("a", b"text").expect("sealed")).expect_err("another name");
    assert!(matches!(error, VaultError::Changed(_)), "{error}");
    for short in [&sealed[..0], &sealed[..HEAD - 1]] {
        house.vault.unseal("a", short).expect_err("cut");
    }
    let long = vec![7; 100_000];
    let own = house.vault.seal("a", &long).expect("sealed");
    house.vault.unseal("a", &own[..own.len() - 1]).expect_err("cut");
    house.vault.unseal("a", &[&own[..], &[0]].concat()).expect_err("longer");
    assert_eq!(house.vault.unseal("a", &own).expect("whole"), long);
}

#[test]
fn one_person_has_one_fingerprint_however_the_number_is_written() {
    let vault = House::new().vault;
    let hash = vault.fingerprint("13806352219").expect("a number");
    assert_eq!(vault.fingerprint("+86 138 0635 2219").as_ref(), Some(&hash));
    assert_eq!(hash.len(), 64);
    assert_ne!(vault.fingerprint("13806352218").as_ref(), Some(&hash));
    assert_eq!(vault.fingerprint("anonymous"), None);
}

#[test]
fn a_signature_holds_for_its_bytes_and_its_key_alone() {
    let house = House::new();
    let Signed { key, signature } = house.vault.sign(b"head");
    let vault = house.again();
    assert!(vault.verify(b"head", &signature, key));
    assert!(!vault.verify(b"Head", &signature, key));
    assert!(!vault.verify(b"head", &signature, Uuid::nil()));
    assert!(!House::new().vault.verify(b"head", &signature, key));
    let mut changed = hex::decode(&signature).expect("hex");
    changed[0] ^= 1;
    for broken in ["", "zz", &signature[2..], &hex::encode(changed)] {
        assert!(!vault.verify(b"head", broken, key), "{broken}");
    }
    assert_eq!(key, vault.public_key().id);
    assert_eq!(fs::read_to_string(house.file("signing.pub")).expect("beside it"), vault.public_key().pem);
}

/// Source: RFC 8410, section 10.1 (the key) — its base64 is the one printed there.
#[test]
fn the_public_key_is_written_as_other_tools_read_it() {
    let bytes = hex::decode("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1").expect("hex");
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes.try_into().expect("32 bytes")).expect("a point");
    assert!(pem(&key).contains("\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"), "{}", pem(&key));
}
