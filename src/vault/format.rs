//! What a sealed object looks like: a head of 100 bytes, then chunks of 64 KiB, each with a tag of its own, so that any
//! part of a long recording is read without the rest.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0–6 | `hotline` |
//! | 7 | version of this format, 1 |
//! | 8 | suite: 1 AES-256-GCM, 2 SM4-GCM |
//! | 9–24 | id of the master key |
//! | 25–32 | length of the plain text, big-endian |
//! | 33–39 | begin of every chunk's nonce, random |
//! | 40–51 | nonce of the next field, random |
//! | 52–99 | the object's own random key, sealed with the master key; bound to bytes 0–51 and the object's name |
//!
//! Chunk `n` is sealed with the object's own key; nonce: bytes 33–39, `n` (big-endian, 4 bytes), 1 for the last chunk
//! and else 0; bound to the head and the object's name. An empty text has one empty chunk. Hence nothing can be changed,
//! cut, repeated, moved or given another name without being noticed. The construction is STREAM (Hoang, Reyhanitabar,
//! Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance, 2015).

use std::ops::Range;

use uuid::Uuid;

use super::suite::{Key, NONCE, Refused, TAG, suite};
use crate::{clock::Clock, config::CipherSuite};

/// Bytes before the first chunk.
pub const HEAD: usize = 100;
/// Bytes of plain text in every chunk but the last.
pub const CHUNK: usize = 64 * 1024;

const MAGIC: [u8; 7] = *b"hotline";
const VERSION: u8 = 1;
/// Longest text: chunks are counted with 32 bits.
pub const LONGEST: u64 = CHUNK as u64 * u32::MAX as u64;

/// Seals one object from its first chunk to its last.
#[derive(Debug)]
pub struct Sealer(Object, u32);

/// Opens any part of one object.
#[derive(Debug)]
pub struct Opener(Object);

/// What head and name say, and the key that was in it.
#[derive(Debug)]
struct Object {
    suite: CipherSuite,
    key: Key,
    plain: u64,
    /// Head and name.
    bound: Vec<u8>,
}

/// Which keys a head asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    pub suite: CipherSuite,
    pub master: Uuid,
}

