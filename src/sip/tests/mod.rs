//! The endpoint on real sockets, spoken to in plain text.

mod addresses;
mod dialog;
mod phone;
mod registrar;
mod siprec;
mod streams;
mod timers;

use std::{net::SocketAddr, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;
use phone::Phone;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 8 0 96\r\na=rtpmap:96 telephone-event/8000\r\n";
/// Far more than any answer takes; only a broken build waits it out.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running endpoint and a phone that speaks to it.
struct Bench {
    calls: mpsc::Receiver<Incoming>,
    phone: Phone,
    /// The address the phone speaks to.
    line: SocketAddr,
    clock: Clock,
    stopping: CancellationToken,
    run: JoinHandle<()>,
}

impl Bench {
    async fn start() -> Self {
        Self::with(2, SipSettings::T1).await
    }

    async fn with(max_calls: usize, t1: Duration) -> Self {
        Self::open(SipSettings { max_calls, t1, ..settings() }).await
    }

    /// An endpoint with these settings, and a UDP phone.
    async fn open(settings: SipSettings) -> Self {
        let clock = Clock::that_can_be_advanced();
        let (endpoint, calls) = Endpoint::bind(settings, clock.clone()).await.expect("a free port");
        let line = endpoint.local_addr();
        Self::run(endpoint, calls, clock, Phone::udp(line).await, line)
    }

    /// Starts an endpoint.
    ///
    /// * `line` — which of its addresses the phone speaks to.
    fn run(endpoint: Endpoint, calls: mpsc::Receiver<Incoming>, clock: Clock, phone: Phone, line: SocketAddr) -> Self {
        let stopping = CancellationToken::new();
        let run = tokio::spawn(endpoint.run(stopping.clone()));
        Self { calls, phone, line, clock, stopping, run }
    }

    async fn send(&self, message: impl AsRef<[u8]>) {
        self.phone.send(message.as_ref()).await;
    }

    async fn hear(&self) -> String {
        timeout(PATIENCE, self.phone.hear()).await.expect("an answer").expect("an open connection")
    }

    /// The next message whose first line contains `wanted`; provisional answers and repetitions are skipped.
    async fn hear_of(&self, wanted: &str) -> String {
        loop {
            let heard = self.hear().await;
            if heard.lines().next().is_some_and(|line| line.contains(wanted)) {
                return heard;
            }
        }
    }

    /// Sends a request and gives the status of its final answer.
    async fn ask(&self, request: impl AsRef<str>) -> String {
        let request = request.as_ref();
        self.send(request).await;
        self.answer_to(request).await
    }

    async fn answer_to(&self, request: &str) -> String {
        let same = |heard: &str, name| header(heard, name) == header(request, name);
        loop {
            let heard = self.hear().await;
            let ours = same(&heard, "Call-ID") && same(&heard, "CSeq");
            if ours && heard.starts_with("SIP/2.0") && status(&heard) != "100" {
                return heard;
            }
        }
    }

    /// Answers a request of the line.
    async fn reply(&self, request: &str, status: &str, further: &str, body: &str) {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let answer = request
            .lines()
            .filter(|line| ["Via", "From", "To", "Call-ID", "CSeq"].iter().any(|name| line.starts_with(name)))
            .fold(format!("SIP/2.0 {status}\r\n"), |text, line| text + line + "\r\n");
        self.send(format!("{answer}{further}{kind}Content-Length: {}\r\n\r\n{body}", body.len())).await;
    }

    /// Acknowledges a refusal, so that it is not repeated.
    async fn ack(&self, invite: &str, answer: &str) {
        let to = |text: &str| format!("\r\nTo: {}", header(text, "To").expect("a To"));
        let ack = invite.replace("INVITE sip:", "ACK sip:").replace(" INVITE\r\n", " ACK\r\n");
        self.send(ack.replace(&to(invite), &to(answer))).await;
    }

    /// A request in the call `call`.
    fn request(&self, method: &str, call: &str, cseq: u32, to_tag: &str, further: &str, body: &str) -> String {
        let (phone, kind_of_phone) = (self.phone.local(), self.phone.transport());
        let contact = match kind_of_phone {
            "UDP" => String::new(),
            other => format!(";transport={}", other.to_lowercase()),
        };
        let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let length = body.len();
        // A CANCEL and the ACK of a refusal carry the branch of their INVITE.
        let branch = if method == "CANCEL" { "INVITE" } else { method };
        format!(
            "{method} sip:12345@{line} SIP/2.0\r\nVia: SIP/2.0/{kind_of_phone} {phone};branch=z9hG4bK{branch}{call}{cseq};rport\r\n\
             From: <sip:13800000000@{phone}>;tag=far{call}\r\nTo: <sip:12345@{line}>{to_tag}\r\nCall-ID: {call}@test\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:13800000000@{phone}{contact}>\r\nMax-Forwards: 70\r\n{further}{kind}\
             Content-Length: {length}\r\n\r\n{body}",
            line = self.line,
        )
    }

    fn invite(&self, call: &str, body: &str) -> String {
        self.request("INVITE", call, 1, "", "", body)
    }

    async fn incoming(&mut self) -> Incoming {
        timeout(PATIENCE, self.calls.recv()).await.expect("a call").expect("the endpoint runs")
    }

    /// Sets up a call: INVITE, 200, ACK. Gives our tag and the 200.
    async fn call(&mut self, call: &str) -> (Answered, String, String) {
        self.call_with(call, "").await
    }

    /// The same, with further header lines in the INVITE.
    async fn call_with(&mut self, call: &str, further: &str) -> (Answered, String, String) {
        self.send(self.request("INVITE", call, 1, "", further, SDP)).await;
        let incoming = self.incoming().await;
        let (mut answered, agreed) = incoming.answer(media()).expect("answered");
        assert!(agreed.is_some());
        let ok = self.hear_of("200 OK").await;
        let tag = tag_of(&ok);
        self.send(self.request("ACK", call, 1, &tag, "", "")).await;
        assert_eq!(event(&mut answered).await, LegEvent::Acked);
        (answered, tag, ok)
    }
}

fn settings() -> SipSettings {
    SipSettings::new(([127, 0, 0, 1], 0).into(), vec!["12345".into()], 2)
}

fn media() -> SocketAddr {
    "127.0.0.1:30000".parse().expect("an address")
}

/// The same from somebody who has a name, written in GBK.
fn in_gbk(invite: String) -> Vec<u8> {
    let at = invite.find("From: ").expect("a From") + 6;
    let mut bytes = invite.into_bytes();
    bytes.splice(at..at, *b"\"\xd5\xc5\xc8\xfd\" ");
    bytes
}

async fn event(answered: &mut Answered) -> LegEvent {
    timeout(PATIENCE, answered.event()).await.expect("an event")
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn tag_of(message: &str) -> String {
    let to = header(message, "To").expect("a To");
    to.split("tag=").nth(1).expect("a tag").to_owned()
}

fn status(message: &str) -> &str {
    message.get(8..11).unwrap_or_default()
}

#[tokio::test]
async fn each_request_that_cannot_be_served_hears_its_own_refusal() {
    let bench = Bench::start().await;
    let count = std::cell::Cell::new(0);
    let invite = |further: &str, body: &str| {
        count.set(count.get() + 1);
        bench.request("INVITE", &format!("c{}", count.get()), 1, "", further, body)
    };
    let to = |user: &str| bench.invite(&format!("to{user}"), SDP).replacen("sip:12345@", &format!("sip:{user}@"), 1);
    let cases = [
        (invite("", SDP).replacen("SIP/2.0", "SIP/3.0", 1), "505"),
        (invite("", SDP).replace("INVITE ", "FOO ").replace(" INVITE", " FOO"), "501"),
        (invite("", SDP).replace("INVITE ", "REFER ").replace(" INVITE", " REFER"), "405"),
        (invite("", SDP).replacen("sip:12345@", "gopher:12345@", 1), "416"),
        (invite("", SDP).replacen("1 INVITE", "1 BYE", 1), "400"),
        (invite("", SDP).replacen("Content-Length: ", "Content-Length: 9", 1), "400"),
        (to("99999"), "404"),
        (to("123456"), "404"),
        (invite("", SDP).replacen("Max-Forwards: 70", "Max-Forwards: 0", 1), "483"),
        (invite("Require: 100rel, timer\r\n", SDP), "420"),
        (invite("Content-Type: text/plain\r\n", SDP).replacen("Content-Type: application/sdp\r\n", "", 1), "415"),
        (invite("Content-Encoding: gzip\r\n", SDP), "415"),
        (invite("", "v=0\r\nm=audio\r\n"), "400"),
        (invite("", &SDP.replace("8 0 96", "18 96")), "488"),
        (bench.request("BYE", "none", 2, "nobody", "", ""), "481"),
        (bench.request("INVITE", "none", 2, "nobody", "", SDP), "481"),
        (bench.request("OPTIONS", "none", 3, "nobody", "", ""), "481"),
        (bench.request("CANCEL", "none", 9, "", "", ""), "481"),
        (bench.request("INFO", "none", 4, "", "", ""), "481"),
    ];
    for (request, wanted) in cases {
        let answer = bench.ask(&request).await;
        assert_eq!(status(&answer), wanted, "{request}\n{answer}");
        match wanted {
            "405" | "501" => assert!(header(&answer, "Allow").is_some_and(|it| it.contains("INVITE")), "{answer}"),
            "420" => assert_eq!(header(&answer, "Unsupported"), Some("100rel")),
            "415" => assert!(answer.contains("Accept"), "{answer}"),
            _ => {}
        }
        bench.ack(&request, &answer).await;
    }
}

#[tokio::test]
async fn of_several_faults_the_first_in_the_order_of_checks_is_told() {
    let bench = Bench::start().await;
    let further = "Require: 100rel\r\nContent-Type: text/plain\r\n";
    let mut request = bench.request("FOO", "c1", 1, "", further, &SDP.replace("8 0 96", "18"));
    request = request.replacen("Content-Type: application/sdp\r\n", "", 1);
    request = request.replacen("sip:12345@", "gopher:99999@", 1).replacen("SIP/2.0", "SIP/3.0", 1);
    request = request.replacen("Max-Forwards: 70", "Max-Forwards: 0", 1);
    let mut heard = Vec::new();
    for (cseq, (fault, mended)) in [
        ("SIP/3.0", "SIP/2.0"),
        ("FOO", "INVITE"),
        ("gopher:", "sip:"),
        ("sip:99999@", "sip:12345@"),
        ("Max-Forwards: 0", "Max-Forwards: 70"),
        ("Require: 100rel\r\n", ""),
        ("text/plain", "application/sdp"),
        ("", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let now = request.replace("CSeq: 1 ", &format!("CSeq: {} ", cseq + 1)).replace("c11;", &format!("c1{cseq};"));
        let answer = bench.ask(&now).await;
        bench.ack(&now, &answer).await;
        heard.push(status(&answer).to_owned());
        request = request.replace(fault, mended);
    }
    assert_eq!(heard, ["505", "501", "416", "404", "483", "420", "415", "488"]);
}

#[tokio::test]
async fn options_names_what_the_line_understands() {
    let bench = Bench::start().await;
    let answer = bench.ask(bench.request("OPTIONS", "o1", 1, "", "", "")).await;
    assert_eq!(status(&answer), "200");
    assert_eq!(header(&answer, "Accept"), Some("application/sdp"));
    assert!(header(&answer, "Allow").is_some_and(|it| it.contains("OPTIONS")), "{answer}");
    assert!(answer.contains("\r\nSupported:"), "{answer}");
    let to_the_machine = bench.request("OPTIONS", "o2", 1, "", "", "").replacen("sip:12345@", "sip:", 1);
    assert_eq!(status(&bench.ask(to_the_machine).await), "200");
    let to_nobody = bench.request("OPTIONS", "o3", 1, "", "", "").replacen("sip:12345@", "sip:1@", 1);
    assert_eq!(status(&bench.ask(to_nobody).await), "404");
}

#[tokio::test]
async fn a_call_is_answered_and_hung_up_by_the_caller() {
    let mut bench = Bench::start().await;
    bench.send(bench.invite("c1", SDP)).await;
    assert_eq!(status(&bench.hear().await), "100");
    let incoming = bench.incoming().await;
    assert_eq!(incoming.caller.as_ref().map(|it| it.reveal().as_str()), Some("13800000000"));
    assert_eq!((incoming.called.as_str(), incoming.local.to_string().as_str()), ("12345", "127.0.0.1"));
    let (mut answered, agreed) = incoming.answer(media()).expect("answered");
    let agreed = agreed.expect("they offered");
    assert_eq!((agreed.address.port(), agreed.payload_type, agreed.telephone_event), (4000, 8, Some(96)));
    let ok = bench.hear_of("200 OK").await;
    assert!(ok.contains("m=audio 30000 RTP/AVP 8 96\r\n"), "{ok}");
    assert_eq!(header(&ok, "Contact"), Some(format!("<sip:12345@{}>", bench.line).as_str()));
    let tag = tag_of(&ok);
    bench.send(bench.request("ACK", "c1", 1, &tag, "", "")).await;
    assert_eq!(event(&mut answered).await, LegEvent::Acked);
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 2, &tag, "", "")).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::FarHungUp));
}

