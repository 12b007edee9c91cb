//! A switch that forks a call of its own to a recording server (SIPREC, RFC 7866): two streams and metadata, nothing heard.

use std::{fmt::Write, net::SocketAddr, time::Duration};

use serde::Serialize;
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    EndedBy, Faults, GRACE, PhoneError,
    audio::Codec,
    phone::{ALLOW, resolve, wants_tcp},
    rtp::Talker,
    sdp,
    sip::{Dialog, Message, branch, token},
    sound::{TICK, media_ports},
    timers::{T1, T2},
    transport::Transport,
};

/// Longest wait for an answer to the INVITE; other requests have five seconds.
const ANSWER: Duration = Duration::from_secs(32);
const SHORT: Duration = Duration::from_secs(5);
/// Between the parts of a body.
const BOUNDARY: &str = "sip-test-boundary";

/// What the switch says about who speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Telling {
    /// All, in the INVITE.
    #[default]
    Whole,
    /// All, by UPDATE after the answer.
    Late,
    /// Nothing.
    Nothing,
    /// Something that is no XML.
    Broken,
}

/// A call to be forked.
#[derive(Clone, Debug)]
pub struct ForkSpec {
    /// `sip:recorder@127.0.0.1:5060`; with `;transport=tcp` over TCP.
    pub to: String,
    /// The caller's number, and the seat's extension.
    pub caller: String,
    pub seat: String,
    /// What the caller says, and the seat.
    pub caller_says: Vec<i16>,
    pub seat_says: Vec<i16>,
    pub telling: Telling,
    /// The seat's stream stands first, and its participant too.
    pub seat_first: bool,
    /// Both streams are on hold for so long, from so long after the answer on; nothing is sent meanwhile.
    pub hold: Option<(Duration, Duration)>,
    /// Hangs up this long after the answer; else when both have said all.
    pub hang_up_after: Option<Duration>,
}

impl ForkSpec {
    /// A call in which nobody says anything.
    pub fn new(to: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            caller: "13800000000".into(),
            seat: "8001".into(),
            caller_says: Vec::new(),
            seat_says: Vec::new(),
            telling: Telling::default(),
            seat_first: false,
            hold: None,
            hang_up_after: None,
        }
    }
}

/// How it went.
#[derive(Clone, Debug, Serialize)]
pub struct ForkReport {
    pub call_id: String,
    /// Final status of the INVITE.
    pub status: u16,
    /// First line of that answer.
    pub reason: String,
    /// From the INVITE to its final answer.
    pub setup_ms: u64,
    /// From the answer to the end.
    pub duration_ms: u64,
    pub ended_by: EndedBy,
    pub bye_status: Option<u16>,
    /// Answers to requests in mid-call: UPDATE, and a re-INVITE for hold and for its end.
    pub statuses: Vec<u16>,
    /// Whether the recorder says that it is one (`+sip.srs`).
    pub is_recorder: bool,
    /// Streams the recorder takes, the caller's and the seat's.
    pub taken: [bool; 2],
    /// Labels it gave back, in the order of the streams.
    pub labels: Vec<String>,
    /// Of both streams.
    pub packets_sent: u64,
}

/// Forks a call and waits for its end.
///
/// # Errors
/// Everything that leaves nothing to report. A refusal is a report with its status.
pub async fn fork(spec: ForkSpec) -> Result<ForkReport, PhoneError> {
    let far = resolve(&spec.to).await?;
    let ticks = spec.caller_says.len().max(spec.seat_says.len()).div_ceil(crate::audio::FRAME);
    let length = spec.hang_up_after.unwrap_or(TICK * u32::try_from(ticks).unwrap_or(u32::MAX / 64));
    let all = length + GRACE;
    let switch = Switch::open(spec, far).await?;
    timeout(all, switch.walk(length)).await.map_err(|_| PhoneError::Overrun { far, seconds: all.as_secs() })?
}

