//! TLS for those who listen: TLS 1.2 and 1.3 with a certificate that may change while connections are open.

use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{net::TcpStream, sync::Semaphore};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Handshakes at once; a handshake is the dearest thing a stranger can ask for. More wait for their turn.
const HANDSHAKES: usize = 64;

/// Greets connections. Cheap to clone; a new certificate shows in all clones.
#[derive(Clone)]
pub struct Acceptor {
    inner: TlsAcceptor,
    current: Arc<Current>,
    turns: Arc<Semaphore>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Acceptor {
    /// * `protocols` — names for ALPN (RFC 7301), the best one first; empty to speak of none.
    ///
    /// # Errors
    /// When the crypto library offers none of the two versions.
    pub fn new(certificate: Arc<CertifiedKey>, protocols: &[&str]) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(RwLock::new(certificate)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let inner = TlsAcceptor::from(Arc::new(config));
        Ok(Self { inner, current, turns: Arc::new(Semaphore::new(HANDSHAKES)) })
    }

    /// Takes another certificate for connections that begin from now on.
    pub fn change(&self, certificate: Arc<CertifiedKey>) {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }

    /// Greets a new connection. The caller gives up when it takes too long.
    pub async fn greet(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
        self.inner.accept(stream).await
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}