#[tokio::test]
async fn the_line_hangs_up_with_bye() {
    let mut bench = Bench::start().await;
    let (mut answered, _, _) = bench.call("c1").await;
    answered.hang_up();
    let bye = bench.hear_of("BYE sip:13800000000@").await;
    assert!(header(&bye, "From").is_some_and(|it| it.contains("12345")), "{bye}");
    bench.reply(&bye, "200 OK", "", "").await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::WeHungUp));
}

#[tokio::test]
async fn an_invite_without_sdp_gets_our_offer_and_brings_the_answer_in_the_ack() {
    let mut bench = Bench::start().await;
    bench.send(bench.invite("c1", "")).await;
    let (mut answered, agreed) = bench.incoming().await.answer(media()).expect("answered");
    assert_eq!(agreed, None);
    let ok = bench.hear_of("200 OK").await;
    assert!(ok.contains("m=audio 30000 RTP/AVP 8 0 101\r\n"), "{ok}");
    bench.send(bench.request("ACK", "c1", 1, &tag_of(&ok), "", &SDP.replace("8 0 96", "0"))).await;
    assert_eq!(event(&mut answered).await, LegEvent::Acked);
    let LegEvent::Settled(agreed) = event(&mut answered).await else { panic!("the answer settles it") };
    assert_eq!((agreed.codec, agreed.telephone_event), (sdp::Codec::Pcmu, None));

    bench.send(bench.invite("c2", "")).await;
    let (mut answered, _) = bench.incoming().await.answer(media()).expect("answered");
    let ok = bench.hear_of("200 OK").await;
    bench.send(bench.request("ACK", "c2", 1, &tag_of(&ok), "", "")).await;
    assert_eq!(event(&mut answered).await, LegEvent::Acked);
    assert_eq!(event(&mut answered).await, LegEvent::NoAnswer);
}

