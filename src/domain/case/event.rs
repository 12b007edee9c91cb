//! What happened to a case. Events are stored and never edited: a new kind may be added, an old one keeps its shape.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Inlet,
    actor::By,
    fields::{Edits, Was},
};
use crate::domain::{
    calendar::Origin,
    clocks::{Deadlines, Terms},
    draft::Draft,
    ids::{CallId, CaseId},
    time::UnixMs,
};

/// One fact of a case's life. Its name in JSON is the action that caused it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The case came to be: from a call, or from another inlet with its original text.
    Draft { number: String, inlet: Inlet, call: Option<CallId>, original: Option<String>, fields: Box<Draft> },
    /// A person corrected fields; `was` keeps what stood there, with the machine's evidence.
    Edit { fields: Box<Edits>, was: Box<Was> },
    /// Read back to the caller and registered; the citizen's clock starts.
    Confirm { time_class: String },
    /// Answered in the call; no unit is asked.
    AnswerOnSpot { answer_text: String },
    /// Not accepted; the caller was told the way to go.
    Refuse { reason: String, path: String },
    /// No request at all.
    Void { reason: VoidReason },
    /// Goes on as part of another case; the caller gets a call-back of their own.
    MergeInto { parent: CaseId },
    /// Another case was merged into this one.
    Joined { child: CaseId },
    /// Units were asked.
    Dispatch {
        lead: Dispatched,
        co: Vec<Dispatched>,
        /// Told, without a task.
        copies: Vec<String>,
        time_class: String,
        /// The time class as it stands at this moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terms: Option<Terms>,
    },
    /// The calendar was changed, and with it the dates of orders. Nothing was decided anew, so the version stays.
    Recalculated {
        orders: Vec<Redated>,
        /// The years that the new dates were counted through.
        calendar: Vec<Origin>,
        /// For people, in one line.
        why: String,
    },
}

/// One unit's task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatched {
    pub unit: String,
    pub due: Deadlines,
}

/// One order's dates, before and now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redated {
    pub unit: String,
    pub was: Deadlines,
    pub due: Deadlines,
}

/// Why a draft is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VoidReason {
    Silent,
    Nuisance,
    Test,
}

/// An event with its place in the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// 1, 2, 3 …
    pub seq: u64,
    /// The case's version once it is in.
    pub version: u64,
    pub at: UnixMs,
    pub by: By,
    pub event: Event,
}

impl Event {
    /// The life cycle's action, where the event is a move of the table.
    pub const fn action(&self) -> Option<&'static str> {
        match self {
            Self::Draft { .. } | Self::Edit { .. } | Self::Joined { .. } | Self::Recalculated { .. } => None,
            Self::Confirm { .. } => Some("confirm"),
            Self::AnswerOnSpot { .. } => Some("answer_on_spot"),
            Self::Refuse { .. } => Some("refuse"),
            Self::Void { .. } => Some("void"),
            Self::MergeInto { .. } => Some("merge_into"),
            Self::Dispatch { .. } => Some("dispatch"),
        }
    }

    /// Whether the version grows: with fields and states, not with what is noted beside them.
    pub const fn counts(&self) -> bool {
        !matches!(self, Self::Joined { .. } | Self::Recalculated { .. })
    }
}