/// Whether an object begins like a sealed one.
pub fn is_sealed(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// Reads with which keys an object was made; nothing if this program does not know its format.
pub fn made(head: &[u8]) -> Option<Made> {
    let head: &[u8; HEAD] = head.first_chunk()?;
    let suite = match (head[7], head[8]) {
        (VERSION, 1) => CipherSuite::Aes256Gcm,
        (VERSION, 2) => CipherSuite::Sm4Gcm,
        _ => return None,
    };
    let master = Uuid::from_slice(&head[9..25]).ok()?;
    is_sealed(head).then_some(Made { suite, master })
}

impl Sealer {
    /// * `plain` — bytes that will come, at most `LONGEST`.
    pub fn new(made: Made, master: &Key, name: &str, plain: u64, clock: &Clock) -> Self {
        let mut bound = Vec::with_capacity(HEAD + name.len());
        bound.extend(MAGIC);
        bound.push(VERSION);
        bound.push(match made.suite {
            CipherSuite::Aes256Gcm => 1,
            CipherSuite::Sm4Gcm => 2,
        });
        bound.extend(made.master.as_bytes());
        bound.extend(plain.to_be_bytes());
        bound.extend(clock.random::<7>());
        let nonce: [u8; NONCE] = clock.random();
        bound.extend(nonce);
        let key = Key::random(clock);
        let mut wrapped = key.bytes().to_vec();
        let to_name = [bound.as_slice(), name.as_bytes()].concat();
        suite(made.suite).seal(master, &nonce, &to_name, &mut wrapped);
        bound.extend(wrapped);
        bound.extend(name.as_bytes());
        Self(Object { suite: made.suite, key, plain, bound }, 0)
    }

    /// What comes before the chunks.
    pub fn head(&self) -> &[u8] {
        &self.0.bound[..HEAD]
    }

    /// Bytes of plain text that the next chunk has to have.
    pub fn wants(&self) -> usize {
        if self.1 < self.0.chunks() { self.0.chunk(self.1) } else { 0 }
    }

    /// Bytes of the whole sealed object.
    pub fn sealed_size(&self) -> u64 {
        self.0.sealed_size()
    }

    /// Whether every chunk was sealed.
    pub fn is_done(&self) -> bool {
        self.1 == self.0.chunks()
    }

    /// Seals the next chunk in its place.
    ///
    /// # Errors
    /// It has not the length that was announced.
    pub fn seal(&mut self, chunk: &mut Vec<u8>) -> Result<(), Refused> {
        if self.is_done() || chunk.len() != self.wants() {
            return Err(Refused);
        }
        let Object { suite: name, key, bound, .. } = &self.0;
        suite(*name).seal(key, &self.0.nonce(self.1), bound, chunk);
        self.1 += 1;
        Ok(())
    }
}

impl Opener {
    /// * `head` — the first [`HEAD`] bytes; more do no harm.
    /// * `master` — the key that `made` asks for.
    pub fn new(head: &[u8], master: &Key, name: &str) -> Result<Self, Refused> {
        let Made { suite: algorithms, .. } = made(head).ok_or(Refused)?;
        let head: &[u8; HEAD] = head.first_chunk().ok_or(Refused)?;
        let nonce = head[40..52].try_into().map_err(|_| Refused)?;
        let mut key = head[52..].to_vec();
        let to_name = [&head[..52], name.as_bytes()].concat();
        suite(algorithms).open(master, nonce, &to_name, &mut key)?;
        let key = zeroize::Zeroizing::new(key);
        let key = Key::from_slice(&key).ok_or(Refused)?;
        let plain = u64::from_be_bytes(head[25..33].try_into().map_err(|_| Refused)?);
        let bound = [head, name.as_bytes()].concat();
        Ok(Self(Object { suite: algorithms, key, plain, bound }))
    }

    /// Bytes of the plain text.
    pub fn size(&self) -> u64 {
        self.0.plain
    }

    /// Bytes that the sealed object must have; fewer or more were not written by us.
    pub fn sealed_size(&self) -> u64 {
        self.0.sealed_size()
    }

    /// Where the chunks stand in the sealed object that hold a part of the plain text; the end is cut at the end of
    /// the text, and a part beyond it is nowhere.
    pub fn place(&self, part: Range<u64>) -> Option<Range<u64>> {
        let chunks = self.0.touched(part)?;
        Some(begins(chunks.start)..begins(chunks.end).min(self.0.sealed_size()))
    }

    /// Opens a part of the plain text.
    ///
    /// * `sealed` — the bytes at [`Opener::place`] of the same part.
    pub fn open(&self, part: Range<u64>, sealed: &[u8]) -> Result<Vec<u8>, Refused> {
        let Some(chunks) = self.0.touched(part.clone()) else { return Ok(Vec::new()) };
        let first = u64::from(chunks.start) * CHUNK as u64;
        let (mut plain, mut rest) = (Vec::with_capacity(sealed.len()), sealed);
        for chunk in chunks {
            let (now, later) = rest.split_at_checked(self.0.chunk(chunk) + TAG).ok_or(Refused)?;
            let mut text = now.to_vec();
            suite(self.0.suite).open(&self.0.key, &self.0.nonce(chunk), &self.0.bound, &mut text)?;
            plain.append(&mut text);
            rest = later;
        }
        if !rest.is_empty() {
            return Err(Refused);
        }
        let skip = usize::try_from(part.start - first).map_err(|_| Refused)?;
        let wanted = usize::try_from(part.end.min(self.0.plain) - part.start).map_err(|_| Refused)?;
        plain.drain(..skip);
        plain.truncate(wanted);
        Ok(plain)
    }
}

impl Object {
    /// At least one.
    fn chunks(&self) -> u32 {
        u32::try_from(self.plain.div_ceil(CHUNK as u64).max(1)).unwrap_or(u32::MAX)
    }

    /// Bytes of plain text in a chunk.
    fn chunk(&self, number: u32) -> usize {
        let left = self.plain.saturating_sub(u64::from(number) * CHUNK as u64);
        usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)
    }

    fn sealed_size(&self) -> u64 {
        (HEAD as u64).saturating_add(self.plain).saturating_add(u64::from(self.chunks()) * TAG as u64)
    }

    fn touched(&self, part: Range<u64>) -> Option<Range<u32>> {
        let end = part.end.min(self.plain);
        if part.start >= end {
            return None;
        }
        let number = |chunk: u64| u32::try_from(chunk).ok();
        Some(number(part.start / CHUNK as u64)?..number(end.div_ceil(CHUNK as u64))?)
    }

    fn nonce(&self, chunk: u32) -> [u8; NONCE] {
        let mut nonce = [0; NONCE];
        nonce[..7].copy_from_slice(&self.bound[33..40]);
        nonce[7..11].copy_from_slice(&chunk.to_be_bytes());
        nonce[11] = u8::from(chunk + 1 == self.chunks());
        nonce
    }
}

