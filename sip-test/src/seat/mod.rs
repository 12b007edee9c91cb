//! An operator's phone: it registers at a number, takes the calls that come there one after another, and tells of each.
//!
//! ```no_run
//! # async fn shift() -> Result<(), sip_test::PhoneError> {
//! use sip_test::seat::{SeatSpec, SeatState, sit};
//!
//! let mut seat = sit(SeatSpec::new("sip:8001@127.0.0.1:5060", "secret")).await?;
//! seat.wait_for(SeatState::Talking).await;
//! seat.hang_up().await;
//! let call = seat.next_call().await.expect("the call that was hung up");
//! assert_eq!(call.status, 200);
//! seat.unregister().await?;
//! # Ok(())
//! # }
//! ```

mod asking;
mod bargain;
mod call;
mod callee;
mod line;
mod register;
mod runner;
mod terms;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Serialize;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

pub use call::SeatCall;
pub use register::RegisterReport;

use crate::{
    Elsewhere, PhoneError,
    audio::Codec,
    digest::Algorithm,
    phone::{resolve, wants_tcp},
    rtp::events,
    sip::{Dialog, Message, address, token},
};
use line::Line;
use register::{Identity, Registration};
use runner::{Order, Runner};

/// Reports kept until they are fetched; those of later calls are dropped.
const MOST_REPORTS: usize = 256;

/// What the seat does with a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Rings, then answers.
    #[default]
    Answer,
    /// Rings, then refuses with this status, for instance 603.
    Decline(u16),
    /// 486 at once.
    Busy,
    /// Rings and never answers.
    Ignore,
}

/// A seat to be taken.
#[derive(Clone, Debug)]
pub struct SeatSpec {
    /// Our number at the registrar, `sip:8001@127.0.0.1:5060`. Without one the seat has a datagram port on the loopback
    /// address, and callers dial [`Seat::uri`].
    pub registrar: Option<String>,
    /// Name for the digest, and user of the Contact.
    pub user: String,
    pub secret: String,
    /// Answers a challenge of this algorithm alone; else the first it knows.
    pub algorithm: Option<Algorithm>,
    /// Asked for; the binding is refreshed at half of what is granted.
    pub expires: Duration,
    /// Registers and is called over a stream.
    pub tcp: bool,
    pub behaviour: Behaviour,
    /// From the INVITE to the answer, or to the refusal of a call that is declined.
    pub answer_after: Duration,
    /// What the operator says, in each call.
    pub play: Vec<i16>,
    /// Silence before it, sent as packets; zero begins with the answer.
    pub start_playing: Duration,
    /// Keys `0-9*#A-D`, from half a second after the answer, five a second.
    pub keys: String,
    /// Takes this codec alone; else A-law and µ-law.
    pub codec: Option<Codec>,
    /// Where to write what was heard; the second call of `heard.wav` goes to `heard-2.wav`.
    pub record: Option<PathBuf>,
    /// From the answer; without it the caller hangs up.
    pub hang_up_after: Option<Duration>,
    /// Holds the call so long after the answer, for so long: re-INVITE with sendonly, then with sendrecv. Nothing is
    /// sent meanwhile.
    pub hold: Option<(Duration, Duration)>,
    /// Its sound is somebody else's, in each call.
    pub elsewhere: Option<Elsewhere>,
    /// Transfers the caller so long after the answer to this URI (REFER), and hangs up once NOTIFY says that it is done.
    pub refer: Option<(Duration, String)>,
}

impl SeatSpec {
    /// A seat that answers at once and says nothing.
    ///
    /// * `number` — `sip:8001@127.0.0.1:5060`; with `;transport=tcp` over TCP.
    pub fn new(number: impl Into<String>, secret: impl Into<String>) -> Self {
        let number = number.into();
        let user = user_of(&number).to_owned();
        Self { tcp: wants_tcp(&number), registrar: Some(number), secret: secret.into(), ..Self::unregistered(user) }
    }

    /// The same without a registrar.
    pub fn unregistered(user: impl Into<String>) -> Self {
        Self {
            registrar: None,
            user: user.into(),
            secret: String::new(),
            algorithm: None,
            expires: Duration::from_mins(5),
            tcp: false,
            behaviour: Behaviour::Answer,
            answer_after: Duration::ZERO,
            play: Vec::new(),
            start_playing: Duration::ZERO,
            keys: String::new(),
            codec: None,
            record: None,
            hang_up_after: None,
            hold: None,
            elsewhere: None,
            refer: None,
        }
    }

    /// The same seat, saying this.
    #[must_use]
    pub fn playing(mut self, pcm: Vec<i16>) -> Self {
        self.play = pcm;
        self
    }
}

/// What the phone is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SeatState {
    Free,
    Ringing,
    Talking,
    /// We hold the call.
    Holding,
    /// A BYE or a refusal waits for its answer.
    Leaving,
}

/// A seat that is taken. Dropping it pulls the plug: nobody is told.
#[derive(Debug)]
pub struct Seat {
    /// Where it is called.
    pub address: SocketAddr,
    /// A report for each call that is over.
    pub calls: mpsc::Receiver<SeatCall>,
    uri: String,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<SeatState>,
    registered: watch::Receiver<Option<RegisterReport>>,
    task: JoinHandle<Result<Option<RegisterReport>, PhoneError>>,
}

impl Seat {
    /// What a caller without a registrar dials: the Contact.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The answer to the last REGISTER; nothing without a registrar.
    pub fn registration(&self) -> Option<RegisterReport> {
        self.registered.borrow().clone()
    }

