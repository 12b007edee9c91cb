//! Sealed with what a person knows, for copies that leave the house: Argon2id makes a key of the passphrase, AES-256-GCM
//! seals with it.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0–8 | `hotlinepw` |
//! | 9 | version of this format, 1 |
//! | 10–21 | Argon2id: memory in KiB, passes, lanes; big-endian, 4 bytes each |
//! | 22–37 | salt, random |
//! | 38–49 | nonce, random |
//! | 50– | the text and its tag; bound to bytes 0–49 |

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::suite::{Key, NONCE, Refused, suite};
use crate::{clock::Clock, config::CipherSuite};

const MAGIC: [u8; 9] = *b"hotlinepw";
const VERSION: u8 = 1;
const HEAD: usize = 50;
/// KiB, passes, lanes. A guess costs about a quarter of a second of a core and 64 MiB.
/// Source: RFC 9106, section 4, the second recommended option.
const COST: [u32; 3] = [64 * 1024, 3, 4];
/// What a file may ask for at most, lest opening it takes the machine down.
const MOST: [u32; 3] = [1024 * 1024, 20, 16];

/// What a person knows. Never printed, wiped from memory when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

/// Why something did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("the passphrase has fewer than {} characters", Passphrase::SHORTEST)]
    Short,
    #[error("the passphrase is not the one it was sealed with, or it was changed since")]
    Passphrase,
    #[error("it is sealed in a way that this program does not know")]
    Unknown,
}

impl Passphrase {
    /// Characters; it stands against guessing for years, away from any lock-out.
    pub const SHORTEST: usize = 12;

    /// # Errors
    /// One that is too short.
    pub fn new(text: String) -> Result<Self, Wrong> {
        let text = Zeroizing::new(text);
        if text.chars().count() < Self::SHORTEST { Err(Wrong::Short) } else { Ok(Self(text)) }
    }

    fn key(&self, cost: [u32; 3], salt: &[u8]) -> Result<Key, Wrong> {
        let [memory, passes, lanes] = cost;
        let parameters = Params::new(memory, passes, lanes, Some(Key::BYTES)).map_err(|_| Wrong::Unknown)?;
        let mut key = Zeroizing::new([0; Key::BYTES]);
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        argon.hash_password_into(self.0.as_bytes(), salt, key.as_mut_slice()).map_err(|_| Wrong::Unknown)?;
        Key::from_slice(key.as_slice()).ok_or(Wrong::Unknown)
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(***)")
    }
}

/// Seals a text; takes a moment on purpose, off the async threads.
pub fn sealed(passphrase: &Passphrase, plain: &[u8], clock: &Clock) -> Result<Vec<u8>, Wrong> {
    let salt: [u8; 16] = clock.random();
    let nonce: [u8; NONCE] = clock.random();
    let mut head = Vec::with_capacity(HEAD + plain.len() + 16);
    head.extend(MAGIC);
    head.push(VERSION);
    head.extend(COST.iter().flat_map(|cost| cost.to_be_bytes()));
    head.extend(salt);
    head.extend(nonce);
    let mut text = plain.to_vec();
    suite(CipherSuite::Aes256Gcm).seal(&passphrase.key(COST, &salt)?, &nonce, &head, &mut text);
    head.append(&mut text);
    Ok(head)
}

/// Opens what [`sealed`] made.
pub fn opened(passphrase: &Passphrase, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Wrong> {
    let (head, text) = sealed.split_at_checked(HEAD).ok_or(Wrong::Unknown)?;
    if !head.starts_with(&MAGIC) || head[9] != VERSION {
        return Err(Wrong::Unknown);
    }
    let number = |at: usize| head[at..at + 4].try_into().map(u32::from_be_bytes).map_err(|_| Wrong::Unknown);
    let cost = [number(10)?, number(14)?, number(18)?];
    if cost.iter().zip(MOST).any(|(cost, most)| *cost > most) {
        return Err(Wrong::Unknown);
    }
    let key = passphrase.key(cost, &head[22..38])?;
    let nonce = head[38..].try_into().map_err(|_| Wrong::Unknown)?;
    let mut text = Zeroizing::new(text.to_vec());
    let open = suite(CipherSuite::Aes256Gcm).open(&key, nonce, head, &mut text);
    open.map(|()| text).map_err(|Refused| Wrong::Passphrase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.into()).expect("long enough")
    }

    #[test]
    fn a_copy_opens_with_its_passphrase_alone_and_only_as_it_was() {
        let right = passphrase("correct horse battery");
        let copy = sealed(&right, b"the keys", &Clock::system()).expect("sealed");
        assert_eq!(opened(&right, &copy).as_deref().map(Vec::as_slice), Ok(b"the keys".as_slice()));
        assert_eq!(opened(&passphrase("incorrect horse battery"), &copy), Err(Wrong::Passphrase));
        for at in [22, 40, 52, copy.len() - 1] {
            let mut changed = copy.clone();
            changed[at] ^= 1;
            assert_eq!(opened(&right, &changed), Err(Wrong::Passphrase), "byte {at}");
        }
        for cut in 0..HEAD {
            assert_eq!(opened(&right, &copy[..cut]), Err(Wrong::Unknown));
        }
    }

    #[test]
    fn a_file_cannot_ask_for_all_of_the_machine_and_a_short_passphrase_is_none() {
        let right = passphrase("correct horse battery");
        let mut greedy = sealed(&right, b"the keys", &Clock::system()).expect("sealed");
        greedy[10] = 0xff;
        assert_eq!(opened(&right, &greedy), Err(Wrong::Unknown));
        assert_eq!(Passphrase::new("12345678901".into()).err(), Some(Wrong::Short));
        assert_eq!(format!("{right:?}"), "Passphrase(***)");
    }
}
