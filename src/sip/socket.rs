//! The UDP sockets under the stack, seen by it as one: every datagram passes [`super::screen`] first.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use rsipstack::{platform::net::UdpSocket, sip::Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tracing::{debug, warn};

use super::{
    SipError,
    screen::{Screened, screen},
};

/// Kernel buffer asked for, so that a burst survives a slow moment.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Largest datagram there is.
const LARGEST: usize = 64 * 1024;
/// Pause after a failed receive: it ends by itself or never, and should not burn a core meanwhile.
const BREATH: Duration = Duration::from_millis(100);

/// UDP sockets that let only readable SIP through. With several of them, whoever wrote to one is answered from it.
pub(super) struct WatchedSocket {
    sockets: Vec<tokio::net::UdpSocket>,
    addresses: Vec<SocketAddr>,
    inbox: tokio::sync::Mutex<Inbox>,
    peers: Mutex<Peers>,
}

struct Inbox {
    buffer: Box<[u8]>,
    /// The socket that is asked first, so that none is starved.
    first: usize,
}

/// Which socket a peer wrote to last. Empty while there is one socket.
#[derive(Default)]
struct Peers {
    sockets: HashMap<SocketAddr, usize>,
    order: VecDeque<SocketAddr>,
}

impl WatchedSocket {
    /// * `addresses` — at least one.
    pub(super) fn bind(addresses: &[SocketAddr]) -> Result<Self, SipError> {
        let mut sockets = Vec::new();
        for address in addresses {
            let bound = open(*address).map_err(|source| SipError::Udp { address: *address, source })?;
            sockets.push(bound);
        }
        let addresses = sockets.iter().map(tokio::net::UdpSocket::local_addr).collect::<io::Result<Vec<_>>>();
        let addresses = addresses.map_err(|error| SipError::Stack(error.to_string()))?;
        let inbox = tokio::sync::Mutex::new(Inbox { buffer: vec![0; LARGEST].into(), first: 0 });
        Ok(Self { sockets, addresses, inbox, peers: Mutex::default() })
    }

    /// Where the sockets are bound, in the order of the settings.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of ours that a peer knows.
    pub(super) fn towards(&self, peer: Option<SocketAddr>) -> SocketAddr {
        self.addresses[self.socket_for(peer)]
    }

    fn socket_for(&self, peer: Option<SocketAddr>) -> usize {
        let Some(peer) = peer.filter(|_| self.sockets.len() > 1) else { return 0 };
        if let Some(known) = self.peers().sockets.get(&peer) {
            return *known;
        }
        let same = |address: &SocketAddr| address.is_ipv4() == peer.is_ipv4();
        self.addresses.iter().position(same).unwrap_or(0)
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a datagram the stack can read and copies it out.
    async fn next(&self, out: &mut [u8]) -> (usize, SocketAddr) {
        let mut inbox = self.inbox.lock().await;
        loop {
            let (length, source, socket) = match self.receive(&mut inbox).await {
                Ok(received) => received,
                Err(error) => {
                    warn!(%error, "receiving on the SIP socket");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            let readable = match screen(&inbox.buffer[..length], source, Transport::Udp) {
                Screened::Pass(readable) => readable,
                Screened::Answer { to, bytes } => {
                    if let Err(error) = self.sockets[socket].send_to(&bytes, to).await {
                        debug!(%to, %error, "sending a refusal");
                    }
                    continue;
                }
                Screened::Drop => continue,
            };
            if self.sockets.len() > 1 {
                self.peers().learn(source, socket);
            }
            if let Some(room) = out.get_mut(..readable.len()) {
                room.copy_from_slice(&readable);
                return (readable.len(), source);
            }
        }
    }

    /// The next datagram of any socket.
    async fn receive(&self, inbox: &mut Inbox) -> io::Result<(usize, SocketAddr, usize)> {
        std::future::poll_fn(|context| {
            for turn in 0..self.sockets.len() {
                let at = (inbox.first + turn) % self.sockets.len();
                let mut buffer = ReadBuf::new(&mut inbox.buffer);
                if let Poll::Ready(received) = self.sockets[at].poll_recv_from(context, &mut buffer) {
                    let length = buffer.filled().len();
                    inbox.first = (at + 1) % self.sockets.len();
                    return Poll::Ready(received.map(|source| (length, source, at)));
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Peers {
    /// Peers remembered at once; the one known longest is forgotten first.
    const CAPACITY: usize = 16_384;

    fn learn(&mut self, peer: SocketAddr, socket: usize) {
        if self.sockets.insert(peer, socket).is_none() {
            self.order.push_back(peer);
        }
        if self.order.len() > Self::CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.sockets.remove(&oldest);
        }
    }
}

fn open(address: SocketAddr) -> io::Result<tokio::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        warn!(%error, "the SIP socket keeps the system's receive buffer");
    }
    if address.is_ipv6() {
        // IPv4 has addresses of its own in the settings; mixed, our Via and SDP would name addresses nobody can use.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    tokio::net::UdpSocket::from_std(socket.into())
}

#[async_trait::async_trait]
impl UdpSocket for WatchedSocket {
    async fn recv_from(&self, buf: &mut [u8]) -> rsipstack::Result<(usize, SocketAddr)> {
        Ok(self.next(buf).await)
    }

    async fn send_to(&self, buf: &[u8], addr: SocketAddr) -> rsipstack::Result<usize> {
        Ok(self.sockets[self.socket_for(Some(addr))].send_to(buf, addr).await?)
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.addresses[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_of_several_sockets_are_remembered_within_bounds() {
        let mut peers = Peers::default();
        for port in 1..=u16::MAX {
            peers.learn(([192, 0, 2, 7], port).into(), 1);
        }
        assert_eq!(peers.sockets.len(), Peers::CAPACITY);
        assert_eq!(peers.sockets.get(&([192, 0, 2, 7], u16::MAX).into()), Some(&1));
    }
}
