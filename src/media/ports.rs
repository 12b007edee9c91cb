//! The pool of RTP ports: a call takes an even one and the odd one above it, and always gives them back.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::MediaError;
use crate::clock::Clock;

/// Free even ports, longest free first. One that was given back rests for a moment: the last packets of its call find
/// nobody, instead of the next caller's ear.
#[derive(Debug)]
pub struct Pool {
    address: IpAddr,
    range: (u16, u16),
    clock: Clock,
    free: Mutex<VecDeque<Free>>,
}

#[derive(Debug)]
struct Free {
    port: u16,
    /// Given back at this time; `None` if never taken.
    since: Option<Instant>,
}

/// Two bound sockets. The port goes back to the pool when this is dropped.
#[derive(Debug)]
pub struct Pair {
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
    pub address: SocketAddr,
    // Dropped after the sockets are closed: fields drop in order.
    _lease: Option<Lease>,
}

#[derive(Debug)]
struct Lease {
    pool: Arc<Pool>,
    port: u16,
}

impl Pool {
    /// Expedited forwarding: DSCP 46 in the upper six bits of the field (RFC 3246).
    const VOICE: u32 = 46 << 2;
    /// How long a port rests: phones stop within a round trip of the BYE, networks hold packets up for less than this.
    pub const REST: Duration = Duration::from_secs(2);

    /// * `range` — first and last port, both included; `(0, 0)` lets the system choose.
    pub fn new(address: IpAddr, range: (u16, u16), clock: Clock) -> Result<Self, MediaError> {
        let (first, last) = range;
        let even = first.saturating_add(first % 2);
        let free: VecDeque<_> = (even..last).step_by(2).map(|port| Free { port, since: None }).collect();
        if range != (0, 0) && (first == 0 || free.is_empty()) {
            return Err(MediaError::Settings(format!("rtp.ports {first}-{last} holds no even port and the one above")));
        }
        Ok(Self { address, range, clock, free: Mutex::new(free) })
    }