/// Where a chunk begins in the sealed object.
fn begins(chunk: u32) -> u64 {
    HEAD as u64 + u64::from(chunk) * (CHUNK + TAG) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "2026/11/23/call.wav";
    /// Lengths at and around the borders of chunks.
    const LENGTHS: [usize; 8] = [0, 1, 44, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7];

    fn master() -> Key {
        Key::from_slice(&[3; Key::BYTES]).expect("32 bytes")
    }

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from(at * 7 % 251).expect("small")).collect()
    }

    fn sealed(suite: CipherSuite, plain: &[u8]) -> Vec<u8> {
        let made = Made { suite, master: Uuid::nil() };
        let mut sealer = Sealer::new(made, &master(), NAME, plain.len() as u64, &Clock::system());
        let mut object = sealer.head().to_vec();
        let mut left = plain;
        while !sealer.is_done() {
            let (now, later) = left.split_at(sealer.wants());
            let mut chunk = now.to_vec();
            sealer.seal(&mut chunk).expect("the announced length");
            object.append(&mut chunk);
            left = later;
        }
        assert_eq!(sealer.seal(&mut Vec::new()), Err(Refused), "nothing comes after the last chunk");
        assert_eq!(object.len() as u64, sealer.sealed_size());
        object
    }

    fn part(object: &[u8], part: Range<u64>) -> Result<Vec<u8>, Refused> {
        let opener = Opener::new(object, &master(), NAME)?;
        if object.len() as u64 != opener.sealed_size() {
            return Err(Refused);
        }
        let Some(place) = opener.place(part.clone()) else { return Ok(Vec::new()) };
        let place = usize::try_from(place.start).expect("small")..usize::try_from(place.end).expect("small");
        opener.open(part, object.get(place).ok_or(Refused)?)
    }

    #[test]
    fn every_length_comes_back_whole_with_both_suites() {
        for suite in [CipherSuite::Aes256Gcm, CipherSuite::Sm4Gcm] {
            for length in LENGTHS {
                let plain = text(length);
                let object = sealed(suite, &plain);
                assert_eq!(made(&object), Some(Made { suite, master: Uuid::nil() }));
                assert_eq!(part(&object, 0..u64::MAX), Ok(plain), "{suite:?} {length}");
            }
        }
    }

    #[test]
    fn nothing_of_the_text_or_the_key_can_be_seen_and_no_two_objects_are_alike() {
        let plain = vec![b'A'; 2 * CHUNK];
        let (one, other) = (sealed(CipherSuite::Aes256Gcm, &plain), sealed(CipherSuite::Aes256Gcm, &plain));
        assert!(!one.windows(8).any(|window| window == b"AAAAAAAA"));
        assert_ne!(one[33..100], other[33..100]);
        assert_ne!(one[HEAD..HEAD + 64], other[HEAD..HEAD + 64]);
        assert_ne!(one[HEAD..HEAD + 64], one[HEAD + CHUNK + TAG..HEAD + CHUNK + TAG + 64]);
    }

    #[test]
    fn chunks_swapped_repeated_or_cut_and_another_name_or_key_are_refused() {
        const SEALED: usize = CHUNK + TAG;
        let object = sealed(CipherSuite::Aes256Gcm, &text(3 * CHUNK));
        let chunk = |number: usize| object[HEAD + number * SEALED..HEAD + (number + 1) * SEALED].to_vec();
        let joined = |order: &[usize]| {
            let chunks = order.iter().flat_map(|number| chunk(*number));
            object[..HEAD].iter().copied().chain(chunks).collect::<Vec<_>>()
        };
        assert_eq!(joined(&[0, 1, 2]), object);
        for order in [&[1, 0, 2][..], &[0, 1, 1], &[0, 1], &[0, 1, 2, 2], &[1, 2], &[0, 2, 1], &[]] {
            assert_eq!(part(&joined(order), 0..u64::MAX), Err(Refused), "{order:?}");
        }
        assert_eq!(part(&object[..object.len() - 1], 0..9), Err(Refused));
        Opener::new(&object, &master(), "2026/11/23/other.wav").expect_err("another name");
        let stranger = Key::from_slice(&[4; Key::BYTES]).expect("32 bytes");
        Opener::new(&object, &stranger, NAME).expect_err("another key");
        // The same text under the same name: its chunks still belong to the first.
        let twin = sealed(CipherSuite::Aes256Gcm, &text(3 * CHUNK));
        let mixed = [&object[..HEAD + SEALED], &twin[HEAD + SEALED..]].concat();
        assert_eq!(part(&mixed, 0..u64::MAX), Err(Refused));
    }

    #[test]
    fn a_text_longer_or_shorter_than_announced_is_refused() {
        let made = Made { suite: CipherSuite::Aes256Gcm, master: Uuid::nil() };
        let mut sealer = Sealer::new(made, &master(), NAME, 10, &Clock::system());
        for length in [0, 9, 11] {
            assert_eq!(sealer.seal(&mut vec![0; length]), Err(Refused));
        }
        assert!(!sealer.is_done());
    }

    #[test]
    fn what_this_program_does_not_know_is_not_taken_for_its_own() {
        let mut object = sealed(CipherSuite::Aes256Gcm, b"text");
        assert!(is_sealed(&object) && !is_sealed(b"RIFF") && !is_sealed(b""));
        assert_eq!(made(&object[..HEAD - 1]), None);
        object[7] = 2;
        assert_eq!(made(&object), None, "a later version");
        object[7] = 1;
        object[8] = 3;
        assert_eq!(made(&object), None, "a suite of somebody else");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_part_is_the_same_part_of_the_text(
            length in prop::sample::select(&LENGTHS[..]),
            from: prop::sample::Index,
            span in 0_u64..2 * CHUNK as u64,
        ) {
            let plain = text(length);
            let object = sealed(CipherSuite::Aes256Gcm, &plain);
            let from = from.index(length + 1);
            let to = plain.len().min(from + usize::try_from(span).expect("small"));
            prop_assert_eq!(part(&object, from as u64..from as u64 + span), Ok(plain[from..to].to_vec()));
        }

        #[test]
        fn any_flipped_bit_is_noticed(
            length in prop::sample::select(&LENGTHS[..]),
            chinese: bool,
            in_head: bool,
            at: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            let suite = if chinese { CipherSuite::Sm4Gcm } else { CipherSuite::Aes256Gcm };
            let mut object = sealed(suite, &text(length));
            let at = at.index(if in_head { HEAD } else { object.len() });
            object[at] ^= 1 << bit;
            // An empty text has nothing to open: its tag is read by nobody.
            prop_assume!(length > 0 || at < HEAD);
            prop_assert_eq!(part(&object, 0..u64::MAX), Err(Refused));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), like_ours: bool) {
            let mut bytes = bytes;
            if like_ours {
                bytes.splice(0..bytes.len().min(9), *b"hotline\x01\x01");
            }
            prop_assert!(part(&bytes, 0..u64::MAX).is_err());
        }
    }
}
