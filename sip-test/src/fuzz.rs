//! Mutants: well-formed packets of SIP, SDP, RTP, RTCP and STUN, damaged at random and sent to a server that has to go
//! on answering. The same seed damages in the same way.
//!
//! One call is kept up, so that media and requests of a dialog meet something that lives. After each round of mutants
//! a well-formed OPTIONS has to be answered with 200, which also keeps the server's socket from running over.

mod mutate;

use std::{collections::BTreeMap, io, time::Duration};

use fastrand::Rng;
use serde::Serialize;
use tokio::{net::UdpSocket, time::Instant};

use crate::{
    PhoneError,
    misbehave::rascal::Rascal,
    phone::resolve,
    raw::Wire,
    sip::{branch, token},
    torture::{end, status},
};

/// Mutants between two questions whether anybody is there.
const ROUND: u64 = 40;
/// How long the server may take for a well-formed OPTIONS, tried again a few times meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: u32 = 10;

/// A run of mutants.
#[derive(Clone, Debug)]
pub struct FuzzSpec {
    /// `sip:12345@127.0.0.1:5060`.
    pub to: String,
    pub packets: u64,
    pub seed: u64,
    /// Further messages to begin with, such as those of a torture folder.
    pub corpus: Vec<Vec<u8>>,
}

/// What was sent, and what came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FuzzReport {
    /// Mutants by kind.
    pub sent: BTreeMap<&'static str, u64>,
    /// Answers to mutants by status.
    pub answers: BTreeMap<u16, u64>,
    /// Calls that were kept up one after the other.
    pub calls: u64,
    pub pings: u64,
    pub slowest_ping_ms: u64,
    /// Whether every OPTIONS between the mutants was answered with 200.
    pub alive: bool,
}

/// Sends the mutants. It stops with the first OPTIONS that is not answered.
///
/// # Errors
/// The address is wrong or no port can be opened.
pub async fn fuzz(spec: FuzzSpec, mut progress: impl FnMut(u64)) -> Result<FuzzReport, PhoneError> {
    let far = resolve(&spec.to).await?;
    let socket = |source| PhoneError::Socket { at: far, source };
    let wire = Wire::open(far).await.map_err(socket)?;
    let mutants = UdpSocket::bind((wire.local().ip(), 0)).await.map_err(socket)?;
    mutants.connect(far).await.map_err(socket)?;
    let own = mutants.local_addr().map_err(socket)?.to_string();
    let mut report = FuzzReport { alive: true, ..FuzzReport::default() };
    let mut dice = Rng::with_seed(spec.seed);
    let mut call: Option<Rascal> = None;
    let mut sent = 0;
    while sent < spec.packets {
        if call.as_ref().is_none_or(|call| call.byes > 0) {
            call = open(&spec.to).await?;
            report.calls += u64::from(call.is_some());
        }
        for _ in 0..ROUND.min(spec.packets - sent) {
            let kind = send_one(&spec, &own, &mut dice, &mutants, call.as_ref()).await;
            *report.sent.entry(kind).or_default() += 1;
            sent += 1;
        }
        if let Some(call) = &mut call {
            call.pass(Duration::from_millis(1)).await;
        }
        hear(&mutants, far, &mut report).await;
        let began = Instant::now();
        report.pings += 1;
        if !answers(&wire, &spec.to).await {
            report.alive = false;
            break;
        }
        report.slowest_ping_ms = report.slowest_ping_ms.max(u64::try_from(began.elapsed().as_millis()).unwrap_or(0));
        progress(sent);
    }
    // Calls that the last mutants made are ended too.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        hear(&mutants, far, &mut report).await;
    }
    if let Some(mut call) = call {
        let bye = call.next("BYE");
        let _ = call.ask(&bye).await;
    }
    Ok(report)
}

/// A call as it should be; none while the line is full.
async fn open(to: &str) -> Result<Option<Rascal>, PhoneError> {
    let mut call = Rascal::open(to).await?;
    let invite = call.invite()?;
    let Some(answer) = call.ask(&invite).await else { return Ok(None) };
    if answer.status != Some(200) || call.take(&answer).is_err() {
        call.acknowledge_refusal(&answer).await;
        return Ok(None);
    }
    let ack = call.acknowledgement();
    let _ = call.send(&ack).await;
    Ok(Some(call))
}

