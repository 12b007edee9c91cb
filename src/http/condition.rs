//! The version that a client has seen: `ETag` out, `If-Match` or the body's `version` in. A stale one is 409, with what
//! changed; naming none is 400.

use axum::{
    Json,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::problem::{Kind, Problem};

/// A thing with its version as a strong `ETag`.
pub(super) struct Tagged<T>(pub(super) u64, pub(super) T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, format!("\"{}\"", self.0))], Json(self.1)).into_response()
    }
}

/// Takes the version out of a request: from `If-Match`, or else from the body.
pub(super) fn version(headers: &HeaderMap, body: &mut Map<String, Value>) -> Result<u64, Problem> {
    let wrong = |what: &str| Kind::BadRequest.because(format!("version: {what}")).with("field", "version");
    let named = match body.remove("version") {
        None => None,
        Some(version) => {
            let number = version.as_u64();
            Some(number.ok_or_else(|| wrong("is the number that the case had when it was read"))?)
        }
    };
    match (tag(headers)?, named) {
        (Some(tag), Some(named)) if tag != named => Err(wrong("is another than that of If-Match")),
        (Some(version), _) | (None, Some(version)) => Ok(version),
        (None, None) => Err(wrong("is the number that the case had when it was read, here or as If-Match")),
    }
}

/// The one tag of `If-Match`. `*`, a list or a weak tag would not say what was seen.
fn tag(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut sent = headers.get_all(header::IF_MATCH).iter();
    let Some(tag) = sent.next() else { return Ok(None) };
    let digits = tag.to_str().ok().and_then(|tag| tag.trim().strip_prefix('"')?.strip_suffix('"'));
    let wrong =
        || Kind::BadRequest.because("If-Match: is not the one ETag that the case had").with("field", "If-Match");
    match (digits.and_then(|digits| digits.parse().ok()), sent.next()) {
        (Some(version), None) => Ok(Some(version)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(tags: &[&str], body: Value) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for tag in tags {
            headers.append(header::IF_MATCH, tag.parse().expect("a header"));
        }
        let Value::Object(mut body) = body else { panic!("an object") };
        let read = version(&headers, &mut body).ok();
        assert!(read.is_none() || !body.contains_key("version"));
        read
    }

    #[test]
    fn the_version_comes_from_the_header_or_the_body_and_not_from_two_that_differ() {
        assert_eq!(read(&["\"3\""], json!({})), Some(3));
        assert_eq!(read(&[], json!({ "version": 3 })), Some(3));
        assert_eq!(read(&["\"3\""], json!({ "version": 3 })), Some(3));
        assert_eq!(read(&["\"3\""], json!({ "version": 4 })), None);
        assert_eq!(read(&[], json!({})), None);
        assert_eq!(read(&[], json!({ "version": "3" })), None);
    }

    #[test]
    fn a_tag_that_does_not_say_what_was_seen_is_refused() {
        for tags in [&["*"][..], &["W/\"3\""], &["\"3\", \"4\""], &["3"], &["\"three\""], &["\"3\"", "\"3\""], &["\""]]
        {
            assert_eq!(read(tags, json!({ "version": 3 })), None, "{tags:?}");
        }
    }
}
