//! An independent test phone. It shares no code with the server it calls: own sockets, own SDP, RTP and G.711, and
//! SIP read by `rsip`.
//!
//! * [`call`] dials, plays, records and hangs up; [`options`] asks whether anybody is there.
//! * [`seat`] registers and takes calls, as an operator's phone does.
//! * [`fork()`] plays a switch that forks its call to a recording server.
//! * [`load()`] makes hundreds of calls at once.
//! * [`misbehave()`] does what no phone should, and knows what a correct server answers.
//! * [`torture()`] plays a folder of raw messages and judges the answers.
//! * [`fuzz()`] sends damaged packets.
//! * [`audio`] proves that what was heard is what was said.
//! * [`raw`] sends what no phone would.
//!
//! Everything ends: a call takes at most its own length and [`GRACE`], a seat is left or its handle dropped.

pub mod audio;
pub mod digest;
mod fork;
mod fuzz;
pub mod load;
mod misbehave;
mod phone;
pub mod raw;
mod reports;
mod rtp;
mod sdp;
pub mod seat;
mod sip;
mod sound;
mod srtp;
mod timers;
mod torture;
mod transport;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use serde::Serialize;

pub use fork::{ForkReport, ForkSpec, Telling, fork};
pub use fuzz::{FuzzReport, FuzzSpec, fuzz};
pub use load::{Expect, LoadReport, LoadSpec, load};
pub use misbehave::{Misdeed, Outcome, misbehave};
pub use phone::{call, options};
pub use rtp::Faults;
pub use seat::{Behaviour, Seat, SeatCall, SeatSpec, sit};
pub use sip::Message;
pub use torture::{Torture, TortureError, TortureReport, read_torture, torture};

use audio::{Codec, WavError};

/// What a call may take on top of its own length: 32 s to be answered, the rest to hang up.
pub const GRACE: Duration = Duration::from_secs(40);

/// Where the sound of a phone is heard and made, if not by the phone: it says nothing itself and hears nothing.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// Stands in the phone's descriptions.
    pub address: SocketAddr,
    /// Told where the far side hears, as often as it says so.
    pub far: Arc<Mutex<Option<SocketAddr>>>,
}

/// A call to be made.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent wishes")]
pub struct CallSpec {
    /// `sip:12345@127.0.0.1:5060`; with `;transport=tcp` over TCP.
    pub to: String,
    /// Our own number.
    pub from: String,
    pub display_name: Option<String>,
    /// What is said, from [`audio::read`]; packets start with the 200.
    pub play: Vec<i16>,
    /// Silence before it, sent as packets, so that `play` begins this long after the 200.
    pub lead_in: Duration,
    /// Where to write what was heard; it is in the report too.
    pub record: Option<PathBuf>,
    /// Keys `0-9*#A-D`, from half a second after the sound began, five a second.
    pub keys: String,
    /// Offers this codec alone; else A-law before µ-law.
    pub codec: Option<Codec>,
    /// Offers nothing; the answer goes with the ACK.
    pub no_sdp: bool,
    /// Offers this text as it stands.
    pub offer: Option<String>,
    /// Headers added to the INVITE.
    pub headers: Vec<(String, String)>,
    /// Gives up this long after the INVITE, unless it was answered before.
    pub cancel_after: Option<Duration>,
    /// Hangs up this long after the answer; else when sound and keys are over. Silence follows the sound.
    pub hang_up_after: Option<Duration>,
    /// Longest wait for an answer, at most 32 s.
    pub answer_within: Duration,
    /// Sends no RTP at all.
    pub mute: bool,
    /// Never acknowledges the 200.
    pub withhold_ack: bool,
    /// Offers sealed media alone (SRTP with keys in the offer).
    pub srtp: bool,
    pub faults: Faults,
    /// Its sound is somebody else's.
    pub elsewhere: Option<Elsewhere>,
    /// Told the moment of the 200, for those who do not wait for the end of the call.
    pub answered: Option<Arc<OnceLock<Instant>>>,
}

