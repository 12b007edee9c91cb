//! A REGISTER taken apart: which contacts it names, and for how long.

use rsipstack::sip::{Header, Request, Uri, prelude::HeadersExt};

use super::{
    bindings::{Contact, Register},
    credentials::Credentials,
};

/// What a time counts as that cannot be read (RFC 3261 §20.10), in seconds.
const UNREADABLE: u32 = 3600;

/// What a request wants, once it is known who sent it.
///
/// * returns — nothing where the contacts cannot be read, or none of our requests could be sent there.
pub(super) fn read<F>(request: &Request, flow: F) -> Option<Register<F>> {
    let (mut contacts, mut wildcard, mut expires) = (Vec::new(), false, None);
    for header in request.headers.iter() {
        match header {
            Header::Contact(list) => {
                for entry in split(list.value(), ',') {
                    match entry.trim() {
                        "" => return None,
                        "*" => wildcard = true,
                        entry => contacts.push(contact(entry)?),
                    }
                }
            }
            Header::Expires(value) => expires = expires.or(Some(seconds(value.value()))),
            _ => {}
        }
    }
    let call_id = request.call_id_header().ok()?.value().to_owned();
    let cseq = request.cseq_header().ok()?.seq().ok()?;
    Some(Register { call_id, cseq, contacts, wildcard, expires, flow })
}

/// What it shows for our realm.
///
/// * returns — `Some(None)` where it shows something for us that cannot be read. What is for others, or of another kind,
///   counts as nothing.
#[expect(clippy::option_option, reason = "nothing shown, and something unreadable")]
pub(super) fn credentials(request: &Request, realm: &str) -> Option<Option<Credentials>> {
    let shown = request.headers.iter().filter_map(|header| match header {
        Header::Authorization(value) => Some(value.value().trim()),
        _ => None,
    });
    let digests = shown.filter(|value| value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("digest")));
    let mut read = digests.map(Credentials::parse);
    read.find(|it| it.as_ref().is_none_or(|it| it.realm == realm))
}

/// What it says it is; may be empty.
pub(super) fn agent(request: &Request) -> &str {
    let named = request.headers.iter().find_map(|header| match header {
        Header::UserAgent(value) => Some(value.value()),
        _ => None,
    });
    named.unwrap_or_default().trim()
}

/// One entry of a Contact, with its parameters.
fn contact(entry: &str) -> Option<Contact> {
    let (uri, parameters) = match split_at(entry, '<') {
        Some((_, rest)) => rest.split_once('>')?,
        // Without brackets the parameters are the header's, and a question mark may not stand there (§20.10).
        None if entry.contains('?') => return None,
        None => entry.split_at(entry.find(';').unwrap_or(entry.len())),
    };
    let uri = uri.trim();
    // What the stack cannot read it could not ring.
    Uri::try_from(uri).ok()?;
    let mut contact = Contact { uri: uri.to_owned(), expires: None, q: None };
    for parameter in split(parameters, ';') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "expires" => contact.expires = Some(seconds(value)),
            "q" => contact.q = thousandths(value.trim()),
            _ => {}
        }
    }
    Some(contact)
}

fn seconds(text: &str) -> u32 {
    text.trim().parse().unwrap_or(UNREADABLE)
}

/// `0.75` is 750 (RFC 3261 §25.1: up to three places). What is none counts as nothing.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = places.len() <= 3 && places.bytes().all(|it| it.is_ascii_digit());
    let whole: u16 = whole.parse().ok().filter(|_| digits)?;
    let value = whole.checked_mul(1000)?.checked_add(format!("{places:0<3}").parse().ok()?)?;
    (value <= 1000).then_some(value)
}

/// Cuts at a sign, but not within quotation marks or angle brackets.
fn split(text: &str, sign: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let now = rest.take()?;
        match split_at(now, sign) {
            Some((before, after)) => {
                rest = Some(after);
                Some(before)
            }
            None => Some(now),
        }
    })
}

