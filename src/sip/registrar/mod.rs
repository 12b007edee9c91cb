//! Telephones that register here (RFC 3261 §10): who they are, and where they can be rung.
//!
//! The parts are pure: `request` takes a REGISTER apart, `credentials` and `digest` judge what a telephone answers to our
//! challenge (RFC 7616), `nonce` what it answers to, `lockout` counts who guesses, `bindings` remembers the contacts.
//! [`Registrar`] brings them the time, the randomness and the secrets.
//!
//! Nobody learns here who exists: an extension that there is not is challenged and refused as one whose secret is wrong.

mod bindings;
mod contact;
mod credentials;
mod digest;
mod lockout;
mod nonce;
mod request;

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rsipstack::{
    sip::{Header, Request, StatusCode, Transport, Uri, prelude::HeadersExt},
    transport::SipAddr,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    checks::{self, Refusal},
    outgoing::Target,
};
use crate::{
    clock::Clock,
    domain::{ha1::Ha1, time::UnixMs},
};
use bindings::{Refused, Table};
use digest::{Algorithm, Challenger, Verdict};
use lockout::Lockout;

/// Seconds in Retry-After while secrets cannot be looked up.
const RETRY_AFTER: u32 = 10;

/// Who knows what telephones have to show.
#[async_trait::async_trait]
pub trait Secrets: fmt::Debug + Send + Sync {
    /// HA1 of the secret of a name; nothing where no telephone may register under it.
    ///
    /// * `name` — as a stranger wrote it: an extension, or one with `~` and what its secrets' keeper makes of the rest.
    async fn ha1(&self, name: &str) -> Result<Option<Ha1>, Away>;
}

/// Secrets cannot be looked up now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secrets of telephones cannot be looked up")]
pub struct Away;

/// Who may register, and how they are asked.
#[derive(Clone, Debug)]
pub struct Registration {
    pub realm: String,
    /// Beginnings of a `User-Agent`, whatever the case, that is asked for MD5 alone.
    pub md5_only_agents: Vec<String>,
    pub secrets: Arc<dyn Secrets>,
}

/// Nobody may.
impl Default for Registration {
    fn default() -> Self {
        Self {
            realm: "hotline".into(),
            md5_only_agents: vec!["baresip".into(), "JsSIP".into()],
            secrets: Arc::new(Nobody),
        }
    }
}

#[derive(Debug)]
struct Nobody;

#[async_trait::async_trait]
impl Secrets for Nobody {
    async fn ha1(&self, _name: &str) -> Result<Option<Ha1>, Away> {
        Ok(None)
    }
}

/// The telephones that are registered now. Cheap to clone.
#[derive(Clone)]
pub struct Registrar(Arc<Inner>);

struct Inner {
    settings: Registration,
    clock: Clock,
    /// Wall time and monotonic time of one moment.
    born: (UnixMs, Instant),
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    /// Something may run out sooner than was thought.
    sooner: Notify,
}

struct State {
    challenger: Challenger,
    lockout: Lockout,
    table: Table<Flow>,
}

/// The way a request came, which is the way back.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) destination: SipAddr,
    /// Cancelled when the connection is gone; nothing for UDP.
    pub(super) gone: Option<CancellationToken>,
}

impl Flow {
    fn is_gone(&self) -> bool {
        self.gone.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    fn source(&self) -> Option<SocketAddr> {
        self.destination.get_socketaddr().ok()
    }
}

/// One place where a telephone can be rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The SIP URI that it calls itself.
    pub contact: String,
    /// Where its words come from, and ours go: behind a NAT another address, on a stream the connection's other end.
    pub source: SocketAddr,
    /// `UDP`, `TCP` or `TLS`.
    pub transport: String,
    /// Until it runs out.
    pub left: Duration,
    destination: SipAddr,
}

impl Binding {
    /// To be rung with [`super::Dialler`], over the flow that it registered over.
    ///
    /// * returns — nothing for what is no URI, which none is that was taken.
    pub fn target(&self) -> Option<Target> {
        let mut contact = Uri::try_from(self.contact.as_str()).ok()?;
        // What a Contact wants put into requests to it is not for us to obey.
        contact.headers.clear();
        Some(Target { contact, destination: self.destination.clone() })
    }
}

impl Registrar {
    pub(super) fn new(settings: Registration, clock: Clock) -> Self {
        let challenger = Challenger::new(clock.random(), settings.realm.clone());
        let state = State { challenger, lockout: Lockout::default(), table: Table::default() };
        let born = (clock.now(), clock.instant());
        let (changes, sooner) = (watch::channel(0).0, Notify::new());
        Self(Arc::new(Inner { settings, clock, born, state: Mutex::new(state), changes, sooner }))
    }

