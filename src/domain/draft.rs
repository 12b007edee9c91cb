//! The case draft: what the machine heard, each value with the seconds of audio that prove it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::transcript::Channel;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Heard in the recording; carries evidence.
    Speech,
    /// Typed by a person.
    Operator,
    /// The number the call came from.
    CallerId,
    /// Follows from another value or from the settings.
    Rule,
    /// Came with an imported request.
    Import,
}

/// The stretch of the recording a value was heard in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    pub channel: Channel,
    /// Milliseconds since the start of the recording.
    pub start_ms: u32,
    /// Milliseconds since the start of the recording.
    pub end_ms: u32,
    /// The words as heard.
    pub text: String,
}

/// Another answer the operator may take instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alternative<T> {
    pub value: T,
    /// 0 to 1.
    pub confidence: f32,
}

/// One field of a case. Nothing said means `value: None`, never a guess.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Field<T> {
    pub value: Option<T>,
    /// 0 to 1; 0 while there is no value.
    pub confidence: f32,
    pub source: Option<Source>,
    pub evidence: Vec<Evidence>,
    /// Best first, without `value` itself.
    pub alternatives: Vec<Alternative<T>>,
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self { value: None, confidence: 0.0, source: None, evidence: Vec::new(), alternatives: Vec::new() }
    }
}

/// How fast somebody has to move. Emergency gives the time class EMERGENCY, a hazard at least URGENT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    #[default]
    None,
    SafetyHazard,
    EmergencyNow,
}

/// When the matter happened, in the caller's words and, where they say so, as a span of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Occurred {
    pub text: String,
    /// Milliseconds since 1970 (UTC).
    pub from: Option<i64>,
    /// Milliseconds since 1970 (UTC).
    pub to: Option<i64>,
}

/// All fields of a case; every key is always there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Draft {
    pub title: Field<String>,
    pub description: Field<String>,
    /// Code of a leaf of the category tree.
    pub category: Field<String>,
    /// Chinese name: 咨询, 求助, 投诉, 举报, 建议, 表扬.
    pub request_type: Field<String>,
    /// Most specific id: area `371526`, town `371526/鱼邱湖街道`, estate `E009`.
    pub place: Field<String>,
    pub address: Field<String>,
    pub caller_name: Field<String>,
    /// Digits only.
    pub callback_phone: Field<String>,
    pub occurred_at: Field<Occurred>,
    pub wanted: Field<String>,
    pub urgency: Field<Urgency>,
    pub secret: Field<bool>,
}
