//! The SIP listener: routes every request to its dialog, makes a call of an INVITE, or refuses.

use std::{
    collections::HashMap,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rsipstack::{
    EndpointBuilder,
    dialog::{DialogId, dialog::DialogStateReceiver, dialog_layer::DialogLayer},
    sip::{
        Auth, Header, Headers, Host, HostWithPort, Method, Param, Request, Scheme, SipMessage, StatusCode, Transport,
        Uri,
        prelude::{HasHeaders, HeadersExt, ToTypedHeader},
    },
    transaction::{
        endpoint::{EndpointOption, MessageInspector, TransportEventInspector},
        transaction::Transaction,
    },
    transport::{
        SipAddr, SipConnection, TransportEvent, TransportLayer, channel::ChannelConnection, udp::UdpConnection,
    },
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, field::Empty, warn};

use super::{
    SipError, SipSettings,
    checks::{self, Refusal},
    incoming::{Incoming, Link},
    kind_of,
    leg::Leg,
    merged::Merged,
    outgoing::Dialler,
    registrar::{Flow, Registrar},
    sdp::{Credentials, ForkSession, Offer, Sealing, Session},
    siprec::{self, Story},
    socket::WatchedSocket,
    stream::{self, Streams},
};
use crate::{
    clock::Clock,
    telemetry::{Private, WALK},
    tls::Acceptor,
    websocket::WebSocket,
};

/// Requests looked at at once; what comes above is dropped and repeated by its sender.
const TRANSACTIONS: usize = 4096;
/// At a stop: how long open calls may take to end. A little more than the line gives them itself.
const CALLS_END: Duration = Duration::from_secs(75);
/// At a stop: how long last answers and BYEs may take.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Connections of browsers that wait to be taken.
const BROWSERS: usize = 64;
/// Seconds in Retry-After of a 503.
const RETRY_AFTER: u32 = 10;

/// Bound SIP ports. Nothing is answered before [`Endpoint::run`].
pub struct Endpoint {
    shared: Arc<Shared>,
    stack: rsipstack::transaction::Endpoint,
    cancel: CancellationToken,
    listeners: Vec<Listener>,
    browsers: (mpsc::Sender<WebSocket>, mpsc::Receiver<WebSocket>),
}

/// A bound TCP port; with TLS if there is any.
struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    tls: Option<Acceptor>,
}

/// What all dialogs share.
pub(super) struct Shared {
    settings: SipSettings,
    /// How people of forked calls are known.
    rule: Arc<siprec::Rule>,
    socket: Arc<WatchedSocket>,
    pub(super) streams: Arc<Streams>,
    registrar: Registrar,
    pub(super) clock: Clock,
    pub(super) layer: Arc<DialogLayer>,
    legs: Mutex<HashMap<String, Arc<Leg>>>,
    merged: Mutex<Merged>,
    places: Arc<Semaphore>,
    transactions: Arc<Semaphore>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    incoming: mpsc::Sender<Incoming>,
}