/// What stands before and after the first such sign outside of quotation marks and angle brackets.
fn split_at(text: &str, sign: char) -> Option<(&str, &str)> {
    let (mut quoted, mut escaped, mut inside) = (false, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            letter if letter == sign && !inside => return Some((&text[..at], &text[at + sign.len_utf8()..])),
            '<' => inside = true,
            '>' => inside = false,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(headers: &str) -> Request {
        let text = format!(
            "REGISTER sip:hotline SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nFrom: <sip:8001@hotline>;tag=a\r\n\
             To: <sip:8001@hotline>\r\nCall-ID: c1\r\nCSeq: 7 REGISTER\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        Request::try_from(text.as_str()).expect("a request")
    }

    type Named = (String, Option<u32>, Option<u16>);

    fn named(headers: &str) -> Option<Vec<Named>> {
        let read = read(&request(headers), ())?;
        Some(read.contacts.into_iter().map(|it| (it.uri, it.expires, it.q)).collect())
    }

    #[test]
    fn contacts_are_read_however_they_are_written() {
        let headers = "Contact: \"Li, \\\"<8001>\" <sip:8001@192.0.2.7:5060;transport=tcp>;q=0.5;expires=120, \
            <sip:8001@192.0.2.8>;+sip.instance=\"<urn:uuid:1;2,3>\"\r\n\
            m: sip:8001@192.0.2.9;Expires = 60;q=1\r\n";
        let named = named(headers).expect("three contacts");
        assert_eq!(named[0], ("sip:8001@192.0.2.7:5060;transport=tcp".into(), Some(120), Some(500)));
        assert_eq!(named[1], ("sip:8001@192.0.2.8".into(), None, None));
        assert_eq!(named[2], ("sip:8001@192.0.2.9".into(), Some(60), Some(1000)));
    }

    #[test]
    fn a_star_and_the_request_s_own_time_are_seen() {
        let read = read(&request("Contact: *\r\nExpires: 0\r\n"), ()).expect("readable");
        assert!(read.wildcard && read.contacts.is_empty());
        assert_eq!((read.expires, read.call_id.as_str(), read.cseq), (Some(0), "c1", 7));
    }

    #[test]
    fn a_time_that_cannot_be_read_is_an_hour() {
        for time in ["soon", "-1", "280297596632815", ""] {
            let read = read(&request(&format!("Contact: <sip:a@h>;expires={time}\r\nExpires: {time}\r\n")), ());
            let read = read.expect("readable");
            assert_eq!((read.expires, read.contacts[0].expires), (Some(3600), Some(3600)), "{time}");
        }
    }

    #[test]
    fn what_cannot_be_rung_is_refused() {
        for contact in ["<sip:a@h", "<>", "", "<sip:a@h>,", "sip:a@h?Route=%3Csip:x%3E", "<sip:>"] {
            assert_eq!(named(&format!("Contact: {contact}\r\n")), None, "{contact}");
        }
    }

    #[test]
    fn a_preference_has_three_places_at_most() {
        let read = ["1", "1.000", "0", "0.75", "0.", ".5", "1.001", "0.1234", "2", "-0.5", "half"].map(thousandths);
        let none = None;
        assert_eq!(read, [Some(1000), Some(1000), Some(0), Some(750), Some(0), none, none, none, none, none, none]);
    }

    #[test]
    fn only_what_is_shown_for_our_realm_counts() {
        let digest = |realm: &str| {
            format!(
                "Authorization: Digest username=\"8001\", realm=\"{realm}\", nonce=\"n\", uri=\"u\", response=\"r\"\r\n"
            )
        };
        let shown = |headers: &str| credentials(&request(headers), "hotline");
        assert!(shown("").is_none());
        assert!(shown("Authorization: NoOneKnowsThisScheme opaque-data=here\r\n").is_none());
        assert!(shown(&digest("elsewhere")).is_none());
        assert!(shown(&(digest("elsewhere") + &digest("hotline"))).flatten().is_some_and(|it| it.realm == "hotline"));
        assert_eq!(shown("Authorization: Digest realm=\"hotline\"\r\n"), Some(None));
    }

    proptest! {
        #[test]
        fn no_contact_makes_it_fall_over(value in "[a-z0-9:;=<>@\"\\\\,?*.% é]{0,60}") {
            let _ = named(&format!("Contact: {value}\r\n"));
        }
    }
}
