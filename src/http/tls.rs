//! TLS on the listener: the handshake with the certificate of the moment, and the way out for those who came without.

use std::{io, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use hyper::{Request, body::Incoming};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::server::TlsStream;

use super::{
    certificate::{Certificate, TlsError},
    problem::Kind,
};
use crate::tls::Acceptor;

/// Longest from the connection to the end of its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// First byte of a TLS record with a handshake in it (RFC 8446 §5.1).
const HELLO: u8 = 22;

/// TLS for a listener. Cheap to clone; a new certificate shows in all clones.
#[derive(Clone)]
pub struct Tls {
    acceptor: Acceptor,
    pub(super) patience: Duration,
}

/// How a connection began.
pub(super) enum Greeting {
    Tls(Box<TlsStream<TcpStream>>),
    /// They speak plain HTTP, or something else that is no TLS.
    Plain(TcpStream),
}

impl Tls {
    /// TLS 1.2 and 1.3 with this certificate; HTTP/1.1 only.
    ///
    /// # Errors
    /// When the crypto library offers none of the two versions.
    pub fn new(certificate: Certificate) -> Result<Self, TlsError> {
        tell_end(&certificate);
        let acceptor = Acceptor::new(certificate.pair, &["http/1.1"]);
        let acceptor = acceptor.map_err(|error| TlsError::Making(error.to_string()))?;
        Ok(Self { acceptor, patience: HANDSHAKE })
    }

    /// Takes another certificate for connections that begin from now on.
    pub fn change(&self, certificate: Certificate) {
        tell_end(&certificate);
        self.acceptor.change(certificate.pair);
    }

    /// Greets a new connection; whoever says nothing is given up.
    pub(super) async fn greet(&self, stream: TcpStream) -> io::Result<Greeting> {
        let greeting = timeout(self.patience, async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first[0] != HELLO {
                return Ok(Greeting::Plain(stream));
            }
            Ok(Greeting::Tls(Box::new(self.acceptor.greet(stream).await?)))
        });
        greeting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// For the alarm that rings before a certificate ends.
fn tell_end(certificate: &Certificate) {
    if let Some(ends) = certificate.ends {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        metrics::gauge!("hotline_http_certificate_expiry_timestamp_seconds").set((ends.0 / 1000) as f64);
    }
}

/// The answer to plain HTTP: a browser is led to `https`. A program that has sent its token in the clear is refused, so
/// that somebody notices.
pub(super) fn elsewhere(request: &Request<Incoming>) -> Response<Body> {
    let asks = matches!(*request.method(), Method::GET | Method::HEAD);
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let place = host.filter(|_| asks && !request.headers().contains_key(header::AUTHORIZATION));
    let place = place.and_then(|host| HeaderValue::try_from(format!("https://{host}{path}")).ok());
    match place {
        // Not 308: a browser would remember it after TLS was switched off.
        Some(place) => (hyper::StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response(),
        None => Kind::BadRequest.because("this port speaks HTTPS: send it to https://").into_response(),
    }
}
