//! Sealing a recording against copying the same bytes.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
    time::{Duration, Instant},
};

use hotline::{
    clock::Clock,
    config::{self, CipherSuite},
    vault::{CHUNK, Vault},
};

/// An hour of a call, megabytes.
const MEGABYTES: u32 = 115;
const BYTES: usize = MEGABYTES as usize * 1_000_000;

pub fn measure() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("call.wav");
    fs::write(&source, vec![7; BYTES]).expect("room");
    let target = folder.path().join("copy");
    // The first reading warms the machine's cache for all.
    best(|| copy(&source, &target));
    let plain = best(|| copy(&source, &target));
    for suite in [CipherSuite::Aes256Gcm, CipherSuite::Sm4Gcm] {
        let settings = config::Vault { keys: folder.path().join(suite.name()), suite };
        let vault = Vault::open(&settings, Clock::system()).expect("keys");
        let ours = best(|| seal(&vault, &source, &target));
        let rate = |took: Duration| f64::from(MEGABYTES) / took.as_secs_f64();
        println!(
            "sealing a recording, {suite}, MB/s: {:.0}  a plain copy: {:.0}  time ratio {:.2}",
            rate(ours),
            rate(plain),
            ours.as_secs_f64() / plain.as_secs_f64()
        );
    }
}

fn copy(source: &Path, target: &Path) {
    let (mut from, mut to) = (File::open(source).expect("a file"), File::create(target).expect("room"));
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk).expect("readable") {
            0 => return,
            read => to.write_all(&chunk[..read]).expect("room"),
        }
    }
}

fn seal(vault: &Vault, source: &Path, target: &Path) {
    let (mut from, mut to) = (File::open(source).expect("a file"), File::create(target).expect("room"));
    let mut sealer = vault.sealer("call.wav", BYTES as u64).expect("a key");
    to.write_all(sealer.head()).expect("room");
    let mut chunk = Vec::with_capacity(2 * CHUNK);
    while !sealer.is_done() {
        chunk.resize(sealer.wants(), 0);
        from.read_exact(&mut chunk).expect("readable");
        sealer.seal(&mut chunk).expect("the announced length");
        to.write_all(&chunk).expect("room");
    }
}

/// The quickest of three.
#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn best(mut work: impl FnMut()) -> Duration {
    let times = (0..3).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    times.min().unwrap_or_default()
}
