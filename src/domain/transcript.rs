//! What was said in a call, by whom and when.

use serde::{Deserialize, Serialize};

/// The two sides of a recording: left is the caller, right is everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Caller,
    Operator,
}

/// One stretch of speech of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Utterance {
    pub channel: Channel,
    /// Milliseconds since the start of the recording (the 200 OK).
    pub start_ms: u32,
    /// Milliseconds since the start of the recording; not before `start_ms`.
    pub end_ms: u32,
    /// Simplified Chinese with punctuation, as heard.
    pub text: String,
    /// Mean token probability, 0 to 1.
    pub confidence: f32,
}

/// All utterances of a call in the order they began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Transcript {
    pub utterances: Vec<Utterance>,
    /// False while the call still goes on or the job still runs.
    pub r#final: bool,
}
