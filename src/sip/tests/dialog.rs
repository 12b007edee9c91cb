//! What may be said within a call.

use super::*;

fn version(text: &str) -> &str {
    text.lines().find(|it| it.starts_with("o=")).and_then(|it| it.split(' ').nth(2)).expect("an o= line")
}

impl Bench {
    /// A re-INVITE that is taken: gives the 200 and acknowledges it. The last one may still wait for its ACK.
    async fn reinvite(&self, call: &str, cseq: &mut u32, tag: &str, further: &str, body: &str) -> String {
        let ok = self.insist("INVITE", call, cseq, tag, further, body).await;
        assert_eq!(status(&ok), "200", "{ok}");
        self.send(self.request("ACK", call, *cseq, tag, "", "")).await;
        ok
    }

    /// Asks until the answer is another than "not now".
    async fn insist(&self, method: &str, call: &str, cseq: &mut u32, tag: &str, further: &str, body: &str) -> String {
        loop {
            *cseq += 1;
            let request = self.request(method, call, *cseq, tag, further, body);
            let answer = self.ask(&request).await;
            if method == "INVITE" && status(&answer) != "200" {
                self.ack(&request, &answer).await;
            }
            if status(&answer) != "500" {
                return answer;
            }
        }
    }
}

async fn settled(answered: &mut Answered) -> sdp::Agreed {
    match event(answered).await {
        LegEvent::Settled(agreed) => agreed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_re_invite_holds_and_another_resumes() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, _) = bench.call("c1").await;
    let mut cseq = 1;
    for (line, answer, sound) in [
        ("a=sendonly\r\n", "a=recvonly", (false, true)),
        ("a=inactive\r\n", "a=inactive", (false, false)),
        ("a=recvonly\r\n", "a=sendonly", (true, false)),
        ("c=IN IP4 0.0.0.0\r\n", "a=recvonly", (false, true)),
        ("", "a=sendrecv", (true, true)),
    ] {
        let ok = bench.reinvite("c1", &mut cseq, &tag, "", &format!("{SDP}{line}")).await;
        assert!(ok.contains(answer), "{line}: {ok}");
        let agreed = settled(&mut answered).await;
        assert_eq!((agreed.send, agreed.receive), sound, "{line}");
        assert_eq!(agreed.address.to_string(), "127.0.0.1:4000", "{line}");
    }
}

#[tokio::test]
async fn a_request_right_behind_an_ack_is_taken() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, _) = bench.call("c1").await;
    for cseq in (2..80).step_by(2) {
        let ok = bench.ask(bench.request("INVITE", "c1", cseq, &tag, "", SDP)).await;
        assert_eq!(status(&ok), "200", "{cseq}: {ok}");
        bench.send(bench.request("ACK", "c1", cseq, &tag, "", "")).await;
        let ok = bench.ask(bench.request("UPDATE", "c1", cseq + 1, &tag, "", SDP)).await;
        assert_eq!(status(&ok), "200", "{cseq}: {ok}");
        settled(&mut answered).await;
        settled(&mut answered).await;
    }
}

#[tokio::test]
async fn a_re_invite_and_an_update_move_sound_to_another_address_port_and_codec() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, first) = bench.call("c1").await;
    let mut cseq = 1;
    let moved = SDP.replace("127.0.0.1", "127.0.0.2").replace("4000", "4444").replace("8 0 96", "0 96");
    let ok = bench.reinvite("c1", &mut cseq, &tag, "", &moved).await;
    assert!(ok.contains("m=audio 30000 RTP/AVP 0 96\r\n"), "{ok}");
    assert_ne!(version(&ok), version(&first));
    let agreed = settled(&mut answered).await;
    assert_eq!((agreed.address.to_string().as_str(), agreed.codec), ("127.0.0.2:4444", sdp::Codec::Pcmu));
    let ok = bench.insist("UPDATE", "c1", &mut cseq, &tag, "", SDP).await;
    assert!(ok.contains("m=audio 30000 RTP/AVP 8 96\r\n"), "{ok}");
    let agreed = settled(&mut answered).await;
    assert_eq!((agreed.address.to_string().as_str(), agreed.codec), ("127.0.0.1:4000", sdp::Codec::Pcma));
}