struct Switch {
    spec: ForkSpec,
    far: SocketAddr,
    sip: Transport,
    /// The caller's stream and the seat's, each with the port behind it, which is not read.
    streams: [Stream; 2],
    dialog: Dialog,
    session: u64,
    version: u32,
    cseq: u32,
    statuses: Vec<u16>,
    far_hung_up: bool,
}

struct Stream {
    rtp: UdpSocket,
    _rtcp: UdpSocket,
    talker: Talker,
    label: &'static str,
    /// Where the recorder wants it.
    to: Option<SocketAddr>,
}

impl Switch {
    async fn open(mut spec: ForkSpec, far: SocketAddr) -> Result<Self, PhoneError> {
        let tcp = wants_tcp(&spec.to);
        let sip = Transport::open(far, tcp).await?;
        let local = sip.local().map_err(|source| PhoneError::Unreachable { far, source })?;
        let stream = async |pcm, label| {
            let (rtp, rtcp) = media_ports(local).await?;
            let talker = Talker::new(pcm, Codec::Alaw, None, Vec::new(), Faults::default());
            Ok::<_, PhoneError>(Stream { rtp, _rtcp: rtcp, talker, label, to: None })
        };
        let caller = stream(std::mem::take(&mut spec.caller_says), "96").await?;
        let seat = stream(std::mem::take(&mut spec.seat_says), "97").await?;
        let mut dialog = Dialog::new(&spec.to, local, "switch", None, tcp);
        dialog.contact.push_str(";+sip.src");
        let session = u64::from(fastrand::u32(1..));
        let streams = [caller, seat];
        Ok(Self {
            spec,
            far,
            sip,
            streams,
            dialog,
            session,
            version: 1,
            cseq: 1,
            statuses: Vec::new(),
            far_hung_up: false,
        })
    }

    async fn walk(mut self, length: Duration) -> Result<ForkReport, PhoneError> {
        let sdp = self.description("sendonly")?;
        let (kind, body) = match self.spec.telling {
            Telling::Whole => (mixed(), parts(&sdp, &self.metadata())),
            Telling::Broken => (mixed(), parts(&sdp, "<recording><session></recording>")),
            Telling::Late | Telling::Nothing => ("application/sdp".into(), sdp),
        };
        let began = Instant::now();
        let answer = self.ask("INVITE", &kind, &body, ANSWER).await?;
        let answer = answer.ok_or(PhoneError::NoAnswer { far: self.far, seconds: ANSWER.as_secs() })?;
        let (setup_ms, status) = (ms(began.elapsed()), answer.status.unwrap_or(0));
        let mut report = ForkReport {
            call_id: self.dialog.call_id.clone(),
            status,
            reason: answer.start.clone(),
            setup_ms,
            duration_ms: 0,
            ended_by: EndedBy::Refused,
            bye_status: None,
            statuses: Vec::new(),
            is_recorder: answer.header("Contact").is_some_and(|it| it.contains("+sip.srs")),
            taken: [false; 2],
            labels: Vec::new(),
            packets_sent: 0,
        };
        if status >= 300 {
            return Ok(report);
        }
        let answered = Instant::now();
        self.dialog.confirm(&answer);
        self.acknowledge().await?;
        report.labels = self.take(&answer.body)?;
        report.taken = self.streams.each_ref().map(|stream| stream.to.is_some());
        if self.spec.telling == Telling::Late {
            let metadata = self.metadata();
            self.change("UPDATE", "application/rs-metadata+xml", &metadata).await?;
        }
        report.packets_sent = self.talk(answered, length).await?;
        report.duration_ms = ms(answered.elapsed());
        report.ended_by = if self.far_hung_up { EndedBy::Far } else { EndedBy::Phone };
        if !self.far_hung_up {
            report.bye_status = self.ask("BYE", "", "", SHORT).await?.and_then(|answer| answer.status);
        }
        report.statuses = self.statuses;
        Ok(report)
    }

