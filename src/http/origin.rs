//! Whether a request that carries a cookie was made by a page of our own. A cookie comes along with whatever page sends
//! the request; a bearer token does not, so only cookies are asked for more.

use axum::http::{HeaderMap, HeaderName, Method, Uri, header};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request may change something in the name of its cookie: it has to say that it comes from a page of ours.
///
/// Source: Fetch Metadata Request Headers (W3C) §2, RFC 6454 §7.
pub(super) fn may_use_cookie(method: &Method, headers: &HeaderMap) -> bool {
    if method.is_safe() {
        return true;
    }
    if let Some(site) = headers.get(FETCH_SITE) {
        return site == "same-origin";
    }
    headers.contains_key(header::ORIGIN) && is_ours(headers)
}

/// Whether a request was made by a page of ours, or by no page at all.
pub(super) fn is_ours(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()?.parse::<Uri>().ok());
    match (host, origin.as_ref().and_then(Uri::authority)) {
        (Some(host), Some(origin)) => origin.as_str().eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_changes_nothing_unless_the_page_is_known_to_be_ours() {
        let says = |method: Method, pairs: &[(&'static str, &str)]| {
            let host = [("host", "line.example:8080")];
            let pairs = host.iter().chain(pairs);
            let pairs = pairs.map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header")));
            may_use_cookie(&method, &pairs.collect())
        };
        for ours in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("origin", "https://line.example:8080")],
            &[("origin", "http://LINE.example:8080")],
        ] {
            assert!(says(Method::POST, ours), "{ours:?}");
        }
        for other in [
            &[][..],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://line.example:8080")],
            &[("origin", "https://evil.example")],
            &[("origin", "https://line.example")],
            &[("origin", "null")],
            &[("origin", "")],
        ] {
            assert!(!says(Method::DELETE, other), "{other:?}");
            assert!(says(Method::GET, other), "who only reads is not asked");
        }
    }
}
