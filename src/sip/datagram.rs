//! Looks at a raw message before the stack does, and pure: what the stack would choke on is mended or refused here.
//!
//! A datagram is one message; on streams [`super::framing`] cuts them out, and each is judged here as well. The stack is silent about unknown methods, loses every header after one byte that is not UTF-8, throws a body
//! without Content-Length away and reads any SIP version. Order of checks: RFC 3261 §8.2, figures of RFC 4475.

use std::{borrow::Cow, fmt::Write, net::SocketAddr};

use encoding_rs::GB18030;

/// Longest message the stack reads, bytes.
pub const LONGEST: usize = 8192;
/// What we understand; also the value of our `Allow`.
pub const ALLOWED: [&str; 8] = ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "REGISTER"];
/// Methods that exist and that this line does not take: 405 rather than 501.
const KNOWN: [&str; 5] = ["MESSAGE", "NOTIFY", "PRACK", "PUBLISH", "SUBSCRIBE"];
/// For the phones of our own seats alone, in a call of ours with them; everybody else hears 405 from the dialog.
const OF_SEATS: &str = "REFER";
/// Most header lines of a message.
const MOST_HEADERS: usize = 256;

/// What becomes of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The stack may read it as it is.
    Pass,
    /// The stack reads this instead.
    Mended(Vec<u8>),
    /// Refused without the stack's help.
    Answer { status: u16, to: SocketAddr, bytes: Vec<u8> },
    /// Nothing that wants an answer, or nobody to answer.
    Ignore(&'static str),
}

/// Judges one datagram.
///
/// * `datagram` — as received, any bytes.
/// * `source` — who sent it; refusals go there unless Via names another port.
pub fn inspect(datagram: &[u8], source: SocketAddr) -> Verdict {
    if datagram.iter().all(u8::is_ascii_whitespace) {
        return Verdict::Pass; // keep-alive (RFC 5626), which the stack answers
    }
    let Some(message) = Message::read(datagram) else { return Verdict::Ignore("not SIP") };
    match message.judge(datagram.len()) {
        Ok(()) if message.mended => Verdict::Mended(message.bytes()),
        Ok(()) => Verdict::Pass,
        Err(fault) => message.refuse(&fault, source),
    }
}

/// The refusal of a datagram that passed, for a caller who found that the stack cannot read it after all.
pub fn refuse_unreadable(datagram: &[u8], source: SocketAddr) -> Verdict {
    refuse(datagram, source, 400, "Bad Request")
}

/// Refuses a message, or what there is of one.
pub fn refuse(message: &[u8], source: SocketAddr, status: u16, reason: &'static str) -> Verdict {
    match Message::read(message) {
        Some(message) => message.refuse(&Fault(status, reason, String::new()), source),
        None => Verdict::Ignore("not SIP"),
    }
}

/// What a head says about the length of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Bytes.
    Is(usize),
    Missing,
    /// No number, or two that differ.
    Bad,
    /// The head is none of SIP.
    NotSip,
}

/// Reads Content-Length, for streams.
///
/// * `head` — from the first line to the blank one.
pub fn body_length(head: &[u8]) -> BodyLength {
    match Message::parse(head).map(|message| message.content_length()) {
        None => BodyLength::NotSip,
        Some(Ok(Some(length))) => BodyLength::Is(length),
        Some(Ok(None)) => BodyLength::Missing,
        Some(Err(_)) => BodyLength::Bad,
    }
}

/// Status, reason phrase, further header lines.
struct Fault(u16, &'static str, String);

impl Fault {
    fn bad(reason: &'static str) -> Self {
        Self(400, reason, String::new())
    }
}

/// A message taken apart as far as needed: text where the wire had bytes.
struct Message<'a> {
    start: Cow<'a, str>,
    headers: Vec<(String, String)>,
    body: &'a [u8],
    /// The blank line was there.
    complete: bool,
    /// What the stack should read differs from what came.
    mended: bool,
}

