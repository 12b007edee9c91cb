//! A seat registers at a tiny registrar, over datagrams and over a stream, and is called by it.
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use std::{net::SocketAddr, time::Duration};

use sip_test::{
    CallSpec, EndedBy, Message, PhoneError, SeatSpec, call,
    digest::{self, Algorithm, Challenge},
    seat::{SeatState, register_only, sit},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    time::timeout,
};

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\n";
const SECRET: &str = "correct horse";

#[tokio::test]
async fn a_seat_registers_stays_registered_is_called_and_leaves() {
    let registrar = Registrar { grants: 2, ..Registrar::default() }.start().await;
    let mut seat = sit(SeatSpec::new(registrar.number(), SECRET)).await.unwrap();
    let first = seat.registration().unwrap();
    assert_eq!((first.status, first.expires, first.challenged), (200, Some(2), 1));
    assert_eq!(first.answered_with, Some(Algorithm::Sha256), "the first of the two it was offered");
    let offered: Vec<_> = first.challenges.iter().map(|challenge| challenge.algorithm.as_str()).collect();
    assert_eq!(offered, ["SHA-256", "MD5"]);
    assert_eq!(first.contacts, [format!("<{}>;expires=2", seat.uri())]);

    // The registrar forgets its nonces after each: `stale=true` is no refusal.
    let second = timeout(Duration::from_secs(10), seat.wait_for_register(2)).await.unwrap().unwrap();
    assert_eq!((second.status, second.challenged, second.challenges[0].stale), (200, 1, true));

    let bound = registrar.requests(4).await;
    let contact = bound[3].header("Contact").unwrap().trim_matches(['<', '>']).to_owned();
    let mut order = CallSpec::new(contact);
    order.hang_up_after = Some(Duration::from_millis(300));
    assert_eq!(call(order).await.unwrap().status, 200);
    assert_eq!(seat.next_call().await.unwrap().ended_by, EndedBy::Far);

    let left = seat.unregister().await.unwrap().unwrap();
    assert_eq!((left.status, left.contacts.len()), (200, 0));
    let requests = registrar.requests(6).await;
    assert_eq!(requests.last().unwrap().header("Expires"), Some("0"));
    let cseqs: Vec<_> = requests.iter().map(|request| request.cseq().unwrap().0).collect();
    assert!(cseqs.is_sorted_by(|a, b| a < b), "{cseqs:?}");
    assert!(requests.iter().all(|request| request.header("Call-ID") == requests[0].header("Call-ID")));
}

#[tokio::test]
async fn each_algorithm_is_answered_where_it_is_wanted() {
    let registrar = Registrar::default().start().await;
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let mut spec = SeatSpec::new(registrar.number(), SECRET);
        spec.algorithm = Some(algorithm);
        let report = register_only(spec).await.unwrap();
        assert!(report.is_accepted(), "{report:?}");
        assert_eq!((report.answered_with, report.expires), (Some(algorithm), Some(300)));
    }
}

#[tokio::test]
async fn a_wrong_secret_and_a_silent_registrar_are_refusals() {
    let registrar = Registrar::default().start().await;
    let error = sit(SeatSpec::new(registrar.number(), "wrong")).await.unwrap_err();
    assert!(matches!(&error, PhoneError::NotRegistered { report, .. } if report.status == 401), "{error}");
    let report = register_only(SeatSpec::new(registrar.number(), "wrong")).await.unwrap();
    assert_eq!((report.status, report.challenged, report.expires), (401, 2, None));
    assert_eq!(registrar.requests(4).await.len(), 4, "two for each, none in vain");

    let brief = Registrar { least: 600, ..Registrar::default() }.start().await;
    let report = register_only(SeatSpec::new(brief.number(), SECRET)).await.unwrap();
    assert_eq!((report.status, report.min_expires), (423, Some(600)));

    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let number = format!("sip:8001@{}", silent.local_addr().unwrap());
    let error = sit(SeatSpec::new(&number, SECRET)).await.unwrap_err();
    assert!(error.to_string().contains("no answer within 5 s"), "{error}");
    assert_eq!(register_only(SeatSpec::new(&number, SECRET)).await.unwrap().status, 0);
}

#[tokio::test]
async fn a_seat_on_a_stream_is_called_over_it_and_goes_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let number = format!("sip:8001@{at};transport=tcp");
    let (accepted, seat) = tokio::join!(serve_stream(&listener), sit(SeatSpec::new(number, SECRET)));
    let (mut stream, mut seat) = (accepted, seat.unwrap());
    assert!(seat.uri().ends_with(";transport=tcp"));

    for number in 0..2 {
        let ask = |method, cseq, tag: &str, body| request(method, seat.uri(), number, cseq, tag, body);
        stream.send(ask("INVITE", 1, "", OFFER)).await;
        assert_eq!(stream.next().await.status, Some(180));
        let answer = stream.next().await;
        assert_eq!(answer.status, Some(200));
        let tag = answer.header("To").unwrap().rsplit_once("tag=").unwrap().1.to_owned();
        stream.send(ask("ACK", 1, &tag, "")).await;
        assert!(seat.wait_for(SeatState::Talking).await);
        stream.send(ask("BYE", 2, &tag, "")).await;
        assert_eq!(stream.next().await.status, Some(200));
        let taken = seat.next_call().await.unwrap();
        assert_eq!((taken.status, taken.ended_by), (200, EndedBy::Far));
    }

    stream.send(request("INVITE", seat.uri(), 2, 1, "", OFFER)).await;
    stream.next().await;
    assert_eq!(stream.next().await.status, Some(200));
    drop(stream);
    let taken = seat.next_call().await.unwrap();
    assert!(taken.problem.unwrap().contains("connection"));
    assert!(seat.next_call().await.is_none(), "a seat without its connection has ended");
    assert!(matches!(seat.unregister().await, Err(PhoneError::Unreachable { .. })));
}

