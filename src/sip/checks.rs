//! The order of checks for a request the stack has read (RFC 3261 §8.2), from the number on.

use rsipstack::sip::{Header, Request, StatusCode, prelude::HeadersExt};

use super::{
    datagram::ALLOWED,
    sdp::{Description, Offer, Sealing, SrtpPolicy},
    siprec,
    timer::{BadWish, MIN_SE, Refresher, Terms, Wish},
};
use crate::{domain::number, telemetry::Private};

/// The extension we have for every call: session timers (RFC 4028). For forked ones there is [`siprec::SIPREC`].
pub(super) const TIMER: &str = "timer";

/// A status and the headers that explain it.
#[derive(Debug)]
pub(super) struct Refusal(pub StatusCode, pub Vec<Header>);

impl Refusal {
    fn plain(status: StatusCode) -> Self {
        Self(status, Vec::new())
    }

    /// Full or stopping: try again.
    pub(super) fn later(status: StatusCode, seconds: u32) -> Self {
        Self(status, vec![Header::RetryAfter(seconds.to_string().into())])
    }
}

/// `Allow` as we send it.
pub(super) fn allow() -> Header {
    Header::Allow(ALLOWED.join(", ").into())
}

/// The same towards a phone of ours, which may pass its call on.
pub(super) fn allow_refer() -> Header {
    Header::Allow(format!("{}, REFER", ALLOWED.join(", ")).into())
}

/// Whom a REFER wants to be called: 400 without exactly one `Refer-To` (RFC 3515 §2.4.2), 501 for one that takes the place of
/// another call (RFC 3891), which no phone of ours can have here.
pub(super) fn refer_to(request: &Request) -> Result<String, Refusal> {
    let mut targets = request.headers.iter().filter_map(|header| match header {
        Header::ReferTo(value) => Some(value.value()),
        _ => None,
    });
    let bad = || Refusal::plain(StatusCode::BadRequest);
    let target = targets.next().ok_or_else(bad)?;
    if targets.next().is_some() {
        return Err(bad());
    }
    if target.to_ascii_lowercase().contains("replaces=") {
        return Err(Refusal::plain(StatusCode::NotImplemented));
    }
    uri_user(target).ok_or_else(bad)
}

/// The dialled number if it is one of ours: 404.
///
/// * returns — `None` for a request to the machine itself (`sip:192.0.2.1`), which only OPTIONS may be.
/// * `area_code` — the city's own; ours may have been dialled with it, or with the country's.
pub(super) fn addressee(request: &Request, numbers: &[String], area_code: &str) -> Result<Option<String>, Refusal> {
    let Some(user) = uri_user(&request.uri.to_string()) else { return Ok(None) };
    let ours = numbers.iter().find(|own| number::reaches(&user, own, area_code));
    ours.cloned().map(Some).ok_or_else(|| Refusal::plain(StatusCode::NotFound))
}

/// Hops and required extensions: 483, 420.
///
/// * `forks` — they may require SIPREC.
pub(super) fn demands(request: &Request, forks: bool) -> Result<(), Refusal> {
    for header in request.headers.iter() {
        if let Header::MaxForwards(hops) = header
            && hops.value().trim() == "0"
        {
            return Err(Refusal::plain(StatusCode::TooManyHops));
        }
    }
    let required: Vec<&str> = request
        .headers
        .iter()
        .filter_map(|header| match header {
            Header::Require(value) => Some(value.value()),
            _ => None,
        })
        .flat_map(|value| value.split(',').map(str::trim))
        .filter(|tag| !tag.is_empty() && !tag.eq_ignore_ascii_case(TIMER))
        .filter(|tag| !(forks && tag.eq_ignore_ascii_case(siprec::SIPREC)))
        .collect();
    if required.is_empty() {
        return Ok(());
    }
    Err(Refusal(StatusCode::BadExtension, vec![Header::Unsupported(required.join(", ").into())]))
}

