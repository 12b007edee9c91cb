//! SIP messages: read by `rsip`, written by hand.

use std::net::SocketAddr;

use rsip::{SipMessage, message::HasHeaders};

/// A message as `rsip` reads it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Status of an answer.
    pub status: Option<u16>,
    /// Method of a request.
    pub method: Option<String>,
    headers: Vec<(String, String)>,
    pub body: String,
    /// The first line.
    pub start: String,
}

impl Message {
    /// Reads a datagram.
    ///
    /// # Errors
    /// What `rsip` does not like about it.
    pub fn parse(datagram: &[u8]) -> Result<Self, String> {
        let message = SipMessage::try_from(datagram).map_err(|error| error.to_string())?;
        let headers = message
            .headers()
            .iter()
            .filter_map(|header| {
                let text = header.to_string();
                text.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect();
        let (status, method) = match &message {
            SipMessage::Request(request) => (None, Some(request.method().to_string())),
            SipMessage::Response(response) => (Some(response.status_code().code()), None),
        };
        let body = String::from_utf8_lossy(message.body()).into_owned();
        let start = String::from_utf8_lossy(datagram).lines().next().unwrap_or_default().to_owned();
        let message = Self { status, method, headers, body, start };
        message.check()?;
        Ok(message)
    }

    /// First header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers of this name, in order.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Number and method of the CSeq.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq")?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// Branch of the topmost Via.
    pub fn branch(&self) -> Option<&str> {
        parameter(self.header("Via")?, "branch")
    }

    /// What RFC 3261 §8.1.1 wants in every message.
    fn check(&self) -> Result<(), String> {
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            if self.header(name).is_none() {
                return Err(format!("has no {name}"));
            }
        }
        if self.branch().is_none() {
            return Err("its Via has no branch".into());
        }
        self.cseq().map(|_| ()).ok_or_else(|| "its CSeq is no number and method".into())
    }

    /// Answers a request the way RFC 3261 §8.2.6 wants it.
    ///
    /// * `tag` — added to To where it has none.
    /// * `body` — a session description, or nothing.
    pub fn answer(&self, status: &str, tag: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for via in self.headers("Via") {
            push(&mut text, "Via", via);
        }
        for route in self.headers("Record-Route") {
            push(&mut text, "Record-Route", route);
        }
        push(&mut text, "From", self.header("From").unwrap_or_default());
        let to = self.header("To").unwrap_or_default();
        if parameter(to, "tag").is_none() && !tag.is_empty() {
            push(&mut text, "To", &format!("{to};tag={tag}"));
        } else {
            push(&mut text, "To", to);
        }
        push(&mut text, "Call-ID", self.header("Call-ID").unwrap_or_default());
        push(&mut text, "CSeq", self.header("CSeq").unwrap_or_default());
        for (name, value) in headers {
            push(&mut text, name, value);
        }
        close(&mut text, body);
        text
    }
}

/// The phone's side of a dialog: everything a request of it needs.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local: SocketAddr,
    /// From header with our tag.
    pub(crate) from: String,
    /// To header, with the far tag once it is known.
    pub(crate) to: String,
    /// Request URI: the number dialled, later the far Contact.
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) contact: String,
    /// Goes over a stream; Via and Contact say so.
    pub(crate) tcp: bool,
}

impl Dialog {
    /// Before anything was sent.
    pub(crate) fn new(to: &str, local: SocketAddr, number: &str, display_name: Option<&str>, tcp: bool) -> Self {
        let name = display_name.map(|name| format!("\"{name}\" ")).unwrap_or_default();
        let way = if tcp { ";transport=tcp" } else { "" };
        Self {
            call_id: format!("{}@sip-test", token()),
            local,
            from: format!("{name}<sip:{number}@{}>;tag={}", local.ip(), token()),
            to: format!("<{to}>"),
            target: to.into(),
            routes: Vec::new(),
            contact: format!("<sip:{number}@{local}{way}>"),
            tcp,
        }
    }

    /// The called side's, of an INVITE that came to us (RFC 3261 §12.1.1).
    ///
    /// * `tag` — ours, as the answers have it.
    /// * `contact` — ours, as a header value.
    pub(crate) fn taken(invite: &Message, tag: &str, local: SocketAddr, contact: String, tcp: bool) -> Self {
        let header = |name| invite.header(name).unwrap_or_default();
        Self {
            call_id: header("Call-ID").into(),
            local,
            from: format!("{};tag={tag}", header("To")),
            to: header("From").into(),
            target: address(invite.header("Contact").unwrap_or(header("From"))).into(),
            routes: routes(invite),
            contact,
            tcp,
        }
    }

    /// Takes over the far tag, Contact and route set of an answer that makes a dialog (RFC 3261 §12.1.2).
    pub(crate) fn confirm(&mut self, answer: &Message) {
        self.to = answer.header("To").unwrap_or(&self.to).to_owned();
        if let Some(contact) = answer.header("Contact") {
            address(contact).clone_into(&mut self.target);
        }
        self.routes = routes(answer);
        self.routes.reverse();
    }

