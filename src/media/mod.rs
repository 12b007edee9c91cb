//! The sound of a call: RTP in and out, G.711, keys, announcements, and the copy for the recording.
//!
//! A *shard* is one thread that carries many calls in ticks of 2 ms. Every decision (what a packet is, whether its
//! sender may be trusted, where its sound belongs, what is sent next) is a plain value in a file of its own here,
//! driven with a given time; the shard only moves bytes between those values and the sockets. Nothing is allocated,
//! locked, logged or waited for per packet.

mod browser;
mod dtmf;
mod fork;
#[cfg(test)]
mod fuzz;
mod g711;
mod inbound;
mod latch;
mod leg;
mod mix;
mod passage;
mod plane;
mod ports;
mod prompt;
mod recorder;
mod report;
mod rtcp;
mod rtp;
mod sender;
mod sequence;
mod shard;
mod shared;
mod socket;
mod srtp;
mod talk;
mod timeline;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use browser::Gate;
pub use browser::{Browser, Identity};
pub use plane::MediaPlane;
pub use prompt::Prompt;

use crate::{domain::ids::CallId, recording::Tap};

/// Samples a second of everything that is heard and recorded.
pub const SAMPLE_RATE: u32 = 8_000;

/// Where the media plane listens.
#[derive(Clone, Debug)]
pub struct MediaSettings {
    /// Address the ports are bound to.
    pub address: IpAddr,
    /// First and last port, both included; `(0, 0)` lets the system choose pairs (tests).
    pub ports: (u16, u16),
    /// Threads; each carries up to 200 calls.
    pub shards: usize,
    /// Whether calls whose peer is certain share a pair of ports for each thread.
    pub shared: bool,
    /// What browsers are shown; without it none is heard.
    pub identity: Option<Identity>,
}

/// The two G.711 codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum G711 {
    /// PCMA, static payload type 8.
    Alaw,
    /// PCMU, static payload type 0.
    Ulaw,
}

/// What offer and answer settled for one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteMedia {
    /// From their SDP; an unspecified address (`0.0.0.0`) means: send nothing until something came.
    pub address: SocketAddr,
    /// Where they want RTCP; nothing if it goes with RTP (`rtcp-mux`).
    pub rtcp: Option<SocketAddr>,
    pub codec: G711,
    /// 0 to 127.
    pub payload_type: u8,
    /// Number of `telephone-event`, if they offered it.
    pub telephone_event: Option<u8>,
    /// Whether we send (false while they hold us).
    pub send: bool,
    /// Whether they send; while false their silence does not end the call.
    pub receive: bool,
    /// Keys, where SRTP was agreed on.
    pub srtp: Option<Box<Srtp>>,
    /// The peer is a browser: where it is, and what its sound is sealed with, shows when it comes.
    pub browser: Option<Box<Browser>>,
}

/// The keys of both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Srtp {
    pub ours: SrtpKey,
    pub theirs: SrtpKey,
}

/// What one side seals its packets with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SrtpKey {
    pub suite: SrtpSuite,
    /// 16 bytes of key, 14 of salt.
    pub master: [u8; 30],
}

/// A suite of RFC 4568.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpSuite {
    AesCm128HmacSha1_80,
    /// The same with a tag of 32 bits on RTP.
    AesCm128HmacSha1_32,
}

impl std::fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SrtpKey({:?}, …)", self.suite)
    }
}

/// One who takes part in a call: its caller, and up to three others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Party(u8);

impl Party {
    /// Who dialled us; always there.
    pub const CALLER: Self = Self(0);
    /// The seat that talks with the caller.
    pub const OPERATOR: Self = Self(1);
    /// Whoever listens, helps or takes part as a third.
    pub const GUEST: Self = Self(2);
    /// How many there may be.
    pub const MOST: usize = 4;

    /// All of them, the caller first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..4).map(Self)
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Those whom a party hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voices(u8);

impl Voices {
    pub const NOBODY: Self = Self(0);

    pub const fn of(party: Party) -> Self {
        Self(1 << party.0)
    }

    #[must_use]
    pub const fn and(self, party: Party) -> Self {
        Self(self.0 | 1 << party.0)
    }

    #[must_use]
    pub const fn without(self, party: Party) -> Self {
        Self(self.0 & !(1 << party.0))
    }

    pub const fn contains(self, party: Party) -> bool {
        self.0 & 1 << party.0 != 0
    }

