//! The socket of a phone: UDP, TCP or TLS.

use std::{net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Mutex,
};
use tokio_rustls::TlsConnector;

pub(super) enum Phone {
    Udp(UdpSocket),
    Stream { io: Mutex<Stream>, local: SocketAddr, transport: &'static str },
}

pub(super) struct Stream {
    io: Box<dyn Duplex>,
    heard: Vec<u8>,
}

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

impl Phone {
    pub(super) async fn udp(line: SocketAddr) -> Self {
        let own = SocketAddr::new(line.ip(), 0);
        let socket = UdpSocket::bind(own).await.expect("a free port");
        socket.connect(line).await.expect("loopback");
        Self::Udp(socket)
    }

    pub(super) async fn tcp(line: SocketAddr) -> Self {
        Self::of(TcpStream::connect(line).await.expect("a listener"))
    }

    /// A connection somebody else opened.
    pub(super) fn of(stream: TcpStream) -> Self {
        let local = stream.local_addr().expect("bound");
        Self::Stream { io: Mutex::new(Stream { io: Box::new(stream), heard: Vec::new() }), local, transport: "TCP" }
    }

    /// * `certificate` — the one that is trusted, for `localhost`.
    pub(super) async fn tls(line: SocketAddr, certificate: CertificateDer<'static>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(line).await.expect("a listener");
        let local = stream.local_addr().expect("bound");
        let name = "localhost".try_into().expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
        Self::Stream { io: Mutex::new(Stream { io: Box::new(stream), heard: Vec::new() }), local, transport: "TLS" }
    }

    pub(super) fn local(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().expect("bound"),
            Self::Stream { local, .. } => *local,
        }
    }

    /// As Via names it.
    pub(super) fn transport(&self) -> &'static str {
        match self {
            Self::Udp(_) => "UDP",
            Self::Stream { transport, .. } => transport,
        }
    }

    pub(super) async fn send(&self, bytes: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(bytes).await.expect("loopback")),
            Self::Stream { io, .. } => {
                let mut stream = io.lock().await;
                // The line may have closed it, which is what some tests are about.
                let _ = stream.io.write_all(bytes).await;
                let _ = stream.io.flush().await;
            }
        }
    }

    /// The next message; `None` when the connection is closed.
    pub(super) async fn hear(&self) -> Option<String> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                let length = socket.recv(&mut buffer).await.expect("loopback");
                buffer.truncate(length);
                Some(String::from_utf8(buffer).expect("text"))
            }
            Self::Stream { io, .. } => {
                let mut stream = io.lock().await;
                loop {
                    if let Some(message) = stream.message() {
                        return Some(message);
                    }
                    let mut chunk = [0; 4096];
                    let length = stream.io.read(&mut chunk).await.unwrap_or(0);
                    if length == 0 {
                        return None;
                    }
                    stream.heard.extend_from_slice(&chunk[..length]);
                }
            }
        }
    }
}

impl Stream {
    /// A whole message, or the empty line that answers a ping.
    fn message(&mut self) -> Option<String> {
        let text = std::str::from_utf8(&self.heard).expect("text");
        let whole = if text.starts_with("\r\n") {
            2
        } else {
            let head = text.find("\r\n\r\n")? + 4;
            let length: usize = super::header(text, "Content-Length").expect("a length").parse().expect("a number");
            head + length
        };
        let message = text.get(..whole)?.to_owned();
        self.heard.drain(..whole);
        Some(message)
    }
}
