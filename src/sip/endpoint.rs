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
    dialog::{DialogId, dialog_layer::DialogLayer},
    sip::{
        Auth, Header, Host, HostWithPort, Method, Request, Scheme, SipMessage, StatusCode, Uri,
        prelude::{HeadersExt, ToTypedHeader},
    },
    transaction::{
        endpoint::{EndpointOption, MessageInspector},
        transaction::Transaction,
    },
    transport::{SipAddr, SipConnection, TransportLayer, udp::UdpConnection},
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, field::Empty, warn};

use super::{
    SipError, SipSettings,
    checks::{self, Refusal},
    incoming::{Incoming, Link},
    kind_of,
    leg::Leg,
    merged::Merged,
    socket::WatchedSocket,
};
use crate::{clock::Clock, telemetry::WALK};

/// Requests looked at at once; what comes above is dropped and repeated by its sender.
const TRANSACTIONS: usize = 4096;
/// At a stop: how long open calls may take to end. A little more than the line gives them itself.
const CALLS_END: Duration = Duration::from_secs(75);
/// At a stop: how long last answers and BYEs may take.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Seconds in Retry-After of a 503.
const RETRY_AFTER: u32 = 10;

/// A bound SIP port. Nothing is answered before [`Endpoint::run`].
pub struct Endpoint {
    shared: Arc<Shared>,
    stack: rsipstack::transaction::Endpoint,
    cancel: CancellationToken,
    address: SocketAddr,
}

/// What all dialogs share.
pub(super) struct Shared {
    settings: SipSettings,
    bound: SocketAddr,
    clock: Clock,
    layer: DialogLayer,
    legs: Mutex<HashMap<String, Arc<Leg>>>,
    merged: Mutex<Merged>,
    places: Arc<Semaphore>,
    transactions: Arc<Semaphore>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    incoming: mpsc::Sender<Incoming>,
}

impl Endpoint {
    /// Binds the port.
    ///
    /// * returns — the endpoint, and the calls that may be taken. At most `max_calls` wait there.
    pub async fn bind(settings: SipSettings, clock: Clock) -> Result<(Self, mpsc::Receiver<Incoming>), SipError> {
        let bind = |source| SipError::Bind { address: settings.listen, source };
        let stack = |error: rsipstack::Error| SipError::Stack(error.to_string());
        let socket = WatchedSocket::bind(settings.listen).map_err(bind)?;
        let socket: Arc<dyn rsipstack::platform::net::UdpSocket> = Arc::new(socket);
        let address = socket.local_addr().map_err(stack)?;
        let external = settings.advertise.map(|ip| SocketAddr::new(ip, address.port()));
        let cancel = CancellationToken::new();
        let connection =
            UdpConnection::from_socket(socket, external, Some(cancel.child_token())).await.map_err(stack)?;
        let transport = TransportLayer::new(cancel.clone());
        transport.add_transport(SipConnection::Udp(connection));
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
            .with_inspector(Box::new(RetryAfter))
            .build();
        let (incoming, calls) = mpsc::channel(settings.max_calls.clamp(1, 10_000));
        let shared = Shared {
            bound: address,
            clock,
            layer: DialogLayer::new(stack.inner.clone()),
            legs: Mutex::default(),
            merged: Mutex::new(Merged::new(settings.t1 * 64)),
            places: Arc::new(Semaphore::new(settings.max_calls)),
            transactions: Arc::new(Semaphore::new(TRANSACTIONS)),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            incoming,
            settings,
        };
        Ok((Self { shared: Arc::new(shared), stack, cancel, address }, calls))
    }