#[tokio::test]
async fn a_cancelled_invite_is_answered_with_487_and_makes_no_call() {
    let mut bench = Bench::start().await;
    bench.send(bench.invite("c1", SDP)).await;
    let incoming = bench.incoming().await;
    bench.send(bench.request("CANCEL", "c1", 1, "", "", "")).await;
    let mut heard = vec![bench.hear_of("SIP/2.0").await];
    while !heard.iter().any(|it| status(it) == "487") {
        heard.push(bench.hear().await);
    }
    assert!(heard.iter().any(|it| status(it) == "200" && it.contains("1 CANCEL")), "{heard:?}");
    while !incoming.is_cancelled() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(incoming.answer(media()), Err(AnswerError::Cancelled)));
}

#[tokio::test]
async fn a_bye_before_the_answer_ends_the_invite_too() {
    let mut bench = Bench::start().await;
    bench.send(bench.invite("c1", SDP)).await;
    let incoming = bench.incoming().await;
    let tag = incoming.tag();
    bench.send(bench.request("BYE", "c1", 2, &tag, "", "")).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let heard = bench.hear().await;
        if status(&heard) != "100" {
            seen.push((status(&heard).to_owned(), header(&heard, "CSeq").unwrap_or_default().to_owned()));
        }
    }
    seen.sort();
    assert_eq!(seen, [("200".into(), "2 BYE".into()), ("487".into(), "1 INVITE".into())]);
    assert!(matches!(incoming.answer(media()), Err(AnswerError::Cancelled)));
}

