//! SIP over TCP and TLS.

use rustls::{crypto::ring, pki_types::CertificateDer, sign::CertifiedKey};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::tls::Acceptor;

fn certificate() -> (CertificateDer<'static>, Acceptor) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = made.signing_key.serialize_der().try_into().expect("a key");
    let chain = vec![made.cert.der().clone()];
    let pair = CertifiedKey::from_der(chain, key, &ring::default_provider()).expect("they fit");
    (made.cert.der().clone(), Acceptor::new(pair.into(), &[]).expect("TLS"))
}

fn both(streams: StreamLimits) -> (CertificateDer<'static>, SipSettings) {
    let nowhere = vec![([127, 0, 0, 1], 0).into()];
    let (certificate, tls) = certificate();
    (certificate, SipSettings { tcp: nowhere.clone(), tls: Some((nowhere, tls)), streams, ..settings() })
}

/// An endpoint, and where it takes TCP and TLS.
async fn open(streams: StreamLimits) -> (Bench, SocketAddr, SocketAddr, CertificateDer<'static>) {
    let (certificate, settings) = both(streams);
    let (endpoint, calls) = Endpoint::bind(settings, Clock::system()).await.expect("free ports");
    let (tcp, tls) = (endpoint.tcp_addr().expect("TCP"), endpoint.tls_addr().expect("TLS"));
    let phone = Phone::tcp(tcp).await;
    let bench = Bench::run(endpoint, calls, Clock::system(), phone, tcp);
    (bench, tcp, tls, certificate)
}

/// A phone over TCP.
async fn tcp() -> Bench {
    open(StreamLimits::default()).await.0
}

/// Whether the line closed the connection; what it said before is skipped.
async fn closed(bench: &Bench) -> bool {
    let end = async { while bench.phone.hear().await.is_some() {} };
    timeout(PATIENCE, end).await.is_ok()
}

async fn hang_up_both_ways(bench: &mut Bench, transport: &str) {
    let (mut answered, tag, ok) = bench.call("c1").await;
    let contact = format!("<sip:12345@{};transport={}>", bench.line, transport.to_lowercase());
    assert_eq!(header(&ok, "Contact").map(str::to_lowercase), Some(contact));
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 2, &tag, "", "")).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::FarHungUp));

    let (mut answered, _, _) = bench.call("c2").await;
    answered.hang_up();
    let bye = bench.hear_of("BYE sip:13800000000@").await;
    let via = format!("SIP/2.0/{transport} {}", bench.line);
    assert!(header(&bye, "Via").is_some_and(|it| it.starts_with(&via)), "{bye}");
    bench.reply(&bye, "200 OK", "", "").await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::WeHungUp));
}

#[tokio::test]
async fn a_call_over_tcp_lives_on_its_connection() {
    hang_up_both_ways(&mut tcp().await, "TCP").await;
}

#[tokio::test]
async fn a_call_over_tls_lives_on_its_connection() {
    let (mut bench, _, tls, certificate) = open(StreamLimits::default()).await;
    (bench.phone, bench.line) = (Phone::tls(tls, certificate).await, tls);
    hang_up_both_ways(&mut bench, "TLS").await;
}

#[tokio::test]
async fn a_sips_call_is_answered_with_a_sips_contact() {
    let (mut bench, _, tls, certificate) = open(StreamLimits::default()).await;
    (bench.phone, bench.line) = (Phone::tls(tls, certificate).await, tls);
    bench.send(bench.invite("c1", SDP).replacen("INVITE sip:", "INVITE sips:", 1)).await;
    let _answered = bench.incoming().await.answer(media()).expect("answered");
    let ok = bench.hear_of("200 OK").await;
    assert!(header(&ok, "Contact").is_some_and(|it| it.starts_with(&format!("<sips:12345@{tls}"))), "{ok}");
}

#[tokio::test]
async fn what_is_refused_on_udp_is_refused_on_a_connection_which_stays_open() {
    let mut bench = tcp().await;
    let count = std::cell::Cell::new(0);
    let invite = |further: &str| {
        count.set(count.get() + 1);
        bench.request("INVITE", &format!("c{}", count.get()), 1, "", further, SDP)
    };
    for (request, wanted) in [
        (invite("").replace("INVITE ", "FOO ").replace(" INVITE", " FOO"), "501"),
        (invite("").replace("INVITE ", "REFER ").replace(" INVITE", " REFER"), "405"),
        (invite("").replacen("SIP/2.0", "SIP/3.0", 1), "505"),
        (invite("").replacen("1 INVITE", "1 BYE", 1), "400"),
        (invite("").replacen("sip:12345@", "gopher:12345@", 1), "416"),
        (invite("").replacen("sip:12345@", "sip:99999@", 1), "404"),
        (invite("Require: 100rel\r\n"), "420"),
        (bench.request("BYE", "none", 2, "nobody", "", ""), "481"),
    ] {
        let answer = bench.ask(&request).await;
        assert_eq!(status(&answer), wanted, "{request}\n{answer}");
        bench.ack(&request, &answer).await;
    }
    bench.send(in_gbk(bench.invite("gbk", SDP))).await;
    let incoming = bench.incoming().await;
    assert_eq!(incoming.caller.as_ref().map(|it| it.reveal().as_str()), Some("13800000000"));
    let _answered = incoming.answer(media()).expect("answered");
    assert!(bench.hear_of("200 OK").await.contains("\"张三\""));
}

