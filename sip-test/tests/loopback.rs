//! Phone to phone: a tiny answering machine takes the calls.
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use std::{net::SocketAddr, path::Path, time::Duration};

use sip_test::{
    CallSpec, EndedBy, Expect, Faults, LoadSpec, Message, Misdeed, PhoneError,
    audio::{self, Codec, Side, align, tone, tone_share},
    call, load, misbehave, options, raw,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    sync::watch,
    time::timeout,
};

#[tokio::test]
async fn a_call_hears_its_own_words_come_back() {
    let machine = Machine::default().start().await;
    let record = std::env::temp_dir().join(format!("sip-test-echo-{}.wav", std::process::id()));
    let said = words(Duration::from_secs(4));
    let mut spec = CallSpec::new(machine.uri()).playing(said.clone());
    spec.record = Some(record.clone());
    let report = call(spec).await.unwrap();
    assert_eq!((report.status, report.ended_by, report.bye_status), (200, EndedBy::Phone, Some(200)));
    assert_eq!((report.packets_sent, report.codec), (200, Some(Codec::Alaw)));
    let heard = audio::read(&record, Side::Left).unwrap();
    std::fs::remove_file(&record).unwrap();
    assert_eq!(heard, report.heard);
    let found = align(&said, &heard, 4_000);
    assert!(found.correlation >= 0.95, "{found:?}");
    assert_eq!(machine.requests(3).await, ["INVITE", "ACK", "BYE"]);
}

#[tokio::test]
async fn an_offer_in_the_answer_is_answered_in_the_ack() {
    let machine = Machine { offers: true, ..Machine::default() }.start().await;
    let mut spec = CallSpec::new(machine.uri()).playing(tone(440.0, 0.3, 8_000));
    spec.no_sdp = true;
    spec.codec = Some(Codec::Ulaw);
    let report = call(spec).await.unwrap();
    assert_eq!((report.status, report.codec), (200, Some(Codec::Ulaw)));
    assert!(tone_share(&report.heard[4_000..7_000], 440.0) > 0.9);
}

#[tokio::test]
async fn a_lost_invite_and_a_repeated_answer_are_lived_through() {
    let machine = Machine { ignores: 1, answers: 2, ..Machine::default() }.start().await;
    let report = call(CallSpec::new(machine.uri()).playing(tone(440.0, 0.3, 8_000))).await.unwrap();
    assert_eq!((report.status, report.answers_repeated), (200, 1));
    let requests = machine.requests(5).await;
    assert_eq!(requests, ["INVITE", "INVITE", "ACK", "ACK", "BYE"]);
}

#[tokio::test]
async fn a_refusal_is_acknowledged_and_reported() {
    let machine = Machine { refuses: Some("404 Not Found"), ..Machine::default() }.start().await;
    let report = call(CallSpec::new(machine.uri())).await.unwrap();
    assert_eq!((report.status, report.ended_by), (404, EndedBy::Refused));
    assert_eq!(machine.requests(2).await, ["INVITE", "ACK"]);
}

#[tokio::test]
async fn a_call_given_up_while_it_rings_is_cancelled() {
    let machine = Machine { only_rings: true, ..Machine::default() }.start().await;
    let mut spec = CallSpec::new(machine.uri());
    spec.cancel_after = Some(Duration::from_millis(200));
    let report = call(spec).await.unwrap();
    assert_eq!((report.status, report.ended_by, report.rang), (487, EndedBy::Cancelled, true));
    assert_eq!(machine.requests(3).await, ["INVITE", "CANCEL", "ACK"]);
}

#[tokio::test]
async fn the_far_side_may_hang_up() {
    let machine = Machine { hangs_up_after: Some(20), ..Machine::default() }.start().await;
    let report = call(CallSpec::new(machine.uri()).playing(words(Duration::from_secs(20)))).await.unwrap();
    assert_eq!((report.ended_by, report.bye_status), (EndedBy::Far, None));
    assert!(report.packets_sent < 900);
}

