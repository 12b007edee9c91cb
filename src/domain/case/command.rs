//! What a person may ask of a case.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{TRANSITIONS, Transition, event::VoidReason, fields::Edits, refusal::Refusal};
use crate::domain::ids::CaseId;

/// A wish; whether it is granted is decided by [`super::Case::decide`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Command {
    /// Correct fields. Not a move of the life cycle.
    Edit {
        fields: Box<Edits>,
    },
    Confirm(Confirm),
    AnswerOnSpot(AnswerOnSpot),
    Refuse(Refuse),
    Void(Void),
    MergeInto(MergeInto),
    Dispatch(Dispatch),
}

/// T01.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Confirm {
    /// The case was read back to the caller, who agreed.
    #[serde(default)]
    pub read_back: bool,
}

/// T02.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnswerOnSpot {
    /// What the caller was told.
    #[serde(default)]
    pub answer_text: String,
}

/// T03.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refuse {
    /// `N1` to `N7`; `N7` is the shift leader's.
    #[serde(default)]
    pub reason: String,
    /// The way to go that the caller was told.
    #[serde(default)]
    pub path: String,
}

/// T04.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Void {
    pub reason: Option<VoidReason>,
}

/// T05, T09.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MergeInto {
    /// The case that goes on.
    #[schema(value_type = Option<String>)]
    pub parent: Option<CaseId>,
}

/// T06.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dispatch {
    /// `WATER` or `371526-ZJ`; absent: the catalogue's choice.
    pub lead: Option<String>,
    /// Absent: the catalogue's.
    pub co: Option<Vec<String>>,
    /// Absent: the category's, raised by the urgency.
    pub time_class: Option<String>,
}

/// Moves of the table that have a command. All others are refused and offered to nobody.
const WITH_COMMAND: [&str; 7] = ["T01", "T02", "T03", "T04", "T05", "T06", "T09"];

impl Command {
    /// Reads a request to act.
    ///
    /// * `action` — the life cycle's word.
    /// * `body` — a JSON object; keys it does not know are left to others (`version`).
    ///
    /// # Errors
    /// An action that nobody knows or that cannot be asked for yet, or a body that is not its.
    pub fn parse(action: &str, body: Value) -> Result<Self, Refusal> {
        let rows = TRANSITIONS.iter().filter(|row| row.actions().any(|name| name == action));
        let Some(known) = rows.clone().flat_map(Transition::actions).find(|name| *name == action) else {
            return Err(Refusal::Unknown(action.to_owned()));
        };
        if !rows.clone().any(Self::exists) {
            return Err(Refusal::Unavailable { action: known });
        }
        let mut body = match body {
            Value::Null => serde_json::Map::new(),
            Value::Object(body) => body,
            _ => return Err(Refusal::Body { action: action.to_owned(), problem: "it is not a JSON object".into() }),
        };
        body.insert("action".into(), action.into());
        serde_json::from_value(Value::Object(body))
            .map_err(|error| Refusal::Body { action: action.to_owned(), problem: error.to_string() })
    }

    /// Whether a move of the table can be asked for.
    pub(super) fn exists(row: &Transition) -> bool {
        WITH_COMMAND.contains(&row.id)
    }

    /// Whether dates are counted by it, so that the calendar must not change meanwhile.
    pub const fn sets_dates(&self) -> bool {
        matches!(self, Self::Dispatch(_))
    }

    /// The life cycle's word.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Edit { .. } => "edit",
            Self::Confirm(_) => "confirm",
            Self::AnswerOnSpot(_) => "answer_on_spot",
            Self::Refuse(_) => "refuse",
            Self::Void(_) => "void",
            Self::MergeInto(_) => "merge_into",
            Self::Dispatch(_) => "dispatch",
        }
    }
}
