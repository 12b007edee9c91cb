//! What a telephone answers to a challenge: the value of `Authorization` (RFC 7616 §3.4).

use std::fmt;

/// One `Authorization: Digest …`, read and not yet believed. Quoted values are here without quotes and escapes.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub realm: String,
    pub nonce: String,
    /// The URI the telephone signed. A proxy may have changed the request's own since (RFC 3261 §22.4).
    pub uri: String,
    pub response: String,
    pub algorithm: Option<String>,
    pub qop: Option<String>,
    /// Eight hexadecimal digits, if it keeps to the rules.
    pub nc: Option<String>,
    pub cnonce: Option<String>,
}

impl Credentials {
    /// Longest value read, in bytes.
    pub const MAX: usize = 4096;

    /// Reads the header's value, `Digest` and all.
    ///
    /// * returns — `None` for another scheme, for what breaks the grammar, for a parameter said twice, and where one is
    ///   missing that RFC 2617 already demands.
    pub fn parse(value: &str) -> Option<Self> {
        if value.len() > Self::MAX {
            return None;
        }
        let (scheme, mut rest) = value.trim().split_once(SPACE)?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut said = Said::default();
        loop {
            rest = rest.trim_start_matches(|it| it == ',' || SPACE.contains(&it));
            if rest.is_empty() {
                return said.complete();
            }
            let (name, value, after) = parameter(rest)?;
            said.note(name, value)?;
            rest = after;
        }
    }
}

/// Shows nothing: the name is somebody's, and with the rest a password can be guessed at leisure.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// White space, folded lines included.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The parameters we know.
#[derive(Default)]
struct Said {
    username: Option<String>,
    realm: Option<String>,
    nonce: Option<String>,
    uri: Option<String>,
    response: Option<String>,
    algorithm: Option<String>,
    qop: Option<String>,
    nc: Option<String>,
    cnonce: Option<String>,
}

impl Said {
    /// * returns — `None` if it was said before: which one counts would be a guess.
    fn note(&mut self, name: &str, value: String) -> Option<()> {
        let slot = match name.to_ascii_lowercase().as_str() {
            "username" => &mut self.username,
            "realm" => &mut self.realm,
            "nonce" => &mut self.nonce,
            "uri" => &mut self.uri,
            "response" => &mut self.response,
            "algorithm" => &mut self.algorithm,
            "qop" => &mut self.qop,
            "nc" => &mut self.nc,
            "cnonce" => &mut self.cnonce,
            _ => return Some(()),
        };
        slot.replace(value).is_none().then_some(())
    }

    fn complete(self) -> Option<Credentials> {
        Some(Credentials {
            username: self.username?,
            realm: self.realm?,
            nonce: self.nonce?,
            uri: self.uri?,
            response: self.response?,
            algorithm: self.algorithm,
            qop: self.qop,
            nc: self.nc,
            cnonce: self.cnonce,
        })
    }
}

/// One `name=value` and what follows it: nothing, or a comma.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim_end_matches(SPACE), value.trim_start_matches(SPACE));
    if name.is_empty() || !name.chars().all(is_token) {
        return None;
    }
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)?,
        None => bare(value)?,
    };
    let rest = rest.trim_start_matches(SPACE);
    (rest.is_empty() || rest.starts_with(',')).then_some((name, value, rest))
}

/// A quoted value from after its first quote, and what follows its last.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(letters.next().map(|(_, escaped)| escaped).filter(|it| !it.is_control())?),
            _ if letter.is_control() => return None,
            _ => value.push(letter),
        }
    }
    None
}

/// A value without quotes. Wider than a token: some telephones leave the quotes off what should have them.
fn bare(text: &str) -> Option<(String, &str)> {
    let end = text.find(|it| it == ',' || SPACE.contains(&it)).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    let sound = !value.is_empty() && value.chars().all(|it| !it.is_control() && it != '"' && it != '\\');
    sound.then(|| (value.to_owned(), rest))
}