impl Endpoint {
    /// Binds the ports.
    ///
    /// * returns — the endpoint, and the calls that may be taken. At most `max_calls` wait there.
    pub async fn bind(settings: SipSettings, clock: Clock) -> Result<(Self, mpsc::Receiver<Incoming>), SipError> {
        let stack = |error: rsipstack::Error| SipError::Stack(error.to_string());
        let socket = Arc::new(WatchedSocket::bind(&settings.udp)?);
        let listeners = bind_tcp(&settings)?;
        let address = socket.towards(None);
        let external = |own: SocketAddr| settings.advertise.map(|ip| SocketAddr::new(ip, own.port()));
        let cancel = CancellationToken::new();
        let connection =
            UdpConnection::from_socket(socket.clone(), external(address), Some(cancel.child_token())).await;
        let transport = TransportLayer::new(cancel.clone());
        transport.add_transport(SipConnection::Udp(connection.map_err(stack)?));
        for Listener { address, tls, .. } in &listeners {
            let kind = if tls.is_some() { Transport::Tls } else { Transport::Tcp };
            let own = SipConnection::resolve_bind_address(external(*address).unwrap_or(*address));
            transport.add_transport(nameplate(kind, own).await.map_err(stack)?);
        }
        // Browsers come to another listener; what they are told of ours is a name alone (RFC 7118 §5).
        for kind in [Transport::Ws, Transport::Wss] {
            let own = SipConnection::resolve_bind_address(external(address).unwrap_or(address));
            transport.add_transport(nameplate(kind, own).await.map_err(stack)?);
        }
        let option = EndpointOption {
            t1: settings.t1,
            t1x64: settings.t1 * 64,
            callid_suffix: Some(address.ip().to_string()),
            ..EndpointOption::default()
        };
        let stack = EndpointBuilder::new()
            .with_user_agent("hotline")
            .with_transport_layer(transport)
            .with_cancel_token(cancel.clone())
            .with_option(option)
            .with_transport_inspector(Box::new(OnlyScreened))
            .with_inspector(Box::new(LastTouch { socket: socket.clone(), advertise: settings.advertise }))
            .build();
        let (incoming, calls) = mpsc::channel(settings.max_calls.clamp(1, 10_000));
        let registrar = Registrar::new(settings.registration.clone(), clock.clone());
        let bereft = registrar.clone();
        let lost = Box::new(move || bereft.drop_lost());
        let shared = Shared {
            socket,
            streams: Streams::new(stack.inner.clone(), settings.streams, lost, cancel.child_token()),
            registrar,
            clock,
            layer: Arc::new(DialogLayer::new(stack.inner.clone())),
            legs: Mutex::default(),
            merged: Mutex::new(Merged::new(settings.t1 * 64)),
            places: Arc::new(Semaphore::new(settings.max_calls)),
            transactions: Arc::new(Semaphore::new(TRANSACTIONS)),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            incoming,
            rule: Arc::new(siprec::Rule {
                numbers: settings.numbers.clone(),
                area_code: settings.area_code.clone(),
                seats: settings.forks.seats.clone(),
            }),
            settings,
        };
        let browsers = mpsc::channel(BROWSERS);
        Ok((Self { shared: Arc::new(shared), stack, cancel, listeners, browsers }, calls))
    }

    /// What phones are rung with.
    pub fn dialler(&self) -> Dialler {
        Dialler(self.shared.clone())
    }

    /// The telephones that are registered.
    pub fn registrar(&self) -> Registrar {
        self.shared.registrar.clone()
    }

    /// Where the connections of browsers are brought; one that finds no room is to be closed.
    pub fn browsers(&self) -> mpsc::Sender<WebSocket> {
        self.browsers.0.clone()
    }

    /// The first UDP address; the real port when bound to 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.socket.towards(None)
    }

    /// All UDP addresses.
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        self.shared.socket.addresses()
    }

    /// The first TCP address, if there is one.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.listeners.iter().find(|it| it.tls.is_none()).map(|it| it.address)
    }

    /// The first TLS address, if there is one.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.listeners.iter().find(|it| it.tls.is_some()).map(|it| it.address)
    }

    /// Serves until `stopping`; then refuses new calls with 503, lets open ones end (75 s) and their BYEs go out.
    pub async fn run(self, stopping: CancellationToken) {
        let Self { shared, stack, cancel, listeners, browsers: (_, browsers) } = self;
        let Ok(mut requests) = stack.incoming_transactions() else { return };
        for Listener { tcp, tls, .. } in listeners {
            shared.streams.listen(tcp, tls);
        }
        shared.streams.attend(browsers);
        let _cancel = cancel.drop_guard();
        let mut serve = pin!(stack.serve());
        let registrar = shared.registrar.clone();
        let mut keep_registrar = pin!(registrar.keep());
        let mut last_call_over = pin!(async {
            stopping.cancelled().await;
            shared.stopping.cancel();
            let all = u32::try_from(shared.settings.max_calls).unwrap_or(u32::MAX);
            let calls = tokio::time::timeout(CALLS_END, shared.places.acquire_many(all)).await;
            if calls.is_err() {
                warn!("calls are still open; the SIP port closes");
            }
            shared.tasks.close();
            let _ = tokio::time::timeout(LAST_WORDS, shared.tasks.wait()).await;
            shared.streams.stop().await;
        });
        loop {
            tokio::select! {
                Some(tx) = requests.recv() => shared.take(tx),
                () = &mut last_call_over => return,
                () = &mut keep_registrar => return,
                () = &mut serve => {
                    warn!("the SIP stack ended");
                    return;
                }
            }
        }
    }
}