    /// Waits for a REGISTER of this [`RegisterReport::number`] or a later one; nothing if the seat ended before.
    pub async fn wait_for_register(&self, number: u32) -> Option<RegisterReport> {
        let mut registered = self.registered.clone();
        let wait = registered.wait_for(|report| report.as_ref().is_some_and(|report| report.number >= number));
        wait.await.ok().and_then(|report| report.clone())
    }

    pub fn state(&self) -> SeatState {
        *self.state.borrow()
    }

    /// Waits until the phone does this; false if the seat ended before. A state that passes at once may be missed.
    pub async fn wait_for(&self, state: SeatState) -> bool {
        self.state.clone().wait_for(|now| *now == state).await.is_ok()
    }

    /// The report of the next call that is over; nothing once the seat has ended.
    pub async fn next_call(&mut self) -> Option<SeatCall> {
        self.calls.recv().await
    }

    /// Hangs up, or refuses the call that rings with 480. Nothing without a call.
    pub async fn hang_up(&self) {
        // A seat that has ended has no call.
        let _ = self.orders.send(Order::HangUp).await;
    }

    /// Ends the call, takes the registration back and leaves.
    ///
    /// # Errors
    /// What ended the seat before.
    ///
    /// * returns — the registrar's answer; nothing without a registrar.
    pub async fn unregister(self) -> Result<Option<RegisterReport>, PhoneError> {
        // A seat that has ended tells why below.
        let _ = self.orders.send(Order::Leave).await;
        over(self.task).await
    }
}

/// Takes a seat: registers, and takes calls from then on.
///
/// # Errors
/// The address or a key is wrong, no port can be opened, or the registrar refuses or is silent for five seconds.
pub async fn sit(spec: SeatSpec) -> Result<Seat, PhoneError> {
    events(&spec.keys).map_err(PhoneError::Key)?;
    let far = match &spec.registrar {
        Some(registrar) => Some(resolve(registrar).await?),
        None => None,
    };
    let line = Line::open(far, spec.tcp).await?;
    let registration = far.map(|far| (registration(&spec, &line), far));
    let (address, uri) = (line.local, contact(&spec, &line));
    let (orders, orders_in) = mpsc::channel(4);
    let (reports, calls) = mpsc::channel(MOST_REPORTS);
    let (state, state_out) = watch::channel(SeatState::Free);
    let (registered, mut registered_out) = watch::channel(None);
    let runner = Runner {
        contact: format!("<{uri}>"),
        line,
        registration,
        call: None,
        calls: 0,
        leaving: false,
        tag: token(),
        orders: orders_in,
        reports,
        state,
        registered,
        spec,
    };
    let task = tokio::spawn(runner.run());
    if let Some(far) = far
        && registered_out.wait_for(Option::is_some).await.is_err()
    {
        over(task).await?;
        return Err(PhoneError::NoAnswer { far, seconds: register::PATIENCE.as_secs() });
    }
    Ok(Seat { address, calls, uri, orders, state: state_out, registered: registered_out, task })
}

/// Registers once and tells how it went, whatever the answer; the binding stays.
///
/// # Errors
/// There is no registrar to ask, or no port can be opened.
pub async fn register_only(spec: SeatSpec) -> Result<RegisterReport, PhoneError> {
    let far = resolve(spec.registrar.as_deref().unwrap_or_default()).await?;
    let mut line = Line::open(Some(far), spec.tcp).await?;
    let mut registration = registration(&spec, &line);
    loop {
        while let Some(request) = registration.poll_request() {
            line.send(&request, far).await?;
        }
        if registration.is_settled() {
            return Ok(registration.report);
        }
        let due = registration.poll_timeout().unwrap_or_else(Instant::now);
        tokio::select! {
            received = line.receive() => {
                let (datagram, _) = received.map_err(|source| PhoneError::Unreachable { far, source })?;
                if let Ok(answer) = Message::parse(&datagram) {
                    registration.handle_answer(&answer, Instant::now());
                }
            }
            () = sleep_until(due) => registration.handle_timeout(Instant::now()),
        }
    }
}

/// Begins to register from this line.
fn registration(spec: &SeatSpec, line: &Line) -> Registration {
    let whole = spec.registrar.as_deref().unwrap_or_default();
    let number = whole.split(';').next().unwrap_or(whole);
    let mut dialog = Dialog::new(number, line.local, &spec.user, None, line.is_tcp());
    dialog.from = format!("<{number}>;tag={}", token());
    dialog.contact = format!("<{}>", contact(spec, line));
    // A REGISTER asks the domain, not the number (RFC 3261 §10.2).
    let host = number.rsplit_once('@').map_or_else(|| number.trim_start_matches("sip:"), |(_, host)| host);
    dialog.target = format!("sip:{host}{}", if line.is_tcp() { ";transport=tcp" } else { "" });
    let identity = Identity {
        user: spec.user.clone(),
        secret: spec.secret.clone(),
        algorithm: spec.algorithm,
        expires: spec.expires.as_secs(),
    };
    Registration::new(identity, dialog, Instant::now())
}

fn contact(spec: &SeatSpec, line: &Line) -> String {
    format!("sip:{}@{}{}", spec.user, line.local, if line.is_tcp() { ";transport=tcp" } else { "" })
}

/// `8001` of `sip:8001@127.0.0.1`.
fn user_of(number: &str) -> &str {
    let behind = address(number).split_once(':').map_or(number, |(_, behind)| behind);
    behind.split_once('@').map_or("", |(user, _)| user)
}

async fn over<T>(task: JoinHandle<Result<T, PhoneError>>) -> Result<T, PhoneError> {
    match task.await {
        Ok(outcome) => outcome,
        // Nobody cancels it, so it panicked: what it said is said on.
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
