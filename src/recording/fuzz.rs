//! A coverage-guided target for recordings as a crash, a full disk or a person may leave them.

use super::{spool, wav};
use crate::domain::transcript::Channel;

/// Whatever lies there: repaired, it is a recording of its own length.
#[test]
fn fuzz_spooled_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.wav");
    bolero::check!().for_each(|bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("room");
        let _ = wav::read_channel(&path, Channel::Operator);
        let frames = spool::repair(&path).expect("a file that can be written");
        let caller = wav::read_channel(&path, Channel::Caller).expect("a recording");
        assert_eq!(caller.len() as u64, frames);
    });
}