#[tokio::test]
async fn a_length_that_cannot_be_true_is_refused_and_ends_the_connection() {
    let (mut bench, address, ..) = open(StreamLimits::default()).await;
    for (change, wanted) in [
        ("", "400"),
        ("Content-Length: -1\r\n", "400"),
        ("Content-Length: 0\r\nContent-Length: 1\r\n", "400"),
        ("Content-Length: 99999999\r\n", "513"),
    ] {
        bench.phone = Phone::tcp(address).await;
        let request = bench.request("OPTIONS", "o1", 1, "", "", "").replace("Content-Length: 0\r\n", change);
        assert_eq!(status(&bench.ask(&request).await), wanted, "{request}");
        assert!(closed(&bench).await, "{change}");
    }
    for rubbish in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "x".repeat(20_000)] {
        bench.phone = Phone::tcp(address).await;
        bench.send(rubbish).await;
        assert!(closed(&bench).await);
    }
}

#[tokio::test]
async fn messages_are_read_however_the_stream_is_cut() {
    let bench = tcp().await;
    let (one, two) = (bench.request("OPTIONS", "o1", 1, "", "", ""), bench.request("OPTIONS", "o2", 1, "", "", ""));
    bench.send(format!("{one}{two}")).await;
    let (first, second) = (bench.hear().await, bench.hear().await);
    let mut seen = [header(&first, "Call-ID"), header(&second, "Call-ID")];
    seen.sort_unstable();
    assert_eq!(seen, [Some("o1@test"), Some("o2@test")]);
    let three = bench.request("OPTIONS", "o3", 1, "", "", "");
    for byte in three.as_bytes() {
        bench.send([*byte]).await;
    }
    assert_eq!(status(&bench.answer_to(&three).await), "200");
}

#[tokio::test]
async fn a_ping_is_answered_with_a_pong() {
    let bench = tcp().await;
    bench.send("\r\n\r\n").await;
    assert_eq!(bench.hear().await, "\r\n");
}

#[tokio::test]
async fn a_silent_connection_and_an_unfinished_message_are_given_up() {
    let short = Duration::from_millis(50);
    let (bench, ..) = open(StreamLimits { idle: short, ..StreamLimits::default() }).await;
    assert!(closed(&bench).await, "silent");

    let (bench, ..) = open(StreamLimits { message: short, ..StreamLimits::default() }).await;
    let request = bench.request("OPTIONS", "o1", 1, "", "", "").replace("Content-Length: 0", "Content-Length: 9");
    assert_eq!(status(&bench.ask(&request).await), "400", "its body never comes");
    assert!(closed(&bench).await);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let limits = StreamLimits { handshake: Duration::from_millis(50), ..StreamLimits::default() };
    let (mut bench, _, tls, _) = open(limits).await;
    bench.phone = Phone::tcp(tls).await;
    assert!(closed(&bench).await);
    bench.phone = Phone::tcp(tls).await;
    bench.send(bench.request("OPTIONS", "o1", 1, "", "", "")).await;
    assert!(closed(&bench).await, "plain SIP on the TLS port");
}

#[tokio::test]
async fn connections_from_one_address_are_bounded_and_a_place_is_free_again_after_one() {
    let (mut bench, address, ..) = open(StreamLimits { per_address: 2, ..StreamLimits::default() }).await;
    let second = Phone::tcp(address).await;
    second.send(b"\r\n\r\n").await;
    assert_eq!(second.hear().await.as_deref(), Some("\r\n"));
    let first = std::mem::replace(&mut bench.phone, Phone::tcp(address).await);
    assert!(closed(&bench).await, "the third is one too many");
    drop(first);
    loop {
        bench.phone = Phone::tcp(address).await;
        bench.send("\r\n\r\n").await;
        if timeout(PATIENCE, bench.phone.hear()).await.expect("an answer or the end").is_some() {
            break;
        }
    }
}