    /// Where an extension can be rung, the place that registered last first.
    pub fn bindings(&self, extension: &str) -> Vec<Binding> {
        let now = self.now();
        let all = self.state().table.bindings(extension, now);
        let shown = |it: bindings::Binding<Flow>| {
            let transport = it.flow.destination.r#type.unwrap_or(Transport::Udp).to_string();
            let (source, left) = (it.flow.source()?, now.until(it.expires_at));
            Some(Binding { contact: it.uri, source, transport, left, destination: it.flow.destination })
        };
        all.into_iter().filter(|it| !it.flow.is_gone()).filter_map(shown).collect()
    }

    /// The same, to be rung.
    pub fn targets(&self, extension: &str) -> Vec<Target> {
        self.bindings(extension).iter().filter_map(Binding::target).collect()
    }

    /// All extensions that can be rung.
    pub fn registered(&self) -> BTreeSet<String> {
        let all: Vec<String> = self.state().table.all().map(str::to_owned).collect();
        all.into_iter().filter(|extension| self.is_registered(extension)).collect()
    }

    /// Whether an extension can be rung.
    pub fn is_registered(&self, extension: &str) -> bool {
        !self.bindings(extension).is_empty()
    }

    /// Changes whenever a place was added, moved or lost; a refresh is none.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Forgets the places behind connections that are gone.
    pub(super) fn drop_lost(&self) {
        let lost = self.state().table.drop_flows(Flow::is_gone);
        self.lost(&lost);
    }