#[tokio::test]
async fn keys_and_damage_arrive_as_ordered() {
    let machine = Machine::default().start().await;
    let mut spec = CallSpec::new(machine.uri()).playing(tone(440.0, 0.3, 16_000));
    spec.keys = "12#".into();
    spec.faults = Faults { seed: 11, duplicate: 0.5, ..Faults::default() };
    let report = call(spec).await.unwrap();
    assert_eq!((report.keys_sent, report.keys_heard.as_str()), (3, "12#"));
    assert!(report.packets_sent > 130, "half of 100 packets went twice: {}", report.packets_sent);
}

#[tokio::test]
async fn nobody_there_is_an_error_and_not_a_wait() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    drop(socket);
    let error = timeout(Duration::from_secs(30), call(CallSpec::new(format!("sip:12345@{at}")))).await.unwrap();
    assert!(matches!(error, Err(PhoneError::Unreachable { far, .. }) if far == at));
    assert!(call(CallSpec::new("tel:12345")).await.unwrap_err().is_wrong_use());
}

#[tokio::test]
async fn options_and_raw_datagrams_are_answered() {
    let machine = Machine::default().start().await;
    assert_eq!(options(&machine.uri()).await.unwrap().status, 200);
    let wire = raw::Wire::open(machine.at).await.unwrap();
    wire.send(b"nonsense").await.unwrap();
    wire.send(wire.request("OPTIONS", &machine.uri())).await.unwrap();
    let answer = wire.final_answer(Duration::from_secs(10)).await.unwrap();
    assert_eq!(answer.status, Some(200));
}

#[tokio::test]
async fn forty_calls_at_once_each_hear_their_own_words_come_back() {
    let machine = Machine::default().start().await;
    let mut spec = LoadSpec::new(machine.uri());
    (spec.calls, spec.total, spec.rate, spec.length) = (40, 60, 200.0, Duration::from_secs(4));
    (spec.play, spec.expect, spec.each) = (words(Duration::from_secs(20)), Expect::Echo, true);
    spec.faults = Faults { seed: 5, loss: 0.05, reorder: 0.05, duplicate: 0.01 };
    spec.jitter = Duration::from_millis(15);
    let report = load(spec, |_| {}).await.unwrap();
    assert!(report.good, "{report:#?}");
    assert_eq!((report.begun, report.answered, report.completed), (60, 60, 60));
    assert!(report.most_up <= 40, "no more than allowed: {}", report.most_up);
    assert!(report.packets_withheld > 300 && report.gaps > 300 && report.packets_late > 0, "{report:#?}");
    assert!(report.heard_correlation.unwrap().least > 0.8, "{report:#?}");
    assert!(report.each.iter().all(|call| call.end == "completed"));
    assert_eq!((report.each.len(), report.each[1].from != report.each[0].from), (60, true));
}

#[tokio::test]
async fn a_load_that_hears_another_sound_or_is_refused_or_left_has_failed() {
    let machine = Machine::default().start().await;
    let mut wrong = LoadSpec::new(machine.uri());
    (wrong.calls, wrong.total, wrong.length) = (2, 2, Duration::from_secs(2));
    (wrong.play, wrong.expect) = (words(Duration::from_secs(9)), Expect::Sound(tone(440.0, 0.5, 16_000)));
    let report = load(wrong, |_| {}).await.unwrap();
    assert_eq!((report.completed, report.failed["heard another sound than expected"], report.good), (2, 2, false));

    let full = Machine { refuses: Some("503 Service Unavailable"), ..Machine::default() }.start().await;
    let mut refused = LoadSpec::new(full.uri());
    (refused.calls, refused.total, refused.rate) = (1, 3, 1000.0);
    let report = load(refused.clone(), |_| {}).await.unwrap();
    assert_eq!((report.refused[&503], report.answered, report.good), (3, 0, false));
    refused.may_refuse = true;
    assert!(load(refused, |_| {}).await.unwrap().good, "where a refusal is allowed");

    let rude = Machine { hangs_up_after: Some(5), ..Machine::default() }.start().await;
    let mut left = LoadSpec::new(rude.uri());
    (left.calls, left.total) = (1, 1);
    let report = load(left, |_| {}).await.unwrap();
    assert_eq!((report.failed["hung up by the far side"], report.good), (1, false));
}

