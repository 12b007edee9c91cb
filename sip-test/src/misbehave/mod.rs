//! A phone that does what none should, and knows what a correct server answers.

mod deeds;
pub(crate) mod rascal;

use serde::Serialize;

use crate::{PhoneError, phone::wants_tcp};

/// Something no phone should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdeed {
    DropAck,
    LateAck,
    EarlyBye,
    LateBye,
    ByeTwice,
    CancelRace,
    WrongTags,
    OldCseq,
    Merged,
    RetransmitStorm,
    UnknownMethod,
    NoMedia,
    RtpFromElsewhere,
    SsrcChange,
    GiantMessage,
    HalfMessage,
    SlowMessage,
}

impl Misdeed {
    pub const ALL: [Self; 17] = [
        Self::DropAck,
        Self::LateAck,
        Self::EarlyBye,
        Self::LateBye,
        Self::ByeTwice,
        Self::CancelRace,
        Self::WrongTags,
        Self::OldCseq,
        Self::Merged,
        Self::RetransmitStorm,
        Self::UnknownMethod,
        Self::NoMedia,
        Self::RtpFromElsewhere,
        Self::SsrcChange,
        Self::GiantMessage,
        Self::HalfMessage,
        Self::SlowMessage,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::DropAck => "drop-ack",
            Self::LateAck => "late-ack",
            Self::EarlyBye => "early-bye",
            Self::LateBye => "late-bye",
            Self::ByeTwice => "bye-twice",
            Self::CancelRace => "cancel-race",
            Self::WrongTags => "wrong-tags",
            Self::OldCseq => "old-cseq",
            Self::Merged => "merged",
            Self::RetransmitStorm => "retransmit-storm",
            Self::UnknownMethod => "unknown-method",
            Self::NoMedia => "no-media",
            Self::RtpFromElsewhere => "rtp-from-elsewhere",
            Self::SsrcChange => "ssrc-change",
            Self::GiantMessage => "giant-message",
            Self::HalfMessage => "half-message",
            Self::SlowMessage => "slow-message",
        }
    }

    /// What the phone does.
    pub const fn deed(self) -> &'static str {
        match self {
            Self::DropAck => "talks, but never acknowledges the 200",
            Self::LateAck => "acknowledges only the third 200",
            Self::EarlyBye => "hangs up before it has acknowledged anything",
            Self::LateBye => "falls silent, answers nothing, and hangs up long after",
            Self::ByeTwice => "hangs up a call that it has hung up before",
            Self::CancelRace => "gives calls up 0 to 100 ms after it made them",
            Self::WrongTags => "hangs up with a To tag, then a From tag, of no call",
            Self::OldCseq => "sends a request with a lower CSeq than the INVITE's",
            Self::Merged => "sends one INVITE over two ways",
            Self::RetransmitStorm => "sends one INVITE 200 times and one BYE 100 times",
            Self::UnknownMethod => "asks to DANCE, outside a call and in one",
            Self::NoMedia => "never sends a packet of sound",
            Self::RtpFromElsewhere => "has a stranger send sound to the call's port",
            Self::SsrcChange => "changes SSRC, sequence and timestamp in mid-call",
            Self::GiantMessage => "sends an INVITE of 60 kB, over TCP one of 2 MB",
            Self::HalfMessage => "sends half a message over TCP, and the rest later",
            Self::SlowMessage => "sends a message over TCP a byte at a time",
        }
    }

    /// What a correct server does.
    pub const fn right(self) -> &'static str {
        match self {
            Self::DropAck => "the 200 at least four times more, BYE within 45 s",
            Self::LateAck => "the 200 again until the ACK and not once after it; 200 to the BYE",
            Self::EarlyBye => "200 to the BYE, 487 (or a crossing 200) to the INVITE, then 481",
            Self::LateBye => "200 or 481 to the BYE",
            Self::ByeTwice => "200, then 481",
            Self::CancelRace => "200 or 481 to each CANCEL, 487 or a crossing 200 to its INVITE",
            Self::WrongTags => "481 to both, and the call goes on",
            Self::OldCseq => "500, and the call goes on",
            Self::Merged => "482 to one of the two, and one call",
            Self::RetransmitStorm => "one call (one To tag), 200 to the BYE each time it is answered",
            Self::UnknownMethod => "501 or 405, and the call goes on",
            Self::NoMedia => "sound, and BYE within 45 s",
            Self::RtpFromElsewhere => "its sound goes on to the phone, none goes to the stranger",
            Self::SsrcChange => "its sound goes on, 200 to the BYE",
            Self::GiantMessage => "a refusal, silence or a closed connection, and 200 to the next OPTIONS",
            Self::HalfMessage | Self::SlowMessage => "200 to an OPTIONS beside it, 200 to it once it is whole",
        }
    }

    /// Whether it can be done over TCP alone.
    pub const fn needs_tcp(self) -> bool {
        matches!(self, Self::HalfMessage | Self::SlowMessage)
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.name() == name)
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub name: &'static str,
    pub deed: &'static str,
    pub right: &'static str,
    pub came: String,
    pub good: bool,
}

/// Does it, for at most two minutes.
///
/// # Errors
/// The address is wrong, nobody listens, or no port can be opened.
pub async fn misbehave(deed: Misdeed, to: &str) -> Result<Outcome, PhoneError> {
    let mut to = to.to_owned();
    if deed.needs_tcp() && !wants_tcp(&to) {
        to.push_str(";transport=tcp");
    }
    let (came, good) = match deeds::perform(deed, &to).await {
        Ok(came) => (came, true),
        Err(deeds::Wrong::Came(came)) => (came, false),
        Err(deeds::Wrong::Phone(error)) => return Err(error),
    };
    Ok(Outcome { name: deed.name(), deed: deed.deed(), right: deed.right(), came, good })
}
