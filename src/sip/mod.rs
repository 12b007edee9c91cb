//! SIP over UDP, TCP and TLS: takes INVITEs, registers and rings phones, keeps the dialogs, says goodbye.
//!
//! [`Endpoint`] answers by itself whatever needs no caller: refusals in the order of RFC 3261 §8.2, OPTIONS, requests of
//! unknown dialogs. A call that may be taken comes out as [`Incoming`]; answered, it becomes [`Answered`], whose
//! [`LegEvent`]s end with exactly one [`LegEvent::Ended`]. Transactions, retransmissions and dialogs are those of
//! `rsipstack`, which is known in this room only; what it leaves open is closed here: `datagram` mends and refuses
//! raw messages before its parser, `stream` gives it connections, `merged` finds merged requests, `leg` orders what
//! happens within a dialog, `timer` sees to it that a dialog whose other side has vanished ends (RFC 4028). `siprec` reads
//! what a switch says that forks its calls to us (RFC 7866), `registrar` knows where the operators' telephones are.

mod checks;
mod datagram;
mod endpoint;
mod framing;
#[cfg(test)]
mod fuzz;
mod incoming;
mod leg;
mod merged;
mod network;
mod outgoing;
mod refresh;
mod registrar;
mod screen;
pub mod sdp;
mod siprec;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod timer;
mod web;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

pub use endpoint::Endpoint;
pub use incoming::{AnswerError, Answered, Incoming};
pub use network::Networks;
pub use outgoing::{Dialler, Ring, RingEvent, Ringing, Target};
pub use registrar::{Away, Binding, Registrar, Registration, Secrets};
pub use siprec::{Forks, Parties};

use crate::tls::Acceptor;

/// Where and for whom SIP is spoken.
#[derive(Clone, Debug)]
pub struct SipSettings {
    /// UDP addresses, at least one; port 0 lets the system choose (tests).
    pub udp: Vec<SocketAddr>,
    /// TCP addresses.
    pub tcp: Vec<SocketAddr>,
    /// TLS addresses, and the certificate shown there.
    pub tls: Option<(Vec<SocketAddr>, Acceptor)>,
    /// Address told to the outside where it is not the one a packet to the peer leaves from.
    pub advertise: Option<IpAddr>,
    /// Public numbers; every other one hears 404.
    pub numbers: Vec<String>,
    /// The city's own, `0635`; may be empty.
    pub area_code: String,
    /// Switches that may fork their calls to us.
    pub forks: Forks,
    /// Whose telephones may register.
    pub registration: Registration,
    /// Which streams are taken.
    pub srtp: sdp::SrtpPolicy,
    /// SHA-256 of the certificate that media of browsers is sealed with; without it none of them is rung.
    pub fingerprint: Option<[u8; 32]>,
    /// Whose media comes from the address in its description.
    pub carriers: Networks,
    /// Calls at once; the next one hears 503 with Retry-After.
    pub max_calls: usize,
    /// The protocol's T1 (RFC 3261 §17); a 200 without ACK is given up after 64 of them.
    pub t1: Duration,
    pub streams: StreamLimits,
}

/// What TCP and TLS connections may cost.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Connections at once; more wait in the kernel.
    pub connections: usize,
    /// Connections at once from one address; one more is closed.
    pub per_address: usize,
    /// Longest silence; pings count as words.
    pub idle: Duration,
    /// Longest from a message's first byte to its last.
    pub message: Duration,
    /// Longest TLS handshake, and longest wait for a connection of our own.
    pub handshake: Duration,
    /// Longest wait for a peer that takes nothing.
    pub write: Duration,
}

impl SipSettings {
    /// T1 as the RFC has it.
    pub const T1: Duration = Duration::from_millis(500);

    /// UDP alone.
    pub fn new(udp: SocketAddr, numbers: Vec<String>, max_calls: usize) -> Self {
        Self {
            udp: vec![udp],
            tcp: Vec::new(),
            tls: None,
            advertise: None,
            numbers,
            area_code: String::new(),
            forks: Forks::default(),
            registration: Registration::default(),
            srtp: sdp::SrtpPolicy::default(),
            fingerprint: None,
            carriers: Networks::default(),
            max_calls,
            t1: Self::T1,
            streams: StreamLimits::default(),
        }
    }
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            per_address: 256,
            idle: Duration::from_mins(5),
            message: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            write: Duration::from_secs(10),
        }
    }
}

/// Why SIP could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SipError {
    #[error("sip.udp: cannot listen on UDP {address} (port in use, or not an address of this machine)")]
    Udp {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("sip.{key}: cannot listen on TCP {address} (port in use, or not an address of this machine)")]
    Tcp {
        /// `tcp` or `tls`.
        key: &'static str,
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("starting the SIP stack: {0}")]
    Stack(String),
}

/// What the other side does within an answered call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// The 200 was acknowledged.
    Acked,
    /// Offer and answer settled something new: the answer to our offer came with the ACK, or they changed the session.
    Settled(sdp::Agreed),
    /// The same of a forked call.
    SettledFork(sdp::Forked),
    /// The switch said more about who speaks: [`Answered::parties`].
    Told,
    /// We offered, and the ACK brought no answer we can use; hang up.
    NoAnswer,
    /// A key sent by INFO (`application/dtmf-relay`).
    Digit { key: char, duration_ms: u32 },
    /// A phone that we called wants the call passed on to this user (REFER); answered by [`Answered::report_transfer`].
    Referred(String),
    /// The dialog is over. Always the last event.
    Ended(LegEnd),
}

/// How a dialog ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegEnd {
    /// They sent BYE.
    FarHungUp,
    /// We sent BYE.
    WeHungUp,
    /// They sent CANCEL before our 200 was out.
    Cancelled,
    /// The 200 was never acknowledged; BYE was sent.
    AckTimeout,
    /// The session's time ran out and they did not refresh it, or did not answer when we did; BYE was sent.
    Expired,
    /// Anything else.
    Failed,
}

/// What kind of trouble the stack had. Its own words hold SIP headers, and those hold people's numbers.
const fn kind_of(error: &rsipstack::Error) -> &'static str {
    use rsipstack::Error as E;
    match error {
        E::SipMessageError(_) => "message",
        E::DnsResolutionError(_) => "dns",
        E::TransportLayerError(..) => "transport",
        E::TransactionError(..) => "transaction",
        E::EndpointError(_) => "endpoint",
        E::DialogError(..) => "dialog",
        E::IoError(_) => "input or output",
        E::AddrParseError(_) => "address",
        E::Error(_) => "other",
    }
}