#[tokio::test]
async fn requests_before_the_ack_are_answered() {
    let mut bench = Bench::start().await;
    bench.send(bench.invite("c1", SDP)).await;
    let incoming = bench.incoming().await;
    let tag = incoming.tag();
    assert_eq!(status(&bench.ask(bench.request("OPTIONS", "c1", 2, &tag, "", "")).await), "200");
    assert_eq!(status(&bench.ask(bench.request("INFO", "c1", 3, &tag, "", "")).await), "200");
    for (method, cseq) in [("UPDATE", 4), ("INVITE", 5)] {
        let answer = bench.ask(bench.request(method, "c1", cseq, &tag, "", SDP)).await;
        assert_eq!(status(&answer), "500", "{method}");
        assert!(header(&answer, "Retry-After").is_some(), "{answer}");
    }
    drop(incoming);
    let refused = bench.hear_of("503").await;
    assert!(header(&refused, "Retry-After").is_some(), "{refused}");
}

#[tokio::test]
async fn an_old_cseq_hears_500_and_an_info_key_is_told() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, _) = bench.call("c1").await;
    let key = "Signal=5\r\nDuration=160\r\n";
    let info = bench.request("INFO", "c1", 10, &tag, "", key).replace("application/sdp", "application/dtmf-relay");
    assert_eq!(status(&bench.ask(info).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Digit { key: '5', duration_ms: 160 });
    assert_eq!(status(&bench.ask(bench.request("OPTIONS", "c1", 9, &tag, "", "")).await), "500");
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 8, &tag, "", "")).await), "500");
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 11, &tag, "", "")).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::FarHungUp));
    assert_eq!(status(&bench.ask(bench.request("OPTIONS", "c1", 12, &tag, "", "")).await), "481");
}

