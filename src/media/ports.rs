//! The pool of RTP ports: a call takes an even one and the odd one above it, and always gives them back.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::MediaError;

/// Free even ports, longest free first: stragglers of the last call find nobody.
#[derive(Debug)]
pub struct Pool {
    address: IpAddr,
    range: (u16, u16),
    free: Mutex<VecDeque<u16>>,
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

    /// * `range` — first and last port, both included; `(0, 0)` lets the system choose.
    pub fn new(address: IpAddr, range: (u16, u16)) -> Result<Self, MediaError> {
        let (first, last) = range;
        let even = first.saturating_add(first % 2);
        let free: VecDeque<u16> = (even..last).step_by(2).collect();
        if range != (0, 0) && (first == 0 || free.is_empty()) {
            return Err(MediaError::Settings(format!("rtp.ports {first}-{last} holds no even port and the one above")));
        }
        Ok(Self { address, range, free: Mutex::new(free) })
    }

    /// Takes a pair. A port that somebody else has bound is left out and tried again another time.
    pub fn take(self: &Arc<Self>) -> Result<Pair, MediaError> {
        if self.range == (0, 0) {
            return self.any();
        }
        let tries = self.free().len();
        for _ in 0..tries {
            let Some(port) = self.free().pop_front() else { break };
            let lease = Lease { pool: Arc::clone(self), port };
            match self.bind(port, Some(lease)) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                bound => return bound.map_err(|source| self.socket_error(port, source)),
            }
        }
        Err(MediaError::NoPort { first: self.range.0, last: self.range.1 })
    }

    /// Pairs that are free now.
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

    fn free(&self) -> MutexGuard<'_, VecDeque<u16>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.free().push_back(self.port);
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

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A small range that the system has just proved free.
    fn pool(pairs: u16) -> Arc<Pool> {
        let first = Pool::new(HERE, (0, 0)).and_then(|pool| Arc::new(pool).take()).expect("loopback").address.port();
        let first = first.min(u16::MAX - 2 * pairs - 2);
        Arc::new(Pool::new(HERE, (first, first + 2 * pairs - 1)).expect("a range"))
    }

    #[test]
    fn a_pair_is_an_even_port_and_the_one_above() {
        let pair = Arc::new(Pool::new(HERE, (0, 0)).expect("any")).take().expect("loopback has ports");
        assert_eq!(pair.address.port() % 2, 0);
        assert_eq!(pair.rtcp.local_addr().expect("bound").port(), pair.address.port() + 1);
    }

    #[test]
    fn no_port_leaks_over_many_calls() {
        let pool = pool(8);
        for _ in 0..50 {
            let held: Vec<_> = std::iter::from_fn(|| pool.take().ok()).collect();
            assert!(!held.is_empty());
            assert!(matches!(pool.take(), Err(MediaError::NoPort { .. })));
        }
        assert_eq!(pool.available(), 8);
    }

    #[test]
    fn a_port_that_somebody_else_holds_is_passed_over() {
        let pool = pool(4);
        let taken = pool.take().expect("free");
        let port = taken.address.port();
        drop(taken);
        let stranger = UdpSocket::bind((HERE, port)).expect("just freed");
        let held: Vec<_> = std::iter::from_fn(|| pool.take().ok()).collect();
        assert!(held.iter().all(|pair| pair.address.port() != port));
        drop((stranger, held));
        assert_eq!(pool.available(), 4);
    }

    #[test]
    fn a_range_without_a_pair_is_refused() {
        assert!(Pool::new(HERE, (20_001, 20_002)).is_err());
        assert_eq!(Pool::new(HERE, (20_001, 20_003)).expect("one pair").available(), 1);
    }
}
