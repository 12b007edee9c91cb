//! What a person may ask of a case.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{TRANSITIONS, event::VoidReason, fields::Edits, refusal::Refusal};
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

/// Actions that have a command. All other moves of the table are refused and offered to nobody.
const WITH_COMMAND: [&str; 6] = ["confirm", "answer_on_spot", "refuse", "void", "merge_into", "dispatch"];

impl Command {
    /// Reads a request to act.
    ///
    /// * `action` — the life cycle's word.
    /// * `body` — a JSON object; keys it does not know are left to others (`version`).
    ///
    /// # Errors
    /// An action that nobody knows or that cannot be asked for yet, or a body that is not its.
    pub fn parse(action: &str, body: Value) -> Result<Self, Refusal> {
        if !WITH_COMMAND.contains(&action) {
            let known = TRANSITIONS.iter().flat_map(super::Transition::actions).find(|name| *name == action);
            return Err(
                known.map_or_else(|| Refusal::Unknown(action.to_owned()), |action| Refusal::Unavailable { action })
            );
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

    /// Whether an action of the table can be asked for.
    pub(super) fn exists(action: &str) -> bool {
        WITH_COMMAND.contains(&action)
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