#[tokio::test]
async fn a_refused_re_invite_changes_neither_sound_nor_version_nor_contact() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, first) = bench.call("c1").await;
    let mut cseq = 1;
    for (further, body, wanted) in [
        ("", SDP.replace("8 0 96", "18"), "488"),
        ("Require: 100rel\r\n", SDP.into(), "420"),
        ("Supported: timer\r\nSession-Expires: 10\r\n", SDP.into(), "422"),
        ("", "v=0\r\nm=audio\r\n".into(), "400"),
    ] {
        cseq += 1;
        let request = bench.request("INVITE", "c1", cseq, &tag, further, &body);
        let request = request.replacen("Contact: <sip:13800000000@", "Contact: <sip:elsewhere@", 1);
        let answer = bench.ask(&request).await;
        assert_eq!(status(&answer), wanted, "{answer}");
        bench.ack(&request, &answer).await;
    }
    let ok = bench.reinvite("c1", &mut cseq, &tag, "", SDP).await;
    assert_eq!(version(&ok), version(&first), "the same words, the same version");
    settled(&mut answered).await;
    answered.hang_up();
    bench.hear_of("BYE sip:13800000000@").await;
}

#[tokio::test]
async fn later_requests_go_to_the_contact_of_the_last_re_invite_or_update() {
    for method in ["INVITE", "UPDATE"] {
        let mut bench = Bench::start().await;
        let (mut answered, tag, first) = bench.call("c1").await;
        let request = bench.request(method, "c1", 2, &tag, "", SDP);
        let ok = bench.ask(request.replacen("Contact: <sip:13800000000@", "Contact: <sip:new@", 1)).await;
        assert_eq!((status(&ok), header(&ok, "Contact")), ("200", header(&first, "Contact")), "{method}");
        bench.send(bench.request("ACK", "c1", 2, &tag, "", "")).await;
        settled(&mut answered).await;
        answered.hang_up();
        bench.hear_of("BYE sip:new@").await;
    }
}

#[tokio::test]
async fn an_update_without_an_offer_is_taken_and_one_before_the_ack_is_not() {
    let mut bench = Bench::start().await;
    bench.send(bench.invite("c1", SDP)).await;
    let (mut answered, _) = bench.incoming().await.answer(media()).expect("answered");
    let tag = tag_of(&bench.hear_of("200 OK").await);
    for (method, cseq, wanted) in
        [("UPDATE", 2, "500"), ("INVITE", 3, "500"), ("OPTIONS", 4, "200"), ("INFO", 5, "200")]
    {
        let request = bench.request(method, "c1", cseq, &tag, "", "");
        let answer = bench.ask(&request).await;
        assert_eq!(status(&answer), wanted, "{method}");
        if method == "INVITE" {
            bench.ack(&request, &answer).await;
        }
    }
    bench.send(bench.request("ACK", "c1", 1, &tag, "", "")).await;
    assert_eq!(event(&mut answered).await, LegEvent::Acked);
    let ok = bench.ask(bench.request("UPDATE", "c1", 6, &tag, "", "")).await;
    assert_eq!((status(&ok), header(&ok, "Content-Length")), ("200", Some("0")));
}

#[tokio::test]
async fn an_info_that_is_no_key_hears_415() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, _) = bench.call("c1").await;
    let info = bench.request("INFO", "c1", 2, &tag, "", "<media_control/>");
    let answer = bench.ask(info.replace("application/sdp", "application/media_control+xml")).await;
    assert_eq!((status(&answer), header(&answer, "Accept")), ("415", Some("application/dtmf-relay, application/dtmf")));
    assert_eq!(status(&bench.ask(bench.request("INFO", "c1", 3, &tag, "", "")).await), "200", "an empty one is a ping");
    let key = bench.request("INFO", "c1", 4, &tag, "", "#").replace("application/sdp", "application/dtmf");
    assert_eq!(status(&bench.ask(key).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Digit { key: '#', duration_ms: 100 });
}

#[tokio::test]
async fn a_request_with_a_wrong_tag_hears_481_and_the_call_goes_on() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, _) = bench.call("c1").await;
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 2, "wrong", "", "")).await), "481");
    let wrong = bench.request("BYE", "c1", 3, &tag, "", "").replacen(";tag=farc1", ";tag=wrong", 1);
    assert_eq!(status(&bench.ask(wrong).await), "481");
    assert_eq!(status(&bench.ask(bench.request("REFER", "c1", 4, &tag, "", "")).await), "405");
    assert_eq!(status(&bench.ask(bench.request("FOO", "c1", 5, &tag, "", "")).await), "501");
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 6, &tag, "", "")).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::FarHungUp));
}