/// Letters of a token (RFC 3261 §25.1).
fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: &str = r#"Digest username="8001", realm="hotline", nonce="n", uri="sip:h", response="r", algorithm=MD5, qop=auth, nc=00000001, cnonce="c", opaque="o""#;

    #[test]
    fn a_telephones_answer_is_read() {
        let read = Credentials::parse(FULL).unwrap();

        assert_eq!(
            (read.username.as_str(), read.realm.as_str(), read.nonce.as_str(), read.uri.as_str()),
            ("8001", "hotline", "n", "sip:h")
        );
        assert_eq!(read.response, "r");
        assert_eq!((read.algorithm.as_deref(), read.qop.as_deref()), (Some("MD5"), Some("auth")));
        assert_eq!((read.nc.as_deref(), read.cnonce.as_deref()), (Some("00000001"), Some("c")));
    }

    #[test]
    fn order_case_and_white_space_do_not_matter() {
        let other = "dIGEST\tCNONCE = \"c\",,\r\n NC=00000001 ,qop=\"auth\",Algorithm=\"MD5\",response=r,URI=sip:h,\
                     nonce=\"n\",x-unknown=\"a, b=\\\"c\",realm=\"hotline\",username=\"8001\", ";

        assert_eq!(Credentials::parse(other), Credentials::parse(FULL));
    }

    #[test]
    fn escapes_and_commas_within_quotes_belong_to_the_value() {
        let value = FULL.replace("\"8001\"", r#""a\"b\\c, realm=\d 王""#);

        assert_eq!(Credentials::parse(&value).unwrap().username, r#"a"b\c, realm=d 王"#);
    }

    #[test]
    fn what_cannot_be_read_for_certain_is_not_read() {
        for wrong in [
            "",
            "Digest",
            "Digest ",
            "Basic dXNlcjpwYXNz",
            "Digest username",
            "Digest username=",
            "Digest =\"a\"",
            "Digest username=\"8001",
            "Digest username=\"8001\\",
            "Digest username=\"8001\"",
        ] {
            assert_eq!(Credentials::parse(wrong), None, "{wrong}");
        }
        for (from, to) in [
            ("username=\"8001\"", "username=\"8001\" x"),
            ("username=\"8001\"", "user name=\"8001\""),
            ("username=\"8001\"", "username=\"80\u{0}01\""),
            ("username=\"8001\"", "username=\"8001\", username=\"8002\""),
            ("nc=00000001", "nc=00000001 00000002"),
            ("nc=00000001", "nc=0000\"0001"),
        ] {
            assert_eq!(Credentials::parse(&FULL.replace(from, to)), None, "{to}");
        }
        for needed in ["username", "realm", "nonce", "uri", "response"] {
            assert_eq!(Credentials::parse(&FULL.replace(&format!("{needed}="), "other=")), None, "{needed}");
        }
    }

    #[test]
    fn more_than_four_kilobytes_are_not_read() {
        let padded = |length: usize| format!("{FULL}, x=\"{}\"", "x".repeat(length - FULL.len() - 6));

        assert_eq!(padded(4096).len(), 4096);
        assert!(Credentials::parse(&padded(4096)).is_some());
        assert_eq!(Credentials::parse(&padded(4097)), None);
    }

    #[test]
    fn a_log_shows_nobody() {
        assert_eq!(format!("{:?}", Credentials::parse(FULL).unwrap()), "Credentials { .. }");
    }

    proptest! {
        #[test]
        fn nothing_makes_the_reader_panic(value in any::<String>()) {
            let _ = Credentials::parse(&value);
            let _ = Credentials::parse(&format!("Digest {value}"));
            let _ = Credentials::parse(&format!("{FULL},{value}"));
        }

        #[test]
        fn no_broken_answer_makes_it_panic(
            parts in prop::collection::vec(
                prop::sample::select(vec!["username", "realm", "=", "\"", "\\", ",", " ", "\r\n", "王", "nc", "0", "\u{7f}"]), 0..60)
        ) {
            let _ = Credentials::parse(&format!("Digest {}", parts.concat()));
        }

        #[test]
        fn any_printable_name_comes_back(name in "\\PC{0,60}") {
            let quoted = name.replace('\\', r"\\").replace('"', "\\\"");
            let read = Credentials::parse(&FULL.replace("8001", &quoted));
            prop_assert_eq!(read.map(|it| it.username), Some(name));
        }
    }
}