impl Shared {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// 64 T1: how long a transaction may live.
    pub(super) fn transaction_time(&self) -> Duration {
        self.settings.t1 * 64
    }

    /// Our side of offer and answer.
    pub(super) fn session(&self, media: SocketAddr) -> Session {
        Session::new(self.session_number(), media, self.sealing())
    }

    /// The same with a telephone that is reached so: one behind a WebSocket is a browser.
    ///
    /// * returns — nothing where the line has no certificate for it.
    pub(super) fn session_towards(&self, transport: Transport, media: SocketAddr) -> Option<Session> {
        if !matches!(transport, Transport::Ws | Transport::Wss) {
            return Some(self.session(media));
        }
        let ours = Credentials::new(self.clock.random(), self.settings.fingerprint?);
        Some(Session::with_browser(self.session_number(), media, ours))
    }

    /// The same for a call that a switch forks to us.
    pub(super) fn fork_session(&self, media: [SocketAddr; 2]) -> ForkSession {
        ForkSession::new(self.session_number(), media, self.sealing())
    }

    /// A fresh number for `o=`, below 2^62 (some phones read it signed).
    fn session_number(&self) -> u64 {
        u64::from_be_bytes(self.clock.random()) >> 2
    }

    /// What the settings allow, and a fresh key.
    fn sealing(&self) -> Sealing {
        Sealing { policy: self.settings.srtp, ours: self.clock.random() }
    }

    /// Where the media of an offer comes from, if its word is believed.
    pub(super) fn source(&self, offer: &Offer) -> Option<SocketAddr> {
        let address = offer.choose(self.sealing()).ok()?.1.address;
        self.settings.carriers.contains(address.ip()).then_some(address)
    }

    /// What to tell a peer about a media port of ours.
    ///
    /// * `bound` — where the port is bound, perhaps to every address.
    /// * `local` — our address as the peer reaches it.
    pub(super) fn media_address(&self, bound: SocketAddr, local: IpAddr) -> SocketAddr {
        let own = if bound.ip().is_unspecified() { local } else { bound.ip() };
        SocketAddr::new(self.settings.advertise.unwrap_or(own), bound.port())
    }

    /// Keeps a dialog until its end.
    pub(super) fn keep(self: &Arc<Self>, id: &DialogId, leg: &Arc<Leg>, reports: DialogStateReceiver) {
        self.legs().insert(id.to_string(), leg.clone());
        let (shared, watched, id) = (self.clone(), leg.clone(), id.clone());
        self.spawn(async move {
            watched.watch(reports, &shared).await;
            shared.legs().remove(&id.to_string());
            shared.layer.remove_dialog(&id);
        });
    }

    /// The dialog a request belongs to. One that a phone of ours has just answered is known to the stack a moment earlier.
    async fn leg(&self, id: &DialogId) -> Option<Arc<Leg>> {
        const LOOKS: u32 = 10;
        const LOOK: Duration = Duration::from_millis(20);
        for _ in 0..LOOKS {
            if let Some(leg) = self.legs().get(&id.to_string()).cloned() {
                return Some(leg);
            }
            self.layer.get_dialog(id)?;
            tokio::time::sleep(LOOK).await;
        }
        None
    }

    fn legs(&self) -> MutexGuard<'_, HashMap<String, Arc<Leg>>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a request a task of its own.
    fn take(self: &Arc<Self>, tx: Transaction) {
        let Ok(permit) = self.transactions.clone().try_acquire_owned() else {
            metrics::counter!("hotline_sip_overload_total").increment(1);
            return;
        };
        let shared = self.clone();
        self.spawn(async move {
            let method = tx.original.method;
            metrics::counter!("hotline_sip_requests_total", "method" => method.to_string()).increment(1);
            if let Err(error) = shared.route(tx).await {
                debug!(%method, error = kind_of(&error), "a SIP request could not be finished");
            }
            drop(permit);
        });
    }