/// What they want of the session timer: 422 where the session is too short, 400 where it cannot be read.
pub(super) fn session_timer(request: &Request) -> Result<Option<Terms>, Refusal> {
    let (mut expires, mut min, mut supported) = (None, None, false);
    for header in request.headers.iter() {
        match header {
            Header::SessionExpires(value) => expires = Some(value.value()),
            Header::MinSE(value) => min = Some(value.value()),
            Header::Supported(value) => supported |= names(value.value(), TIMER),
            Header::Require(value) => supported |= names(value.value(), TIMER),
            _ => {}
        }
    }
    Wish::read(expires, min, supported).and_then(Wish::terms).map_err(|wrong| match wrong {
        BadWish::TooShort => {
            Refusal(StatusCode::SessionIntervalTooSmall, vec![Header::MinSE(MIN_SE.to_string().into())])
        }
        BadWish::Unreadable => Refusal::plain(StatusCode::BadRequest),
    })
}

/// Whether a list of option tags has this one.
pub(super) fn names(value: &str, wanted: &str) -> bool {
    value.split(',').any(|tag| tag.trim().eq_ignore_ascii_case(wanted))
}

/// `Supported` as we send it.
pub(super) fn supported(forks: bool) -> Header {
    if forks {
        Header::Supported(format!("{TIMER}, {}", siprec::SIPREC).into())
    } else {
        Header::Supported(TIMER.into())
    }
}

/// What a 2xx of ours says about the session's timer, and that we have one.
pub(super) fn timer_headers(terms: Option<Terms>, forks: bool) -> Vec<Header> {
    let mut headers = vec![supported(forks)];
    if let Some(terms) = terms {
        headers.push(Header::SessionExpires(terms.answer().into()));
        if terms.refresher == Refresher::They {
            headers.push(Header::Require(TIMER.into()));
        }
    }
    headers
}

/// An INFO: a key, nothing at all, or 415.
pub(super) fn info(request: &Request) -> Result<Option<(char, u32)>, Refusal> {
    match content_type(request).as_deref() {
        _ if request.body.is_empty() => Ok(None),
        Some(DTMF_RELAY) => Ok(relayed(&request.body)),
        Some(DTMF) => Ok(std::str::from_utf8(&request.body).ok().and_then(key).map(|key| (key, USUAL_MS))),
        _ => {
            Err(Refusal(StatusCode::UnsupportedMediaType, vec![Header::Accept(format!("{DTMF_RELAY}, {DTMF}").into())]))
        }
    }
}

const DTMF_RELAY: &str = "application/dtmf-relay";
/// The key alone.
const DTMF: &str = "application/dtmf";
/// Length of a key that does not say how long it was pressed.
const USUAL_MS: u32 = 100;