#[tokio::test]
async fn a_request_that_came_over_two_ways_is_one_call() {
    let mut bench = Bench::start().await;
    bench.send(bench.invite("c1", SDP)).await;
    let _incoming = bench.incoming().await;
    let again = bench.invite("c1", SDP).replacen("z9hG4bKINVITE", "z9hG4bKother", 1);
    assert_eq!(status(&bench.ask(again).await), "482");
}

#[tokio::test]
async fn one_call_too_many_hears_503_with_retry_after_until_a_place_is_free() {
    let mut bench = Bench::with(1, SipSettings::T1).await;
    let (mut answered, tag, _) = bench.call("c1").await;
    let full = bench.ask(bench.invite("c2", SDP)).await;
    assert_eq!(status(&full), "503");
    assert!(header(&full, "Retry-After").is_some(), "{full}");
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 2, &tag, "", "")).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::FarHungUp));
    drop(answered);
    bench.call("c3").await;
}

#[tokio::test]
async fn a_200_without_ack_is_repeated_and_then_given_up_with_bye() {
    let mut bench = Bench::with(2, Duration::from_millis(10)).await;
    bench.send(bench.invite("c1", SDP)).await;
    let (mut answered, _) = bench.incoming().await.answer(media()).expect("answered");
    bench.hear_of("200 OK").await;
    bench.hear_of("200 OK").await;
    bench.hear_of("BYE ").await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::AckTimeout));
}

#[tokio::test]
async fn a_caller_with_a_gbk_name_is_taken_and_a_missing_content_length_is_no_loss() {
    let mut bench = Bench::start().await;
    let text = bench.invite("c1", SDP).replacen(&format!("Content-Length: {}\r\n", SDP.len()), "", 1);
    bench.send(in_gbk(text)).await;
    let incoming = bench.incoming().await;
    assert_eq!(incoming.caller.as_ref().map(|it| it.reveal().as_str()), Some("13800000000"));
    let (_answered, agreed) = incoming.answer(media()).expect("answered");
    assert!(agreed.is_some(), "the body was read");
    assert!(bench.hear_of("200 OK").await.contains("\"张三\""));
}