async fn send_one(
    spec: &FuzzSpec,
    own: &str,
    dice: &mut Rng,
    socket: &UdpSocket,
    call: Option<&Rascal>,
) -> &'static str {
    let kind = match dice.u32(..20) {
        0..9 => "sip",
        9..13 => "sdp",
        13..17 => "rtp",
        17..19 => "rtcp",
        _ => "stun",
    };
    match (kind, call) {
        ("sip", _) => {
            let seed = match dice.usize(..spec.corpus.len() + 12).checked_sub(12) {
                Some(index) => spec.corpus[index].clone(),
                None => request(&spec.to, own, dice, call),
            };
            let other = spec.corpus.get(dice.usize(..spec.corpus.len().max(1))).map_or(&[][..], Vec::as_slice);
            let _ = socket.send(&mutate::text(&seed, other, dice)).await;
        }
        ("sdp", _) => {
            let body = mutate::text(DESCRIPTION.as_bytes(), b"a=sendonly\r\nm=audio 0 RTP/AVP 0\r\n", dice);
            let head = invite_head(&spec.to, own, body.len());
            let _ = socket.send(&[head.as_bytes(), &body].concat()).await;
        }
        (_, Some(call)) => {
            let (seed, reports) = mutate::media(kind, dice);
            let mutant = mutate::bytes(&seed, dice);
            call.send_media(&mutant, reports && dice.bool()).await;
        }
        (_, None) => {
            let (seed, _) = mutate::media(kind, dice);
            let _ = socket.send(&mutate::bytes(&seed, dice)).await;
        }
    }
    kind
}

const DESCRIPTION: &str = "v=0\r\no=mutant 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nb=AS:64\r\nt=0 0\r\n\
    m=audio 9000 RTP/AVP 8 0 101\r\nc=IN IP4 127.0.0.1\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp:9001\r\na=rtcp-mux\r\na=sendrecv\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";

fn invite_head(to: &str, own: &str, length: usize) -> String {
    format!(
        "INVITE {to} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch={};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:13900000000@{own}>;tag={}\r\nTo: <{to}>\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:13900000000@{own}>\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n",
        branch(),
        token(),
        token()
    )
}

/// A well-formed request, of the call that is up or of none.
fn request(to: &str, own: &str, dice: &mut Rng, call: Option<&Rascal>) -> Vec<u8> {
    const METHODS: [&str; 9] = ["OPTIONS", "INVITE", "INFO", "UPDATE", "CANCEL", "ACK", "REGISTER", "BYE", "PRACK"];
    let method = METHODS[dice.usize(..METHODS.len())];
    // A BYE of the call itself would only end it.
    if let Some(call) = call.filter(|_| method != "BYE" && dice.bool()) {
        let number = 200 + dice.u32(..1_000);
        let body = if method == "INVITE" { DESCRIPTION } else { "" };
        return call.dialog.request(method, number, &branch(), &[("Require", "timer")], body).into_bytes();
    }
    let head = invite_head(to, own, DESCRIPTION.len()).replace("INVITE", method);
    let mut extra = String::from("Supported: timer, 100rel\r\nSession-Expires: 1800;refresher=uac\r\nAccept: */*\r\n");
    extra.push_str("Route: <sip:127.0.0.1;lr>\r\nRecord-Route: <sip:127.0.0.1:9;lr>\r\nSubject: \"a\" <b>\r\n");
    (head.replacen("Content-Type", &format!("{extra}Content-Type"), 1) + DESCRIPTION).into_bytes()
}

/// Reads the answers and ends the calls that mutants made.
async fn hear(socket: &UdpSocket, far: std::net::SocketAddr, report: &mut FuzzReport) {
    let mut buffer = [0; 9_000];
    for _ in 0..1_000 {
        match socket.try_recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let Some(status) = status(&text) else { continue };
                *report.answers.entry(status).or_default() += 1;
                if status >= 200 {
                    for request in end(&text, status, far, "UDP") {
                        let _ = socket.send(request.as_bytes()).await;
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => {}
        }
    }
}

async fn answers(wire: &Wire, to: &str) -> bool {
    let request = wire.request("OPTIONS", to);
    for _ in 0..TRIES {
        if wire.send(&request).await.is_err() {
            continue;
        }
        if let Some(answer) = wire.final_answer(PATIENCE).await {
            return answer.status == Some(200);
        }
    }
    false
}
