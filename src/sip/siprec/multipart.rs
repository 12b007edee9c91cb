//! A body of several parts (`multipart/mixed`, RFC 2046 §5.1), as far as a switch that forks its calls needs it. Pure.
//!
//! Strict in what is a delimiter, bounded in everything. Lines may end with LF alone, and a body that ends without its closing
//! delimiter ends its last part: its length was told by Content-Length already.

/// Parts looked at; a session description, metadata, and what a proxy may have added.
const MOST_PARTS: usize = 8;
/// Header lines of a part.
const MOST_HEADERS: usize = 16;
/// Longest boundary. RFC 2046 §5.1.1.
const LONGEST_BOUNDARY: usize = 70;

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its type in small letters, without parameters; `text/plain` where none is said.
    pub kind: String,
    pub body: &'a [u8],
}

/// Why a body has no parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("Content-Type names no boundary of 1 to {LONGEST_BOUNDARY} signs")]
    Boundary,
    #[error("the body has no part")]
    NoPart,
    #[error("the body has more than {MOST_PARTS} parts")]
    TooMany,
    #[error("the head of a part is no head, is longer than {MOST_HEADERS} lines, or asks for a decoder")]
    BadHead,
}

/// Cuts a body into its parts.
///
/// * `content_type` — the header's value, with its parameters.
pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, Malformed> {
    let boundary = boundary(content_type).ok_or(Malformed::Boundary)?;
    let mut parts = Vec::new();
    // Where the part that is open began; before the first delimiter none is.
    let mut open: Option<usize> = None;
    for (from, to) in lines(body) {
        let Some(closing) = delimiter(&body[from..to], &boundary) else { continue };
        if let Some(begin) = open.take() {
            if parts.len() == MOST_PARTS {
                return Err(Malformed::TooMany);
            }
            // The line's end before a delimiter belongs to it.
            parts.push(part(without_line_end(&body[begin..from]))?);
        }
        if closing {
            return if parts.is_empty() { Err(Malformed::NoPart) } else { Ok(parts) };
        }
        open = Some(to);
    }
    let begin = open.ok_or(Malformed::NoPart)?;
    if parts.len() == MOST_PARTS {
        return Err(Malformed::TooMany);
    }
    parts.push(part(&body[begin..])?);
    Ok(parts)
}

/// The boundary, with or without quotation marks.
fn boundary(content_type: &str) -> Option<String> {
    let mut rest = content_type.split_once(';')?.1;
    loop {
        let (name, behind) = rest.split_once('=')?;
        let behind = behind.trim_start();
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_at(behind.find(';').unwrap_or(behind.len())),
        };
        if name.trim().eq_ignore_ascii_case("boundary") {
            let value = value.trim_end();
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
            let good = (1..=LONGEST_BOUNDARY).contains(&value.len()) && value.bytes().all(fits);
            return good.then(|| value.to_owned());
        }
        rest = next.trim_start().strip_prefix(';')?;
    }
}

/// Begin and end of each line; the end lies behind its LF.
fn lines(body: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = body.get(from..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        from += length;
        Some((from - length, from))
    })
}

