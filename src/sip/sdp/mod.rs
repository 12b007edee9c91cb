//! Session descriptions (RFC 4566, RFC 3264), pure: read theirs, choose a codec, write ours.
//!
//! Read generously but bounded; write only what was agreed. An answer keeps the number and order of their m-lines and
//! refuses every stream but one audio stream with port 0. Our `o=` version grows by one with each change and only then.

mod browser;
mod crypto;
mod description;
mod fork;
mod session;

use std::{net::SocketAddr, sync::Arc};

pub use browser::{Credentials, Dtls};
pub use crypto::{Master, Sealing, Security, SrtpPolicy, Suite};
pub use description::{Description, Direction, Media, SdpError};
pub use fork::ForkSession;
pub use session::Session;

/// What they sent us: an offer, or the answer to ours.
pub type Offer = Description;

/// The two codecs of the public network, 8 kHz, one byte a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// G.711 A-law.
    Pcma,
    /// G.711 µ-law.
    Pcmu,
}

impl Codec {
    /// Name in `a=rtpmap`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
        }
    }

    /// Its number where nobody chose another (RFC 3551).
    pub const fn static_number(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Pcmu => 0,
        }
    }
}

/// What offer and answer settled about the one audio stream, seen from our side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Where they want to hear us.
    pub address: SocketAddr,
    /// Where they want RTCP; nothing if it goes with RTP (RFC 5761).
    pub rtcp: Option<SocketAddr>,
    pub codec: Codec,
    /// RTP payload type of the codec, 0-127.
    pub payload_type: u8,
    /// RTP payload type of RFC 4733 events, with the number they chose; `None` if they have none.
    pub telephone_event: Option<u8>,
    /// We may send to them.
    pub send: bool,
    /// They may send to us.
    pub receive: bool,
    /// Both directions are sealed (SRTP).
    pub security: Option<Arc<Security>>,
    /// They are a browser: the address says nothing, and both directions are sealed with what a handshake gives.
    pub dtls: Option<Arc<Dtls>>,
}

/// What was settled about the two streams of a call that a switch forks to us; nothing for a side without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forked {
    pub caller: Option<Agreed>,
    pub operator: Option<Agreed>,
}

/// They have no audio stream in a codec of ours at an address we can reach, or none that the settings allow: 488.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no audio stream with PCMA or PCMU over RTP/AVP or RTP/SAVP, as rtp.srtp has it")]
pub struct NoCommonCodec;
