//! Families of algorithms behind one trait. What was made with one says so, hence all of them stay readable.

use hmac::{EagerHash, Hmac, KeyInit, Mac};
pub use hotline_gcm::{NONCE, Refused, TAG};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;
use sm3::Sm3;
use zeroize::Zeroizing;

use crate::{clock::Clock, config::CipherSuite};

/// 32 secret bytes; wiped from memory when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; Self::BYTES]>);

impl Key {
    pub const BYTES: usize = 32;

    /// A fresh one.
    pub fn random(clock: &Clock) -> Self {
        Self(Zeroizing::new(clock.random()))
    }

    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    pub fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(self.bytes())))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = hex::decode(&*text).map(Zeroizing::new).ok();
        bytes.and_then(|bytes| Self::from_slice(&bytes)).ok_or_else(|| de::Error::custom("a key is 64 hex digits"))
    }
}

/// One family: a cipher that also proves who wrote, and a hash with a key.
pub trait Suite: Sync {
    /// Encrypts `text` and appends its tag.
    ///
    /// * `bound` — not in the result, but the result opens only with the same again.
    fn seal(&self, key: &Key, nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>);

    /// Undoes [`Suite::seal`]; a refused text is left as it was.
    fn open(&self, key: &Key, nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>) -> Result<(), Refused>;

    /// A hash that only those who have the key can make.
    fn keyed_hash(&self, key: &Key, text: &[u8]) -> [u8; 32];
}

/// The suite of a name.
pub fn suite(name: CipherSuite) -> &'static dyn Suite {
    match name {
        CipherSuite::Aes256Gcm => &International,
        CipherSuite::Sm4Gcm => &Chinese,
    }
}

/// AES-256-GCM (NIST SP 800-38D) and HMAC-SHA-256 (RFC 2104).
struct International;

/// SM4-GCM (RFC 8998) and HMAC-SM3 (GM/T 0042). SM4 has keys of 128 bits: the first half of a [`Key`].
struct Chinese;

impl Suite for International {
    fn seal(&self, key: &Key, nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>) {
        hotline_gcm::aes_256_seal(key.bytes(), nonce, bound, text);
    }

    fn open(&self, key: &Key, nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>) -> Result<(), Refused> {
        hotline_gcm::aes_256_open(key.bytes(), nonce, bound, text)
    }

    fn keyed_hash(&self, key: &Key, text: &[u8]) -> [u8; 32] {
        hmac::<Sha256>(key, text)
    }
}

impl Suite for Chinese {
    fn seal(&self, key: &Key, nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>) {
        hotline_gcm::sm4_seal(first_half(key), nonce, bound, text);
    }

    fn open(&self, key: &Key, nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>) -> Result<(), Refused> {
        hotline_gcm::sm4_open(first_half(key), nonce, bound, text)
    }

    fn keyed_hash(&self, key: &Key, text: &[u8]) -> [u8; 32] {
        hmac::<Sm3>(key, text)
    }
}

fn first_half(key: &Key) -> &[u8; 16] {
    key.bytes().first_chunk().expect("16 of 32 bytes")
}

