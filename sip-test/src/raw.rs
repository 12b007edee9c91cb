//! Bare datagrams, for tests that say what no phone would.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{net::UdpSocket, time::timeout};

use crate::sip::{Message, branch, token};

/// A UDP socket with one far side.
#[derive(Debug)]
pub struct Wire {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Wire {
    /// Opens a port of the address from which `far` is reached.
    pub async fn open(far: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = if far.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(far).await?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    /// Our own address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends these very bytes.
    pub async fn send(&self, datagram: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.send(datagram.as_ref()).await.map(|_| ())
    }

    /// Next datagram, or nothing within the time. An unreachable port counts as nothing.
    pub async fn receive(&self, within: Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let length = timeout(within, self.socket.recv(&mut buffer)).await.ok()?.ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    /// Next answer that is not provisional (1xx); other datagrams are skipped.
    pub async fn final_answer(&self, within: Duration) -> Option<Message> {
        let wait = async {
            loop {
                let datagram = self.receive(within).await?;
                match Message::parse(&datagram) {
                    Ok(message) if message.status.is_some_and(|status| status >= 200) => return Some(message),
                    _ => {}
                }
            }
        };
        timeout(within, wait).await.ok()?
    }

    /// A well-formed request without a body, to be changed at will.
    ///
    /// * `uri` — for instance `sip:12345@127.0.0.1:5060`.
    pub fn request(&self, method: &str, uri: &str) -> String {
        let (local, branch, tag, call_id) = (self.local, branch(), token(), token());
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={branch};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:raw@{local}>;tag={tag}\r\nTo: <{uri}>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:raw@{local}>\r\nContent-Length: 0\r\n\r\n"
        )
    }
}

/// Sends one datagram and waits for the first final answer.
pub async fn exchange(far: SocketAddr, datagram: impl AsRef<[u8]>, within: Duration) -> io::Result<Option<Message>> {
    let wire = Wire::open(far).await?;
    wire.send(datagram).await?;
    Ok(wire.final_answer(within).await)
}
