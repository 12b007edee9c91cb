//! Who guesses passwords, and for how long he is not listened to.
//!
//! A wrong answer counts against the pair of name and address, and against the address: the first stops the guessing
//! of one telephone's password, the second the trying of many names. A name alone is never locked, or anybody could
//! keep a desk from ringing.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::IpAddr,
    time::Duration,
};

use crate::domain::time::UnixMs;

/// Wrong answers of late.
///
/// Bounded: of each kind at most [`Lockout::CAPACITY`] are remembered, and the one longest without a wrong answer
/// gives way. Whoever can send from so many addresses is not held off by counting.
#[derive(Debug, Default)]
pub struct Lockout {
    pairs: Tally<(String, IpAddr)>,
    addresses: Tally<IpAddr>,
}

impl Lockout {
    /// Wrong answers count for so long, and a lock lasts so long.
    pub const WINDOW: Duration = Duration::from_mins(5);
    /// Wrong answers within the window that lock one name at one address.
    pub const PER_PAIR: usize = 5;
    /// The same of one address, whatever the name. An office behind one address has more than one telephone.
    pub const PER_ADDRESS: usize = 50;
    /// Pairs remembered, and addresses remembered.
    pub const CAPACITY: usize = 10_000;
    /// Longest name kept, in bytes; what is longer is counted by its beginning.
    const NAME: usize = 64;

    /// Somebody answered the challenge wrongly.
    pub fn wrong(&mut self, user: &str, source: IpAddr, now: UnixMs) {
        self.pairs.count((name(user), source), Self::PER_PAIR, now);
        self.addresses.count(source, Self::PER_ADDRESS, now);
    }

    /// He knew it after all. The address's count stays: one known password must not buy fifty more guesses.
    pub fn good(&mut self, user: &str, source: IpAddr) {
        self.pairs.forget(&(name(user), source));
    }

    /// Whether to refuse him unheard. Asking changes nothing, so a refused guess does not prolong the lock.
    pub fn is_locked(&self, user: &str, source: IpAddr, now: UnixMs) -> bool {
        self.addresses.is_locked(&source, now) || self.pairs.is_locked(&(name(user), source), now)
    }
}

fn name(user: &str) -> String {
    user[..user.floor_char_boundary(Lockout::NAME)].to_owned()
}

/// Wrong answers of one kind of guesser.
#[derive(Debug)]
struct Tally<K> {
    guessers: HashMap<K, Guesser>,
    /// Who was counted when, oldest first; a line whose number is not the guesser's last is stale.
    order: VecDeque<(u64, K)>,
    counted: u64,
}

#[derive(Debug)]
struct Guesser {
    /// When he was wrong, oldest first; never more than lock him.
    wrong: VecDeque<UnixMs>,
    locked_until: Option<UnixMs>,
    /// Number of his last line in the order.
    last: u64,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self { guessers: HashMap::new(), order: VecDeque::new(), counted: 0 }
    }
}

impl<K: Clone + Eq + Hash> Tally<K> {
    fn count(&mut self, who: K, limit: usize, now: UnixMs) {
        if !self.guessers.contains_key(&who) && self.guessers.len() >= Lockout::CAPACITY {
            self.drop_oldest();
        }
        self.counted += 1;
        let last = self.counted;
        self.order.push_back((last, who.clone()));
        let guesser = self.guessers.entry(who).or_insert(Guesser { wrong: VecDeque::new(), locked_until: None, last });
        guesser.last = last;
        guesser.wrong.retain(|&at| at + Lockout::WINDOW > now);
        guesser.wrong.push_back(now);
        if guesser.wrong.len() >= limit {
            guesser.wrong.clear();
            guesser.locked_until = Some(now + Lockout::WINDOW);
        }
        // Stale lines go once they outnumber the others, so that each costs one move.
        if self.order.len() > 2 * Lockout::CAPACITY {
            self.order.retain(|(number, who)| self.guessers.get(who).is_some_and(|it| it.last == *number));
        }
    }

    fn forget(&mut self, who: &K) {
        self.guessers.remove(who);
    }

    fn is_locked(&self, who: &K, now: UnixMs) -> bool {
        self.guessers.get(who).and_then(|it| it.locked_until).is_some_and(|until| until > now)
    }

    fn drop_oldest(&mut self) {
        while let Some((number, who)) = self.order.pop_front() {
            if self.guessers.get(&who).is_some_and(|it| it.last == number) {
                self.guessers.remove(&who);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);
    const DESK: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));

    #[test]
    fn five_wrong_answers_lock_the_name_at_that_address_only() {
        let mut lockout = Lockout::default();
        for _ in 0..4 {
            lockout.wrong("8001", DESK, NOW);
        }
        assert!(!lockout.is_locked("8001", DESK, NOW));

        lockout.wrong("8001", DESK, NOW);

        assert!(lockout.is_locked("8001", DESK, NOW));
        assert!(!lockout.is_locked("8001", ELSEWHERE, NOW), "nobody locks a desk from elsewhere");
        assert!(!lockout.is_locked("8002", DESK, NOW));
    }