fn hmac<D: EagerHash>(key: &Key, text: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<D> as KeyInit>::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
    mac.update(text);
    let mut hash = [0; 32];
    hash.copy_from_slice(&mac.finalize().into_bytes());
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(hex: &str) -> Key {
        let mut bytes = hex::decode(hex).expect("hex");
        bytes.resize(Key::BYTES, 0);
        Key::from_slice(&bytes).expect("32 bytes")
    }

    /// * `sealed` — text and tag.
    fn knows(name: CipherSuite, key_hex: &str, nonce: &str, bound: &str, text: &str, sealed: &str) {
        let [nonce, bound, plain] = [nonce, bound, text].map(|hex| hex::decode(hex).expect("hex"));
        let nonce: [u8; NONCE] = nonce.try_into().expect("12 bytes");
        let mut text = plain.clone();
        suite(name).seal(&key(key_hex), &nonce, &bound, &mut text);
        assert_eq!(hex::encode(&text), sealed);
        suite(name).open(&key(key_hex), &nonce, &bound, &mut text).expect("its own");
        assert_eq!(text, plain);
    }

    /// Source: NIST CAVP, `gcmEncryptExtIV256.rsp`, and test case 16 of the GCM proposal (McGrew, Viega).
    #[test]
    fn aes_256_gcm_gives_the_published_results() {
        knows(
            CipherSuite::Aes256Gcm,
            "b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
            "516c33929df5a3284ff463d7",
            "",
            "",
            "bdc1ac884d332457a1d2664f168c76f0",
        );
        knows(
            CipherSuite::Aes256Gcm,
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
             76fc6ece0f4e1768cddf8853bb2d551b",
        );
    }

    /// Source: RFC 8998, appendix A.1.
    #[test]
    fn sm4_gcm_gives_the_published_result() {
        knows(
            CipherSuite::Sm4Gcm,
            "0123456789abcdeffedcba9876543210",
            "00001234567800000000abcd",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddddeeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
            "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d\
             83de3541e4c2b58177e065a9bf7b62ec",
        );
    }

    /// Source: GM/T 0042-2015, appendix D.3. The second key of 32 bytes is published for SHA-256 too (`hmac` of any
    /// other tool gives the same).
    #[test]
    fn keyed_hashes_give_the_published_results() {
        let counting = key("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20");
        let text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".repeat(2);
        let hash = suite(CipherSuite::Sm4Gcm).keyed_hash(&counting, text.as_bytes());
        assert_eq!(hex::encode(hash), "ca05e144ed05d1857840d1f318a4a8669e559fc8391f414485bfdf7bb408963a");
        let same = key(&"0b".repeat(32));
        let hash = suite(CipherSuite::Sm4Gcm).keyed_hash(&same, b"Hi There");
        assert_eq!(hex::encode(hash), "c0ba18c68b90c88bc07de794bfc7d2c8d19ec31ed8773bc2b390c9604e0be11e");
        // RFC 4231, case 1: HMAC pads a short key with zeros, so its 20 bytes are a key of 32.
        let hash = suite(CipherSuite::Aes256Gcm).keyed_hash(&key(&"0b".repeat(20)), b"Hi There");
        assert_eq!(hex::encode(hash), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn a_key_is_not_printed_and_comes_back_from_its_file() {
        let key = key(&"ab".repeat(32));
        assert_eq!(format!("{key:?}"), "Key(***)");
        let text = serde_json::to_string(&key).expect("JSON");
        assert_eq!(serde_json::from_str::<Key>(&text).expect("a key"), key);
        for wrong in ["\"\"", "\"abab\"", "7", "\"zz\""] {
            serde_json::from_str::<Key>(wrong).expect_err("no key");
        }
    }

    proptest! {
        #[test]
        fn what_was_changed_in_one_bit_does_not_open(
            text in proptest::collection::vec(any::<u8>(), 0..200),
            chinese: bool,
            at: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            let suite = suite(if chinese { CipherSuite::Sm4Gcm } else { CipherSuite::Aes256Gcm });
            let (key, nonce) = (key(&"07".repeat(32)), [9; NONCE]);
            let mut sealed = text.clone();
            suite.seal(&key, &nonce, b"name", &mut sealed);
            prop_assert_eq!(sealed.len(), text.len() + TAG);
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            let before = sealed.clone();
            prop_assert_eq!(suite.open(&key, &nonce, b"name", &mut sealed), Err(Refused));
            prop_assert_eq!(&sealed, &before, "nothing leaks of what was refused");
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(suite.open(&key, &nonce, b"another", &mut sealed), Err(Refused));
            prop_assert_eq!(suite.open(&key, &nonce, b"name", &mut sealed), Ok(()));
            prop_assert_eq!(sealed, text);
        }
    }
}