    /// Sends both streams until the end.
    async fn talk(&mut self, start: Instant, length: Duration) -> Result<u64, PhoneError> {
        let (mut sent, mut tick) = (0, 0_usize);
        let mut turns: Vec<(Duration, &str)> = match self.spec.hold {
            Some((from, span)) => vec![(from + span, "sendonly"), (from, "inactive")],
            None => Vec::new(),
        };
        let mut held = false;
        loop {
            let due = (start + TICK * u32::try_from(tick).unwrap_or(u32::MAX)).min(start + length);
            tokio::select! {
                received = self.sip.receive() => {
                    let heard = received.map_err(|source| PhoneError::Unreachable { far: self.far, source })?;
                    if let Ok(message) = Message::parse(&heard) {
                        self.serve(&message).await?;
                    }
                }
                () = sleep_until(due) => {
                    if start.elapsed() >= length {
                        return Ok(sent);
                    }
                    for stream in &mut self.streams {
                        for packet in stream.talker.packets(tick) {
                            // A full send buffer loses a packet, as a network may.
                            if !held && let Some(to) = stream.to && stream.rtp.send_to(&packet, to).await.is_ok() {
                                sent += 1;
                            }
                        }
                    }
                    tick += 1;
                }
            }
            if self.far_hung_up {
                return Ok(sent);
            }
            if let Some((_, direction)) = turns.pop_if(|(at, _)| start.elapsed() >= *at) {
                held = direction == "inactive";
                let sdp = self.description(direction)?;
                self.change("INVITE", "application/sdp", &sdp).await?;
            }
        }
    }

    /// A request in mid-call.
    async fn change(&mut self, method: &str, kind: &str, body: &str) -> Result<(), PhoneError> {
        self.cseq += 1;
        let answer = self.ask(method, kind, body, SHORT).await?;
        let status = answer.as_ref().and_then(|answer| answer.status);
        if method == "INVITE" && status.is_some_and(|status| status < 300) {
            self.acknowledge().await?;
        }
        self.statuses.push(status.unwrap_or(0));
        Ok(())
    }

    /// A request until its final answer; the refusal of an INVITE is acknowledged here.
    async fn ask(
        &mut self,
        method: &str,
        kind: &str,
        body: &str,
        within: Duration,
    ) -> Result<Option<Message>, PhoneError> {
        if method == "BYE" {
            self.cseq += 1;
        }
        let own = branch();
        let mut headers = vec![("Require", "siprec"), ("Allow", ALLOW), ("Content-Type", kind)];
        if method == "BYE" {
            headers.clear();
        }
        let request = self.dialog.request(method, self.cseq, &own, &headers, body);
        let give_up = Instant::now() + within;
        let (mut again, mut pause) = (Instant::now(), T1);
        loop {
            tokio::select! {
                received = self.sip.receive() => {
                    let heard = received.map_err(|source| PhoneError::Unreachable { far: self.far, source })?;
                    let Ok(message) = Message::parse(&heard) else { continue };
                    if message.method.is_some() {
                        self.serve(&message).await?;
                    } else if message.branch() == Some(&own) {
                        match message.status.unwrap_or(0) {
                            0..200 => again = give_up,
                            status => {
                                if method == "INVITE" && status >= 300 {
                                    let mut dialog = self.dialog.clone();
                                    dialog.to = message.header("To").unwrap_or_default().into();
                                    self.send(&dialog.request("ACK", self.cseq, &own, &[], "")).await?;
                                }
                                return Ok(Some(message));
                            }
                        }
                    }
                }
                () = sleep_until(again.min(give_up)) => {
                    if Instant::now() >= give_up {
                        return Ok(None);
                    }
                    self.send(&request).await?;
                    again = if self.sip.is_tcp() { give_up } else { Instant::now() + pause };
                    pause = (pause * 2).min(T2);
                }
            }
        }
    }

    /// Answers what the recorder asks, and repeats the ACK of a repeated 200.
    async fn serve(&mut self, message: &Message) -> Result<(), PhoneError> {
        match message.method.as_deref() {
            Some("ACK") => return Ok(()),
            Some(method) => {
                let ours = message.header("Call-ID") == Some(&self.dialog.call_id);
                self.far_hung_up |= ours && method == "BYE";
                let status = if ours { "200 OK" } else { "481 Call/Transaction Does Not Exist" };
                let answer = message.answer(status, &token(), &[("Allow", ALLOW)], "");
                self.send(&answer).await?;
            }
            None if message.status == Some(200) && message.cseq() == Some((self.cseq, "INVITE")) => {
                self.acknowledge().await?;
            }
            None => {}
        }
        Ok(())
    }