    /// Forgets what runs out, for ever.
    pub(super) async fn keep(&self) {
        loop {
            let due = self.state().table.next_expiry().map(|at| self.0.born.1 + self.0.born.0.until(at));
            let run_out = async {
                match due {
                    Some(due) => self.0.clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = run_out => {
                    let lost = self.state().table.expire(self.now());
                    self.lost(&lost);
                }
                () = self.0.sooner.notified() => {}
            }
        }
    }

    /// The answer to a REGISTER.
    pub(super) async fn answer(&self, request: &Request, flow: Flow) -> Refusal {
        match self.register(request, flow).await {
            Ok(contacts) => Refusal(StatusCode::OK, contacts),
            Err(No(reason, refusal)) => {
                if let Some(reason) = reason {
                    metrics::counter!("hotline_sip_registrations_refused_total", "reason" => reason).increment(1);
                }
                refusal
            }
        }
    }

    /// In the order of RFC 3261 §10.3.
    async fn register(&self, request: &Request, flow: Flow) -> Result<Vec<Header>, No> {
        checks::demands(request, false).map_err(|refusal| No(Some("demands"), refusal))?;
        let to = request.to_header().ok().and_then(|to| checks::uri_user(to.value()));
        let extension = to.ok_or_else(|| no("nobody", StatusCode::NotFound))?;
        self.prove(request, &extension, network(flow.source().map(|it| it.ip()))).await?;
        let wanted = request::read(request, flow.clone()).ok_or_else(|| no("unreadable", StatusCode::BadRequest))?;

        let now = self.now();
        let (before, after) = {
            let table = &mut self.state().table;
            let before = table.bindings(&extension, now);
            (before, table.register(&extension, &wanted, now).map_err(refuse)?)
        };
        self.0.sooner.notify_one();
        if places(&before) != places(&after) {
            self.changed();
            debug!(seat = extension, places = after.len(), "where a telephone can be rung has changed");
        }
        if flow.is_gone() {
            // It went while we looked, so its end came before what it brought.
            self.drop_lost();
        }
        Ok(after.iter().map(|it| listed(it, now)).collect())
    }

    /// Whether the telephone of an extension sent this.
    ///
    /// * `source` — who is counted.
    async fn prove(&self, request: &Request, extension: &str, source: IpAddr) -> Result<(), No> {
        let locked = || no("locked", StatusCode::Forbidden);
        if self.state().lockout.is_locked(extension, source, self.now()) {
            return Err(locked());
        }
        let unreadable = || no("unreadable", StatusCode::BadRequest);
        let Some(shown) = request::credentials(request, &self.0.settings.realm) else {
            // Everybody comes with empty hands first.
            return Err(No(None, self.challenge(request, false)));
        };
        let shown = shown.ok_or_else(unreadable)?;
        let flaw = self.state().challenger.flaw(&shown, self.now());
        match flaw {
            None => {}
            Some(Verdict::Malformed) => return Err(unreadable()),
            Some(_) => return Err(No(Some("stale"), self.challenge(request, true))),
        }
        let own =
            |name: &str| name.strip_prefix(extension).is_some_and(|rest| rest.is_empty() || rest.starts_with('~'));
        let known = if own(&shown.username) { self.0.settings.secrets.ha1(&shown.username).await } else { Ok(None) };
        let Ok(ha1) = known else {
            return Err(No(Some("away"), Refusal::later(StatusCode::ServiceUnavailable, RETRY_AFTER)));
        };
        let verdict = {
            let (now, state) = (self.now(), &mut *self.state());
            // Looked at again: a hundred guesses at once are not a hundred tries.
            if state.lockout.is_locked(extension, source, now) {
                return Err(locked());
            }
            let verdict = state.challenger.judge(&shown, "REGISTER", ha1.as_ref(), now);
            match verdict {
                Verdict::Good { .. } => state.lockout.good(extension, source),
                Verdict::Wrong => state.lockout.wrong(extension, source, now),
                Verdict::Stale | Verdict::Malformed => {}
            }
            verdict
        };
        match verdict {
            Verdict::Good { .. } => Ok(()),
            Verdict::Wrong => Err(No(Some("wrong"), self.challenge(request, false))),
            Verdict::Stale => Err(No(Some("stale"), self.challenge(request, true))),
            Verdict::Malformed => Err(unreadable()),
        }
    }

    /// 401: MD5 first, for telephones that take the first they see; SHA-256 for those that look further.
    fn challenge(&self, request: &Request, stale: bool) -> Refusal {
        let (agent, now) = (request::agent(request), self.now());
        let begins =
            |beginning: &String| agent.get(..beginning.len()).is_some_and(|it| it.eq_ignore_ascii_case(beginning));
        let md5_only = self.0.settings.md5_only_agents.iter().any(begins);
        let asked = if md5_only { &[Algorithm::Md5][..] } else { &[Algorithm::Md5, Algorithm::Sha256] };
        let challenger = &self.state().challenger;
        let ask = |algorithm: &Algorithm| {
            Header::WwwAuthenticate(challenger.challenge(*algorithm, self.0.clock.random(), now, stale).into())
        };
        Refusal(StatusCode::Unauthorized, asked.iter().map(ask).collect())
    }

    /// Wall time as it would be if nobody had set it since: what was promised for five minutes lasts for five.
    fn now(&self) -> UnixMs {
        let (wall, then) = self.0.born;
        wall + self.0.clock.instant().saturating_duration_since(then)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, extensions: &[String]) {
        if !extensions.is_empty() {
            self.changed();
            debug!(telephones = extensions.len(), "places where telephones could be rung are gone");
        }
    }

    fn changed(&self) {
        let count = u32::try_from(self.state().table.count()).unwrap_or(u32::MAX);
        metrics::gauge!("hotline_sip_registrations").set(count);
        self.0.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registrar")
    }
}

/// Why a REGISTER is refused, in a word for the metrics, and with what. The first challenge is no refusal.
struct No(Option<&'static str>, Refusal);

fn no(reason: &'static str, status: StatusCode) -> No {
    No(Some(reason), Refusal(status, Vec::new()))
}

fn refuse(refused: Refused) -> No {
    match refused {
        Refused::TooBrief(least) => {
            No(Some("brief"), Refusal(StatusCode::IntervalTooBrief, vec![Header::MinExpires(least.to_string().into())]))
        }
        Refused::OutOfOrder => no("order", StatusCode::ServerInternalError),
        Refused::TooMany => No(Some("full"), Refusal::later(StatusCode::ServiceUnavailable, RETRY_AFTER)),
        Refused::Malformed => no("unreadable", StatusCode::BadRequest),
    }
}

/// A contact as the 200 lists it.
fn listed(it: &bindings::Binding<Flow>, now: UnixMs) -> Header {
    let seconds = now.until(it.expires_at).as_millis().div_ceil(1000);
    let preference = it.q.map(|q| format!(";q={}.{:03}", q / 1000, q % 1000)).unwrap_or_default();
    Header::Contact(format!("<{}>;expires={seconds}{preference}", it.uri).into())
}

fn places(all: &[bindings::Binding<Flow>]) -> BTreeSet<(&str, &SipAddr)> {
    all.iter().map(|it| (it.uri.as_str(), &it.flow.destination)).collect()
}

/// Who is counted when a secret is guessed: one household has one IPv4 address, or 2^64 of IPv6 (RFC 6177).
fn network(address: Option<IpAddr>) -> IpAddr {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        Some(v4) => v4,
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