#[tokio::test]
async fn a_load_on_a_port_where_nobody_listens_is_an_error() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    drop(socket);
    let error = load(LoadSpec::new(format!("sip:12345@{at}")), |_| {}).await.unwrap_err();
    assert!(matches!(error, PhoneError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_says_yes_to_everything_is_found_out() {
    let machine = Machine::default().start().await;
    for (deed, came) in [
        (Misdeed::ByeTwice, "200, then 200"),
        (Misdeed::WrongTags, "200 and 200"),
        (Misdeed::OldCseq, "200"),
        (Misdeed::Merged, "200 to one, no answer to the other"),
        (Misdeed::UnknownMethod, "no answer outside a call"),
    ] {
        let outcome = misbehave(deed, &machine.uri()).await.unwrap();
        assert_eq!((outcome.good, outcome.came.as_str()), (false, came), "{}", deed.name());
    }
    let outcome = misbehave(Misdeed::SsrcChange, &machine.uri()).await.unwrap();
    assert!(outcome.good, "what it does right is right: {outcome:?}");
}

#[tokio::test]
async fn calls_loads_and_pieces_of_messages_go_over_tcp() {
    let machine = Machine::default().start_tcp().await;
    let uri = format!("{};transport=tcp", machine.uri());
    let report = call(CallSpec::new(&uri).playing(words(Duration::from_secs(1)))).await.unwrap();
    assert_eq!((report.status, report.bye_status), (200, Some(200)));
    let mut spec = LoadSpec::new(&uri);
    (spec.calls, spec.total, spec.rate, spec.length) = (5, 10, 100.0, Duration::from_secs(1));
    let report = load(spec, |_| {}).await.unwrap();
    assert!(report.good && report.completed == 10, "{report:#?}");
    for deed in [Misdeed::HalfMessage, Misdeed::SlowMessage] {
        let outcome = misbehave(deed, &uri).await.unwrap();
        assert!(outcome.good, "{outcome:?}");
    }
}

fn words(length: Duration) -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/calls/s01.wav");
    let mut pcm = audio::read(&path, Side::Left).unwrap().split_off(28_000);
    pcm.truncate(usize::try_from(length.as_millis()).unwrap() * 8);
    pcm
}

/// An answering machine that says back what it hears.
#[derive(Default)]
struct Machine {
    /// INVITEs it does not notice.
    ignores: usize,
    /// How often it sends its 200; 0 counts as once.
    answers: usize,
    refuses: Option<&'static str>,
    only_rings: bool,
    /// Puts the offer into its answer.
    offers: bool,
    /// Hangs up after this many packets.
    hangs_up_after: Option<usize>,
}

struct Running {
    at: SocketAddr,
    heard: watch::Receiver<Vec<String>>,
}

impl Running {
    fn uri(&self) -> String {
        format!("sip:12345@{}", self.at)
    }

    /// Methods it heard, once they are this many.
    async fn requests(mut self, count: usize) -> Vec<String> {
        let wait = self.heard.wait_for(|heard| heard.len() >= count);
        timeout(Duration::from_secs(20), wait).await.unwrap().unwrap().clone()
    }
}

impl Machine {
    async fn start(self) -> Running {
        let sip = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = sip.local_addr().unwrap();
        let (requests, heard) = watch::channel(Vec::new());
        tokio::spawn(self.run(sip, rtp, requests));
        Running { at, heard }
    }

    /// The same machine behind a stream: each connection has a datagram port of its own to it.
    async fn start_tcp(self) -> Running {
        let machine = self.start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, behind) = (listener.local_addr().unwrap(), machine.at);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                socket.connect(behind).await.unwrap();
                tokio::spawn(async move {
                    let (mut heard, mut answer) = (Vec::new(), vec![0; 4_096]);
                    loop {
                        tokio::select! {
                            got = stream.read_buf(&mut heard) => if got.unwrap_or(0) == 0 { return },
                            got = socket.recv(&mut answer) => stream.write_all(&answer[..got.unwrap()]).await.unwrap(),
                        }
                        while let Some(length) = whole(&heard) {
                            socket.send(&heard[..length]).await.unwrap();
                            heard.drain(..length);
                        }
                    }
                });
            }
        });
        Running { at, heard: machine.heard }
    }

    async fn run(mut self, sip: UdpSocket, rtp: UdpSocket, requests: watch::Sender<Vec<String>>) {
        let media = rtp.local_addr().unwrap();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {} RTP/AVP {} 101\r\na=rtpmap:101 telephone-event/8000\r\n",
            media.port(),
            if self.offers { "8 0" } else { "8" }
        );
        let (mut invite, mut packets) = (None, 0);
        let (mut from_sip, mut from_rtp) = (vec![0; 4_096], vec![0; 2_048]);
        loop {
            tokio::select! {
                got = sip.recv_from(&mut from_sip) => {
                    let (length, peer) = got.unwrap();
                    let Ok(request) = Message::parse(&from_sip[..length]) else { continue };
                    let Some(method) = request.method.clone() else { continue };
                    requests.send_modify(|requests| requests.push(method));
                    let contact = format!("<sip:{}>", sip.local_addr().unwrap());
                    for text in self.replies(&request, &mut invite, &contact, &sdp) {
                        sip.send_to(text.as_bytes(), peer).await.unwrap();
                    }
                }
                got = rtp.recv_from(&mut from_rtp) => {
                    let (length, peer) = got.unwrap();
                    rtp.send_to(&from_rtp[..length], peer).await.unwrap();
                    packets += 1;
                    if self.hangs_up_after == Some(packets) {
                        let invite: &Message = invite.as_ref().unwrap();
                        let (text, peer) = bye(invite);
                        sip.send_to(text.as_bytes(), peer).await.unwrap();
                    }
                }
            }
        }
    }

    fn replies(&mut self, request: &Message, invite: &mut Option<Message>, contact: &str, sdp: &str) -> Vec<String> {
        let contact = [("Contact", contact)];
        match request.method.as_deref() {
            Some("INVITE") if self.ignores > 0 => {
                self.ignores -= 1;
                Vec::new()
            }
            Some("INVITE") => {
                *invite = Some(request.clone());
                let mut replies = vec![request.answer("180 Ringing", "far", &contact, "")];
                if let Some(status) = self.refuses {
                    replies.push(request.answer(status, "far", &[], ""));
                } else if !self.only_rings {
                    replies.extend(vec![request.answer("200 OK", "far", &contact, sdp); self.answers.max(1)]);
                }
                replies
            }
            Some("CANCEL") => {
                let invite = invite.as_ref().unwrap();
                vec![request.answer("200 OK", "far", &[], ""), invite.answer("487 Request Terminated", "far", &[], "")]
            }
            Some("ACK") => Vec::new(),
            _ => vec![request.answer("200 OK", "far", &[], "")],
        }
    }
}

/// Length of the first message of a stream.
fn whole(stream: &[u8]) -> Option<usize> {
    let head = stream.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&stream[..head]).unwrap();
    let length: usize = text.lines().find_map(|line| line.strip_prefix("Content-Length: "))?.parse().unwrap();
    (stream.len() >= head + length).then_some(head + length)
}

/// A BYE from the called side, and where it goes.
fn bye(invite: &Message) -> (String, SocketAddr) {
    let contact = invite.header("Contact").unwrap().trim_matches(['<', '>']);
    let peer = contact.rsplit_once('@').unwrap().1.parse().unwrap();
    let text = format!(
        "BYE {contact} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKbye\r\nMax-Forwards: 70\r\n\
         From: {};tag=far\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        invite.header("To").unwrap(),
        invite.header("From").unwrap(),
        invite.header("Call-ID").unwrap()
    );
    (text, peer)
}