    async fn route(self: &Arc<Self>, tx: Transaction) -> rsipstack::Result<()> {
        if tx.original.method == Method::Ack {
            return Ok(()); // of a dialog that is gone, and never answered
        }
        let within = tx.original.to_header()?.tag()?.is_some();
        if within {
            let id = DialogId::try_from(&tx)?;
            return match self.leg(&id).await {
                Some(leg) => leg.request(tx, u32::from(self.clock.random::<1>()[0]) % 11).await,
                None => answer(tx, gone()).await,
            };
        }
        if tx.original.method == Method::Register {
            let reply = match flow(&tx) {
                Some(flow) => self.registrar.answer(&tx.original, flow).await,
                None => Refusal(StatusCode::ServerInternalError, Vec::new()),
            };
            return answer(tx, reply).await;
        }
        if tx.original.method == Method::Refer {
            return answer(tx, Refusal(StatusCode::MethodNotAllowed, vec![checks::allow()])).await;
        }
        let trusted = self.is_trusted(&tx);
        let forks = tx.original.method == Method::Invite && siprec::asks(&tx.original);
        if forks && !trusted {
            metrics::counter!("hotline_siprec_refused_total").increment(1);
            return answer(tx, Refusal(StatusCode::Forbidden, Vec::new())).await;
        }
        if forks && self.is_merged(&tx.original) {
            return answer(tx, Refusal(StatusCode::LoopDetected, Vec::new())).await;
        }
        if forks {
            let span = tracing::info_span!(target: WALK, "sip.invite", otel.kind = "server", call.id = Empty);
            return self.invite(tx, None).instrument(span).await;
        }
        if tx.original.method == Method::Options && trusted {
            // A switch asks whether its recorder is there, by whatever name it has for it.
            let reply = checks::demands(&tx.original, true).map_or_else(|refusal| refusal, |()| capabilities(true));
            return answer(tx, reply).await;
        }
        let called = match checks::addressee(&tx.original, &self.settings.numbers, &self.settings.area_code) {
            Ok(called) => called,
            Err(refusal) => return answer(tx, refusal).await,
        };
        let refusal = match (tx.original.method, called) {
            (Method::Invite, None) => Refusal(StatusCode::NotFound, Vec::new()),
            (Method::Invite | Method::Options, _) if self.is_merged(&tx.original) => {
                Refusal(StatusCode::LoopDetected, Vec::new())
            }
            (Method::Invite, Some(called)) => {
                let span = tracing::info_span!(target: WALK, "sip.invite", otel.kind = "server", call.id = Empty);
                return self.invite(tx, Some(called)).instrument(span).await;
            }
            (Method::Options, _) => {
                checks::demands(&tx.original, false).map_or_else(|refusal| refusal, |()| capabilities(false))
            }
            _ => gone(),
        };
        answer(tx, refusal).await
    }

    /// Whether a request comes from a switch that may fork its calls to us.
    fn is_trusted(&self, tx: &Transaction) -> bool {
        let peer = || tx.connection.as_ref()?.get_remote_addr()?.get_socketaddr().ok();
        self.settings.forks.is_on() && peer().is_some_and(|peer| self.settings.forks.sources.contains(peer.ip()))
    }

    fn is_merged(&self, request: &Request) -> bool {
        let seen = || {
            let from = request.from_header().ok()?.tag().ok()??;
            let call_id = request.call_id_header().ok()?;
            let cseq = request.cseq_header().ok()?.seq().ok()?;
            let via = request.top_via_header().ok()?.typed().ok()?;
            let branch = via.branch().map(ToString::to_string).unwrap_or_default();
            let mut merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
            Some(merged.seen((from.value(), call_id.value(), cseq), &branch, self.clock.instant()))
        };
        seen().unwrap_or(false)
    }

