//! Why a case stays as it is.

use super::{fields::FieldProblem, lifecycle::State};

/// Each sentence is meant for the person who asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("`{0}` is no action of the life cycle")]
    Unknown(String),
    #[error("`{action}` cannot be asked for yet")]
    Unavailable { action: &'static str },
    #[error("`{action}`: {problem}")]
    Body { action: String, problem: String },
    #[error("`{action}` is not possible while the case is {}", state.as_str())]
    State { action: &'static str, state: State },
    /// The one who asked has no right to it; everybody else's reasons are about the case.
    #[error("`{action}` is for {who}")]
    Right { action: &'static str, who: String },
    #[error("these fields are still empty: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    #[error("{}", .0.iter().map(|it| format!("{} {}", it.field, it.problem)).collect::<Vec<_>>().join("; "))]
    Fields(Vec<FieldProblem>),
    /// A guard of the table says no.
    #[error("`{action}`: {reason}")]
    Guard { action: &'static str, reason: String },
}

impl Refusal {
    /// Whether the answer is "you may not" rather than "this cannot be".
    pub const fn is_right(&self) -> bool {
        matches!(self, Self::Right { .. })
    }
}