    /// Whether they have to be added up; one alone is forwarded as it comes.
    const fn are_several(self) -> bool {
        self.0.count_ones() > 1
    }
}

/// What the call tells its legs. Commands of one call are carried out in order.
#[derive(Debug)]
pub enum MediaCommand {
    /// What offer/answer settled with a party; may come again (re-INVITE).
    Connect(Party, RemoteMedia),
    /// The gate of a browser; the plane makes it before the first `Connect`.
    Guard(Party, Box<Gate>, Box<RemoteMedia>),
    /// The party hears these others from now on; nobody means announcements and silence. What the caller hears of others is
    /// what is recorded of them.
    Hear(Party, Voices),
    /// A party leaves and its ports are free; answered by [`MediaEvent::Left`].
    Leave(Party),
    /// The same for a forked call: the caller's stream and the operator's; nothing for one that is not there.
    Listen([Option<RemoteMedia>; 2]),
    /// From now on both sides go to the recording; sample 0 is the moment of this command (the 200 OK).
    Record(Tap),
    /// Says an announcement, after those that are still waiting (up to 16).
    Play(Party, Arc<Prompt>),
    /// Cuts the announcement and forgets those that wait; each is answered by `PromptEnded`.
    StopPlaying(Party),
    /// Ends all legs, frees the ports, drops the tap; answered by [`MediaEvent::Closed`].
    Close,
}

/// What a leg tells its call.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaEvent {
    /// The first packet of negotiated media arrived.
    FirstPacket { call: CallId, party: Party },
    /// A key was pressed (RFC 4733).
    Digit { call: CallId, party: Party, key: char, duration_ms: u32 },
    /// An announcement was said to its end, or was cut.
    PromptEnded { call: CallId, party: Party, name: String },
    /// Neither RTP nor RTCP for 30 s although they should send.
    Silent { call: CallId, party: Party },
    /// A party other than the caller is gone and its ports are free.
    Left { call: CallId, party: Party, stats: LegStats },
    /// The call is gone and its ports are free.
    ///
    /// * `stats` — of the caller's leg.
    Closed { call: CallId, stats: LegStats },
}

impl MediaEvent {
    /// Whose it is.
    pub const fn call(&self) -> CallId {
        match self {
            Self::FirstPacket { call, .. }
            | Self::Digit { call, .. }
            | Self::PromptEnded { call, .. }
            | Self::Silent { call, .. }
            | Self::Left { call, .. }
            | Self::Closed { call, .. } => *call,
        }
    }
}

/// What one leg saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LegStats {
    /// Of the stream that we receive; of both, where a switch forks its call to us.
    pub heard: StreamStats,
    /// Of the stream that we send, as the other side sees it; nothing if it never said.
    pub reported: Option<Reported>,
    /// Packets.
    pub sent: u64,
    /// Packets that the kernel did not take.
    pub send_failed: u64,
}

/// What a received stream brought. Counts are packets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamStats {
    pub received: u64,
    /// Should have come, by sequence number.
    pub expected: u64,
    /// Never arrived, by sequence number.
    pub lost: u64,
    /// Runs of lost packets.
    pub loss_runs: u64,
    /// The longest run, milliseconds.
    pub longest_loss_ms: u32,
    /// Arrived after a packet with a higher sequence number.
    pub reordered: u64,
    /// Arrived more than 200 ms behind their time; still recorded.
    pub late: u64,
    /// Arrived once more; ignored.
    pub duplicates: u64,
    /// From somebody else, or of a payload type that was never negotiated.
    pub foreign: u64,
    /// No RTP at all, or cut short.
    pub malformed: u64,
    /// SRTP whose tag was wrong or missing, or that came again; never heard.
    pub unproved: u64,
    /// RTCP compounds.
    pub rtcp: u64,
    /// Interarrival jitter at the end (RFC 3550 §6.4.1), milliseconds.
    pub jitter_ms: f32,
}

impl StreamStats {
    /// Both together; of jitters and longest losses the worse one.
    fn and(&self, other: &Self) -> Self {
        Self {
            received: self.received + other.received,
            expected: self.expected + other.expected,
            lost: self.lost + other.lost,
            loss_runs: self.loss_runs + other.loss_runs,
            longest_loss_ms: self.longest_loss_ms.max(other.longest_loss_ms),
            reordered: self.reordered + other.reordered,
            late: self.late + other.late,
            duplicates: self.duplicates + other.duplicates,
            foreign: self.foreign + other.foreign,
            malformed: self.malformed + other.malformed,
            unproved: self.unproved + other.unproved,
            rtcp: self.rtcp + other.rtcp,
            jitter_ms: self.jitter_ms.max(other.jitter_ms),
        }
    }
}

/// What the other side reports of our stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reported {
    /// Packets that did not reach them.
    pub lost: u64,
    /// Interarrival jitter they saw last, milliseconds.
    pub jitter_ms: f64,
    /// To them and back, mean; nothing if they never answered a report of ours.
    pub round_trip_ms: Option<f64>,
}

/// Why the media plane refused.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("media settings: {0}")]
    Settings(String),
    #[error(
        "no free pair of RTP ports between {first} and {last} (a port rests for 2 s after its call): widen rtp.ports or \
         lower line.max_calls"
    )]
    NoPort { first: u16, last: u16 },
    #[error("opening RTP sockets on {address}")]
    Socket {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("starting media thread {shard}")]
    Thread {
        shard: usize,
        #[source]
        source: io::Error,
    },
    #[error("call {0} has no media leg")]
    NoLeg(CallId),
    #[error("call {0} has such a media leg already, or takes no other party")]
    Twice(CallId),
    #[error("the media thread of call {0} is behind by more than its command ring holds")]
    Busy(CallId),
    #[error("the media plane has stopped")]
    Stopped,
    #[error("announcement {path}: {problem}")]
    Prompt { path: PathBuf, problem: String },
}
