//! What is passed, mended and refused, and that no bytes make the reader fall over.

use proptest::prelude::*;

use super::*;

fn source() -> SocketAddr {
    "192.0.2.7:5070".parse().expect("an address")
}

fn request(start: &str, change: impl Fn(&str) -> Option<String>) -> Vec<u8> {
    let method = start.split(' ').next().unwrap_or_default();
    let headers = [
        "Via: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1;rport",
        "From: <sip:13800000000@192.0.2.7>;tag=a",
        "To: <sip:12345@192.0.2.1>",
        "Call-ID: c1@192.0.2.7",
        &format!("CSeq: 1 {method}"),
        "Contact: <sip:13800000000@192.0.2.7:5070>",
        "Max-Forwards: 70",
        "Content-Length: 0",
    ];
    let headers: String = headers.iter().filter_map(|line| change(line)).map(|line| line + "\r\n").collect();
    format!("{start}\r\n{headers}\r\n").into_bytes()
}

fn plain(start: &str) -> Vec<u8> {
    request(start, |line| Some(line.to_owned()))
}

fn with(name: &str, line: &str) -> Vec<u8> {
    request("INVITE sip:12345@192.0.2.1 SIP/2.0", |it| Some(if it.starts_with(name) { line } else { it }.to_owned()))
}

fn without(name: &str) -> Vec<u8> {
    request("INVITE sip:12345@192.0.2.1 SIP/2.0", |it| (!it.starts_with(name)).then(|| it.to_owned()))
}

fn status(datagram: &[u8]) -> Option<u16> {
    match inspect(datagram, source()) {
        Verdict::Answer { status, .. } => Some(status),
        _ => None,
    }
}

#[test]
fn a_clean_request_and_a_keep_alive_pass_untouched() {
    assert_eq!(inspect(&plain("INVITE sip:12345@192.0.2.1 SIP/2.0"), source()), Verdict::Pass);
    assert_eq!(inspect(b"\r\n\r\n", source()), Verdict::Pass);
    assert_eq!(inspect(&[0, 1, 0, 0, 33, 18, 164, 66], source()), Verdict::Ignore("not SIP"));
}

#[test]
fn blanks_around_a_tag_are_mended_and_an_open_quotation_is_refused() {
    for from in ["\"a \\\"; tag = no\" <sip:9@x> ;\ttag = a ; b", "sip:9@x ;  tag  =  a;b"] {
        let Verdict::Mended(bytes) = inspect(&with("From", &format!("From: {from}")), source()) else {
            panic!("{from} is mended")
        };
        assert!(String::from_utf8(bytes).expect("text").contains(";tag=a;b\r\n"), "{from}");
    }
    assert_eq!(status(&with("To", "To: \"twelve <sip:12345@192.0.2.1>")), Some(400));
    assert_eq!(inspect(&with("To", "To: \"a; b = c\" <sip:12345@192.0.2.1>;x=1"), source()), Verdict::Pass);
}

#[test]
fn each_fault_has_its_own_answer() {
    assert_eq!(status(&plain("INVITE sip:12345@192.0.2.1 SIP/7.0")), Some(505));
    assert_eq!(status(&plain("FOO sip:12345@192.0.2.1 SIP/2.0")), Some(501));
    assert_eq!(status(&plain("invite sip:12345@192.0.2.1 SIP/2.0")), Some(501), "methods are case-sensitive");
    assert_eq!(status(&plain("SUBSCRIBE sip:12345@192.0.2.1 SIP/2.0")), Some(405));
    assert_eq!(status(&plain("INVITE http://192.0.2.1/ SIP/2.0")), Some(416));
    assert_eq!(status(&plain("INVITE <sip:12345@192.0.2.1> SIP/2.0")), Some(400));
    assert_eq!(status(&plain("INVITE  sip:12345@192.0.2.1 SIP/2.0")), Some(400));
    assert_eq!(status(&with("CSeq", "CSeq: 1 BYE")), Some(400));
    assert_eq!(status(&with("CSeq", "CSeq: 4294967296 INVITE")), Some(400));
    assert_eq!(status(&with("Max-Forwards", "Max-Forwards: 300")), Some(400));
    assert_eq!(status(&with("Content-Length", "Content-Length: 10")), Some(400));
    assert_eq!(status(&with("Content-Length", "Content-Length: -1")), Some(400));
    assert_eq!(status(&with("From", "From: <sip:a@192.0.2.7;tag=inside>")), Some(400));
    assert_eq!(status(&with("To", "To: <sip:a@b>\r\nTo: <sip:a@b>")), Some(400));
    for name in ["From", "To", "Call-ID", "CSeq", "Contact"] {
        assert_eq!(status(&without(name)), Some(400), "{name}");
    }
    assert_eq!(
        status(&with("To", &format!("To: <sip:12345@192.0.2.1>\r\nSubject: {}", "x".repeat(LONGEST)))),
        Some(513)
    );
}

