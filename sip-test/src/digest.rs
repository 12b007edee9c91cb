//! Digest authentication as a telephone does it (RFC 7616; RFC 8760 for SIP): MD5 and SHA-256, `qop=auth` or none.

use md5::Md5;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// How secrets are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Algorithm {
    #[serde(rename = "MD5")]
    Md5,
    #[serde(rename = "SHA-256")]
    Sha256,
}

impl Algorithm {
    /// The standard's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The algorithm of a name; none for those we do not know.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex::encode(Md5::digest(text)),
            Self::Sha256 => hex::encode(Sha256::digest(text)),
        }
    }
}

/// What a `WWW-Authenticate` asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Challenge {
    pub realm: String,
    pub nonce: String,
    /// As it stands there; MD5 where nothing stands.
    pub algorithm: String,
    pub opaque: Option<String>,
    /// The nonce before was good once, the secret is not in doubt.
    pub stale: bool,
    /// All that stands in qop; nothing is a challenge of RFC 2069.
    pub qop: Option<String>,
}

impl Challenge {
    /// Reads the value of a header. Nothing for another scheme, or without realm or nonce.
    pub fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let pairs = pairs(rest);
        let find =
            |name: &str| pairs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
        Some(Self {
            realm: find("realm")?,
            nonce: find("nonce")?,
            algorithm: find("algorithm").unwrap_or_else(|| "MD5".into()),
            opaque: find("opaque"),
            stale: find("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            qop: find("qop"),
        })
    }

    /// Whether a phone can answer it: an algorithm it knows, and `auth` where qop stands.
    pub fn known(&self) -> Option<Algorithm> {
        let auth =
            self.qop.as_ref().is_none_or(|qop| qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")));
        Algorithm::named(&self.algorithm).filter(|_| auth)
    }
}

/// Who asks for what, and how often with this nonce.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub user: &'a str,
    pub secret: &'a str,
    pub method: &'a str,
    pub uri: &'a str,
    /// Ours, a new one for each answer.
    pub cnonce: &'a str,
    /// 1 for the first answer with this nonce.
    pub count: u32,
}

/// The value of an `Authorization` that answers the challenge; nothing if it is not [`Challenge::known`].
///
/// Source: RFC 7616 §3.4.
pub fn authorization(challenge: &Challenge, request: &Request) -> Option<String> {
    let algorithm = challenge.known()?;
    let Request { user, secret, method, uri, cnonce, count } = request;
    let Challenge { realm, nonce, opaque, qop, .. } = challenge;
    let who = algorithm.hash(&format!("{user}:{realm}:{secret}"));
    let what = algorithm.hash(&format!("{method}:{uri}"));
    let (response, behind) = if qop.is_some() {
        let response = algorithm.hash(&format!("{who}:{nonce}:{count:08x}:{cnonce}:auth:{what}"));
        (response, format!(", qop=auth, nc={count:08x}, cnonce=\"{cnonce}\""))
    } else {
        (algorithm.hash(&format!("{who}:{nonce}:{what}")), String::new())
    };
    let opaque = opaque.as_ref().map(|opaque| format!(", opaque=\"{opaque}\"")).unwrap_or_default();
    Some(format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm={}{behind}{opaque}",
        algorithm.name()
    ))
}

/// `name=value` and `name="value"`, divided by commas outside of quotation marks.
fn pairs(text: &str) -> Vec<(String, String)> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for letter in text.chars() {
        match letter {
            '"' if !escaped => quoted = !quoted,
            ',' if !quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    let pair = |part: &String| {
        let (name, value) = part.split_once('=')?;
        let value = value.trim();
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        Some((name.trim().to_owned(), bare.to_owned()))
    };
    parts.iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(challenge: &str, request: &Request) -> String {
        let answer = authorization(&Challenge::parse(challenge).unwrap(), request).unwrap();
        pairs(answer.strip_prefix("Digest ").unwrap()).into_iter().find(|(name, _)| name == "response").unwrap().1
    }

    #[test]
    fn the_example_of_rfc_2617_is_met() {
        let request = Request {
            user: "Mufasa",
            secret: "Circle Of Life",
            method: "GET",
            uri: "/dir/index.html",
            cnonce: "0a4f113b",
            count: 1,
        };
        let challenge = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
                         nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        assert_eq!(response(challenge, &request), "6629fae49393a05397450978507c4ef1");
        let old = challenge.replace("qop=\"auth,auth-int\", ", "");
        assert_eq!(response(&old, &request), "670fd8c2df070c60b045671b8b24ff02", "without qop, as in RFC 2069");
    }

    #[test]
    fn the_examples_of_rfc_7616_are_met_in_both_algorithms() {
        let request = Request {
            user: "Mufasa",
            secret: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            count: 1,
        };
        let challenge = |algorithm| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        assert_eq!(response(&challenge("MD5"), &request), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            response(&challenge("SHA-256"), &request),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn a_challenge_is_read_with_its_commas_and_what_cannot_be_answered_is_known() {
        let read =
            Challenge::parse("digest realm=\"a, \\\"b\\\"\",nonce=\"n=1\" , stale=TRUE, algorithm=sha-256").unwrap();
        assert_eq!((read.nonce.as_str(), read.stale, read.known()), ("n=1", true, Some(Algorithm::Sha256)));
        assert_eq!(read.realm, "a, \\\"b\\\"", "hashed and sent back as it stands");
        for unknown in ["algorithm=SHA-512-256", "algorithm=MD5-sess", "qop=\"auth-int\""] {
            let text = format!("Digest realm=\"r\", nonce=\"n\", {unknown}");
            assert_eq!(Challenge::parse(&text).unwrap().known(), None, "{unknown}");
        }
        assert_eq!(Challenge::parse("Basic realm=\"r\", nonce=\"n\""), None);
        assert_eq!(Challenge::parse("Digest realm=\"r\""), None);
    }
}