    /// A new call: the last checks, then the dialog.
    ///
    /// * `called` — which of our numbers; nothing for a call that a switch forks to us.
    async fn invite(self: &Arc<Self>, mut tx: Transaction, called: Option<String>) -> rsipstack::Result<()> {
        let checked = checks::demands(&tx.original, called.is_none())
            .and_then(|()| checks::session_timer(&tx.original))
            .and_then(|terms| Ok((terms, self.wish(&tx.original, called)?)));
        let (terms, wish) = match checked {
            Ok(checked) => checked,
            Err(refusal) => return answer(tx, refusal).await,
        };
        let Wish { caller, called, offer, story } = wish;
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) if !self.stopping.is_cancelled() => place,
            _ => {
                metrics::counter!("hotline_sip_full_total").increment(1);
                return answer(tx, Refusal::later(StatusCode::ServiceUnavailable, RETRY_AFTER)).await;
            }
        };
        let door = self.door(&tx);
        let local = door.address.ip();
        let (reports, receiver) = self.layer.new_dialog_state_channel();
        // A recording client may have dialled whatever it calls its recorder.
        let secure = tx.original.uri.scheme == Some(Scheme::Sips);
        let contact = door.contact(if called.is_empty() { siprec::SIPREC } else { &called }, secure);
        let dialog = match self.layer.get_or_create_server_invite(&tx, reports, None, Some(contact)) {
            Ok(dialog) => dialog,
            Err(error) => {
                debug!(error = kind_of(&error), "an INVITE makes no dialog");
                return answer(tx, Refusal(StatusCode::BadRequest, Vec::new())).await;
            }
        };
        let cseq = tx.original.cseq_header()?.seq()?;
        let flow = tx.connection.as_ref().filter(|it| it.is_reliable()).and_then(SipConnection::cancel_token);
        let forked = story.as_ref().map(|story| story.parties().clone());
        let (leg, events) = Leg::new(dialog.clone(), cseq, flow, story, self.clock.clone());
        self.keep(&dialog.id(), &leg, receiver);
        let link = Link { shared: self.clone(), leg, events, _place: Some(place) };
        // Full or closed: the call is dropped, and thereby refused with 503.
        let _ = self.incoming.try_send(Incoming::new(caller, called, forked, local, (offer, terms), link));
        let done = dialog.clone().handle(&mut tx).await;
        if dialog.state().can_cancel() {
            // The stack gave the transaction up; nobody can answer it any more.
            dialog.reject(Some(StatusCode::ServerInternalError), None)?;
        }
        done
    }

    /// What an INVITE is about.
    fn wish(&self, request: &Request, called: Option<String>) -> Result<Wish, Refusal> {
        if let Some(called) = called {
            let caller = checks::caller(request, &self.settings.area_code);
            return Ok(Wish { caller, called, offer: checks::offer(request, self.settings.srtp)?, story: None });
        }
        let said = siprec::read(request)?;
        siprec::first_offer(&said, self.settings.srtp)?;
        let story = Story::begin(self.rule.clone(), self.settings.srtp, &said);
        let parties = story.parties();
        let dialled = || checks::addressee(request, &self.settings.numbers, &self.settings.area_code).ok().flatten();
        let only = || (self.settings.numbers.len() == 1).then(|| self.settings.numbers[0].clone());
        let called = parties.called.clone().or_else(dialled).or_else(only).unwrap_or_default();
        Ok(Wish { caller: parties.caller.clone(), called, offer: said.offer, story: Some(story) })
    }

    /// Our address as the sender of a request reaches it.
    fn door(&self, tx: &Transaction) -> Door {
        let peer = tx.connection.as_ref().and_then(SipConnection::get_remote_addr);
        let transport = peer.and_then(|peer| peer.r#type).unwrap_or(Transport::Udp);
        self.door_towards(transport, peer.and_then(|peer| peer.get_socketaddr().ok()))
    }

    /// Our address as a peer reaches it.
    pub(super) fn door_towards(&self, transport: Transport, peer: Option<SocketAddr>) -> Door {
        let stream = peer.and_then(|peer| self.streams.towards(transport, peer));
        let bound = stream.unwrap_or_else(|| self.socket.towards(peer));
        let ip = self.settings.advertise.unwrap_or_else(|| address_towards(bound.ip(), peer));
        Door { transport, address: SocketAddr::new(ip, bound.port()) }
    }

    /// Sees to it that a request of ours can go out in this dialog: where it wants a connection and has none, opens one.
    ///
    /// * returns — whether it makes sense to send. TLS is never dialled: nothing says whom to trust.
    pub(super) async fn reach(&self, leg: &Leg) -> bool {
        if leg.flow.as_ref().is_some_and(|gone| !gone.is_cancelled()) {
            return true;
        }
        let dialog = leg.dialog.snapshot();
        let route = dialog.route_set.first().and_then(|route| Some(route.typed().ok()?.uri));
        let target = route.unwrap_or(dialog.remote_uri);
        let Ok(address) = SipAddr::try_from(&target) else { return false };
        match (address.r#type, target.scheme) {
            (None | Some(Transport::Udp), Some(Scheme::Sip)) => true,
            (Some(Transport::Tcp), Some(Scheme::Sip)) => match self.streams.dial(address).await {
                Ok(()) => true,
                Err(error) => {
                    debug!(%error, "no new connection for a dialog whose own is gone");
                    false
                }
            },
            _ => false,
        }
    }
}

