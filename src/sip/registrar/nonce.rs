//! Nonces, each good for one request after another (RFC 7616 §3.3, §5.4).
//!
//! A nonce carries its own time and seal, so a challenge costs no memory; remembered are only the nonces with which
//! somebody has proved himself, so that nobody proves himself by repeating it.

use std::{collections::BTreeMap, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::time::UnixMs;

/// How long a nonce may be used.
pub const NONCE_AGE: Duration = Duration::from_mins(5);

/// What we made a nonce of. Older ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nonce {
    issued: UnixMs,
    random: [u8; 8],
}

/// The nonces given out, and which of them were used.
pub struct Nonces {
    key: [u8; 32],
    /// The highest count of each nonce used.
    used: BTreeMap<Nonce, u32>,
    /// Nonces from then or before are known only if they are in `used`; those that are not may have been.
    forgotten: UnixMs,
}

impl Nonces {
    /// Used nonces remembered. Where more are in use the oldest becomes stale before its time.
    pub const CAPACITY: usize = 10_000;
    /// Bytes of time and randomness, then of the seal over them.
    const PLAIN: usize = 16;
    const SEAL: usize = 16;

    /// * `key` — random.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, used: BTreeMap::new(), forgotten: UnixMs(i64::MIN) }
    }

    /// A new one, as the wire has it.
    ///
    /// * `random` — new for each.
    pub fn issue(&self, now: UnixMs, random: [u8; 8]) -> String {
        let plain = [now.0.to_be_bytes(), random].concat();
        let seal = self.seal(&plain).finalize().into_bytes();
        hex::encode([&plain[..], &seal[..Self::SEAL]].concat())
    }

    /// * returns — `None` if we did not make it.
    pub fn opened(&self, text: &str) -> Option<Nonce> {
        let mut bytes = [0; Self::PLAIN + Self::SEAL];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        let (plain, seal) = bytes.split_at(Self::PLAIN);
        self.seal(plain).verify_truncated_left(seal).ok()?;
        let (issued, random) = plain.split_at(8);
        Some(Nonce { issued: UnixMs(i64::from_be_bytes(issued.try_into().ok()?)), random: random.try_into().ok()? })
    }

    /// Whether it is young enough and this count its highest so far.
    pub fn is_fresh(&self, nonce: Nonce, count: u32, now: UnixMs) -> bool {
        let unused = || nonce.issued > self.forgotten && count > 0;
        let higher = self.used.get(&nonce).map_or_else(unused, |&highest| count > highest);
        higher && nonce.issued <= now && now < nonce.issued + NONCE_AGE
    }

    /// This count and those below it are worth nothing from here on.
    pub fn use_up(&mut self, nonce: Nonce, count: u32, now: UnixMs) {
        self.used.insert(nonce, count);
        while let Some((&oldest, _)) = self.used.first_key_value()
            && (oldest.issued + NONCE_AGE <= now || self.used.len() > Self::CAPACITY)
        {
            self.used.remove(&oldest);
            self.forgotten = self.forgotten.max(oldest.issued);
        }
    }

    fn seal(&self, plain: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length").chain_update(plain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    #[test]
    fn a_nonce_that_gave_way_to_others_cannot_be_repeated() {
        let mut nonces = Nonces::new([7; 32]);
        let all: Vec<Nonce> = (0..=10_000_u64).map(|it| fresh(&nonces, NOW, it)).collect();
        for nonce in &all {
            assert!(nonces.is_fresh(*nonce, 1, NOW));
            nonces.use_up(*nonce, 1, NOW);
        }

        assert_eq!(nonces.used.len(), Nonces::CAPACITY);
        assert!(!nonces.is_fresh(all[0], 1, NOW));
        assert!(!nonces.is_fresh(all[0], 2, NOW), "whether two was used is forgotten");
        assert!(nonces.is_fresh(all[1], 2, NOW));
    }

    #[test]
    fn old_nonces_are_forgotten_and_stay_stale_when_the_clock_is_turned_back() {
        let mut nonces = Nonces::new([7; 32]);
        let later = UnixMs(NOW.0 + 400_000);
        let (early, late) = (fresh(&nonces, NOW, 1), fresh(&nonces, later, 2));

        nonces.use_up(early, 1, NOW);
        nonces.use_up(late, 1, later);

        assert_eq!(nonces.used.len(), 1);
        assert!(!nonces.is_fresh(early, 1, NOW));
        assert!(!nonces.is_fresh(early, 2, NOW));
        assert!(nonces.is_fresh(late, 2, later));
    }

    proptest! {
        #[test]
        fn a_nonce_changed_anywhere_is_not_ours(at in 0..64_usize, digit in 0..16_u32) {
            let nonces = Nonces::new([7; 32]);
            let ours = nonces.issue(NOW, [1; 8]);
            let mut changed = ours.clone();
            changed.replace_range(at..=at, &char::from_digit(digit, 16).unwrap().to_string());
            prop_assert_eq!(nonces.opened(&changed).is_some(), changed == ours);
        }

        #[test]
        fn no_count_is_good_twice(
            steps in prop::collection::vec((0..3_usize, 0..6_u32, -200_000..200_000_i64), 0..100)
        ) {
            let (mut nonces, mut now, mut seen) = (Nonces::new([7; 32]), NOW, std::collections::HashSet::new());
            let all = [0_u8, 1, 2].map(|it| fresh(&nonces, UnixMs(NOW.0 + 100_000 * i64::from(it)), it.into()));
            for (which, count, step) in steps {
                now.0 += step;
                let nonce = all[which];
                if nonces.is_fresh(nonce, count, now) {
                    prop_assert!(count > 0 && seen.insert((nonce.random, count)));
                    nonces.use_up(nonce, count, now);
                }
            }
        }
    }

    fn fresh(nonces: &Nonces, at: UnixMs, random: u64) -> Nonce {
        nonces.opened(&nonces.issue(at, random.to_be_bytes())).unwrap()
    }
}