/// Whether a line is a delimiter, and if so, whether the closing one.
fn delimiter(line: &[u8], boundary: &str) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
    let (closing, rest) = rest.strip_prefix(b"--").map_or((false, rest), |rest| (true, rest));
    rest.iter().all(u8::is_ascii_whitespace).then_some(closing)
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn part(bytes: &[u8]) -> Result<Part<'_>, Malformed> {
    let mut kind = None;
    for (number, (from, to)) in lines(bytes).enumerate() {
        let line = without_line_end(&bytes[from..to]);
        if line.is_empty() {
            return Ok(Part { kind: kind.unwrap_or_else(|| "text/plain".into()), body: &bytes[to..] });
        }
        if number == MOST_HEADERS {
            return Err(Malformed::BadHead);
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            continue; // more parameters of the line before
        }
        let line = std::str::from_utf8(line).map_err(|_| Malformed::BadHead)?;
        let (name, value) = line.split_once(':').ok_or(Malformed::BadHead)?;
        let value = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.trim().to_ascii_lowercase().as_str() {
            "content-type" | "c" => kind = Some(value),
            "content-transfer-encoding" if !["binary", "8bit", "7bit"].contains(&value.as_str()) => {
                return Err(Malformed::BadHead);
            }
            "content-encoding" | "e" if value != "identity" => return Err(Malformed::BadHead),
            _ => {}
        }
    }
    // A head without the blank line behind it: a part without a body.
    Ok(Part { kind: kind.unwrap_or_else(|| "text/plain".into()), body: &[] })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: &str = "multipart/mixed;boundary=foo";

    fn kinds(content_type: &str, body: &str) -> Result<Vec<(String, String)>, Malformed> {
        let parts = parts(content_type, body.as_bytes())?;
        Ok(parts.into_iter().map(|it| (it.kind, String::from_utf8_lossy(it.body).into_owned())).collect())
    }

    fn part(kind: &str, body: &str) -> (String, String) {
        (kind.into(), body.into())
    }

    #[test]
    fn parts_are_cut_at_their_delimiters_whatever_stands_around_them() {
        let body = "preamble\r\n--foo\r\nContent-Type: application/SDP; x=1\r\n\r\nv=0\r\ns=-\r\n\r\n--foo  \r\n\
                    Content-Disposition: recording-session\r\nContent-Type:\tapplication/rs-metadata+xml\r\n\r\n<a/>\r\n\
                    --foobar\r\n--foo--\r\nepilogue\r\n--foo\r\n";
        let wanted =
            vec![part("application/sdp", "v=0\r\ns=-\r\n"), part("application/rs-metadata+xml", "<a/>\r\n--foobar")];
        for kind in
            [KIND, "multipart/mixed; charset=\"a;b\" ; Boundary = \"foo\"", "multipart/mixed; x=y;boundary=foo ;z=1"]
        {
            assert_eq!(kinds(kind, body), Ok(wanted.clone()), "{kind}");
        }
        assert_eq!(kinds(KIND, &body.replace("\r\n", "\n")).map(|it| it.len()), Ok(2));
    }

    #[test]
    fn a_body_without_its_closing_delimiter_ends_its_last_part() {
        assert_eq!(kinds(KIND, "--foo\n\nhello"), Ok(vec![part("text/plain", "hello")]));
        assert_eq!(kinds(KIND, "--foo\nContent-Type: a/b"), Ok(vec![part("a/b", "")]));
    }

    #[test]
    fn bodies_that_cannot_be_cut_are_refused_with_the_reason() {
        let long = format!("multipart/mixed;boundary={}", "x".repeat(71));
        for kind in [
            "multipart/mixed",
            "multipart/mixed;boundary=",
            "multipart/mixed;boundary=\"a",
            "multipart/mixed;boundary=ä",
            &long,
        ] {
            assert_eq!(kinds(kind, "--foo\n\n"), Err(Malformed::Boundary), "{kind}");
        }
        assert_eq!(kinds(KIND, ""), Err(Malformed::NoPart));
        assert_eq!(kinds(KIND, "--foo--\r\n"), Err(Malformed::NoPart));
        assert_eq!(kinds(KIND, &"--foo\n\n".repeat(MOST_PARTS + 1)), Err(Malformed::TooMany));
        assert_eq!(kinds(KIND, "--foo\nno head\n\n"), Err(Malformed::BadHead));
        assert_eq!(kinds(KIND, "--foo\nContent-Transfer-Encoding: base64\n\n"), Err(Malformed::BadHead));
        let long = format!("--foo\n{}\n", "A: b\n".repeat(MOST_HEADERS + 1));
        assert_eq!(kinds(KIND, &long), Err(Malformed::BadHead));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_fall_over(kind in "multipart/mixed; ?(boundary=)?[\"a-c;= ]{0,12}", body in "(--|a|b|c|\r\n|\n|: |;){0,60}") {
            let _ = parts(&kind, body.as_bytes());
        }

        #[test]
        fn what_stands_between_delimiters_comes_out_as_it_was(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6)) {
            prop_assume!(!bodies.iter().any(|body| body.windows(7).any(|it| it == b"--limit")));
            let mut whole = Vec::new();
            for body in &bodies {
                whole.extend_from_slice(b"--limit\r\nContent-Type: a/b\r\n\r\n");
                whole.extend_from_slice(body);
                whole.extend_from_slice(b"\r\n");
            }
            whole.extend_from_slice(b"--limit--\r\n");
            let cut = parts("multipart/mixed;boundary=limit", &whole).expect("parts");
            prop_assert_eq!(cut.iter().map(|it| it.body.to_vec()).collect::<Vec<_>>(), bodies);
        }
    }
}