    /// The bound address; the real port when bound to 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stopping`; then refuses new calls with 503, lets open ones end (75 s) and their BYEs go out.
    pub async fn run(self, stopping: CancellationToken) {
        let Self { shared, stack, cancel, .. } = self;
        let Ok(mut requests) = stack.incoming_transactions() else { return };
        let _cancel = cancel.drop_guard();
        let mut serve = pin!(stack.serve());
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
        });
        loop {
            tokio::select! {
                Some(tx) = requests.recv() => shared.take(tx),
                () = &mut last_call_over => return,
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

    /// A fresh number for `o=`, below 2^62 (some phones read it signed).
    pub(super) fn session_number(&self) -> u64 {
        u64::from_be_bytes(self.clock.random()) >> 2
    }

    pub(super) fn advertised(&self) -> Option<IpAddr> {
        self.settings.advertise
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
            let leg = self.legs().get(&id.to_string()).cloned();
            return match leg {
                Some(leg) => leg.request(tx, u32::from(self.clock.random::<1>()[0]) % 11).await,
                None => answer(tx, gone()).await,
            };
        }
        let called = match checks::addressee(&tx.original, &self.settings.numbers) {
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
                return self.invite(tx, called).instrument(span).await;
            }
            (Method::Options, _) => checks::demands(&tx.original).map_or_else(|refusal| refusal, |()| capabilities()),
            _ => gone(),
        };
        answer(tx, refusal).await
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
    async fn invite(self: &Arc<Self>, mut tx: Transaction, called: String) -> rsipstack::Result<()> {
        let offer = match checks::demands(&tx.original).and_then(|()| checks::offer(&tx.original)) {
            Ok(offer) => offer,
            Err(refusal) => return answer(tx, refusal).await,
        };
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) if !self.stopping.is_cancelled() => place,
            _ => {
                metrics::counter!("hotline_sip_full_total").increment(1);
                return answer(tx, Refusal::later(StatusCode::ServiceUnavailable, RETRY_AFTER)).await;
            }
        };
        let local = self.local_towards(tx.connection.as_ref().and_then(SipConnection::get_remote_addr));
        let (reports, receiver) = self.layer.new_dialog_state_channel();
        let contact = self.contact(&called, local);
        let dialog = match self.layer.get_or_create_server_invite(&tx, reports, None, Some(contact)) {
            Ok(dialog) => dialog,
            Err(error) => {
                debug!(error = kind_of(&error), "an INVITE makes no dialog");
                return answer(tx, Refusal(StatusCode::BadRequest, Vec::new())).await;
            }
        };
        let cseq = tx.original.cseq_header()?.seq()?;
        let (leg, events) = Leg::new(dialog.clone(), cseq);
        let (id, caller) = (dialog.id(), checks::caller(&tx.original));
        self.legs().insert(id.to_string(), leg.clone());
        let (shared, watched) = (self.clone(), leg.clone());
        self.spawn(async move {
            watched.watch(receiver).await;
            shared.legs().remove(&id.to_string());
            shared.layer.remove_dialog(&id);
        });
        let link = Link { shared: self.clone(), leg, events, _place: place };
        // Full or closed: the call is dropped, and thereby refused with 503.
        let _ = self.incoming.try_send(Incoming::new(caller, called, local, offer, link));
        let done = dialog.clone().handle(&mut tx).await;
        if dialog.state().can_cancel() {
            // The stack gave the transaction up; nobody can answer it any more.
            dialog.reject(Some(StatusCode::ServerInternalError), None)?;
        }
        done
    }

    /// Our address as the peer reaches it.
    fn local_towards(&self, peer: Option<&SipAddr>) -> IpAddr {
        if let Some(advertised) = self.settings.advertise {
            return advertised;
        }
        if !self.bound.ip().is_unspecified() {
            return self.bound.ip();
        }
        let peer = peer.and_then(|peer| peer.get_socketaddr().ok());
        // Connecting a UDP socket sends nothing; the kernel only picks the address it would send from.
        let route = |peer: SocketAddr| {
            let socket = std::net::UdpSocket::bind((self.bound.ip(), 0)).ok()?;
            socket.connect(peer).ok()?;
            Some(socket.local_addr().ok()?.ip())
        };
        peer.and_then(route).unwrap_or(self.bound.ip())
    }

    fn contact(&self, user: &str, local: IpAddr) -> Uri {
        Uri {
            scheme: Some(Scheme::Sip),
            auth: Some(Auth { user: user.to_owned(), password: None }),
            host_with_port: HostWithPort { host: Host::IpAddr(local), port: Some(self.bound.port().into()) },
            ..Uri::default()
        }
    }
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
pub(super) fn capabilities() -> Refusal {
    let headers = vec![
        checks::allow(),
        Header::Accept("application/sdp".into()),
        Header::AcceptEncoding("identity".into()),
        Header::AcceptLanguage("zh-CN".into()),
        Header::Supported("".into()),
    ];
    Refusal(StatusCode::OK, headers)
}

fn gone() -> Refusal {
    Refusal(StatusCode::CallTransactionDoesNotExist, Vec::new())
}

/// Every 503 says when to try again; the stack's `reject` cannot be told.
struct RetryAfter;

impl MessageInspector for RetryAfter {
    fn before_send(&self, message: SipMessage, _to: Option<&SipAddr>) -> SipMessage {
        match message {
            SipMessage::Response(mut response)
                if response.status_code == StatusCode::ServiceUnavailable
                    && !response.headers.iter().any(|header| matches!(header, Header::RetryAfter(_))) =>
            {
                response.headers.push(Header::RetryAfter(RETRY_AFTER.to_string().into()));
                SipMessage::Response(response)
            }
            other => other,
        }
    }

    fn after_received(&self, message: SipMessage, _from: Option<&SipAddr>) -> SipMessage {
        message
    }
}