    #[test]
    fn a_lock_ends_after_five_minutes() {
        let mut lockout = Lockout::default();
        for _ in 0..5 {
            lockout.wrong("8001", DESK, NOW);
        }

        assert!(lockout.is_locked("8001", DESK, after(299_999)));
        assert!(!lockout.is_locked("8001", DESK, after(300_000)));
    }

    #[test]
    fn wrong_answers_far_apart_lock_nobody() {
        let mut lockout = Lockout::default();
        for turn in 0..20 {
            lockout.wrong("8001", DESK, after(turn * 75_000));
            assert!(!lockout.is_locked("8001", DESK, after(turn * 75_000)), "four fall into each five minutes");
        }
    }

    #[test]
    fn a_right_answer_forgives_the_name_and_not_the_address() {
        let mut lockout = Lockout::default();
        for guess in 0..49 {
            lockout.wrong(&guess.to_string(), DESK, NOW);
        }
        for _ in 0..4 {
            lockout.good("48", DESK);
        }
        assert!(!lockout.is_locked("48", DESK, NOW));

        lockout.wrong("49", DESK, NOW);

        assert!(lockout.is_locked("48", DESK, NOW), "fifty wrong answers came from there");
        assert!(!lockout.is_locked("48", ELSEWHERE, NOW));
    }

    #[test]
    fn a_right_answer_starts_the_count_of_the_name_anew() {
        let mut lockout = Lockout::default();
        for _ in 0..4 {
            lockout.wrong("8001", DESK, NOW);
        }

        lockout.good("8001", DESK);
        lockout.wrong("8001", DESK, NOW);

        assert!(!lockout.is_locked("8001", DESK, NOW));
    }

    #[test]
    fn the_oldest_gives_way_when_too_many_guess() {
        let mut lockout = Lockout::default();
        for guess in 0..Lockout::CAPACITY {
            lockout.wrong(&guess.to_string(), address(guess), NOW);
        }
        for _ in 0..4 {
            lockout.wrong("0", address(0), NOW);
        }
        assert!(lockout.is_locked("0", address(0), NOW));

        for guess in Lockout::CAPACITY..2 * Lockout::CAPACITY - 1 {
            lockout.wrong(&guess.to_string(), address(guess), NOW);
        }
        assert!(lockout.is_locked("0", address(0), NOW), "he is the last of the old ones");
        lockout.wrong("one more", ELSEWHERE, NOW);
        assert!(!lockout.is_locked("0", address(0), NOW));
        assert_eq!((lockout.pairs.guessers.len(), lockout.addresses.guessers.len()), (10_000, 10_000));
    }

    #[test]
    fn one_guesser_costs_no_more_memory_the_longer_he_guesses() {
        let mut lockout = Lockout::default();
        for turn in 0..100_000 {
            lockout.wrong(&"八".repeat(1000), DESK, after(turn));
            lockout.good("8001", DESK);
        }

        assert!(lockout.pairs.order.len() <= 2 * Lockout::CAPACITY);
        assert!(lockout.pairs.guessers.keys().all(|(name, _)| name.len() <= Lockout::NAME));
    }

    proptest! {
        #[test]
        fn a_name_is_locked_when_a_plain_list_says_so(
            steps in prop::collection::vec((0..3_u8, 0..3_u8, 0..90_000_i64, prop::bool::weighted(0.1)), 0..200)
        ) {
            let (mut lockout, mut now) = (Lockout::default(), NOW);
            let (mut pairs, mut addresses) = (HashMap::new(), HashMap::new());
            for (user, host, pause, good) in steps {
                now.0 += pause;
                let (user, source) = (user.to_string(), address(usize::from(host)));
                if good {
                    lockout.good(&user, source);
                    pairs.remove(&(user.clone(), source));
                } else {
                    lockout.wrong(&user, source, now);
                    note(pairs.entry((user.clone(), source)).or_default(), 5, now);
                    note(addresses.entry(source).or_default(), 50, now);
                }
                let locked = |it: Option<&Noted>| it.is_some_and(|it| it.1.is_some_and(|at| now.0 - at < 300_000));
                let expected = locked(pairs.get(&(user.clone(), source))) || locked(addresses.get(&source));
                prop_assert_eq!(lockout.is_locked(&user, source, now), expected);
            }
        }
    }

    /// Wrong answers since the last lock, and when that began.
    type Noted = (Vec<i64>, Option<i64>);

    fn note(noted: &mut Noted, limit: usize, now: UnixMs) {
        noted.0.push(now.0);
        if noted.0.iter().filter(|&&at| now.0 - at < 300_000).count() >= limit {
            *noted = (Vec::new(), Some(now.0));
        }
    }

    fn after(ms: i64) -> UnixMs {
        UnixMs(NOW.0 + ms)
    }

    fn address(number: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(u32::try_from(0x0a00_0000 + number).unwrap()))
    }
}