    async fn acknowledge(&mut self) -> Result<(), PhoneError> {
        let ack = self.dialog.request("ACK", self.cseq, &branch(), &[], "");
        self.send(&ack).await
    }

    async fn send(&mut self, text: &str) -> Result<(), PhoneError> {
        match self.sip.send(text.as_bytes()).await {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionRefused => {
                Err(PhoneError::Unreachable { far: self.far, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Streams in the order of the offer.
    fn order(&self) -> [usize; 2] {
        if self.spec.seat_first { [1, 0] } else { [0, 1] }
    }

    /// Takes the recorder's description of what it wants to hear where.
    ///
    /// * returns — the labels it gave back.
    fn take(&mut self, answer: &str) -> Result<Vec<String>, PhoneError> {
        let mut pieces = answer.split("\r\nm=");
        let head = pieces.next().unwrap_or_default();
        let pieces: Vec<&str> = pieces.collect();
        let mut labels = Vec::new();
        for (at, piece) in self.order().into_iter().zip(&pieces) {
            let label = piece.lines().find_map(|line| line.strip_prefix("a=label:"));
            labels.extend(label.map(str::to_owned));
            // A stream that is not wanted has port 0, which is no description of one.
            let Ok(media) = sdp::read(&format!("{head}\r\nm={piece}"), &[Codec::Alaw]) else { continue };
            self.streams[at].to = Some(media.address);
        }
        if self.streams.iter().all(|stream| stream.to.is_none()) {
            let problem = "takes neither stream".into();
            return Err(PhoneError::Answer { far: self.far, problem });
        }
        Ok(labels)
    }

    /// The offer: both streams, with their labels.
    fn description(&mut self, direction: &str) -> Result<String, PhoneError> {
        let family = if self.dialog.local.is_ipv4() { "IP4" } else { "IP6" };
        let (ip, session, version) = (self.dialog.local.ip(), self.session, self.version);
        self.version += 1;
        let mut text =
            format!("v=0\r\no=sip-test {session} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n");
        for at in self.order() {
            let Stream { rtp, label, .. } = &self.streams[at];
            let local = rtp.local_addr().map_err(|source| PhoneError::Socket { at: self.dialog.local, source })?;
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "m=audio {} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=label:{label}\r\na={direction}\r\n",
                local.port()
            );
        }
        Ok(text)
    }

    /// Who speaks in which stream (RFC 7865).
    fn metadata(&self) -> String {
        let (ip, call) = (self.dialog.local.ip(), &self.dialog.call_id);
        let people = [("caller", &self.spec.caller), ("seat", &self.spec.seat)];
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\">\r\n\
             <datamode>complete</datamode>\r\n<session session_id=\"s\"><sipSessionID>{call}</sipSessionID></session>\r\n"
        );
        for at in self.order() {
            let (id, number) = people[at];
            let (other, _) = people[1 - at];
            let label = self.streams[at].label;
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "<participant participant_id=\"{id}\"><nameID aor=\"sip:{number}@{ip}\"/></participant>\r\n\
                 <stream stream_id=\"of-{id}\" session_id=\"s\"><label>{label}</label></stream>\r\n\
                 <participantstreamassoc participant_id=\"{id}\"><send>of-{id}</send><recv>of-{other}</recv>\
                 </participantstreamassoc>\r\n"
            );
        }
        text + "</recording>\r\n"
    }
}

fn mixed() -> String {
    format!("multipart/mixed;boundary={BOUNDARY}")
}

fn parts(sdp: &str, metadata: &str) -> String {
    format!(
        "--{BOUNDARY}\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--{BOUNDARY}\r\n\
         Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n{metadata}\r\n\
         --{BOUNDARY}--\r\n"
    )
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
