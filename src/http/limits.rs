//! How many requests one client may send: counted by address until it has shown who it is, by its credentials afterwards.
//!
//! Credentials count by themselves only once they were proven ([`Limits::prove`]): whoever makes tokens up stays with
//! the share of the address. Nobody is exempt, loopback least of all: a reverse proxy stands there.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use governor::{Quota, RateLimiter, clock::Clock as _, middleware::NoOpMiddleware, state::keyed::DashMapStateStore};

use crate::{clock::Clock, config::Http};

/// Proven credentials that are remembered; beyond them all are forgotten and proven anew, one request each.
const REMEMBERED: usize = 65_536;
/// Clients that were not heard of for long are forgotten every so many requests, so at most this many more are held
/// than are still counted.
const TIDY_EVERY: u32 = 1_024;

/// The shares of all clients. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    addresses: Shares<IpAddr>,
    credentials: Shares<u64>,
    proven: Mutex<HashSet<u64>>,
    hasher: RandomState,
    clock: HouseClock,
    asked: AtomicU32,
}

type Shares<K> = RateLimiter<K, DashMapStateStore<K>, HouseClock, NoOpMiddleware<Instant>>;

/// The house's clock, as the limiter reads it.
#[derive(Clone, Debug)]
struct HouseClock(Clock);

impl governor::clock::Clock for HouseClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.instant()
    }
}

impl Limits {
    /// Shares as the settings say.
    pub fn new(settings: &Http, clock: Clock) -> Self {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(settings.rate_per_second)).allow_burst(at_least_one(settings.burst));
        Self::with(quota, clock)
    }

    pub(super) fn with(quota: Quota, clock: Clock) -> Self {
        let clock = HouseClock(clock);
        Self(Arc::new(Inner {
            addresses: RateLimiter::new(quota, DashMapStateStore::default(), clock.clone()),
            credentials: RateLimiter::new(quota, DashMapStateStore::default(), clock.clone()),
            proven: Mutex::default(),
            hasher: RandomState::new(),
            clock,
            asked: AtomicU32::new(0),
        }))
    }

    /// Takes one request from a client's share.
    ///
    /// * `shown` — from [`Limits::shown`]; `None` also for a request that is about to log in.
    /// * returns — how long to wait if the share is used up.
    pub(super) fn take(&self, address: IpAddr, shown: Option<u64>) -> Result<(), Duration> {
        let all = &self.0;
        if all.asked.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            all.addresses.retain_recent();
            all.credentials.retain_recent();
        }
        let (taken, by) = match shown.filter(|shown| self.proven().contains(shown)) {
            Some(known) => (all.credentials.check_key(&known), "credentials"),
            None => (all.addresses.check_key(&network(address)), "address"),
        };
        taken.map_err(|later| {
            metrics::counter!("hotline_http_throttled_total", "by" => by).increment(1);
            later.wait_time_from(all.clock.now())
        })
    }

    /// The credentials of a request, as a number that tells nothing about them.
    pub(super) fn shown(&self, headers: &HeaderMap) -> Option<u64> {
        let shown = headers.get(header::AUTHORIZATION).or_else(|| headers.get(header::COOKIE))?;
        Some(self.0.hasher.hash_one(shown.as_bytes()))
    }

    /// Notes that a request's credentials are real.
    pub(super) fn prove(&self, headers: &HeaderMap) {
        let Some(shown) = self.shown(headers) else { return };
        let mut proven = self.proven();
        if proven.len() >= REMEMBERED {
            proven.clear();
        }
        proven.insert(shown);
    }

    /// Notes that they are not, or no more.
    pub(super) fn disprove(&self, shown: Option<u64>) {
        if let Some(shown) = shown {
            self.proven().remove(&shown);
        }
    }

    fn proven(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.0.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limits")
    }
}

/// One household has one IPv4 address, or 2^64 of IPv6 (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Three requests at once, the next one in an hour.
    fn three() -> Limits {
        let quota = Quota::with_period(Duration::from_hours(1))
            .expect("an hour")
            .allow_burst(NonZeroU32::new(3).expect("three"));
        Limits::with(quota, Clock::system())
    }

    fn token(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {text}").parse().expect("a header"))])
    }

    /// How many of ten requests get through.
    fn through(limits: &Limits, address: IpAddr, shown: impl Fn(u8) -> Option<u64>) -> usize {
        (0..10).filter(|number| limits.take(address, shown(*number)).is_ok()).count()
    }

    #[test]
    fn each_address_has_a_share_and_is_told_when_to_come_again() {
        let limits = three();
        assert_eq!(through(&limits, HERE, |_| None), 3);
        assert_eq!(through(&limits, [192, 0, 2, 1].into(), |_| None), 3);
        let wait = limits.take(HERE, None).expect_err("used up");
        assert!(wait > Duration::from_mins(59) && wait <= Duration::from_hours(1), "{wait:?}");
    }

    #[test]
    fn made_up_tokens_share_their_address() {
        let limits = three();
        assert_eq!(through(&limits, HERE, |number| limits.shown(&token(&number.to_string()))), 3);
        assert_eq!(limits.0.credentials.len(), 0, "nothing is kept of them");
    }

    #[test]
    fn proven_credentials_have_a_share_of_their_own_until_they_are_disproved() {
        let limits = three();
        limits.prove(&token("real"));
        let real = limits.shown(&token("real"));
        assert_eq!(through(&limits, HERE, |_| real), 3);
        assert_eq!(through(&limits, HERE, |_| limits.shown(&token("another"))), 3, "the address was not touched");
        limits.disprove(real);
        assert!(limits.take(HERE, real).is_err(), "it counts for the address again");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let limits = three();
        let address = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        let got = (0..10).filter(|last| limits.take(address(*last), None).is_ok()).count();
        assert_eq!(got, 3);
        assert_eq!(network("::ffff:192.0.2.1".parse().expect("an address")), IpAddr::from([192, 0, 2, 1]));
    }

    #[test]
    fn many_clients_leave_nothing_behind() {
        let quota = Quota::with_period(Duration::from_nanos(1)).expect("a moment");
        let limits = Limits::with(quota, Clock::system());
        for number in 0..100_000_u32 {
            let _ = limits.take(IpAddr::V4(number.into()), None);
            limits.prove(&token(&number.to_string()));
        }
        assert!(limits.0.addresses.len() <= 2 * TIDY_EVERY as usize, "{}", limits.0.addresses.len());
        assert!(limits.proven().len() <= REMEMBERED);
    }
}
