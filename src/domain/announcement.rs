//! What the line announces as it happens, so that screens need not ask again and again. Ids and words of the program
//! only, never what a citizen said; who may see the thing itself may hear of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    call::EndReason,
    case::{Actor, Case},
    ids::{CallId, CaseId},
    seat::{DeskId, SeatId},
};

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A call began, was answered or ended.
    Call,
    /// A call was heard.
    Transcript,
    /// A case was drafted.
    Draft,
    /// A case was moved or edited.
    Case,
    /// A queue of callers changed.
    Queue,
    /// A seat changed.
    Seat,
}

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub kind: Kind,
    /// Id of the call, the case, the queue or the seat.
    pub subject: String,
    /// Of a case: the units that have a part in it; none for what is the centre's alone.
    pub units: Option<Vec<String>>,
    /// An object without personal data.
    pub data: Value,
}

impl Kind {
    /// As stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Transcript => "transcript",
            Self::Draft => "draft",
            Self::Case => "case",
            Self::Queue => "queue",
            Self::Seat => "seat",
        }
    }

    /// Whether it is about a case and not about calls.
    pub const fn is_of_cases(self) -> bool {
        matches!(self, Self::Draft | Self::Case)
    }
}

impl Announcement {
    /// A caller dials.
    pub fn call_begun(call: CallId) -> Self {
        Self::of_call(Kind::Call, call, json!({ "state": "begun" }))
    }

    /// The 200 went out.
    pub fn call_answered(call: CallId) -> Self {
        Self::of_call(Kind::Call, call, json!({ "state": "answered" }))
    }

    /// A seat took the call.
    pub fn call_taken(call: CallId, seat: &str) -> Self {
        Self::of_call(Kind::Call, call, json!({ "state": "taken", "seat": seat }))
    }

    /// The call is over.
    pub fn call_ended(call: CallId, reason: EndReason) -> Self {
        Self::of_call(Kind::Call, call, json!({ "state": "ended", "end_reason": reason.name() }))
    }

    /// A seat does something else.
    pub fn seat(seat: &SeatId, state: &str, call: Option<CallId>) -> Self {
        let data = json!({ "state": state, "call_id": call.map(|call| call.to_string()) });
        Self { kind: Kind::Seat, subject: seat.to_string(), units: None, data }
    }

    /// The line of a desk grew or shrank.
    ///
    /// * `waiting`, `ringing` — callers for whom no seat rings, and for whom one does.
    pub fn queue(desk: &DeskId, waiting: usize, ringing: usize) -> Self {
        let data = json!({ "waiting": waiting, "ringing": ringing });
        Self { kind: Kind::Queue, subject: desk.to_string(), units: None, data }
    }

    /// What was said is there.
    pub fn transcript(call: CallId, is_final: bool) -> Self {
        Self::of_call(Kind::Transcript, call, json!({ "final": is_final }))
    }

    /// More was said in a call that goes on: its draft, which is no case yet, may look different now.
    pub fn draft_grows(call: CallId) -> Self {
        let data = json!({ "call_id": call, "case_id": null });
        Self { kind: Kind::Draft, subject: call.to_string(), units: None, data }
    }

    /// A case came to be.
    pub fn draft(case: &Case) -> Self {
        Self::of_case(Kind::Draft, case, json!({ "version": case.version, "call_id": case.call }))
    }

    /// A case was moved or edited.
    ///
    /// * `event` — name of what happened, as the case's history has it.
    pub fn case(case: &Case, event: &str) -> Self {
        let data = json!({ "version": case.version, "state": case.state().as_str(), "event": event });
        Self::of_case(Kind::Case, case, data)
    }

    fn of_call(kind: Kind, call: CallId, data: Value) -> Self {
        Self { kind, subject: call.to_string(), units: None, data }
    }

    fn of_case(kind: Kind, case: &Case, data: Value) -> Self {
        let id: CaseId = case.id;
        let units = case.units().into_iter().map(str::to_owned).collect();
        Self { kind, subject: id.to_string(), units: Some(units), data }
    }

    /// Whether somebody who may see cases may see the one that this is about: the rule of [`Case::is_visible_to`].
    pub fn is_for(units: Option<&[String]>, actor: &Actor) -> bool {
        if actor.is_administrator() {
            return false;
        }
        let part = |unit: &str| units.is_some_and(|units| units.iter().any(|known| known == unit));
        !actor.is_of_unit() || actor.unit().is_some_and(part)
    }
}