#[tokio::test]
async fn all_connections_are_bounded_and_the_next_waits_for_a_place() {
    let streams = StreamLimits { connections: 1, ..StreamLimits::default() };
    let one = SipSettings { tcp: vec![([127, 0, 0, 1], 0).into()], streams, ..settings() };
    let (endpoint, calls) = Endpoint::bind(one, Clock::system()).await.expect("a free port");
    let address = endpoint.tcp_addr().expect("TCP");
    let (first, second) = (Phone::tcp(address).await, Phone::tcp(address).await);
    let bench = Bench::run(endpoint, calls, Clock::system(), second, address);
    first.send(b"\r\n\r\n").await;
    let mut waiting = std::pin::pin!(async {
        bench.phone.send(b"\r\n\r\n").await;
        bench.phone.hear().await
    });
    tokio::select! {
        pong = first.hear() => assert_eq!(pong.as_deref(), Some("\r\n")),
        _ = &mut waiting => {}
    }
    drop(first);
    assert_eq!(timeout(PATIENCE, waiting).await.expect("a place").as_deref(), Some("\r\n"));
}

impl Bench {
    /// Answers the call `c1`, takes its connection away and hangs up.
    async fn left_without_connection(&mut self) -> Answered {
        let (mut answered, _) = self.incoming().await.answer(media()).expect("answered");
        let ok = self.hear_of("200 OK").await;
        self.send(self.request("ACK", "c1", 1, &tag_of(&ok), "", "")).await;
        assert_eq!(event(&mut answered).await, LegEvent::Acked);
        self.phone = Phone::udp(([127, 0, 0, 1], 9).into()).await;
        timeout(PATIENCE, answered.connection_lost()).await.expect("it is noticed");
        answered.hang_up();
        answered
    }
}

#[tokio::test]
async fn when_its_connection_is_gone_a_call_goes_on_and_the_bye_takes_a_new_one() {
    let (mut bench, ..) = open(StreamLimits::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let home = listener.local_addr().expect("bound");
    let old = format!("Contact: <sip:13800000000@{};transport=tcp>", bench.phone.local());
    let new = format!("Contact: <sip:13800000000@{home};transport=tcp>");
    bench.send(bench.invite("c1", SDP).replacen(&old, &new, 1)).await;
    let mut answered = bench.left_without_connection().await;
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.expect("a new connection").expect("loopback");
    bench.phone = Phone::of(stream);
    let bye = bench.hear_of("BYE sip:13800000000@").await;
    bench.reply(&bye, "200 OK", "", "").await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::WeHungUp));
}

#[tokio::test]
async fn a_call_whose_phone_cannot_be_reached_any_more_ends_all_the_same() {
    let (mut bench, ..) = open(StreamLimits::default()).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
    let own = bench.phone.local().to_string();
    let invite =
        bench.invite("c1", SDP).replacen(&format!("Contact: <sip:13800000000@{own}"), "Contact: <sip:1@NOBODY", 1);
    bench.send(invite.replacen("NOBODY", &nobody.to_string(), 1)).await;
    let mut answered = bench.left_without_connection().await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::WeHungUp));
}

#[tokio::test]
async fn a_storm_of_rubbish_on_connections_leaves_the_line_open() {
    let (mut bench, address, ..) = open(StreamLimits::default()).await;
    let invite = bench.invite("c0", SDP).into_bytes();
    for round in 0..100_usize {
        let mut rubbish = invite.clone();
        for step in 0..=round % 7 {
            let at = (round * 31 + step * 97) % rubbish.len();
            rubbish[at] = u8::try_from((round * 7 + step * 13) % 256).expect("below 256");
        }
        let stream = TcpStream::connect(address).await.expect("the line listens");
        Phone::of(stream).send(&rubbish).await;
    }
    while bench.calls.try_recv().is_ok() {}
    let options = bench.request("OPTIONS", "after", 1, "", "", "");
    assert_eq!(status(&bench.ask(options).await), "200");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_the_next_connection() {
    let (first, tls) = certificate();
    let settings = SipSettings { tls: Some((vec![([127, 0, 0, 1], 0).into()], tls.clone())), ..settings() };
    let (endpoint, _calls) = Endpoint::bind(settings, Clock::system()).await.expect("a free port");
    let address = endpoint.tls_addr().expect("TLS");
    let run = tokio::spawn(endpoint.run(CancellationToken::new()));
    Phone::tls(address, first).await;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = made.signing_key.serialize_der().try_into().expect("a key");
    let pair = CertifiedKey::from_der(vec![made.cert.der().clone()], key, &ring::default_provider());
    tls.change(pair.expect("they fit").into());
    Phone::tls(address, made.cert.der().clone()).await;
    run.abort();
}