/// The key in an INFO body (`Signal=5`, `Duration=160`).
fn relayed(body: &[u8]) -> Option<(char, u32)> {
    let body = std::str::from_utf8(body).ok()?;
    let field = |name: &str| {
        let mut lines = body.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let duration_ms = field("Duration").and_then(|it| it.parse().ok()).unwrap_or(USUAL_MS).min(10_000);
    Some((key(field("Signal")?)?, duration_ms))
}

fn key(text: &str) -> Option<char> {
    let key = text.trim().chars().next()?.to_ascii_uppercase();
    "0123456789*#ABCD".contains(key).then_some(key)
}

/// The body: 415 for what is no SDP, 400 for broken SDP, 488 without a codec of ours.
///
/// * returns — their offer, or `None` if they want ours.
pub(super) fn offer(request: &Request, srtp: SrtpPolicy) -> Result<Option<Offer>, Refusal> {
    let offer = description(request)?;
    if let Some(Err(error)) = offer.as_ref().map(|offer| offer.choose(Sealing::unkeyed(srtp))) {
        let warning = Header::Warning(format!("305 hotline \"{error}\"").into());
        return Err(Refusal(StatusCode::NotAcceptableHere, vec![warning]));
    }
    Ok(offer)
}

/// The same, whatever it offers.
pub(super) fn description(request: &Request) -> Result<Option<Offer>, Refusal> {
    if request.body.is_empty() {
        return Ok(None);
    }
    encoding(request)?;
    if content_type(request).is_none_or(|kind| kind != "application/sdp") {
        let accept = Header::Accept("application/sdp".into());
        return Err(Refusal(StatusCode::UnsupportedMediaType, vec![accept]));
    }
    let offer = Description::parse(&request.body).map_err(|error| {
        let warning = Header::Warning(format!("399 hotline \"{error}\"").into());
        Refusal(StatusCode::BadRequest, vec![warning])
    })?;
    Ok(Some(offer))
}

/// 415 for a body that would have to be unpacked first.
pub(super) fn encoding(request: &Request) -> Result<(), Refusal> {
    let encoded = request.headers.iter().any(|header| match header {
        Header::ContentEncoding(value) => !value.value().trim().eq_ignore_ascii_case("identity"),
        _ => false,
    });
    if encoded {
        let accept = Header::AcceptEncoding("identity".into());
        return Err(Refusal(StatusCode::UnsupportedMediaType, vec![accept]));
    }
    Ok(())
}

/// The body's type in small letters, without parameters.
pub(super) fn content_type(request: &Request) -> Option<String> {
    request.headers.iter().find_map(|header| match header {
        Header::ContentType(value) => {
            Some(value.value().split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        }
        _ => None,
    })
}

/// The number in From as one dials it within the country; untrusted. `None` when withheld.
pub(super) fn caller(request: &Request, area_code: &str) -> Option<Private<String>> {
    number_in(request.from_header().ok()?.value(), area_code)
}

/// The number in an address, as one dials it within the country. `None` when withheld.
pub(super) fn number_in(address: &str, area_code: &str) -> Option<Private<String>> {
    /// Longest number kept, characters.
    const LONGEST: usize = 64;
    let user = uri_user(address)?;
    let withheld = ["anonymous", "unavailable", "restricted", "unknown", "private"];
    let kept = user.chars().count() <= LONGEST && !withheld.contains(&user.to_ascii_lowercase().as_str());
    kept.then(|| Private(number::national(&user, area_code)))
}

/// The user of the address in a From, To or Request-URI, without parameters, password and escapes.
pub(super) fn uri_user(value: &str) -> Option<String> {
    let (scheme, rest) = address(value).split_once(':')?;
    let user = match scheme.trim().to_ascii_lowercase().as_str() {
        "sip" | "sips" => rest.rsplit_once('@')?.0,
        "tel" => rest,
        _ => return None,
    };
    let user = user.split([';', ':', '?']).next().unwrap_or_default();
    let user = unescape(user);
    (!user.is_empty()).then_some(user)
}

/// What stands between the angle brackets, not minding those in a quoted display name.
fn address(value: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, letter) in value.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => {
                let inside = &value[at + 1..];
                return inside.split('>').next().unwrap_or_default();
            }
            _ => {}
        }
    }
    value
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(|letter| !letter.is_control()).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_number_is_found_in_every_way_of_writing_an_address() {
        let user = |value: &str| uri_user(value).unwrap_or_default();
        assert_eq!(user("sip:12345@192.0.2.1:5060;transport=udp"), "12345");
        assert_eq!(
            user("\"张三 <sip:9@x>\" <sip:13800000000;phone-context=+86@gw.example;user=phone>;tag=a"),
            "13800000000"
        );
        assert_eq!(user("<tel:+8613800000000;x=1>;tag=a"), "+8613800000000");
        assert_eq!(user("sip:1%33800@x"), "13800");
        assert_eq!(user("sip:a:secret@x"), "a");
        assert_eq!(user("sip:192.0.2.1"), "");
        assert_eq!(user("http://a@b"), "");
    }

    proptest! {
        #[test]
        fn no_address_makes_it_fall_over(value in "\\PC{0,80}") {
            let _ = uri_user(&value);
        }

        #[test]
        fn no_escapes_make_it_fall_over(value in "(sip:)?[%0-9a-f@;<>\"\\\\é]{0,40}") {
            let _ = uri_user(&value);
        }
    }
}
