//! The sound of a call: whole or in parts, as a player asks for it.

use std::ops::Range;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    audit::note,
    calls::sealed,
    extract::{HearCalls, Id, Who},
    problem::{Kind, Problem},
};
use crate::{
    domain::{audit::Action, ids::CallId},
    recording::Archive,
};

/// Read and sent at once; a recording of two hours has 230 MB.
const PIECE: u64 = 256 * 1024;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(recording))
}

/// The recording: WAV, 8 kHz, 16 bit, left the caller, right everybody else. Each fetch is noted in the audit.
#[utoipa::path(get, path = "/api/v1/calls/{id}/recording", tag = "calls",
    params(("id" = String, Path, format = Uuid, description = "The call"),
        ("Range" = Option<String>, Header, description = "One range of bytes")),
    responses((status = 200, description = "The whole file", content_type = "audio/wav", body = Vec<u8>),
        (status = 206, description = "The range asked for", content_type = "audio/wav", body = Vec<u8>),
        (status = 304, description = "The client has it (If-None-Match)"),
        (status = 416, description = "The range lies outside", body = Problem, content_type = "application/problem+json"),
        (status = "default", response = super::docs::AnyProblem)))]
async fn recording(
    State(app): State<App>,
    who: Who<HearCalls>,
    Id(id): Id<CallId>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let recording = sealed(&app, id).await?;
    let size = app.archive.size(&recording.key).await?;
    let wanted = wanted(&headers, size, &format!("\"{}\"", recording.sha256));
    let (status, range) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => (StatusCode::NOT_MODIFIED, 0..0),
        Wanted::Outside => return Ok(outside(size)),
    };
    if method != Method::HEAD && !range.is_empty() {
        let bytes = json!({ "from": range.start, "to": range.end, "of": size });
        note(&app, &who.user, Action::RecordingRead, format!("call:{id}"), bytes).await?;
    }
    let mut response = (status, body(app.archive.clone(), recording.key, range.clone())).into_response();
    describe(response.headers_mut(), status, &range, size, id, &recording.sha256);
    Ok(response)
}

/// What a request asks for, by its conditions and its range.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    Nothing,
    Outside,
}

/// Source: RFC 9110 §13.2.2 (order of conditions), §14.2 (a range nobody understands is not there).
fn wanted(headers: &HeaderMap, size: u64, tag: &str) -> Wanted {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let same = |known: &str| known.trim().trim_start_matches("W/") == tag || known.trim() == "*";
    if text(header::IF_NONE_MATCH).is_some_and(|known| known.split(',').any(same)) {
        return Wanted::Nothing;
    }
    if text(header::IF_RANGE).is_some_and(|known| known.trim() != tag) {
        return Wanted::Whole;
    }
    let Some(range) = text(header::RANGE).and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = range.split_once('-').filter(|_| !range.contains(',')) else {
        return Wanted::Whole;
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>(), first.trim().is_empty(), last.trim().is_empty()) {
        (_, Ok(count), true, _) if count > 0 && size > 0 => Wanted::Part(size.saturating_sub(count)..size),
        (_, Ok(_), true, _) => Wanted::Outside,
        (Ok(first), _, _, true) if first < size => Wanted::Part(first..size),
        (Ok(first), Ok(last), ..) if first <= last && first < size => {
            Wanted::Part(first..last.saturating_add(1).min(size))
        }
        (Ok(first), Ok(last), ..) if first > last => Wanted::Whole,
        (Ok(_), Ok(_), ..) | (Ok(_), _, _, true) => Wanted::Outside,
        _ => Wanted::Whole,
    }
}

fn outside(size: u64) -> Response {
    let mut response = Kind::Range.because(format!("the recording has {size} bytes")).into_response();
    insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

fn describe(headers: &mut HeaderMap, status: StatusCode, range: &Range<u64>, size: u64, id: CallId, sha256: &str) {
    insert(headers, header::ETAG, &format!("\"{sha256}\""));
    insert(headers, header::ACCEPT_RANGES, "bytes");
    insert(headers, header::CACHE_CONTROL, "private, no-cache");
    if status == StatusCode::NOT_MODIFIED {
        return;
    }
    insert(headers, header::CONTENT_TYPE, "audio/wav");
    insert(headers, header::CONTENT_LENGTH, &(range.end - range.start).to_string());
    insert(headers, header::CONTENT_DISPOSITION, &format!("inline; filename=\"{id}.wav\""));
    if status == StatusCode::PARTIAL_CONTENT {
        insert(headers, header::CONTENT_RANGE, &format!("bytes {}-{}/{size}", range.start, range.end - 1));
    }
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Reads piece by piece, as fast as the client takes it.
fn body(archive: Archive, key: String, range: Range<u64>) -> Body {
    Body::from_stream(stream::try_unfold(range, move |left| {
        let (archive, key) = (archive.clone(), key.clone());
        async move {
            if left.is_empty() {
                return Ok(None);
            }
            let end = left.end.min(left.start + PIECE);
            let piece = archive.read(&key, left.start..end).await?;
            Ok::<_, crate::recording::RecordingError>(Some((piece, end..left.end)))
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pairs: &[(&'static str, &str)]) -> Wanted {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().expect("a header"));
        }
        wanted(&headers, 1_000, "\"abc\"")
    }

    #[test]
    fn ranges_are_read_as_players_write_them() {
        assert_eq!(ask(&[]), Wanted::Whole);
        assert_eq!(ask(&[("range", "bytes=0-99")]), Wanted::Part(0..100));
        assert_eq!(ask(&[("range", "bytes=990-")]), Wanted::Part(990..1_000));
        assert_eq!(ask(&[("range", "bytes=-10")]), Wanted::Part(990..1_000));
        assert_eq!(ask(&[("range", "bytes=-5000")]), Wanted::Part(0..1_000));
        assert_eq!(ask(&[("range", "bytes=900-18446744073709551615")]), Wanted::Part(900..1_000));
    }

    #[test]
    fn ranges_outside_are_refused_and_senseless_ones_ignored() {
        for outside in ["bytes=1000-", "bytes=1000-2000", "bytes=-0"] {
            assert_eq!(ask(&[("range", outside)]), Wanted::Outside, "{outside}");
        }
        for senseless in
            ["bytes=9-3", "bytes=a-b", "bytes=-", "pages=1-2", "bytes=0-1,5-6", "bytes=99999999999999999999-"]
        {
            assert_eq!(ask(&[("range", senseless)]), Wanted::Whole, "{senseless}");
        }
    }

    #[test]
    fn conditions_come_before_the_range() {
        assert_eq!(ask(&[("if-none-match", "\"x\", W/\"abc\""), ("range", "bytes=0-1")]), Wanted::Nothing);
        assert_eq!(ask(&[("if-range", "\"old\""), ("range", "bytes=0-1")]), Wanted::Whole);
        assert_eq!(ask(&[("if-range", "\"abc\""), ("range", "bytes=0-1")]), Wanted::Part(0..2));
    }
}