impl<'a> Message<'a> {
    /// A whole datagram. `None` if the first line is none of SIP.
    fn read(datagram: &'a [u8]) -> Option<Self> {
        let mut this = Self::parse(datagram)?;
        this.mend_length();
        Some(this)
    }

    fn parse(datagram: &'a [u8]) -> Option<Self> {
        // Some phones send an empty line first (RFC 3261 §7.5).
        let lead = datagram.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let datagram = &datagram[lead..];
        let (head, body, complete) = split(datagram);
        let mut mended = lead > 0;
        let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let start = decode(lines.next()?, &mut mended);
        if !start.contains("SIP/") && !start.contains("sip:") {
            return None;
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            let line = decode(line, &mut mended);
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = headers.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                if headers.len() == MOST_HEADERS {
                    return None;
                }
                headers.push((long_name(name.trim()).into(), value.trim().into()));
            }
        }
        for (_, value) in headers.iter_mut().filter(|(name, _)| is_address(name)) {
            mended |= close_up(value);
        }
        Some(Self { start, headers, body, complete, mended })
    }

    /// Adds a Content-Length that is missing; cuts what stands behind a body that says where it ends (§18.3).
    fn mend_length(&mut self) {
        match self.content_length() {
            Ok(None) => {
                self.headers.push(("Content-Length".into(), self.body.len().to_string()));
                self.mended = true;
            }
            Ok(Some(length)) if length < self.body.len() => {
                self.body = &self.body[..length];
                self.mended = true;
            }
            _ => {}
        }
    }

    /// What Content-Length says, if it is there; an error if it says nothing that can be true.
    fn content_length(&self) -> Result<Option<usize>, Fault> {
        let bad = || Fault::bad("Bad Content-Length");
        let mut values = self.values("Content-Length");
        let Some(first) = values.next() else { return Ok(None) };
        let digits = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || values.any(|other| other != first) {
            return Err(bad());
        }
        first.parse().map(Some).map_err(|_| bad())
    }

    fn values<'b>(&'b self, name: &'static str) -> impl Iterator<Item = &'b str> {
        self.headers.iter().filter(move |(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn value(&self, name: &'static str) -> Option<&str> {
        self.values(name).next()
    }

    fn is_response(&self) -> bool {
        self.start.starts_with("SIP/")
    }

    fn method(&self) -> &str {
        self.start.split([' ', '\t']).next().unwrap_or_default()
    }

    /// The checks that come before the stack's, in their order.
    fn judge(&self, length: usize) -> Result<(), Fault> {
        let bad = |reason| Err(Fault::bad(reason));
        let words: Vec<&str> = self.start.split(' ').collect();
        if self.is_response() {
            return if self.complete && length <= LONGEST && self.body_is_whole() {
                Ok(())
            } else {
                bad("Bad Response")
            };
        }
        let [method, uri, version] = words[..] else { return bad("Bad Request Line") };
        if method.is_empty() || !method.bytes().all(is_token) || uri.is_empty() || !version.starts_with("SIP/") {
            return bad("Bad Request Line");
        }
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            return Err(Fault(505, "SIP Version Not Supported", String::new()));
        }
        if length > LONGEST || self.bytes_len() > LONGEST {
            return Err(Fault(513, "Message Too Large", String::new()));
        }
        if !self.complete {
            return bad("No Blank Line After The Headers");
        }
        if self.value("Via").is_none() {
            return bad("No Via");
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            if self.values(name).count() != 1 || self.value(name).is_some_and(str::is_empty) {
                return Err(Fault::bad(match name {
                    "From" => "Not One From",
                    "To" => "Not One To",
                    "Call-ID" => "Not One Call-ID",
                    _ => "Not One CSeq",
                }));
            }
        }
        if !self.body_is_whole() {
            return bad("Bad Content-Length");
        }
        let Some((number, named)) = self.value("CSeq").unwrap_or_default().split_once([' ', '\t']) else {
            return bad("Bad CSeq");
        };
        if number.parse::<u32>().is_ok_and(|number| number < 1 << 31) && number.bytes().all(|it| it.is_ascii_digit()) {
            if named.trim() != method {
                return bad("CSeq Names Another Method");
            }
        } else {
            return bad("Bad CSeq");
        }
        if self.values("Max-Forwards").any(|hops| hops.parse::<u8>().is_err()) {
            return bad("Bad Max-Forwards");
        }
        if ["From", "To"].iter().any(|name| self.values(name).any(|value| unquoted(value).is_none())) {
            return bad("Quotation Without End");
        }
        if tag(self.value("From").unwrap_or_default()).is_none() {
            return bad("From Without Tag");
        }
        if method == "INVITE" && self.values("Contact").next().is_none() {
            return bad("INVITE Without Contact");
        }
        if !ALLOWED.contains(&method) && method != OF_SEATS {
            let allow = format!("Allow: {}\r\n", ALLOWED.join(", "));
            return Err(if KNOWN.contains(&method) {
                Fault(405, "Method Not Allowed", allow)
            } else {
                Fault(501, "Not Implemented", allow)
            });
        }
        let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("sip" | "sips" | "tel") => Ok(()),
            Some(other)
                if !other.is_empty() && other.bytes().all(|it| it.is_ascii_alphanumeric() || b"+-.".contains(&it)) =>
            {
                Err(Fault(416, "Unsupported URI Scheme", String::new()))
            }
            _ => bad("Bad Request-URI"),
        }
    }

    fn body_is_whole(&self) -> bool {
        matches!(self.content_length(), Ok(Some(length)) if length == self.body.len())
    }

    fn bytes_len(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        self.start.len() + headers + self.body.len() + 4
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(self.body);
        bytes
    }

    /// Writes the refusal. Responses, ACKs and messages without Via are never answered.
    fn refuse(&self, Fault(status, reason, further): &Fault, source: SocketAddr) -> Verdict {
        if self.is_response() || self.method() == "ACK" {
            return Verdict::Ignore("malformed, and not to be answered");
        }
        let Some(top) = self.value("Via") else { return Verdict::Ignore("request without Via") };
        let mut text = format!("SIP/2.0 {status} {reason}\r\n");
        for (index, via) in self.values("Via").enumerate() {
            let via = if index == 0 { received(via, source) } else { via.to_owned() };
            let _ = write!(text, "Via: {via}\r\n");
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let Some(value) = self.value(name) else { continue };
            let _ = write!(text, "{name}: {value}");
            if name == "To" && tag(value).is_none() {
                let _ = write!(text, ";tag={:016x}", self.fingerprint());
            }
            text.push_str("\r\n");
        }
        let _ = write!(text, "{further}Content-Length: 0\r\n\r\n");
        Verdict::Answer { status: *status, to: reply_address(top, source), bytes: text.into_bytes() }
    }

    /// The same for each repetition of a request, so that its refusals carry one tag (FNV-1a).
    fn fingerprint(&self) -> u64 {
        let values = ["Call-ID", "From", "CSeq", "Via"].into_iter().flat_map(|name| self.values(name));
        values
            .flat_map(str::bytes)
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// Head, body, and whether the blank line between them was there.
fn split(datagram: &[u8]) -> (&[u8], &[u8], bool) {
    match datagram.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(end) => (&datagram[..end], &datagram[end + 4..], true),
        None => (datagram, &[], false),
    }
}

/// UTF-8 as it is, else GB18030 (Chinese trunks send GBK display names), else with the odd bytes replaced.
fn decode<'a>(line: &'a [u8], mended: &mut bool) -> Cow<'a, str> {
    if let Ok(text) = std::str::from_utf8(line) {
        return Cow::Borrowed(text);
    }
    *mended = true;
    match GB18030.decode_without_bom_handling_and_without_replacement(line) {
        Some(text) => Cow::Owned(text.into_owned()),
        None => Cow::Owned(String::from_utf8_lossy(line).into_owned()),
    }
}

