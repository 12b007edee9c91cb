//! Which of our addresses a caller meets.

use tokio::net::UdpSocket;

use super::*;

#[tokio::test]
async fn a_call_over_ipv6_is_answered_with_an_ipv6_contact() {
    let mut bench = Bench::open(SipSettings { udp: vec!["[::1]:0".parse().expect("an address")], ..settings() }).await;
    let sdp = SDP.replace("IP4 127.0.0.1", "IP6 ::1");
    bench.send(bench.invite("c1", &sdp)).await;
    let (mut answered, agreed) = bench.incoming().await.answer("[::1]:30000".parse().expect("an address")).expect("ok");
    assert_eq!(agreed.map(|it| it.address.to_string()).as_deref(), Some("[::1]:4000"));
    let ok = bench.hear_of("200 OK").await;
    assert_eq!(header(&ok, "Contact"), Some(format!("<sip:12345@{}>", bench.line).as_str()));
    assert!(ok.contains("c=IN IP6 ::1\r\n"), "{ok}");
    bench.send(bench.request("ACK", "c1", 1, &tag_of(&ok), "", "")).await;
    assert_eq!(event(&mut answered).await, LegEvent::Acked);
    answered.hang_up();
    let bye = bench.hear_of("BYE sip:13800000000@[::1]").await;
    bench.reply(&bye, "200 OK", "", "").await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::WeHungUp));
}

#[tokio::test]
async fn with_several_addresses_a_caller_is_answered_from_the_one_he_dialled() {
    let two = vec!["127.0.0.1:0".parse().expect("an address"), "127.0.0.2:0".parse().expect("an address")];
    let (endpoint, calls) =
        Endpoint::bind(SipSettings { udp: two, ..settings() }, Clock::system()).await.expect("free");
    let (first, second) = (endpoint.udp_addresses()[0], endpoint.udp_addresses()[1]);
    let phone = Phone::udp(second).await;
    let mut bench = Bench::run(endpoint, calls, Clock::system(), phone, second);
    let (mut answered, _, ok) = bench.call("c1").await;
    assert_eq!(header(&ok, "Contact"), Some(format!("<sip:12345@{second}>").as_str()));
    answered.hang_up();
    // The phone's socket is connected: it hears nothing from the first address.
    let bye = bench.hear_of("BYE sip:13800000000@").await;
    assert!(header(&bye, "Via").is_some_and(|via| via.contains(&second.to_string())), "{bye}");
    bench.reply(&bye, "200 OK", "", "").await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::WeHungUp));

    (bench.phone, bench.line) = (Phone::udp(first).await, first);
    let (_answered, _, ok) = bench.call("c2").await;
    assert_eq!(header(&ok, "Contact"), Some(format!("<sip:12345@{first}>").as_str()));
}

#[tokio::test]
async fn a_line_behind_nat_tells_its_advertised_address_for_sip_and_sound() {
    let advertise = Some([192, 0, 2, 9].into());
    let mut bench = Bench::open(SipSettings { advertise, ..settings() }).await;
    bench.send(bench.invite("c1", SDP)).await;
    let incoming = bench.incoming().await;
    assert_eq!(incoming.media_address(media()).to_string(), "192.0.2.9:30000");
    let _answered = incoming.answer(media()).expect("answered");
    let ok = bench.hear_of("200 OK").await;
    assert_eq!(header(&ok, "Contact"), Some(format!("<sip:12345@192.0.2.9:{}>", bench.line.port()).as_str()));
}

#[tokio::test]
async fn a_line_bound_to_every_address_names_the_one_the_caller_reaches() {
    let everywhere = SipSettings { udp: vec![([0, 0, 0, 0], 0).into()], ..settings() };
    let (endpoint, calls) = Endpoint::bind(everywhere, Clock::system()).await.expect("a free port");
    let line = SocketAddr::new([127, 0, 0, 1].into(), endpoint.local_addr().port());
    let phone = Phone::udp(line).await;
    let mut bench = Bench::run(endpoint, calls, Clock::system(), phone, line);
    let (_answered, _, ok) = bench.call("c1").await;
    assert_eq!(header(&ok, "Contact"), Some(format!("<sip:12345@{line}>").as_str()));
}

#[tokio::test]
async fn an_unsolicited_answer_is_passed_over() {
    let mut bench = Bench::start().await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n\
                  To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    stranger.send_to(answer.as_bytes(), bench.line).await.expect("loopback");
    bench.call("c1").await;
}

#[tokio::test]
async fn the_line_and_its_callers_are_known_whatever_codes_a_trunk_puts_before_their_numbers() {
    let mut bench = Bench::open(SipSettings { area_code: "0635".into(), max_calls: 9, ..settings() }).await;
    let dial = |bench: &Bench, dialled: &str, from: &str| {
        let invite = bench.invite(&format!("{dialled}-{from}").replace('+', "p"), SDP);
        invite.replacen("sip:12345@", &format!("sip:{dialled}@"), 1).replacen("<sip:138", &format!("<sip:{from}"), 1)
    };
    for (dialled, before) in [("+8663512345", "+86138"), ("063512345", "0138"), ("8612345", "86138"), ("12345", "138")]
    {
        bench.send(dial(&bench, dialled, before)).await;
        let incoming = bench.incoming().await;
        assert_eq!(incoming.called, "12345", "{dialled}");
        assert_eq!(incoming.caller.as_ref().map(|it| it.reveal().as_str()), Some("13800000000"), "{before}");
        incoming.refuse(486);
    }
    let elsewhere = dial(&bench, "053112345", "138");
    assert_eq!(status(&bench.ask(&elsewhere).await), "404");
}