#[tokio::test]
async fn a_re_invite_holds_moves_and_is_refused_without_harm() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, first) = bench.call("c1").await;
    let version =
        |text: &str| text.lines().find(|it| it.starts_with("o=")).map(|it| it.split(' ').nth(2).unwrap().to_owned());
    let hold = bench.ask(bench.request("INVITE", "c1", 2, &tag, "", &format!("{SDP}a=sendonly\r\n"))).await;
    assert!(hold.contains("a=recvonly"), "{hold}");
    assert_ne!(version(&hold), version(&first));
    let busy = bench.ask(bench.request("INVITE", "c1", 3, &tag, "", SDP)).await;
    assert_eq!(status(&busy), "500", "one at a time");
    bench.send(bench.request("ACK", "c1", 2, &tag, "", "")).await;
    let LegEvent::Settled(agreed) = event(&mut answered).await else { panic!("held") };
    assert_eq!((agreed.send, agreed.receive), (false, true));

    // The ACK is taken in its own time: until then another offer hears 500.
    let mut cseq = 4;
    loop {
        let refused = bench.request("INVITE", "c1", cseq, &tag, "", &SDP.replace("8 0 96", "18"));
        let answer = bench.ask(&refused).await;
        bench.ack(&refused, &answer).await;
        cseq += 1;
        if status(&answer) == "488" {
            break;
        }
        assert_eq!(status(&answer), "500");
    }
    loop {
        let body = SDP.replace("4000", "4444");
        let answer = bench.ask(bench.request("UPDATE", "c1", cseq, &tag, "", &body)).await;
        cseq += 1;
        if status(&answer) == "200" {
            break;
        }
        assert_eq!(status(&answer), "500");
    }
    let LegEvent::Settled(agreed) = event(&mut answered).await else { panic!("moved") };
    assert_eq!((agreed.address.port(), agreed.send), (4444, true));

    let offer = bench.ask(bench.request("INVITE", "c1", cseq, &tag, "", "")).await;
    assert!(offer.contains("m=audio 30000 RTP/AVP 8 0 101"), "{offer}");
    bench.send(bench.request("ACK", "c1", cseq, &tag, "", &SDP.replace("8 0 96", "0"))).await;
    let LegEvent::Settled(agreed) = event(&mut answered).await else { panic!("answered in the ACK") };
    assert_eq!(agreed.codec, sdp::Codec::Pcmu);
}

#[tokio::test]
async fn a_stopping_line_takes_no_call_and_ends_when_the_last_is_over() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, _) = bench.call("c1").await;
    bench.stopping.cancel();
    while status(&bench.ask(bench.request("OPTIONS", "o", 1, "", "", "")).await) != "200" {}
    let answer = bench.ask(bench.invite("c2", SDP)).await;
    assert_eq!(status(&answer), "503");
    bench.ack(&bench.invite("c2", SDP), &answer).await;
    assert_eq!(status(&bench.ask(bench.request("BYE", "c1", 2, &tag, "", "")).await), "200");
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::FarHungUp));
    drop(answered);
    timeout(PATIENCE, bench.run).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn a_storm_of_rubbish_leaves_the_line_open() {
    let mut bench = Bench::start().await;
    let invite = bench.invite("c0", SDP).into_bytes();
    for round in 0..400_usize {
        let mut rubbish = invite.clone();
        for step in 0..=round % 7 {
            let at = (round * 31 + step * 97) % rubbish.len();
            rubbish[at] = u8::try_from((round * 7 + step * 13) % 256).expect("below 256");
        }
        rubbish.truncate(rubbish.len() - round % 200);
        bench.send(rubbish).await;
    }
    let options = bench.request("OPTIONS", "after", 1, "", "", "");
    bench.send(&options).await;
    while !bench.hear().await.contains("after@test") {}
    while bench.calls.try_recv().is_ok() {}
    bench.call("c1").await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let bench = Bench::start().await;
    let taken = SipSettings { udp: vec![bench.line], ..settings() };
    let Err(error) = Endpoint::bind(taken, Clock::system()).await else { panic!("the port is taken") };
    assert!(error.to_string().contains(&format!("sip.udp: cannot listen on UDP {}", bench.line)), "{error}");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = tcp.local_addr().expect("bound");
    let taken = SipSettings { tcp: vec![address], ..settings() };
    let Err(error) = Endpoint::bind(taken, Clock::system()).await else { panic!("the port is taken") };
    assert!(error.to_string().contains(&format!("sip.tcp: cannot listen on TCP {address}")), "{error}");
}
