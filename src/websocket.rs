//! A SIP connection of a browser's (RFC 7118) on its way from the listener that took it to those who speak SIP.

use std::net::SocketAddr;

use tokio::sync::mpsc;

/// Longest message, bytes: as long as one on a TCP connection may be.
pub const LONGEST: usize = 65_535;
/// Messages that wait on either way; whoever sends more waits.
const WAITING: usize = 64;

/// The side of those who speak SIP. Dropped, the connection is closed.
#[derive(Debug)]
pub struct WebSocket {
    pub peer: SocketAddr,
    /// Our address.
    pub local: SocketAddr,
    /// Whether it came over TLS.
    pub encrypted: bool,
    /// One message each; at its end the browser is gone.
    pub incoming: mpsc::Receiver<Vec<u8>>,
    pub outgoing: mpsc::Sender<Vec<u8>>,
}

/// The listener's side.
#[derive(Debug)]
pub struct Wire {
    pub incoming: mpsc::Sender<Vec<u8>>,
    /// At its end the connection is to be closed.
    pub outgoing: mpsc::Receiver<Vec<u8>>,
}

impl WebSocket {
    /// Both sides of a connection.
    pub fn pair(peer: SocketAddr, local: SocketAddr, encrypted: bool) -> (Self, Wire) {
        let (to_sip, incoming) = mpsc::channel(WAITING);
        let (outgoing, from_sip) = mpsc::channel(WAITING);
        (Self { peer, local, encrypted, incoming, outgoing }, Wire { incoming: to_sip, outgoing: from_sip })
    }
}
