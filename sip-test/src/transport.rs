//! How messages travel: each in a datagram of its own, or one behind the other in a stream (RFC 3261 §18).

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use crate::PhoneError;

/// Longest message taken, bytes; a stream that promises more is broken.
const LARGEST: usize = 65_536;

/// One way to one far side.
#[derive(Debug)]
pub(crate) enum Transport {
    Udp { socket: UdpSocket, buffer: Box<[u8]> },
    Tcp { stream: TcpStream, heard: Vec<u8> },
}

impl Transport {
    pub(crate) async fn open(far: SocketAddr, tcp: bool) -> Result<Self, PhoneError> {
        let unreachable = |source| PhoneError::Unreachable { far, source };
        if tcp {
            let stream = TcpStream::connect(far).await.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            return Ok(Self::Tcp { stream, heard: Vec::new() });
        }
        let any: SocketAddr = if far.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await.map_err(|source| PhoneError::Socket { at: any, source })?;
        Self::udp(socket, far).await
    }

    /// From a port that is open already.
    pub(crate) async fn udp(socket: UdpSocket, far: SocketAddr) -> Result<Self, PhoneError> {
        socket.connect(far).await.map_err(|source| PhoneError::Unreachable { far, source })?;
        Ok(Self::Udp { socket, buffer: vec![0; LARGEST].into() })
    }

    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }

    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp { socket, .. } => socket.local_addr(),
            Self::Tcp { stream, .. } => stream.local_addr(),
        }
    }

    /// Follows a dialog to another address; a stream stays where it is.
    pub(crate) async fn follow(&mut self, far: SocketAddr) -> io::Result<()> {
        match self {
            Self::Udp { socket, .. } => socket.connect(far).await,
            Self::Tcp { .. } => Ok(()),
        }
    }

    /// Sends these very bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp { socket, .. } => socket.send(bytes).await.map(|_| ()),
            Self::Tcp { stream, .. } => stream.write_all(bytes).await,
        }
    }

    /// Next message, keep-alives left out. Loses nothing when it is given up in mid-wait.
    pub(crate) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Udp { socket, buffer } => loop {
                let length = socket.recv(buffer).await?;
                if !buffer[..length].trim_ascii().is_empty() {
                    return Ok(buffer[..length].to_vec());
                }
            },
            Self::Tcp { stream, heard } => loop {
                let blank = heard.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                heard.drain(..blank);
                if let Some(length) = first_message(heard)? {
                    return Ok(heard.drain(..length).collect());
                }
                if stream.read_buf(heard).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            },
        }
    }
}

/// Whether these bytes say themselves where they end: a head, one length, and as much body as that.
pub(crate) fn stands_alone(bytes: &[u8]) -> bool {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = &bytes[blank..];
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&bytes[..head]);
    let lengths = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        matches!(name.trim().to_ascii_lowercase().as_str(), "content-length" | "l")
            .then(|| value.trim().parse::<usize>())
    });
    let lengths: Vec<_> = lengths.collect();
    matches!(lengths[..], [Ok(length)] if length == bytes.len() - head - 4)
}

/// Length of the message a stream begins with, once all of it is there.
fn first_message(heard: &[u8]) -> io::Result<Option<usize>> {
    let too_long = || io::Error::new(io::ErrorKind::InvalidData, "a message of more than 64 KiB");
    let Some(head) = heard.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if heard.len() > LARGEST { Err(too_long()) } else { Ok(None) };
    };
    let text = String::from_utf8_lossy(&heard[..head]);
    let body = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim();
        let wanted = name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("l");
        wanted.then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = (head + 4).saturating_add(body.unwrap_or(0));
    if whole > LARGEST {
        return Err(too_long());
    }
    Ok((heard.len() >= whole).then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_where_each_message_says() {
        let stream = b"SIP/2.0 200 OK\r\nl : 3\r\n\r\nabcSIP/2.0 180 Ringing\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(first_message(stream).unwrap(), Some(28));
        assert_eq!(first_message(&stream[..27]).unwrap(), None, "its body is not all there");
        assert_eq!(first_message(&stream[28..]).unwrap(), Some(stream.len() - 28));
        assert_eq!(first_message(b"OPTIONS sip:a SIP/2.0\r\n").unwrap(), None);
        assert!(first_message(b"SIP/2.0 200 OK\r\nContent-Length: 99999999\r\n\r\n").is_err());
    }

    #[test]
    fn a_message_stands_alone_if_it_says_where_it_ends() {
        assert!(stands_alone(b"OPTIONS sip:a SIP/2.0\r\nl : 3\r\n\r\nabc"));
        for other in ["", "l: 2\r\n", "l: 4\r\n", "l: x\r\n", "l: 3\r\nContent-Length: 3\r\n"] {
            assert!(!stands_alone(format!("OPTIONS sip:a SIP/2.0\r\n{other}\r\nabc").as_bytes()), "{other}");
        }
        assert!(!stands_alone(b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n"), "no end of the head");
    }
}