    /// A request of this dialog.
    pub(crate) fn request(
        &self,
        method: &str,
        cseq: u32,
        branch: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> String {
        let mut text = format!("{method} {} SIP/2.0\r\n", self.target);
        let way = if self.tcp { "TCP" } else { "UDP" };
        push(&mut text, "Via", &format!("SIP/2.0/{way} {};branch={branch};rport", self.local));
        for route in &self.routes {
            push(&mut text, "Route", route);
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Max-Forwards")) {
            push(&mut text, "Max-Forwards", "70");
        }
        push(&mut text, "From", &self.from);
        push(&mut text, "To", &self.to);
        push(&mut text, "Call-ID", &self.call_id);
        push(&mut text, "CSeq", &format!("{cseq} {method}"));
        if method != "BYE" && method != "CANCEL" {
            push(&mut text, "Contact", &self.contact);
        }
        push(&mut text, "User-Agent", "sip-test");
        for (name, value) in headers {
            push(&mut text, name, value);
        }
        if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Content-Type")) {
            close_as_is(&mut text, body);
        } else {
            close(&mut text, body);
        }
        text
    }

    /// Where requests of the confirmed dialog go: the first route, else the far Contact; `None` keeps the address.
    pub(crate) fn next_hop(&self) -> Option<SocketAddr> {
        let uri = self.routes.first().map_or(self.target.as_str(), |route| address(route));
        let host = uri.split_once(':')?.1;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host).split(';').next()?;
        host.parse().ok().or_else(|| host.parse().ok().map(|ip| SocketAddr::new(ip, 5060)))
    }
}

/// The Record-Route of a message, in its order.
fn routes(message: &Message) -> Vec<String> {
    message.headers("Record-Route").flat_map(|line| line.split(',')).map(|route| route.trim().into()).collect()
}

/// A new branch, RFC 3261 §8.1.1.7.
pub(crate) fn branch() -> String {
    format!("z9hG4bK{}", token())
}

/// Letters and digits nobody else has.
pub(crate) fn token() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(16).collect()
}

/// The URI in a From, To or Contact.
pub(crate) fn address(header: &str) -> &str {
    match header.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => header.split(';').next().unwrap_or(header),
    }
    .trim()
}

/// A header's parameter, behind the address.
pub(crate) fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let behind = header.rsplit_once('>').map_or(header, |(_, behind)| behind);
    behind.split(';').skip(1).find_map(|pair| {
        let (known, value) = pair.split_once('=')?;
        known.trim().eq_ignore_ascii_case(name).then(|| value.split(',').next().unwrap_or(value).trim())
    })
}

fn push(text: &mut String, name: &str, value: &str) {
    text.extend([name, ": ", value, "\r\n"]);
}

fn close(text: &mut String, body: &str) {
    if !body.is_empty() {
        push(text, "Content-Type", "application/sdp");
    }
    close_as_is(text, body);
}

/// The type of the body was said already.
fn close_as_is(text: &mut String, body: &str) {
    push(text, "Content-Length", &body.len().to_string());
    text.push_str("\r\n");
    text.push_str(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_read_back_whole() {
        let local = "127.0.0.1:5070".parse().unwrap();
        let mut dialog = Dialog::new("sip:12345@127.0.0.1:5060", local, "13806352219", Some("张三"), false);
        let invite = dialog.request("INVITE", 1, "z9hG4bKx", &[("Supported", "timer")], "v=0\r\n");
        let invite = Message::parse(invite.as_bytes()).unwrap();
        assert_eq!((invite.method.as_deref(), invite.cseq()), (Some("INVITE"), Some((1, "INVITE"))));
        assert_eq!((invite.branch(), invite.body.as_str()), (Some("z9hG4bKx"), "v=0\r\n"));

        let routes = [("Record-Route", "<sip:10.0.0.9:5080;lr>"), ("Contact", "<sip:line@10.0.0.1:5062>")];
        let answer = Message::parse(invite.answer("200 OK", "far", &routes, "").as_bytes()).unwrap();
        assert_eq!(answer.status, Some(200));
        dialog.confirm(&answer);
        assert_eq!(
            (dialog.target.as_str(), dialog.to.as_str()),
            ("sip:line@10.0.0.1:5062", "<sip:12345@127.0.0.1:5060>;tag=far")
        );
        assert_eq!(dialog.next_hop(), Some("10.0.0.9:5080".parse().unwrap()));

        let called = Dialog::taken(&invite, "far", local, "<sip:8001@10.0.0.2>".into(), false);
        let bye = Message::parse(called.request("BYE", 1, "z9hG4bKy", &[], "").as_bytes()).unwrap();
        assert!(bye.start.starts_with("BYE sip:13806352219@127.0.0.1:5070 "), "{}", bye.start);
        assert_eq!((bye.header("From"), bye.header("To")), (answer.header("To"), invite.header("From")));
    }

    #[test]
    fn a_message_without_what_must_be_there_is_refused() {
        assert!(Message::parse(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\r\n").is_err());
        assert!(Message::parse(b"\r\n\r\n").is_err());
        assert!(Message::parse(&[0xFF; 40]).is_err());
    }
}