/// The way a request came; nothing where its connection is not known any more.
fn flow(tx: &Transaction) -> Option<Flow> {
    let connection = tx.connection.as_ref()?;
    let gone = Some(connection).filter(|it| it.is_reliable()).and_then(SipConnection::cancel_token);
    Some(Flow { destination: connection.get_remote_addr()?.clone(), gone })
}

/// What an INVITE that may be taken is about.
struct Wish {
    caller: Option<Private<String>>,
    called: String,
    offer: Option<Offer>,
    /// Of a forked call.
    story: Option<Story>,
}

/// Where a peer reaches us.
pub(super) struct Door {
    transport: Transport,
    pub(super) address: SocketAddr,
}

impl Door {
    /// * `secure` — a `sips:` call has a `sips:` Contact on both sides (RFC 3261 §8.1.1.8 and §12.1.1).
    pub(super) fn contact(&self, user: &str, secure: bool) -> Uri {
        let secure = self.transport == Transport::Tls && secure;
        let params = match self.transport {
            Transport::Udp => Vec::new(),
            Transport::Tls if secure => vec![Param::Transport(Transport::Tcp)],
            other => vec![Param::Transport(other)],
        };
        let (host, port) = (Host::IpAddr(self.address.ip()), Some(self.address.port().into()));
        Uri {
            scheme: Some(if secure { Scheme::Sips } else { Scheme::Sip }),
            auth: Some(Auth { user: user.to_owned(), password: None }),
            host_with_port: HostWithPort { host, port },
            params,
            ..Uri::default()
        }
    }
}

