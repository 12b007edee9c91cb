//! TCP and TLS connections: accepted or dialled, bounded in number, size and time, framed and screened before the stack.
//!
//! The stack's own listener closes a connection over an unknown method and loses headers after a GBK name; so it is
//! given messages, not connections. Each connection hands its messages over itself, one after the other: a peer that
//! sends faster than the line can read waits in the kernel.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rsipstack::{
    sip::{SipMessage, Transport},
    transaction::endpoint::EndpointInnerRef,
    transport::{SipAddr, SipConnection, TransportEvent, channel::ChannelConnection},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::{debug, warn};

use super::{
    StreamLimits,
    framing::{Frame, Framer},
    kind_of,
    screen::{Screened, parse, refuse, screen},
};
use crate::tls::Acceptor;

/// Messages that wait to be written to one connection. Whoever sends more waits, until the connection is given up.
const OUTGOING: usize = 64;
/// Bytes read at once.
const CHUNK: usize = 4096;
/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 256;
/// Pause after a failed accept (no file descriptors left), so that it does not spin.
const BREATH: Duration = Duration::from_millis(200);
/// The answer to a ping.
pub(super) const PONG: &[u8] = b"\r\n";

/// All connections of one endpoint.
pub(super) struct Streams {
    stack: EndpointInnerRef,
    limits: StreamLimits,
    places: Arc<Semaphore>,
    open: Mutex<Open>,
    /// Called after each connection's end.
    lost: Box<dyn Fn() + Send + Sync>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// The connections by transport and peer.
type Open = HashMap<(Transport, SocketAddr), Known>;

struct Known {
    /// Our address.
    local: SocketAddr,
    /// We opened it.
    dialled: bool,
    /// Cancelled when it is gone.
    gone: CancellationToken,
}

/// What the stack says to a connection.
pub(super) type Outgoing = mpsc::Receiver<TransportEvent>;

/// A connection before its first byte.
pub(super) struct Opened {
    connection: SipConnection,
    address: SipAddr,
    pub(super) peer: SocketAddr,
    /// Ends the stack's use of the connection.
    _gone: DropGuard,
    /// While it is held, the stack's table keeps a dialled connection.
    _listed: mpsc::UnboundedSender<TransportEvent>,
    _entry: Entry,
    _place: OwnedSemaphorePermit,
}

/// Takes a connection out of the list when it is over.
struct Entry {
    streams: Arc<Streams>,
    key: (Transport, SocketAddr),
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.streams.open().remove(&self.key);
        metrics::gauge!("hotline_sip_connections").decrement(1);
        (self.streams.lost)();
    }
}

/// Binds a TCP port.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A line that starts again need not wait for the connections of the one before.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn failed_handshake(peer: SocketAddr, error: &dyn std::error::Error) {
    metrics::counter!("hotline_sip_handshakes_failed_total").increment(1);
    debug!(%peer, %error, "a TLS handshake failed");
}

