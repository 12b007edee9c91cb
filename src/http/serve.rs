//! The listener: takes connections, bounds them, ends them.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::FromRequestParts, http::request::Parts, response::Response};
use hyper::{
    Request,
    body::Incoming,
    rt::{Read, Write},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::tls::{Greeting, Tls, elsewhere};

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 1_024;
/// Longest wait for a request's head, and so for the next request of an idle connection.
const HEAD: Duration = Duration::from_secs(30);
/// Longest a head may be, bytes.
const HEAD_BYTES: usize = 32 * 1024;
/// How long running answers may take once the house stops.
const FAREWELL: Duration = Duration::from_secs(10);
/// Pause after a failed accept (no file descriptors left), so that it does not spin.
const BREATH: Duration = Duration::from_millis(200);

/// The other end of a request's connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    /// Our address.
    pub(super) local: SocketAddr,
    /// Whether it came over TLS.
    pub(super) encrypted: bool,
}

impl Default for Peer {
    fn default() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self { address: nowhere.ip(), port: 0, local: nowhere, encrypted: false }
    }
}

impl Peer {
    pub(super) const fn socket(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// What all connections share.
struct Listener {
    router: Router,
    server: http1::Builder,
    tls: Option<Tls>,
}

/// Serves until `stopping`, then lets running answers end.
pub(super) async fn run(
    router: Router,
    listener: TcpListener,
    tls: Option<Tls>,
    stopping: CancellationToken,
) -> io::Result<()> {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let shared = Arc::new(Listener { router, server, tls });
    let (places, connections) = (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
    loop {
        let place = tokio::select! {
            () = stopping.cancelled() => break,
            place = places.clone().acquire_owned() => place.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        // Small answers should not wait for more; without it they only come later.
        let _ = stream.set_nodelay(true);
        let (shared, stopping) = (shared.clone(), stopping.clone());
        connections.spawn(async move {
            let open = metrics::gauge!("hotline_http_connections");
            open.increment(1);
            shared.take(stream, address, stopping).await;
            open.decrement(1);
            drop(place);
        });
    }
    connections.close();
    if tokio::time::timeout(FAREWELL, connections.wait()).await.is_err() {
        tracing::warn!("some answers did not end in time");
    }
    Ok(())
}

impl Listener {
    /// One connection from its first byte to its end.
    async fn take(&self, stream: TcpStream, address: SocketAddr, stopping: CancellationToken) {
        let local = stream.local_addr().unwrap_or(Peer::default().local);
        let peer = |encrypted| Peer { address: address.ip(), port: address.port(), local, encrypted };
        let Some(tls) = &self.tls else {
            return self.answer(stream, peer(false), stopping).await;
        };
        let greeted = tokio::select! {
            () = stopping.cancelled() => return,
            greeted = tls.greet(stream) => greeted,
        };
        match greeted {
            Ok(Greeting::Tls(stream)) => self.answer(*stream, peer(true), stopping).await,
            Ok(Greeting::Plain(stream)) => {
                let lead = service_fn(async |request: Request<Incoming>| Ok::<_, Infallible>(elsewhere(&request)));
                let mut server = self.server.clone();
                converse(server.keep_alive(false), TokioIo::new(stream), lead, stopping).await;
            }
            Err(error) => {
                metrics::counter!("hotline_http_handshakes_failed_total").increment(1);
                tracing::debug!(%error, "a TLS handshake failed");
            }
        }
    }

    async fn answer(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        stopping: CancellationToken,
    ) {
        let routes = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            routes.call(request)
        });
        converse(&self.server, TokioIo::new(stream), service, stopping).await;
    }
}

/// Reads requests and writes answers until one side has enough; once the house stops, the running answer is the last.
async fn converse(
    server: &http1::Builder,
    io: impl Read + Write + Unpin + Send + 'static,
    service: impl Service<Request<Incoming>, Response = Response, Error = Infallible>,
    stopping: CancellationToken,
) {
    let mut connection = pin!(server.serve_connection(io, service).with_upgrades());
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
