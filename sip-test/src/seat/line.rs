//! The one socket or connection of a seat: it registers from where it is called.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::UdpSocket;

use crate::{PhoneError, sip::Message, transport::Transport};

/// Answers kept for requests that come again.
const MOST_KEPT: usize = 64;

pub(super) enum Way {
    /// Hears everybody.
    Udp { socket: UdpSocket, buffer: Box<[u8]> },
    /// Goes to one far side.
    Tcp { stream: Transport, far: SocketAddr },
}

pub(super) struct Line {
    way: Way,
    pub(super) local: SocketAddr,
    /// The last answers: branch and method of their request, and the text.
    answered: VecDeque<(String, String, String)>,
}

impl Line {
    /// * `far` — the registrar; without one the seat sits on the loopback address.
    /// * `tcp` — over a stream, if there is a registrar to open it to.
    pub(super) async fn open(far: Option<SocketAddr>, tcp: bool) -> Result<Self, PhoneError> {
        let way = match far {
            Some(far) if tcp => Way::Tcp { stream: Transport::open(far, true).await?, far },
            _ => {
                let at = SocketAddr::new(own_address(far).await?, 0);
                let socket = UdpSocket::bind(at).await.map_err(|source| PhoneError::Socket { at, source })?;
                Way::Udp { socket, buffer: vec![0; 65_536].into() }
            }
        };
        let local = match &way {
            Way::Udp { socket, .. } => socket.local_addr(),
            Way::Tcp { stream, .. } => stream.local(),
        };
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let local = local.map_err(|source| PhoneError::Socket { at: any, source })?;
        Ok(Self { way, local, answered: VecDeque::new() })
    }

    pub(super) fn is_tcp(&self) -> bool {
        matches!(self.way, Way::Tcp { .. })
    }

    /// Next message and who sent it, keep-alives left out. Loses nothing when it is given up in mid-wait.
    pub(super) async fn receive(&mut self) -> io::Result<(Vec<u8>, SocketAddr)> {
        match &mut self.way {
            Way::Udp { socket, buffer } => loop {
                let (length, from) = socket.recv_from(buffer).await?;
                if !buffer[..length].trim_ascii().is_empty() {
                    return Ok((buffer[..length].to_vec(), from));
                }
            },
            Way::Tcp { stream, far } => Ok((stream.receive().await?, *far)),
        }
    }

    pub(super) async fn send(&mut self, text: &str, to: SocketAddr) -> Result<(), PhoneError> {
        let sent = match &mut self.way {
            Way::Udp { socket, .. } => socket.send_to(text.as_bytes(), to).await.map(|_| ()),
            Way::Tcp { stream, .. } => stream.send(text.as_bytes()).await,
        };
        sent.map_err(|source| PhoneError::Unreachable { far: to, source })
    }

    /// Sends an answer and keeps it for when its request comes again.
    pub(super) async fn answer(&mut self, text: String, to: SocketAddr) -> Result<(), PhoneError> {
        self.send(&text, to).await?;
        let key = Message::parse(text.as_bytes()).ok().and_then(|answer| {
            let (_, method) = answer.cseq()?;
            Some((answer.branch()?.to_owned(), method.to_owned()))
        });
        let Some((branch, method)) = key else { return Ok(()) };
        self.answered.retain(|(known, of, _)| (known, of) != (&branch, &method));
        if self.answered.len() == MOST_KEPT {
            self.answered.pop_front();
        }
        self.answered.push_back((branch, method, text));
        Ok(())
    }

    /// What this request was answered with before (RFC 3261 §17.2).
    pub(super) fn answer_before(&self, request: &Message) -> Option<String> {
        let (branch, method) = (request.branch()?, request.method.as_deref()?);
        self.answered.iter().find(|(known, of, _)| known == branch && of == method).map(|(.., text)| text.clone())
    }
}

/// From which of our addresses a far side is reached.
async fn own_address(far: Option<SocketAddr>) -> Result<std::net::IpAddr, PhoneError> {
    let Some(far) = far else { return Ok(Ipv4Addr::LOCALHOST.into()) };
    let probe = Transport::open(far, false).await?;
    probe.local().map(|local| local.ip()).map_err(|source| PhoneError::Unreachable { far, source })
}