impl CallSpec {
    /// A plain call that says nothing.
    pub fn new(to: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            from: "13800000000".into(),
            display_name: None,
            play: Vec::new(),
            lead_in: Duration::ZERO,
            record: None,
            keys: String::new(),
            codec: None,
            no_sdp: false,
            offer: None,
            headers: Vec::new(),
            cancel_after: None,
            hang_up_after: None,
            answer_within: Duration::from_secs(32),
            mute: false,
            withhold_ack: false,
            srtp: false,
            faults: Faults::default(),
            elsewhere: None,
            answered: None,
        }
    }

    /// The same call, saying this.
    #[must_use]
    pub fn playing(mut self, pcm: Vec<i16>) -> Self {
        self.play = pcm;
        self
    }
}

/// Who ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EndedBy {
    /// We hung up.
    Phone,
    /// They hung up.
    Far,
    /// They did not take the call (4xx to 6xx).
    Refused,
    /// We gave up before it was answered.
    Cancelled,
}

/// How a call went.
#[derive(Clone, Debug, Serialize)]
pub struct CallReport {
    pub call_id: String,
    /// Final status of the INVITE.
    pub status: u16,
    /// First line of that answer.
    pub reason: String,
    /// Whether it rang (180 or 183).
    pub rang: bool,
    /// From the INVITE to its final answer.
    pub setup_ms: u64,
    /// From the answer to the end.
    pub duration_ms: u64,
    pub ended_by: EndedBy,
    /// Answer to our BYE; nothing when they hung up or never answered.
    pub bye_status: Option<u16>,
    pub codec: Option<Codec>,
    pub packets_sent: u64,
    pub packets_received: u64,
    /// Streams heard: 1 unless the far SSRC changed.
    pub streams_heard: u32,
    pub keys_sent: usize,
    pub keys_heard: String,
    /// How often the 200 was repeated.
    pub answers_repeated: u32,
    /// Messages `rsip` could not read.
    pub malformed: u32,
    /// Sender reports of the far side (RTCP), and whether it said BYE there.
    pub reports_heard: u32,
    pub report_said_bye: bool,
    pub recorded: Option<PathBuf>,
    /// What an eavesdropper on the wire would hear of us: the payload of our packets as they were sent.
    #[serde(skip)]
    pub on_the_wire: Vec<i16>,
    /// What was heard since the 200.
    #[serde(skip)]
    pub heard: Vec<i16>,
}

/// Who answered an OPTIONS.
#[derive(Clone, Debug, Serialize)]
pub struct OptionsReport {
    pub status: u16,
    pub took_ms: u64,
    pub allow: Option<String>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    #[error("`{0}` is no address such as sip:12345@127.0.0.1:5060")]
    Address(String),
    #[error("`{0}` is no key; keys are 0-9 * # A-D")]
    Key(char),
    #[error(transparent)]
    Wav(#[from] WavError),
    #[error(transparent)]
    Torture(#[from] TortureError),
    #[error("no port can be opened on {at}")]
    Socket {
        at: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("nobody listens at {far}")]
    Unreachable {
        far: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the registrar at {far} did not take us: {}", report.reason)]
    NotRegistered { far: SocketAddr, report: Box<seat::RegisterReport> },
    #[error("{far} gave no final answer within {seconds} s")]
    NoAnswer { far: SocketAddr, seconds: u64 },
    #[error("the answer of {far} cannot be used: {problem}")]
    Answer { far: SocketAddr, problem: String },
    #[error("the call to {far} did not end within {seconds} s")]
    Overrun { far: SocketAddr, seconds: u64 },
}

impl PhoneError {
    /// Whether the order was wrong, not the world.
    pub fn is_wrong_use(&self) -> bool {
        matches!(
            self,
            Self::Address(_)
                | Self::Key(_)
                | Self::Torture(_)
                | Self::Wav(WavError::Unfit { .. } | WavError::Unreadable { .. })
        )
    }
}