/// Challenges with both algorithms and takes one proof for each nonce.
struct Registrar {
    /// Seconds granted; 0 grants what is asked.
    grants: u64,
    /// Seconds that must be asked for.
    least: u64,
    nonce: u32,
}

impl Default for Registrar {
    fn default() -> Self {
        Self { grants: 0, least: 0, nonce: 1 }
    }
}

struct Running {
    at: SocketAddr,
    heard: watch::Receiver<Vec<Message>>,
}

impl Running {
    fn number(&self) -> String {
        format!("sip:8001@{}", self.at)
    }

    /// What it heard, once it is this much.
    async fn requests(&self, count: usize) -> Vec<Message> {
        let mut heard = self.heard.clone();
        let wait = heard.wait_for(|heard| heard.len() >= count);
        timeout(Duration::from_secs(20), wait).await.unwrap().unwrap().clone()
    }
}

impl Registrar {
    async fn start(mut self) -> Running {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let (noted, heard) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut buffer = vec![0; 4_096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let request = Message::parse(&buffer[..length]).unwrap();
                socket.send_to(self.answer(&request).as_bytes(), peer).await.unwrap();
                noted.send_modify(|heard| heard.push(request));
            }
        });
        Running { at, heard }
    }

    fn answer(&mut self, request: &Message) -> String {
        let expires: u64 = request.header("Expires").unwrap().parse().unwrap();
        let Some(proof) = request.header("Authorization") else { return self.challenge(request, false) };
        if field(proof, "nonce") != format!("n{}", self.nonce) {
            return self.challenge(request, true);
        }
        if !is_right(proof, &self.asks(false)) {
            return self.challenge(request, false);
        }
        self.nonce += 1;
        if (1..self.least).contains(&expires) {
            return request.answer("423 Interval Too Brief", "r", &[("Min-Expires", &self.least.to_string())], "");
        }
        let granted = if self.grants > 0 { self.grants } else { expires };
        let contact = format!("{};expires={granted}", request.header("Contact").unwrap());
        let bound = [("Contact", contact.as_str())];
        request.answer("200 OK", "r", if expires == 0 { &[] } else { &bound }, "")
    }

    fn challenge(&self, request: &Message, stale: bool) -> String {
        let asks = self.asks(stale);
        let headers = [("WWW-Authenticate", asks[0].as_str()), ("WWW-Authenticate", &asks[1])];
        request.answer("401 Unauthorized", "r", &headers, "")
    }

    fn asks(&self, stale: bool) -> [String; 2] {
        ["SHA-256", "MD5"].map(|algorithm| {
            let stale = if stale { ", stale=true" } else { "" };
            format!(
                "Digest realm=\"city, 12345\", nonce=\"n{}\", algorithm={algorithm}, qop=\"auth\"{stale}",
                self.nonce
            )
        })
    }
}

/// Whether a proof answers one of the challenges, with the secret.
fn is_right(proof: &str, asks: &[String]) -> bool {
    asks.iter().any(|ask| {
        let request = digest::Request {
            user: "8001",
            secret: SECRET,
            method: "REGISTER",
            uri: field(proof, "uri"),
            cnonce: field(proof, "cnonce"),
            count: u32::from_str_radix(field(proof, "nc"), 16).unwrap(),
        };
        digest::authorization(&Challenge::parse(ask).unwrap(), &request).as_deref() == Some(proof)
    })
}

fn field<'a>(proof: &'a str, name: &str) -> &'a str {
    let behind = proof.split_once(&format!(" {name}=")).unwrap().1;
    behind.strip_prefix('"').map_or_else(|| behind.split(',').next().unwrap(), |text| text.split('"').next().unwrap())
}

/// The registrar's end of a stream.
struct Stream {
    socket: TcpStream,
    heard: Vec<u8>,
}

impl Stream {
    async fn send(&mut self, text: String) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        loop {
            if let Some(head) = self.heard.windows(4).position(|four| four == b"\r\n\r\n") {
                let text = std::str::from_utf8(&self.heard[..head]).unwrap();
                let body = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
                let whole = head + 4 + body.parse::<usize>().unwrap();
                if self.heard.len() >= whole {
                    return Message::parse(&self.heard.drain(..whole).collect::<Vec<_>>()).unwrap();
                }
            }
            let read = timeout(Duration::from_secs(20), self.socket.read_buf(&mut self.heard));
            assert!(read.await.unwrap().unwrap() > 0, "the seat closed the connection");
        }
    }
}

/// Takes one connection and the registration on it.
async fn serve_stream(listener: &TcpListener) -> Stream {
    let (socket, _) = listener.accept().await.unwrap();
    let (mut stream, mut registrar) = (Stream { socket, heard: Vec::new() }, Registrar::default());
    loop {
        let request = stream.next().await;
        assert!(request.header("Via").unwrap().starts_with("SIP/2.0/TCP "), "{request:?}");
        let answer = registrar.answer(&request);
        let taken = answer.starts_with("SIP/2.0 200");
        stream.send(answer).await;
        if taken {
            return stream;
        }
    }
}

/// A request of the switch behind the registrar.
fn request(method: &str, uri: &str, call: u32, cseq: u32, tag: &str, body: &str) -> String {
    let branch = format!("{call}{cseq}{method}");
    let to = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:13800000000@127.0.0.1>;tag=near\r\nTo: <sip:8001@127.0.0.1>{to}\r\nCall-ID: {call}\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:line@127.0.0.1:9;transport=tcp>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
