//! What every request passes: an id, the client's share, a time limit, the shape of errors, headers that keep browsers
//! safe, a span, a line in the log and a number in the metrics.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::{Instrument, field::Empty};

use super::{
    App,
    problem::{Kind, Problem, dress},
    serve::Peer,
};
use crate::telemetry::WALK;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where people log in.
const LOG_IN: &str = "/api/v1/sessions";

/// The outermost layer.
pub(super) async fn pass(State(app): State<App>, request: Request, next: Next) -> Response {
    let (id, began) = (app.clock.uuid().to_string(), app.clock.instant());
    let method = known(request.method());
    // The route, not the path: paths hold ids, queries hold people's words.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    let span = tracing::info_span!(
        target: WALK,
        "http.request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        request.id = id,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    let shown = app.limits.shown(request.headers());
    let answer = async {
        if let Err(problem) = admit(&app, peer, shown, &route, &request) {
            return problem.into_response();
        }
        let answer = tokio::time::timeout(app.patience, next.run(request)).await;
        answer.unwrap_or_else(|_| Kind::Timeout.problem().into_response())
    };
    let mut response = dress(answer.instrument(span.clone()).await, &id);
    let (status, took) = (response.status().as_u16(), app.clock.instant() - began);
    if status == 401 {
        app.limits.disprove(shown);
    }
    protect(response.headers_mut(), &route, peer.encrypted);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
    let duration_ms = took.as_millis();
    if status >= 500 && route != "/readyz" {
        // The problem that the client got names the request by this id.
        tracing::warn!(request.id = id, method, route, status, duration_ms, "answered");
    } else {
        tracing::debug!(request.id = id, method, route, status, duration_ms, "answered");
    }
    metrics::histogram!("hotline_http_request_duration_seconds", "route" => route.clone()).record(took.as_secs_f64());
    let status = status.to_string();
    metrics::counter!("hotline_http_requests_total", "method" => method, "route" => route, "status" => status)
        .increment(1);
    response
}

/// Whether a request may come in at all.
fn admit(app: &App, peer: Peer, shown: Option<u64>, route: &str, request: &Request) -> Result<(), Problem> {
    let (method, headers) = (request.method(), request.headers());
    // Whoever logs in is nobody yet, whatever they were before.
    let shown = shown.filter(|_| !(route == LOG_IN && method == Method::POST));
    app.limits.take(peer.address, shown).map_err(Problem::too_many)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !method.is_safe() && !same_origin(headers, host) {
        return Err(Kind::Forbidden.because("a page of another site may not change anything here"));
    }
    Ok(())
}

/// Whether a request comes from a page of this very host, or from no page at all.
///
/// A browser says so in `Sec-Fetch-Site`, an older one in `Origin`; who sends neither is no browser that could be
/// misled. Source: Fetch Metadata Request Headers (W3C) §2, RFC 6454 §7.
///
/// * `host` — what the request calls us, `line.example:8080`.
pub(super) fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    if let Some(site) = headers.get(FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    origin.as_ref().and_then(Uri::authority).is_some_and(|from| from.as_str().eq_ignore_ascii_case(host))
}

/// What a page of ours may load: its own files. Swagger UI sets styles from its script.
const PAGE: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// What is no page loads nothing, should a browser ever show it as one.
const DATA: &str = "default-src 'none'; frame-ancestors 'none'";

/// Headers of every answer. There is no `Access-Control-…` among them: no other site's page reads anything here.
fn protect(headers: &mut HeaderMap, route: &str, encrypted: bool) {
    let is_page = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CONTENT_SECURITY_POLICY, if is_page { PAGE } else { DATA });
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if !route.starts_with("/docs") {
        set(header::CACHE_CONTROL, "no-store");
    }
    if encrypted {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
}

/// The method's name, as long as it is one of those that HTTP has: strangers may make others up.
fn known(method: &Method) -> &'static str {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]
        .iter()
        .zip(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
        .find(|(known, _)| *known == method)
        .map_or("other", |(_, name)| name)
}

/// A handler that panicked: where is in the log (what it said may hold people's words), the client learns that it was
/// not its fault.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("an HTTP handler panicked");
    Kind::Internal.problem().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_site_is_known_by_what_its_browser_says() {
        let says = |pairs: &[(&'static str, &str)]| {
            let pairs =
                pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header")));
            same_origin(&pairs.collect(), "line.example:8080")
        };
        for same in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://line.example:8080")],
            &[("origin", "https://LINE.example:8080")],
        ] {
            assert!(says(same), "{same:?}");
        }
        for other in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://line.example:8080")],
            &[("origin", "https://evil.example")],
            &[("origin", "https://line.example:8080.evil.example")],
            &[("origin", "https://line.example")],
            &[("origin", "null")],
            &[("origin", "")],
        ] {
            assert!(!says(other), "{other:?}");
        }
    }

    #[test]
    fn a_method_that_somebody_made_up_has_no_name() {
        assert_eq!(known(&Method::PATCH), "PATCH");
        assert_eq!(known(&"SIP13806352219".parse().expect("a method")), "other");
    }
}