/// Compact forms of RFC 3261 §7.3.3 written out.
fn long_name(name: &str) -> &str {
    match name {
        "v" | "V" => "Via",
        "f" | "F" => "From",
        "t" | "T" => "To",
        "i" | "I" => "Call-ID",
        "l" | "L" => "Content-Length",
        "m" | "M" => "Contact",
        "c" | "C" => "Content-Type",
        "e" | "E" => "Content-Encoding",
        "k" | "K" => "Supported",
        "s" | "S" => "Subject",
        "x" | "X" => "Session-Expires",
        other => other,
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

fn is_address(name: &str) -> bool {
    name.eq_ignore_ascii_case("From") || name.eq_ignore_ascii_case("To")
}

/// Where the text behind the last quotation begins; `None` if a quotation has no end.
fn unquoted(value: &str) -> Option<usize> {
    let (mut quoted, mut escaped, mut behind) = (false, false, 0);
    for (at, letter) in value.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                behind = at + 1;
            }
            _ => {}
        }
    }
    (!quoted).then_some(behind)
}

/// Takes the blanks around `;` and `=` behind the address away: the stack does not find `; tag = x`.
fn close_up(value: &mut String) -> bool {
    let Some(behind) = unquoted(value) else { return false };
    let start = value[behind..].rfind('>').map_or(behind, |end| behind + end + 1);
    if !value[start..].contains([' ', '\t']) {
        return false;
    }
    let mut closed = value[..start].to_owned();
    for (index, part) in value[start..].split(';').enumerate() {
        if index > 0 {
            closed.push(';');
        }
        let (name, rest) = part.split_once('=').map_or((part, None), |(name, rest)| (name, Some(rest)));
        closed.push_str(name.trim());
        if let Some(rest) = rest {
            closed.extend(["=", rest.trim()]);
        }
    }
    let changed = closed != *value;
    *value = closed;
    changed
}