#[tokio::test]
async fn a_bye_before_the_ack_ends_the_call() {
    let mut bench = Bench::start().await;
    bench.send(bench.invite("c1", SDP)).await;
    let (mut answered, _) = bench.incoming().await.answer(media()).expect("answered");
    let tag = tag_of(&bench.hear_of("200 OK").await);
    let bye = bench.request("BYE", "c1", 2, &tag, "", "");
    assert_eq!(status(&bench.ask(&bye).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::FarHungUp));
    bench.send(bench.request("ACK", "c1", 1, &tag, "", "")).await;
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 3, &tag, "", "")).await), "481");
}

#[tokio::test]
async fn an_ack_that_comes_late_still_confirms_the_call() {
    let mut bench = Bench::with(2, Duration::from_millis(50)).await;
    bench.send(bench.invite("c1", SDP)).await;
    let (mut answered, _) = bench.incoming().await.answer(media()).expect("answered");
    let ok = bench.hear_of("200 OK").await;
    for _ in 0..3 {
        assert_eq!(bench.hear_of("200 OK").await, ok, "repeated word for word");
    }
    bench.send(bench.request("ACK", "c1", 1, &tag_of(&ok), "", "")).await;
    assert_eq!(event(&mut answered).await, LegEvent::Acked);
    assert_eq!(status(&bench.ask(bench.request("OPTIONS", "c1", 2, &tag_of(&ok), "", "")).await), "200");
}

#[tokio::test]
async fn a_cancel_that_crosses_the_200_is_answered_and_changes_nothing() {
    let mut bench = Bench::start().await;
    bench.send(bench.invite("c1", SDP)).await;
    let (mut answered, _) = bench.incoming().await.answer(media()).expect("answered");
    let tag = tag_of(&bench.hear_of("200 OK").await);
    assert_eq!(status(&bench.ask(bench.request("CANCEL", "c1", 1, "", "", "")).await), "200");
    bench.send(bench.request("ACK", "c1", 1, &tag, "", "")).await;
    assert_eq!(event(&mut answered).await, LegEvent::Acked);
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 2, &tag, "", "")).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::FarHungUp));
}

#[tokio::test]
async fn hanging_up_within_a_re_invite_waits_for_its_ack() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, _) = bench.call("c1").await;
    assert_eq!(status(&bench.ask(bench.request("INVITE", "c1", 2, &tag, "", SDP)).await), "200");
    settled(&mut answered).await;
    answered.hang_up();
    bench.send(bench.request("ACK", "c1", 2, &tag, "", "")).await;
    let bye = bench.hear_of("BYE ").await;
    bench.reply(&bye, "200 OK", "", "").await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::WeHungUp));
}

#[tokio::test]
async fn a_re_invite_that_is_never_acknowledged_ends_the_call() {
    let mut bench = Bench::with(2, Duration::from_millis(10)).await;
    let (mut answered, tag, _) = bench.call("c1").await;
    assert_eq!(status(&bench.ask(bench.request("INVITE", "c1", 2, &tag, "", SDP)).await), "200");
    settled(&mut answered).await;
    bench.hear_of("BYE ").await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::AckTimeout));
}

#[tokio::test]
async fn a_repeated_request_within_the_call_hears_its_answer_again() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, _) = bench.call("c1").await;
    let update = bench.request("UPDATE", "c1", 2, &tag, "", &SDP.replace("4000", "4444"));
    let first = bench.ask(&update).await;
    assert_eq!(bench.ask(&update).await, first);
    assert_eq!(settled(&mut answered).await.address.port(), 4444);
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 3, &tag, "", "")).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::FarHungUp), "it settled nothing twice");
}

#[tokio::test]
async fn a_route_through_a_proxy_is_kept_for_our_own_requests() {
    let mut bench = Bench::start().await;
    let proxy = bench.phone.local();
    let route = format!("Record-Route: <sip:{proxy};lr;ftag=a>\r\n");
    let invite = bench.request("INVITE", "c1", 1, "", &route, SDP);
    let own = format!("Contact: <sip:13800000000@{proxy}>");
    bench.send(invite.replacen(&own, "Contact: <sip:13800000000@192.0.2.77>", 1)).await;
    let (mut answered, _) = bench.incoming().await.answer(media()).expect("answered");
    let ok = bench.hear_of("200 OK").await;
    assert_eq!(header(&ok, "Record-Route"), Some(format!("<sip:{proxy};lr;ftag=a>").as_str()));
    bench.send(bench.request("ACK", "c1", 1, &tag_of(&ok), "", "")).await;
    assert_eq!(event(&mut answered).await, LegEvent::Acked);
    answered.hang_up();
    let bye = bench.hear_of("BYE sip:13800000000@192.0.2.77").await;
    assert!(header(&bye, "Route").is_some_and(|it| it.contains(&proxy.to_string())), "{bye}");
}
