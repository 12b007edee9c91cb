//! What a call to a seat is given, and what it gives back.

use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::Behaviour;
use crate::{EndedBy, audio::Codec, sdp::FarMedia};

/// What the runner has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Goes to where the request came from.
    Answer(String),
    /// Goes the dialog's way.
    Request(String),
    /// The 200 is out: the sound's clock starts.
    Begin,
    /// Sound goes there from now on.
    Turn(FarMedia),
    /// We hold the call, or do so no more.
    Hold(bool),
    Over,
}

/// What the seat does with a call; times count from the answer.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) behaviour: Behaviour,
    /// From the INVITE.
    pub(super) answer_after: Duration,
    pub(super) hang_up_after: Option<Duration>,
    pub(super) hold: Option<(Duration, Duration)>,
    pub(super) refer: Option<(Duration, String)>,
    pub(super) codecs: Vec<Codec>,
}

/// Where the seat is.
pub(super) struct Place {
    /// Of SIP and of RTP.
    pub(super) local: SocketAddr,
    pub(super) media: SocketAddr,
    /// As a header value.
    pub(super) contact: String,
    pub(super) tcp: bool,
}

/// What became of a call.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) began: Instant,
    pub(super) answered: Option<Instant>,
    pub(super) acknowledged: Option<Instant>,
    pub(super) ended: Option<(EndedBy, Instant)>,
    /// Final status we gave; 0 while there is none.
    pub(super) status: u16,
    pub(super) codec: Option<Codec>,
    /// Reason of their BYE or CANCEL (RFC 3326).
    pub(super) reason: Option<String>,
    /// Methods they sent, repetitions left out.
    pub(super) requests: Vec<String>,
    /// Final answers to our re-INVITEs, to our REFER, what NOTIFY said of it, and to our BYE.
    pub(super) holds: Vec<u16>,
    pub(super) refer: Option<u16>,
    pub(super) transfer: Vec<u16>,
    pub(super) bye_status: Option<u16>,
    pub(super) problem: Option<String>,
}

impl Facts {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            answered: None,
            acknowledged: None,
            ended: None,
            status: 0,
            codec: None,
            reason: None,
            requests: vec!["INVITE".into()],
            holds: Vec::new(),
            refer: None,
            transfer: Vec::new(),
            bye_status: None,
            problem: None,
        }
    }
}