    /// Takes a pair. A port that somebody else has bound is left out and tried again another time.
    pub fn take(self: &Arc<Self>) -> Result<Pair, MediaError> {
        if self.range == (0, 0) {
            return self.any();
        }
        let tries = self.free().len();
        for _ in 0..tries {
            let Some(port) = self.rested() else { break };
            let lease = Lease { pool: Arc::clone(self), port };
            match self.bind(port, Some(lease)) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                bound => return bound.map_err(|source| self.socket_error(port, source)),
            }
        }
        Err(MediaError::NoPort { first: self.range.0, last: self.range.1 })
    }

    /// The port that was free the longest, if its rest is over; those behind it rest longer.
    fn rested(&self) -> Option<u16> {
        let now = self.clock.instant();
        let mut free = self.free();
        let over = |since: Instant| now.saturating_duration_since(since) >= Self::REST;
        if free.front()?.since.is_none_or(over) { free.pop_front().map(|it| it.port) } else { None }
    }

    /// Pairs that no call has, also those that rest.
    pub fn available(&self) -> usize {
        self.free().len()
    }

    fn any(&self) -> Result<Pair, MediaError> {
        for _ in 0..64 {
            let probe = UdpSocket::bind((self.address, 0)).and_then(|socket| socket.local_addr());
            let port = probe.map_err(|source| self.socket_error(0, source))?.port() & !1;
            match self.bind(port, None) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                bound => return bound.map_err(|source| self.socket_error(port, source)),
            }
        }
        Err(MediaError::NoPort { first: 0, last: 0 })
    }

    fn bind(&self, port: u16, lease: Option<Lease>) -> io::Result<Pair> {
        let address = SocketAddr::new(self.address, port);
        let above = SocketAddr::new(self.address, port + 1);
        Ok(Pair { rtp: open(address)?, rtcp: open(above)?, address, _lease: lease })
    }

    fn socket_error(&self, port: u16, source: io::Error) -> MediaError {
        MediaError::Socket { address: SocketAddr::new(self.address, port), source }
    }

    fn free(&self) -> MutexGuard<'_, VecDeque<Free>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let since = Some(self.pool.clock.instant());
        self.pool.free().push_back(Free { port: self.port, since });
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv4() {
        // A network that does not want the mark may refuse it.
        let _ = socket.set_tos_v4(Pool::VOICE);
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::panic::{AssertUnwindSafe, catch_unwind};

    use proptest::prelude::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn anywhere() -> Arc<Pool> {
        Arc::new(Pool::new(HERE, (0, 0), Clock::system()).expect("any"))
    }

    /// A small range that the system has just proved free, and the clock by which its ports rest.
    fn pool(pairs: u16) -> (Arc<Pool>, Clock) {
        let first = anywhere().take().expect("loopback").address.port().min(u16::MAX - 2 * pairs - 2);
        let clock = Clock::that_can_be_advanced();
        (Arc::new(Pool::new(HERE, (first, first + 2 * pairs - 1), clock.clone()).expect("a range")), clock)
    }

    #[test]
    fn a_pair_is_an_even_port_and_the_one_above() {
        let pair = anywhere().take().expect("loopback has ports");
        assert_eq!(pair.address.port() % 2, 0);
        assert_eq!(pair.rtcp.local_addr().expect("bound").port(), pair.address.port() + 1);
    }

    #[test]
    fn no_port_leaks_over_many_calls() {
        let (pool, clock) = pool(8);
        for _ in 0..50 {
            let held: Vec<_> = std::iter::from_fn(|| pool.take().ok()).collect();
            assert!(!held.is_empty());
            assert!(matches!(pool.take(), Err(MediaError::NoPort { .. })));
            drop(held);
            clock.advance(Pool::REST);
        }
        assert_eq!(pool.available(), 8);
    }

    #[test]
    fn a_port_rests_before_the_next_call_gets_it() {
        let (pool, clock) = pool(1);
        drop(pool.take().expect("free"));
        assert_eq!(pool.available(), 1);
        assert!(matches!(pool.take(), Err(MediaError::NoPort { .. })), "packets of the last call may be under way");
        clock.advance(Pool::REST);
        assert!(pool.take().is_ok());
    }

    #[test]
    fn a_port_that_somebody_else_holds_is_passed_over() {
        let (pool, clock) = pool(4);
        let taken = pool.take().expect("free");
        let port = taken.address.port();
        drop(taken);
        clock.advance(Pool::REST);
        let stranger = UdpSocket::bind((HERE, port)).expect("just freed");
        let held: Vec<_> = std::iter::from_fn(|| pool.take().ok()).collect();
        assert!(held.iter().all(|pair| pair.address.port() != port));
        drop((stranger, held));
        assert_eq!(pool.available(), 4);
    }

    #[test]
    fn a_range_without_a_pair_is_refused() {
        let range = |first, last| Pool::new(HERE, (first, last), Clock::system());
        assert!(range(20_001, 20_002).is_err());
        assert_eq!(range(20_001, 20_003).expect("one pair").available(), 1);
    }

    /// What may happen to a pool.
    #[derive(Clone, Copy, Debug)]
    enum Deed {
        Open,
        /// Ends one of the open calls.
        Close(usize),
        /// Somebody falls over while they hold one.
        Panic,
        /// Somebody else binds a free port, or lets it go.
        Stranger,
        Wait,
    }

    fn any_deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            4 => Just(Deed::Open),
            3 => any::<usize>().prop_map(Deed::Close),
            1 => Just(Deed::Panic),
            1 => Just(Deed::Stranger),
            2 => Just(Deed::Wait),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_happens_all_ports_come_back(deeds in proptest::collection::vec(any_deed(), 0..60)) {
            let (pool, clock) = pool(4);
            let (mut open, mut stranger) = (Vec::new(), None);
            for deed in deeds {
                match deed {
                    Deed::Open => open.extend(pool.take().ok()),
                    Deed::Close(which) if !open.is_empty() => drop(open.swap_remove(which % open.len())),
                    Deed::Close(_) => {}
                    Deed::Panic => {
                        let fallen = catch_unwind(AssertUnwindSafe(|| {
                            let _held = pool.take();
                            std::panic::resume_unwind(Box::new("on purpose"));
                        }));
                        prop_assert!(fallen.is_err());
                    }
                    Deed::Stranger => {
                        let port = pool.free().front().map_or(0, |free| free.port);
                        stranger = if stranger.is_some() { None } else { UdpSocket::bind((HERE, port)).ok() };
                    }
                    Deed::Wait => clock.advance(Pool::REST / 2),
                }
                prop_assert_eq!(pool.available() + open.len(), 4);
            }
            drop((open, stranger));
            clock.advance(Pool::REST);
            prop_assert_eq!(pool.available(), 4);
        }
    }
}