impl Streams {
    /// * `lost` — is told after each connection's end, once its token is cancelled.
    /// * `stopping` — ends all connections.
    pub(super) fn new(
        stack: EndpointInnerRef,
        limits: StreamLimits,
        lost: Box<dyn Fn() + Send + Sync>,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            stack,
            limits,
            places: Arc::new(Semaphore::new(limits.connections)),
            open: Mutex::default(),
            lost,
            tasks: TaskTracker::new(),
            stopping,
        })
    }

    /// The address of ours that a peer is connected to.
    pub(super) fn towards(&self, transport: Transport, peer: SocketAddr) -> Option<SocketAddr> {
        self.open().get(&(transport, peer)).map(|known| known.local)
    }

    /// Cancelled when the connection to a peer is gone.
    pub(super) fn flow(&self, transport: Transport, peer: SocketAddr) -> Option<CancellationToken> {
        self.open().get(&(transport, peer)).map(|known| known.gone.clone())
    }

    /// Takes connections until [`Streams::stop`].
    pub(super) fn listen(self: &Arc<Self>, listener: TcpListener, tls: Option<Acceptor>) {
        let streams = self.clone();
        self.spawn(async move {
            loop {
                let Ok(place) = streams.places.clone().acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, peer)) => streams.welcome(stream, peer, tls.clone(), place).await,
                    Err(error) => {
                        warn!(%error, "a SIP connection was not accepted");
                        tokio::time::sleep(BREATH).await;
                    }
                }
            }
        });
    }

    /// Connects to a peer over TCP, unless we have before; the stack finds the connection under `address`.
    pub(super) async fn dial(self: &Arc<Self>, address: SipAddr) -> io::Result<()> {
        let peer = address.get_socketaddr().map_err(io::Error::other)?;
        if self.open().get(&(Transport::Tcp, peer)).is_some_and(|known| known.dialled) {
            return Ok(());
        }
        let place = self.places.clone().try_acquire_owned().map_err(io::Error::other)?;
        let stream = timeout(self.limits.handshake, TcpStream::connect(peer)).await??;
        let local = stream.local_addr()?;
        let Some(opened) = self.admit(address, peer, (local, true), place).await else {
            return Err(io::Error::other("too many connections to one address"));
        };
        self.list(&opened.0);
        let streams = self.clone();
        self.spawn(async move { streams.converse(stream, Transport::Tcp, opened).await });
        Ok(())
    }

    /// Ends all connections.
    pub(super) async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// A place for one more connection.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.places.clone().try_acquire_owned()
    }

    /// Lets the stack find a connection.
    pub(super) fn list(&self, opened: &Opened) {
        self.stack.transport_layer.add_connection(opened.connection.clone());
    }

    /// Gives the stack a message.
    pub(super) async fn hand_over(&self, message: SipMessage, opened: &Opened) {
        let taken = self.stack.on_received_message(message, opened.connection.clone(), &opened.address).await;
        if let Err(error) = taken {
            debug!(peer = %opened.peer, error = kind_of(&error), "a SIP message could not be taken");
        }
    }

    /// Longest wait for a peer that takes nothing.
    pub(super) const fn patience(&self) -> Duration {
        self.limits.write
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn welcome(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<Acceptor>,
        place: OwnedSemaphorePermit,
    ) {
        let transport = if tls.is_some() { Transport::Tls } else { Transport::Tcp };
        let Ok(local) = stream.local_addr() else { return };
        let address = SipAddr { r#type: Some(transport), addr: peer.into() };
        let Some(opened) = self.admit(address, peer, (local, false), place).await else { return };
        // Small messages should not wait for more; without it they only come later.
        let _ = stream.set_nodelay(true);
        let streams = self.clone();
        self.spawn(async move {
            // Added, the stack finds it: phones are rung through the connection they registered over.
            let Some(tls) = tls else {
                streams.list(&opened.0);
                return streams.converse(stream, transport, opened).await;
            };
            match timeout(streams.limits.handshake, tls.greet(stream)).await {
                Ok(Ok(stream)) => {
                    streams.list(&opened.0);
                    streams.converse(stream, transport, opened).await;
                }
                Ok(Err(error)) => failed_handshake(peer, &error),
                Err(late) => failed_handshake(peer, &late),
            }
        });
    }

    /// Notes a connection; `None` if its address has too many already.
    pub(super) async fn admit(
        self: &Arc<Self>,
        address: SipAddr,
        peer: SocketAddr,
        (local, dialled): (SocketAddr, bool),
        place: OwnedSemaphorePermit,
    ) -> Option<(Opened, Outgoing)> {
        let key = (address.r#type.unwrap_or(Transport::Tcp), peer);
        let gone = CancellationToken::new();
        {
            let mut open = self.open();
            let from_there = |ip: IpAddr| open.keys().filter(|(_, known)| known.ip() == ip).count();
            if from_there(peer.ip()) >= self.limits.per_address {
                metrics::counter!("hotline_sip_connections_refused_total").increment(1);
                debug!(%peer, "too many SIP connections from one address");
                return None;
            }
            open.insert(key, Known { local, dialled, gone: gone.clone() });
        }
        metrics::gauge!("hotline_sip_connections").increment(1);
        let entry = Entry { streams: self.clone(), key };
        let (messages, outgoing) = mpsc::channel(OUTGOING);
        let (listed, nothing) = mpsc::unbounded_channel();
        let channel =
            ChannelConnection::create_connection_bounded(nothing, messages, address.clone(), Some(gone.clone()));
        let connection = SipConnection::Channel(channel.await.ok()?);
        let gone = gone.drop_guard();
        let opened = Opened { connection, address, peer, _gone: gone, _listed: listed, _entry: entry, _place: place };
        Some((opened, outgoing))
    }

    /// One connection to its end.
    async fn converse(&self, io: impl AsyncRead + AsyncWrite, transport: Transport, opened: (Opened, Outgoing)) {
        let (opened, mut outgoing) = opened;
        let (input, output) = tokio::io::split(io);
        let input = pin!(input);
        let (direct, answers) = mpsc::channel(OUTGOING);
        let mut writing = pin!(self.write(output, &mut outgoing, answers));
        let reading = self.read(input, transport, &opened, direct);
        tokio::select! {
            () = &mut writing => return,
            () = reading => {}
        }
        // What was said before the end still goes out.
        writing.await;
    }

    async fn read(
        &self,
        mut input: impl AsyncRead + Unpin,
        transport: Transport,
        opened: &Opened,
        direct: mpsc::Sender<Vec<u8>>,
    ) {
        let (mut framer, peer) = (Framer::default(), opened.peer);
        while let Some(frame) = self.frame(&mut framer, &mut input).await {
            let (screened, last) = match &frame {
                Frame::Blank => continue,
                Frame::Ping => (Screened::Answer { to: peer, bytes: PONG.into() }, false),
                Frame::Message(message) => (screen(message, peer, transport), false),
                Frame::Broken { head, status, reason } => (refuse(head, peer, *status, reason), true),
            };
            match screened {
                Screened::Answer { bytes, .. } => {
                    // The writer is gone only together with us.
                    let _ = direct.send(bytes).await;
                }
                Screened::Drop => {}
                Screened::Pass(message) => {
                    let Some(message) = parse(&message, peer, transport) else { continue };
                    self.hand_over(message, opened).await;
                }
            }
            if last {
                return;
            }
        }
    }

    /// The next frame; `None` when the peer is gone or silent for too long.
    async fn frame(&self, framer: &mut Framer, input: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
        if let Some(frame) = framer.next() {
            return Some(frame);
        }
        let mut chunk = [0; CHUNK];
        if framer.is_empty() {
            let read = timeout(self.limits.idle, input.read(&mut chunk)).await.ok()?;
            framer.push(&chunk[..read.ok().filter(|length| *length > 0)?]);
        }
        let whole = async {
            loop {
                if let Some(frame) = framer.next() {
                    return Some(frame);
                }
                let length = input.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
                framer.push(&chunk[..length]);
            }
        };
        match timeout(self.limits.message, whole).await {
            Ok(frame) => frame,
            Err(_) => Some(framer.give_up()),
        }
    }

    /// Writes what the stack and the gate say, until the reader has ended or the peer takes nothing more.
    async fn write(
        &self,
        mut output: impl AsyncWrite + Unpin,
        messages: &mut mpsc::Receiver<TransportEvent>,
        mut answers: mpsc::Receiver<Vec<u8>>,
    ) {
        loop {
            let bytes = tokio::select! {
                biased;
                Some(event) = messages.recv() => match event {
                    TransportEvent::Incoming(message, ..) => message.to_bytes(),
                    _ => continue,
                },
                answer = answers.recv() => match answer {
                    Some(bytes) => bytes,
                    None => break,
                },
            };
            if !matches!(timeout(self.limits.write, output.write_all(&bytes)).await, Ok(Ok(()))) {
                return;
            }
            if !matches!(timeout(self.limits.write, output.flush()).await, Ok(Ok(()))) {
                return;
            }
        }
        // They may be gone already.
        let _ = timeout(self.limits.write, output.shutdown()).await;
    }
}
