//! A coverage-guided target for sealed objects, which lie where others may write.

use super::{format::Opener, suite::Key};

/// Nothing that was not sealed with our key is opened.
#[test]
fn fuzz_sealed_object() {
    let key = Key::from_slice(&[7; 32]).expect("a key");
    bolero::check!().for_each(|object: &[u8]| {
        assert!(Opener::new(object, &key, "recording").is_err());
    });
}
