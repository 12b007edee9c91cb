//! Every error as RFC 9457 `application/problem+json` with a stable `type`.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{recording::RecordingError, store::StoreError};

/// What went wrong, for programs (`type`, `status`, members) and for people (`title`, `detail`).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Stable name, `urn:hotline:problem:stale-version`.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The request, `urn:uuid:…`, as in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<String>,
    /// `field` of a bad request, `current` and `changes` of a stale version, `reason` of a refusal.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    members: Box<Map<String, Value>>,
}

/// The kinds of problems there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    BadRequest,
    Unauthorized,
    /// The password is right, a code of the second factor is missing.
    CodeNeeded,
    Forbidden,
    PasswordOwed,
    TotpOwed,
    NotFound,
    Method,
    Timeout,
    Stale,
    TooLarge,
    MediaType,
    Range,
    Refused,
    TooMany,
    /// The same request, by its key, is still being done.
    Running,
    /// It was done, and its answer is not kept.
    Done,
    KeyReused,
    /// Too many wrong passwords.
    Locked,
    Internal,
    Unavailable,
}

impl Kind {
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => ("bad-request", StatusCode::BAD_REQUEST, "The request cannot be read"),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "A log-in or a valid token is needed"),
            Self::CodeNeeded => ("totp-needed", StatusCode::UNAUTHORIZED, "A code of the second factor is needed"),
            Self::PasswordOwed => {
                ("password-change-needed", StatusCode::FORBIDDEN, "The password has to be changed first")
            }
            Self::TotpOwed => ("totp-enrolment-needed", StatusCode::FORBIDDEN, "A second factor is needed first"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "You have no right to do this"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::Method => ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed here"),
            Self::Timeout => ("timeout", StatusCode::REQUEST_TIMEOUT, "The request took too long"),
            Self::Stale => ("stale-version", StatusCode::CONFLICT, "Somebody else changed it meanwhile"),
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large"),
            Self::MediaType => {
                ("media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body has to be application/json")
            }
            Self::Range => ("range", StatusCode::RANGE_NOT_SATISFIABLE, "The range lies outside of the recording"),
            Self::Refused => ("refused", StatusCode::UNPROCESSABLE_ENTITY, "The rules do not allow this"),
            Self::Running => ("running", StatusCode::CONFLICT, "The same request is being done"),
            Self::Done => ("done", StatusCode::CONFLICT, "The same request was done before"),
            Self::KeyReused => ("key-reused", StatusCode::UNPROCESSABLE_ENTITY, "The key belongs to another request"),
            Self::TooMany => ("too-many", StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Self::Locked => ("locked", StatusCode::TOO_MANY_REQUESTS, "Too many log-ins failed"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The server failed"),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment"),
        }
    }

    /// For answers that come with nothing but a status, as those of axum itself.
    fn of_status(status: StatusCode) -> Option<Self> {
        [
            Self::BadRequest,
            Self::Unauthorized,
            Self::Forbidden,
            Self::NotFound,
            Self::Method,
            Self::Timeout,
            Self::TooLarge,
            Self::MediaType,
            Self::Range,
            Self::Refused,
            Self::TooMany,
            Self::Internal,
            Self::Unavailable,
        ]
        .into_iter()
        .find(|kind| kind.parts().1 == status)
    }

    /// A problem of this kind without words of its own.
    pub(super) fn problem(self) -> Problem {
        let (name, status, title) = self.parts();
        Problem {
            kind: format!("urn:hotline:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: None,
            instance: None,
            members: Box::default(),
        }
    }

    /// A problem with words for people.
    pub(super) fn because(self, detail: impl Into<String>) -> Problem {
        Problem { detail: Some(detail.into()), ..self.problem() }
    }
}

/// The member that also stands in the header of its name, seconds.
pub(super) const RETRY_AFTER: &str = "retry_after";

impl Problem {
    /// Too many requests of one client.
    pub(super) fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Kind::TooMany.because(format!("try again in {seconds} s")).with(RETRY_AFTER, seconds.max(1))
    }

    /// Too many log-ins that failed.
    pub(super) fn locked(wait: Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        Kind::Locked.because(format!("try again in {seconds} s, or ask for an unlock")).with(RETRY_AFTER, seconds)
    }

    /// Adds a member for programs.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// The answer to a failure of our own: its cause goes to the log, not to the stranger.
    pub(super) fn ours(error: &dyn std::error::Error, passing: bool) -> Self {
        let chain = std::iter::successors(Some(error), |error| error.source());
        let cause = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        tracing::error!(cause, "an HTTP request failed");
        if passing { Kind::Unavailable.problem() } else { Kind::Internal.problem() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hotline\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if let Some(seconds) = self.members.get(RETRY_AFTER).and_then(Value::as_u64) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every error answer the shape of a problem and the id of its request; a report in JSON speaks for itself.
pub(super) fn dress(response: Response, instance: &str) -> Response {
    let status = response.status();
    let report = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if report || (!status.is_client_error() && !status.is_server_error()) {
        return response;
    }
    let known = response.extensions().get::<Problem>().cloned();
    let Some(mut problem) = known.or_else(|| Kind::of_status(status).map(Kind::problem)) else {
        return response;
    };
    problem.instance = Some(format!("urn:uuid:{instance}"));
    let mut dressed = problem.into_response();
    for name in [header::ALLOW, header::CONTENT_RANGE, header::ACCEPT_RANGES] {
        if let Some(value) = response.headers().get(&name) {
            dressed.headers_mut().insert(name, value.clone());
        }
    }
    dressed
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::ours(&error, error.is_passing())
    }
}

impl From<RecordingError> for Problem {
    fn from(error: RecordingError) -> Self {
        match error {
            RecordingError::NoKey(_) | RecordingError::NotFound(_) => {
                Kind::NotFound.because("the recording is not in the store")
            }
            error => Self::ours(&error, error.may_pass()),
        }
    }
}