/// The address that a packet to the peer leaves from, where we are bound to every address.
fn address_towards(bound: IpAddr, peer: Option<SocketAddr>) -> IpAddr {
    if !bound.is_unspecified() {
        return bound;
    }
    // Connecting a UDP socket sends nothing; the kernel only picks the address it would send from.
    let route = |peer: SocketAddr| {
        let socket = std::net::UdpSocket::bind((bound, 0)).ok()?;
        socket.connect(peer).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    peer.and_then(route).unwrap_or(bound)
}

fn bind_tcp(settings: &SipSettings) -> Result<Vec<Listener>, SipError> {
    let plain = settings.tcp.iter().map(|address| ("tcp", *address, None));
    let secure = settings.tls.iter().flat_map(|(addresses, tls)| addresses.iter().map(move |it| (it, tls)));
    let secure = secure.map(|(address, tls)| ("tls", *address, Some(tls.clone())));
    let bind = |(key, address, tls)| {
        let failed = |source| SipError::Tcp { key, address, source };
        let tcp = stream::bind(address).map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        Ok(Listener { tcp, address, tls })
    };
    plain.chain(secure).map(bind).collect()
}

/// What the stack writes into the Via of requests over a transport that we serve ourselves. Nothing is sent through it.
async fn nameplate(transport: Transport, own: SocketAddr) -> rsipstack::Result<SipConnection> {
    let (_, incoming) = mpsc::unbounded_channel();
    let (outgoing, _) = mpsc::unbounded_channel();
    let address = SipAddr { r#type: Some(transport), addr: own.into() };
    let channel = ChannelConnection::create_connection(incoming, outgoing, address, None).await?;
    Ok(SipConnection::Channel(channel))
}

/// Sends a final answer and, for an INVITE, repeats it until the ACK.
pub(super) async fn answer(mut tx: Transaction, Refusal(status, headers): Refusal) -> rsipstack::Result<()> {
    tx.reply_with(status, headers, None).await?;
    if tx.original.method == Method::Invite {
        while tx.receive().await.is_some() {}
    }
    Ok(())
}

/// The answer to OPTIONS.
///
/// * `forks` — to a switch that may fork its calls to us.
pub(super) fn capabilities(forks: bool) -> Refusal {
    let headers = vec![
        checks::allow(),
        if forks { siprec::accept() } else { Header::Accept("application/sdp".into()) },
        Header::AcceptEncoding("identity".into()),
        Header::AcceptLanguage("zh-CN".into()),
        checks::supported(forks),
    ];
    Refusal(StatusCode::OK, headers)
}

fn gone() -> Refusal {
    Refusal(StatusCode::CallTransactionDoesNotExist, Vec::new())
}

/// The stack opens connections of its own where a dialog ends without us (no ACK). What is said there passed no gate.
struct OnlyScreened;

#[async_trait::async_trait]
impl TransportEventInspector for OnlyScreened {
    async fn handle(&self, event: TransportEvent) -> Option<TransportEvent> {
        let screened = match &event {
            TransportEvent::Incoming(_, connection, _) => {
                matches!(connection, SipConnection::Udp(_) | SipConnection::Channel(_))
            }
            _ => true,
        };
        screened.then_some(event)
    }
}

/// What the stack cannot be told: that every 503 says when to try again, which of several UDP addresses a request leaves
/// from, and that a recording server's Contact says so (RFC 7866 §6.2): where we support SIPREC we are one.
struct LastTouch {
    socket: Arc<WatchedSocket>,
    advertise: Option<IpAddr>,
}

impl LastTouch {
    /// Puts the address of the socket that knows the peer into our Via; nothing to do for a single one.
    fn name_socket(&self, request: &mut Request, to: Option<&SipAddr>) -> Option<()> {
        if self.socket.addresses().len() < 2 {
            return None;
        }
        let mut via = request.top_via_header().ok()?.typed().ok()?;
        if via.transport != Transport::Udp {
            return None;
        }
        let peer = to?.get_socketaddr().ok();
        let own = self.socket.towards(peer);
        let ip = self.advertise.unwrap_or_else(|| address_towards(own.ip(), peer));
        via.uri.host_with_port = SocketAddr::new(ip, own.port()).into();
        request.via_header_mut().ok()?.update_first_value(|_| Ok(via.into())).ok()
    }
}

/// Adds `+sip.srs` to our Contact where Supported names SIPREC.
fn name_server(headers: &mut Headers) {
    let supports =
        |header: &Header| matches!(header, Header::Supported(it) if checks::names(it.value(), siprec::SIPREC));
    if !headers.iter().any(supports) {
        return;
    }
    for header in headers.iter_mut() {
        if let Header::Contact(contact) = header
            && !contact.value().contains(siprec::SERVER)
        {
            *contact = format!("{};{}", contact.value(), siprec::SERVER).into();
        }
    }
}

impl MessageInspector for LastTouch {
    fn before_send(&self, mut message: SipMessage, to: Option<&SipAddr>) -> SipMessage {
        name_server(message.headers_mut());
        match message {
            SipMessage::Response(mut response)
                if response.status_code == StatusCode::ServiceUnavailable
                    && !response.headers.iter().any(|header| matches!(header, Header::RetryAfter(_))) =>
            {
                response.headers.push(Header::RetryAfter(RETRY_AFTER.to_string().into()));
                SipMessage::Response(response)
            }
            SipMessage::Request(mut request) => {
                let _ = self.name_socket(&mut request, to);
                SipMessage::Request(request)
            }
            other @ SipMessage::Response(_) => other,
        }
    }

    fn after_received(&self, message: SipMessage, _from: Option<&SipAddr>) -> SipMessage {
        message
    }
}
