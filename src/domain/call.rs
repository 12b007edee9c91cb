//! What is true of every telephone call: which way it went, why it ended, how far its recording is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A citizen called the line.
    Inbound,
    /// The line called out.
    Outbound,
}

/// How a call came to the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The line answered it.
    #[default]
    Line,
    /// A switch carried it and sent us both sides (SIPREC); who spoke is what the switch says.
    Forked,
    /// The same, but the switch did not say who spoke, or not in words that can be read.
    ForkedUntold,
}

/// What a switch said about a call that it forked to us (RFC 7865).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// Extension of the seat that took the call.
    pub seat: Option<String>,
    /// Id of the call at the switch.
    pub session_id: Option<String>,
    /// Whether it said who speaks, in words that can be read.
    pub told: bool,
}

/// Why a call ended. Every call has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The caller sent BYE.
    CallerHungUp,
    /// Our side sent BYE: the operator, or the line at a graceful stop.
    LineHungUp,
    /// The caller hung up while waiting for an operator: to be called back.
    Abandoned,
    /// No operator could take the call (desk closed, line full, waited too long), and the line said so: to be called back.
    GivenUp,
    /// The switch that forked its call to us ended the fork.
    SwitchHungUp,
    /// The longest allowed call was over.
    MaxDuration,
    /// The caller gave up before the answer.
    Cancelled,
    /// No RTP and no RTCP for 30 s without hold.
    MediaTimeout,
    /// The 200 was never acknowledged, or without a usable answer.
    AckTimeout,
    /// The session's agreed time ran out (RFC 4028): the other side is gone without a word.
    SessionExpired,
    /// The process died in the call; found at the next start.
    Interrupted,
    /// Our side could not carry the call: no media port, no disk.
    Failed,
}

/// Whom a reason is put down to, for the closing line of a call and for trends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    Ours,
    Caller,
    Trunk,
    Unknown,
}

/// How far a call's recording is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// Nothing is recorded: the call was never answered, or could not be recorded.
    #[default]
    None,
    /// The file grows.
    Recording,
    /// Hashed, stored, never changed again.
    Sealed,
    /// It was begun and could not be finished; the spool keeps what there is.
    Failed,
    /// Its time is over, and it is being taken away.
    Deleting,
    /// It was kept as long as it had to be; its hash remains.
    Deleted,
}

impl Direction {
    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }

    /// Reads what [`Direction::name`] wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound].into_iter().find(|it| it.name() == name)
    }
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 3] = [Self::Line, Self::Forked, Self::ForkedUntold];

    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Forked => "forked",
            Self::ForkedUntold => "forked_untold",
        }
    }
}

impl Fork {
    /// How a call of which this was said came to the line.
    pub const fn origin(&self) -> Origin {
        if self.told { Origin::Forked } else { Origin::ForkedUntold }
    }
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::CallerHungUp,
        Self::LineHungUp,
        Self::Abandoned,
        Self::GivenUp,
        Self::SwitchHungUp,
        Self::MaxDuration,
        Self::Cancelled,
        Self::MediaTimeout,
        Self::AckTimeout,
        Self::SessionExpired,
        Self::Interrupted,
        Self::Failed,
    ];

    /// Whether the caller did not get through to anybody although there is a recording.
    pub const fn is_missed(self) -> bool {
        matches!(self, Self::Abandoned | Self::GivenUp | Self::Interrupted)
    }

    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::LineHungUp => "line_hung_up",
            Self::Abandoned => "abandoned",
            Self::GivenUp => "given_up",
            Self::SwitchHungUp => "switch_hung_up",
            Self::MaxDuration => "max_duration",
            Self::Cancelled => "cancelled",
            Self::MediaTimeout => "media_timeout",
            Self::AckTimeout => "ack_timeout",
            Self::SessionExpired => "session_expired",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }

    /// Reads what [`EndReason::name`] wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whom it is put down to.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::CallerHungUp | Self::LineHungUp | Self::SwitchHungUp | Self::MaxDuration => Outcome::Ok,
            Self::Cancelled => Outcome::Caller,
            Self::MediaTimeout | Self::AckTimeout | Self::SessionExpired => Outcome::Trunk,
            Self::Abandoned | Self::GivenUp | Self::Interrupted | Self::Failed => Outcome::Ours,
        }
    }
}

impl Outcome {
    /// As logged.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Ours => "ours",
            Self::Caller => "caller",
            Self::Trunk => "trunk",
            Self::Unknown => "unknown",
        }
    }
}

impl RecordingState {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::None, Self::Recording, Self::Sealed, Self::Failed, Self::Deleting, Self::Deleted];

    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Recording => "recording",
            Self::Sealed => "sealed",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// Reads what [`RecordingState::name`] wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_are_those_of_json_and_read_back() {
        for reason in EndReason::ALL {
            assert_eq!(serde_json::to_value(reason).expect("a name"), reason.name());
            assert_eq!(EndReason::from_name(reason.name()), Some(reason));
        }
        for state in RecordingState::ALL {
            assert_eq!(serde_json::to_value(state).expect("a name"), state.name());
            assert_eq!(RecordingState::from_name(state.name()), Some(state));
        }
        for origin in Origin::ALL {
            assert_eq!(serde_json::to_value(origin).expect("a name"), origin.name());
        }
        for direction in [Direction::Inbound, Direction::Outbound] {
            assert_eq!(serde_json::to_value(direction).expect("a name"), direction.name());
            assert_eq!(Direction::from_name(direction.name()), Some(direction));
        }
    }
}