#[test]
fn responses_acks_and_requests_without_via_are_never_answered() {
    assert!(matches!(inspect(&plain("ACK sip:12345@192.0.2.1 SIP/7.0"), source()), Verdict::Ignore(_)));
    assert!(matches!(inspect(&without("Via"), source()), Verdict::Ignore(_)));
    assert!(matches!(inspect(b"SIP/2.0 200 OK\r\nVia: x", source()), Verdict::Ignore(_)));
}

#[test]
fn a_refusal_goes_where_via_says_and_tells_what_we_saw() {
    let Verdict::Answer { to, bytes, .. } = inspect(&plain("FOO sip:12345@192.0.2.1 SIP/2.0"), source()) else {
        panic!("501 is an answer")
    };
    let text = String::from_utf8(bytes).expect("text");
    assert_eq!(to, source());
    assert!(text.starts_with("SIP/2.0 501 Not Implemented\r\n"), "{text}");
    assert!(
        text.contains("Via: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1;rport=5070;received=192.0.2.7\r\n"),
        "{text}"
    );
    assert!(text.contains("Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REGISTER\r\n"), "{text}");
    assert!(text.contains("To: <sip:12345@192.0.2.1>;tag="), "{text}");

    let elsewhere = with("Via", "Via: SIP/2.0/UDP 192.0.2.7:9;branch=z9hG4bK1\r\nSubject: x\r\nMax-Forwards: x");
    let Verdict::Answer { to, .. } = inspect(&elsewhere, source()) else { panic!("400 is an answer") };
    assert_eq!(to.to_string(), "192.0.2.7:9");
}

#[test]
fn a_missing_content_length_is_added_and_bytes_behind_the_body_are_cut() {
    let mut datagram = without("Content-Length");
    datagram.extend_from_slice(b"v=0\r\n");
    let Verdict::Mended(bytes) = inspect(&datagram, source()) else { panic!("mended") };
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.ends_with("Content-Length: 5\r\n\r\nv=0\r\n"), "{text}");

    let mut datagram = with("Content-Length", "l: 3");
    datagram.extend_from_slice(b"v=0\r\n");
    let Verdict::Mended(bytes) = inspect(&datagram, source()) else { panic!("mended") };
    assert!(bytes.ends_with(b"\r\n\r\nv=0"));
}

#[test]
fn a_display_name_in_gbk_is_read_as_chinese_and_odd_bytes_are_replaced() {
    let name = |bytes: &[u8]| {
        let mut datagram = plain("INVITE sip:12345@192.0.2.1 SIP/2.0");
        let at = datagram.windows(6).position(|it| it == b"From: ").expect("a From") + 6;
        datagram.splice(at..at, bytes.iter().copied());
        match inspect(&datagram, source()) {
            Verdict::Mended(bytes) => String::from_utf8(bytes).expect("UTF-8 now"),
            other => panic!("{other:?}"),
        }
    };
    assert!(name(b"\"\xd5\xc5\xc8\xfd\" ").contains("From: \"张三\" <sip:13800000000@"));
    assert!(name(b"\"\xff\" ").contains("From: \"\u{fffd}\" <sip:13800000000@"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let _ = inspect(&bytes, source());
        let _ = refuse_unreadable(&bytes, source());
    }

    #[test]
    fn no_damage_to_a_good_message_makes_it_fall_over(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..12)
    ) {
        let mut bytes = plain("INVITE sip:12345@192.0.2.1 SIP/2.0");
        for (index, byte, kind) in damage {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        match inspect(&bytes, source()) {
            Verdict::Mended(bytes) => prop_assert!(bytes.len() <= LONGEST && std::str::from_utf8(&bytes).is_ok()),
            Verdict::Answer { bytes, .. } => prop_assert!(bytes.ends_with(b"Content-Length: 0\r\n\r\n")),
            Verdict::Pass | Verdict::Ignore(_) => {}
        }
    }
}
