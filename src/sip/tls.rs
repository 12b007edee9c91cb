//! TLS for SIP connections.

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

use super::SipError;

/// Handshakes at once; a handshake is the dearest thing a stranger can ask for. More wait for their turn.
const HANDSHAKES: usize = 64;

/// TLS 1.2 and 1.3 with the line's certificate. Cheap to clone; a new certificate shows in all clones.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
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

impl Tls {
    /// # Errors
    /// When the crypto library offers none of the two versions.
    pub fn new(certificate: Arc<CertifiedKey>) -> Result<Self, SipError> {
        let current = Arc::new(Current(RwLock::new(certificate)));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| SipError::Stack(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { acceptor, current, turns: Arc::new(Semaphore::new(HANDSHAKES)) })
    }

    /// Takes another certificate for connections that begin from now on.
    pub fn change(&self, certificate: Arc<CertifiedKey>) {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }

    /// Greets a new connection. The caller gives up when it takes too long.
    pub(super) async fn greet(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
        self.acceptor.accept(stream).await
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}
