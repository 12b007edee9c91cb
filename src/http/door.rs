//! What every request passes: an id, a time limit, the shape of errors, a line in the log and a number in the metrics.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    App,
    problem::{Kind, dress},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer.
pub(super) async fn pass(State(app): State<App>, request: Request, next: Next) -> Response {
    let (id, began) = (app.clock.uuid().to_string(), app.clock.instant());
    let method = request.method().as_str().to_owned();
    // The route, not the path: paths hold ids, queries hold people's words.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let answer = tokio::time::timeout(app.patience, next.run(request)).await;
    let mut response = dress(answer.unwrap_or_else(|_| Kind::Timeout.problem().into_response()), &id);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    let (status, took) = (response.status().as_u16(), app.clock.instant() - began);
    tracing::debug!(request.id = id, method, route, status, duration_ms = took.as_millis(), "answered");
    metrics::counter!("http_requests_total", "route" => route.clone(), "status" => status.to_string()).increment(1);
    metrics::histogram!("http_request_seconds", "route" => route).record(took.as_secs_f64());
    response
}

/// A handler that panicked: the cause is in the log, the client learns that it was not its fault.
#[expect(clippy::needless_pass_by_value, reason = "the shape the catching layer asks for")]
pub(super) fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let text = cause.downcast_ref::<String>().cloned();
    let text = text.or_else(|| cause.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
    tracing::error!(cause = text, "an HTTP handler panicked");
    Kind::Internal.problem().into_response()
}