/// The `tag` parameter of a From or To: behind the closing bracket, or behind the bare address.
fn tag(value: &str) -> Option<&str> {
    let parameters = value.rfind('>').map_or(value, |end| &value[end + 1..]);
    let mut parameters = parameters.split(';').skip(1).filter_map(|it| it.split_once('='));
    parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("tag")).map(|(_, value)| value.trim())
}

/// The sent-by of a Via: host and, if written, port.
fn sent_by(via: &str) -> (&str, Option<u16>) {
    let first = via.split([';', ',']).next().unwrap_or_default();
    let address = first.split_ascii_whitespace().last().unwrap_or_default();
    match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (address, None),
    }
}

fn wants_rport(via: &str) -> bool {
    let first = via.split(',').next().unwrap_or_default();
    first.split(';').skip(1).any(|it| it.split('=').next().unwrap_or_default().trim().eq_ignore_ascii_case("rport"))
}

/// RFC 3261 §18.2.2 and RFC 3581: back to the source; to the port in Via unless they asked for `rport`.
fn reply_address(via: &str, source: SocketAddr) -> SocketAddr {
    if wants_rport(via) {
        return source;
    }
    SocketAddr::new(source.ip(), sent_by(via).1.unwrap_or(5060))
}

/// The top Via with what we saw: `received`, and `rport` filled in.
fn received(via: &str, source: SocketAddr) -> String {
    let (first, rest) = via.split_at(via.find(',').unwrap_or(via.len()));
    let mut out = String::new();
    for (index, part) in first.split(';').enumerate() {
        match part.split('=').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "rport" if index > 0 => {
                let _ = write!(out, ";rport={}", source.port());
            }
            "received" if index > 0 => {}
            _ if index > 0 => {
                let _ = write!(out, ";{part}");
            }
            _ => out.push_str(part.trim_end()),
        }
    }
    let _ = write!(out, ";received={}{rest}", source.ip());
    out
}

#[cfg(test)]
#[path = "datagram_tests.rs"]
mod tests;
