//! One call from INVITE to BYE.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{UdpSocket, lookup_host},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    CallReport, CallSpec, EndedBy, GRACE, OptionsReport, PhoneError,
    audio::{self, Codec, RATE},
    reports::Reports,
    rtp::{Listener, Talker, events},
    sdp::{self, FarMedia},
    sip::{Dialog, Message, branch, token},
    srtp::{self, Master, Srtp},
    transport::Transport,
};

/// First retransmission, RFC 3261 §17.1.1.1; it doubles from there, up to `T2` for all but INVITE.
pub(crate) const T1: Duration = Duration::from_millis(500);
pub(crate) const T2: Duration = Duration::from_secs(4);
/// Longest wait for the answer to a BYE or OPTIONS.
const SHORT: Duration = Duration::from_secs(5);
/// Our payload type for keys.
pub(crate) const EVENTS: u8 = 101;
/// Samples of our packets that are kept as they were on the wire: a minute.
const WIRE: usize = 480_000;
/// How long the far side's last RTCP is waited for.
const LAST_REPORT: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(20);
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY";

/// Makes a call and waits for its end.
///
/// # Errors
/// Everything that leaves no call to report. A refusal is a report with its status.
pub async fn call(spec: CallSpec) -> Result<CallReport, PhoneError> {
    let far = resolve(&spec.to).await?;
    let keys = events(&spec.keys).map_err(PhoneError::Key)?;
    let mut pcm = vec![0; usize::try_from(spec.lead_in.as_millis()).unwrap_or(0).min(600_000) * 8];
    pcm.extend(&spec.play);
    // Codec and payload type are settled with the answer.
    let talker = Talker::new(pcm, Codec::Alaw, None, keys, spec.faults);
    let length = spec.hang_up_after.unwrap_or(TICK * u32::try_from(talker.ticks()).unwrap_or(u32::MAX / 64));
    let all = length + GRACE;
    let phone = Phone::open(spec, far).await?;
    timeout(all, phone.walk(talker, length)).await.map_err(|_| PhoneError::Overrun { far, seconds: all.as_secs() })?
}

/// Asks whether anybody is there, for at most five seconds.
///
/// # Errors
/// The address is wrong or nobody answers.
pub async fn options(to: &str) -> Result<OptionsReport, PhoneError> {
    let far = resolve(to).await?;
    let mut phone = Phone::open(CallSpec::new(to), far).await?;
    let sent = Instant::now();
    let request = phone.dialog.request("OPTIONS", 1, &branch(), &[("Accept", "application/sdp")], "");
    let answer = phone.transact("OPTIONS", &request).await?;
    let answer = answer.ok_or(PhoneError::NoAnswer { far, seconds: SHORT.as_secs() })?;
    let allow = answer.header("Allow").map(Into::into);
    Ok(OptionsReport { status: answer.status.unwrap_or(0), took_ms: ms(sent.elapsed()), allow })
}

struct Phone {
    spec: CallSpec,
    far: SocketAddr,
    sip: Transport,
    rtp: UdpSocket,
    /// The port after RTP's.
    rtcp: UdpSocket,
    /// Our key, where the call is to be sealed.
    key: Option<Master>,
    codecs: Vec<Codec>,
    dialog: Dialog,
    /// The dialog's tag towards requests that have none.
    session: u64,
    cseq: u32,
    malformed: u32,
}

/// How the INVITE ended, and the moment it did.
struct Rang {
    answer: Message,
    at: Instant,
    ringing: bool,
    cancelled: bool,
    setup_ms: u64,
}

/// What a talk left behind.
#[derive(Default)]
struct Talk {
    packets_sent: u64,
    packets_received: u64,
    answers_repeated: u32,
    far_hung_up: bool,
    reports: Reports,
    on_the_wire: Vec<i16>,
}

/// What is said, what is heard, and what both are sealed with.
struct Ends {
    talker: Talker,
    listener: Listener,
    seal: Option<Srtp>,
}

impl Phone {
    async fn open(spec: CallSpec, far: SocketAddr) -> Result<Self, PhoneError> {
        let tcp = wants_tcp(&spec.to);
        let sip = Transport::open(far, tcp).await?;
        let local = sip.local().map_err(|source| PhoneError::Unreachable { far, source })?;
        let (rtp, reports) = media_ports(local).await?;
        let codecs = spec.codec.map_or_else(|| vec![Codec::Alaw, Codec::Ulaw], |codec| vec![codec]);
        let dialog = Dialog::new(&spec.to, local, &spec.from, spec.display_name.as_deref(), tcp);
        let session = u64::from(fastrand::u32(1..));
        let key = spec.srtp.then(srtp::master);
        Ok(Self { spec, far, sip, rtp, rtcp: reports, key, codecs, dialog, session, cseq: 1, malformed: 0 })
    }

    async fn walk(mut self, mut talker: Talker, length: Duration) -> Result<CallReport, PhoneError> {
        let rang = self.ring().await?;
        let status = rang.answer.status.unwrap_or(0);
        if status >= 300 || rang.cancelled {
            let ended_by = if rang.cancelled { EndedBy::Cancelled } else { EndedBy::Refused };
            if status < 300 {
                self.take(&rang.answer).await?;
                self.acknowledge("").await?;
                self.hang_up().await?;
            }
            return Ok(self.report(&rang, ended_by, None, &talker, &Talk::default(), Listener::new(0), Duration::ZERO));
        }
        self.take(&rang.answer).await?;
        let media = sdp::read(&rang.answer.body, &self.codecs);
        let answer = if self.spec.no_sdp { self.description()? } else { String::new() };
        if !self.spec.withhold_ack {
            self.acknowledge(&answer).await?;
        }
        let media = match media {
            Ok(media) => media,
            Err(problem) => {
                self.hang_up().await?;
                return Err(PhoneError::Answer { far: self.far, problem });
            }
        };
        let Ok(seal) = self.seal(&media) else {
            self.hang_up().await?;
            return Err(PhoneError::Answer { far: self.far, problem: "the answer has no key".into() });
        };
        talker.retune(media.codec, media.telephone_event);
        let limit = usize::try_from(length.as_secs() + 10).unwrap_or(0).saturating_mul(RATE as usize);
        let listener = Listener::new(limit);
        let mut ends = Ends { talker, listener, seal };
        let mut talk = self.talk(rang.at, length, media.clone(), &mut ends, &answer).await?;
        let lasted = rang.at.elapsed();
        let bye_status = if talk.far_hung_up { None } else { self.hang_up().await? };
        self.last_reports(&mut talk, ends.seal.as_ref()).await;
        let Ends { talker, listener, .. } = ends;
        let ended_by = if talk.far_hung_up { EndedBy::Far } else { EndedBy::Phone };
        let mut report = self.report(&rang, ended_by, Some(media.codec), &talker, &talk, listener, lasted);
        report.bye_status = bye_status;
        if let Some(path) = self.spec.record.take() {
            audio::write(&path, &report.heard)?;
            report.recorded = Some(path);
        }
        Ok(report)
    }

    /// INVITE until its final answer; a refusal is acknowledged here (RFC 3261 §17.1.1).
    async fn ring(&mut self) -> Result<Rang, PhoneError> {
        let own = branch();
        let offer = match (&self.spec.offer, self.spec.no_sdp) {
            (Some(text), _) => text.clone(),
            (None, true) => String::new(),
            (None, false) => self.description()?,
        };
        let mut headers: Vec<(&str, &str)> = vec![("Allow", ALLOW)];
        headers.extend(self.spec.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let invite = self.dialog.request("INVITE", self.cseq, &own, &headers, &offer);
        let cancel = self.dialog.request("CANCEL", self.cseq, &own, &[], "");
        let began = Instant::now();
        let (mut again, mut pause) = (began, T1);
        let give_up = began + self.spec.answer_within.min(Duration::from_secs(32));
        let cancel_at = self.spec.cancel_after.map_or(give_up, |after| began + after);
        let (mut proceeding, mut ringing, mut cancelled) = (false, false, false);
        loop {
            let next = if proceeding && !cancelled { cancel_at } else { again };
            tokio::select! {
                received = self.sip.receive() => {
                    let Some(message) = self.heard(received)? else { continue };
                    if message.cseq() != Some((self.cseq, "INVITE")) || message.branch() != Some(&own) {
                        continue;
                    }
                    match message.status.unwrap_or(0) {
                        status @ 100..200 => {
                            proceeding = true;
                            ringing |= status > 100;
                        }
                        status => {
                            if status >= 300 {
                                let mut dialog = self.dialog.clone();
                                dialog.to = message.header("To").unwrap_or_default().into();
                                self.send(&dialog.request("ACK", self.cseq, &own, &[], "")).await?;
                            }
                            let (at, setup_ms) = (Instant::now(), ms(began.elapsed()));
                            if let Some(answered) = self.spec.answered.as_ref().filter(|_| status < 300) {
                                let _ = answered.set(at.into_std());
                            }
                            return Ok(Rang { answer: message, at, ringing, cancelled, setup_ms });
                        }
                    }
                }
                () = sleep_until(next.min(give_up)) => {
                    let now = Instant::now();
                    if now >= give_up {
                        self.send(&cancel).await?;
                        return Err(PhoneError::NoAnswer { far: self.far, seconds: began.elapsed().as_secs() });
                    }
                    if proceeding && now >= cancel_at {
                        cancelled = true;
                        self.send(&cancel).await?;
                        again = now + T1;
                    } else if !proceeding {
                        self.send(&invite).await?;
                        // A stream repeats by itself.
                        again = if self.sip.is_tcp() { give_up } else { now + pause };
                        pause *= 2;
                    }
                }
            }
        }
    }

    /// Sound both ways until somebody hangs up.
    async fn talk(
        &mut self,
        start: Instant,
        length: Duration,
        mut media: FarMedia,
        ends: &mut Ends,
        ack_body: &str,
    ) -> Result<Talk, PhoneError> {
        let Ends { talker, listener, seal } = ends;
        let mut talk = Talk::default();
        let mut tick = 0_usize;
        let (mut rtp_buffer, mut rtcp_buffer) = (vec![0; 2_048], vec![0; 2_048]);
        loop {
            let due = (start + TICK * u32::try_from(tick).unwrap_or(u32::MAX)).min(start + length);
            tokio::select! {
                received = self.sip.receive() => {
                    let Some(message) = self.heard(received)? else { continue };
                    if message.status == Some(200) && message.cseq() == Some((self.cseq, "INVITE")) {
                        talk.answers_repeated += 1;
                        if !self.spec.withhold_ack {
                            self.acknowledge(ack_body).await?;
                        }
                    } else if message.method.is_some() && self.serve(&message, Some((&mut media, talker))).await? {
                        talk.far_hung_up = true;
                        return Ok(talk);
                    }
                }
                received = self.rtp.recv_from(&mut rtp_buffer) => {
                    // An ICMP error of a closed far port comes up here; it ends nothing.
                    let Ok((length, _)) = received else { continue };
                    let opened = match seal {
                        None => Some(rtp_buffer[..length].to_vec()),
                        Some(seal) => seal.open(&rtp_buffer[..length]),
                    };
                    if opened.is_some_and(|packet| listener.hear(&packet, start.elapsed(), Some(EVENTS))) {
                        talk.packets_received += 1;
                    }
                }
                received = self.rtcp.recv_from(&mut rtcp_buffer) => {
                    let Ok((length, from)) = received else { continue };
                    let answer = talk.reports.hear(&opened(seal.as_ref(), &rtcp_buffer[..length]), talker.ssrc());
                    if let Some(answer) = answer {
                        let answer = match seal {
                            None => answer,
                            Some(seal) => seal.seal_report(answer),
                        };
                        // One that is lost is followed by another.
                        let _ = self.rtcp.send_to(&answer, from).await;
                    }
                }
                () = sleep_until(due) => {
                    if start.elapsed() >= length {
                        return Ok(talk);
                    }
                    let packets = talker.packets(tick);
                    tick += 1;
                    if self.spec.mute || !media.listens {
                        continue;
                    }
                    for packet in packets {
                        let packet = match seal {
                            None => packet,
                            Some(seal) => seal.seal(packet),
                        };
                        if talk.on_the_wire.len() < WIRE {
                            let payload = packet.get(12..).unwrap_or_default();
                            talk.on_the_wire.extend(payload.iter().map(|byte| media.codec.decode(*byte)));
                        }
                        // A full send buffer loses a packet, as a network may.
                        if self.rtp.send_to(&packet, media.address).await.is_ok() {
                            talk.packets_sent += 1;
                        }
                    }
                }
            }
        }
    }

    /// Our key and theirs, where the call is to be sealed.
    fn seal(&self, media: &FarMedia) -> Result<Option<Srtp>, ()> {
        match (&self.key, &media.key) {
            (None, _) => Ok(None),
            (Some(own), Some(far)) => Ok(Some(Srtp::new(own, far))),
            (Some(_), None) => Err(()),
        }
    }

    /// What comes by RTCP after the call: the far side's BYE, if it is one that reports.
    async fn last_reports(&self, talk: &mut Talk, seal: Option<&Srtp>) {
        let mut buffer = vec![0; 2_048];
        while talk.reports.heard > 0 && !talk.reports.bye {
            let Ok(Ok((length, _))) = timeout(LAST_REPORT, self.rtcp.recv_from(&mut buffer)).await else { return };
            talk.reports.hear(&opened(seal, &buffer[..length]), 0);
        }
    }

    /// BYE until it is answered; their BYE may cross it.
    async fn hang_up(&mut self) -> Result<Option<u16>, PhoneError> {
        self.cseq += 1;
        let bye = self.dialog.request("BYE", self.cseq, &branch(), &[], "");
        Ok(self.transact("BYE", &bye).await?.and_then(|answer| answer.status))
    }

    /// A request other than INVITE until its final answer (RFC 3261 §17.1.2), for at most five seconds.
    async fn transact(&mut self, method: &str, request: &str) -> Result<Option<Message>, PhoneError> {
        let give_up = Instant::now() + SHORT;
        let (mut again, mut pause) = (Instant::now(), T1);
        loop {
            tokio::select! {
                received = self.sip.receive() => {
                    let Some(message) = self.heard(received)? else { continue };
                    if message.method.is_some() {
                        self.serve(&message, None).await?;
                    } else if message.cseq() == Some((self.cseq, method)) && message.status >= Some(200) {
                        return Ok(Some(message));
                    }
                }
                () = sleep_until(again.min(give_up)) => {
                    if Instant::now() >= give_up {
                        return Ok(None);
                    }
                    self.send(request).await?;
                    again = if self.sip.is_tcp() { give_up } else { Instant::now() + pause };
                    pause = (pause * 2).min(T2);
                }
            }
        }
    }

    /// Answers a request of the far side; says whether it was a BYE of this call.
    async fn serve(
        &mut self,
        request: &Message,
        talk: Option<(&mut FarMedia, &mut Talker)>,
    ) -> Result<bool, PhoneError> {
        let method = request.method.as_deref().unwrap_or_default();
        let ours = request.header("Call-ID") == Some(&self.dialog.call_id);
        let contact = self.dialog.contact.clone();
        let headers = [("Contact", contact.as_str()), ("Allow", ALLOW)];
        let answer = |status: &str, body: &str| request.answer(status, &token(), &headers, body);
        let text = match (method, ours, talk) {
            ("ACK", ..) => return Ok(false),
            ("OPTIONS", ..) | ("BYE" | "INFO" | "NOTIFY" | "UPDATE", true, _) => answer("200 OK", ""),
            ("INVITE", true, Some((media, talker))) => match sdp::read(&request.body, &self.codecs) {
                Ok(moved) => {
                    talker.retune(moved.codec, moved.telephone_event);
                    *media = moved;
                    answer("200 OK", &self.description()?)
                }
                Err(_) => answer("488 Not Acceptable Here", ""),
            },
            (_, false, _) => answer("481 Call/Transaction Does Not Exist", ""),
            _ => answer("501 Not Implemented", ""),
        };
        self.send(&text).await?;
        Ok(ours && method == "BYE")
    }

    /// Makes the dialog of a 2xx and follows its Contact.
    async fn take(&mut self, answer: &Message) -> Result<(), PhoneError> {
        self.dialog.confirm(answer);
        if let Some(next) = self.dialog.next_hop().filter(|next| *next != self.far) {
            self.sip.follow(next).await.map_err(|source| PhoneError::Unreachable { far: next, source })?;
            self.far = next;
        }
        Ok(())
    }

    async fn acknowledge(&mut self, body: &str) -> Result<(), PhoneError> {
        let invite = 1;
        let ack = self.dialog.request("ACK", invite, &branch(), &[], body);
        self.send(&ack).await
    }

    fn description(&self) -> Result<String, PhoneError> {
        let at = self.rtp.local_addr().map_err(|source| PhoneError::Socket { at: self.dialog.local, source })?;
        let text = sdp::describe(at, self.session, &self.codecs, Some(EVENTS));
        Ok(self.key.as_ref().map_or_else(|| text.clone(), |key| sdp::sealed(&text, key)))
    }

    async fn send(&mut self, text: &str) -> Result<(), PhoneError> {
        match self.sip.send(text.as_bytes()).await {
            // The error of an earlier datagram: the next receive tells it too.
            Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {
                Err(PhoneError::Unreachable { far: self.far, source: error })
            }
            _ => Ok(()),
        }
    }

    /// A message, unless it is nothing `rsip` can read.
    fn heard(&mut self, received: io::Result<Vec<u8>>) -> Result<Option<Message>, PhoneError> {
        let datagram = received.map_err(|source| PhoneError::Unreachable { far: self.far, source })?;
        let message = Message::parse(&datagram).ok();
        self.malformed += u32::from(message.is_none());
        Ok(message)
    }

    #[expect(clippy::too_many_arguments, reason = "gathers everything the walk has learnt, once")]
    fn report(
        &self,
        rang: &Rang,
        ended_by: EndedBy,
        codec: Option<Codec>,
        talker: &Talker,
        talk: &Talk,
        mut listener: Listener,
        lasted: Duration,
    ) -> CallReport {
        CallReport {
            call_id: self.dialog.call_id.clone(),
            status: rang.answer.status.unwrap_or(0),
            reason: rang.answer.start.clone(),
            rang: rang.ringing,
            setup_ms: rang.setup_ms,
            duration_ms: ms(lasted),
            ended_by,
            bye_status: None,
            codec,
            packets_sent: talk.packets_sent,
            packets_received: talk.packets_received,
            streams_heard: listener.streams,
            keys_sent: talker.keys_sent,
            keys_heard: std::mem::take(&mut listener.keys),
            answers_repeated: talk.answers_repeated,
            malformed: self.malformed,
            reports_heard: talk.reports.heard,
            report_said_bye: talk.reports.bye,
            recorded: None,
            on_the_wire: talk.on_the_wire.clone(),
            heard: listener.finish(lasted),
        }
    }
}

/// A compound in clear; empty if it cannot be opened.
fn opened(seal: Option<&Srtp>, compound: &[u8]) -> Vec<u8> {
    match seal {
        None => compound.to_vec(),
        Some(seal) => seal.open_report(compound).unwrap_or_default(),
    }
}

/// Whether an address asks for a stream.
pub(crate) fn wants_tcp(to: &str) -> bool {
    to.to_ascii_lowercase().contains(";transport=tcp")
}

pub(crate) async fn resolve(to: &str) -> Result<SocketAddr, PhoneError> {
    let wrong = || PhoneError::Address(to.into());
    let uri = rsip::Uri::try_from(to).map_err(|_| wrong())?;
    if uri.scheme != Some(rsip::Scheme::Sip) {
        return Err(wrong());
    }
    let port = uri.port().map_or(5060, |port| *port.value());
    let host = uri.host().to_string();
    let found = lookup_host((host.as_str(), port)).await.map_err(|_| wrong())?.next();
    found.ok_or_else(wrong)
}

/// An even port and the one after it.
pub(crate) async fn media_ports(local: SocketAddr) -> Result<(UdpSocket, UdpSocket), PhoneError> {
    let mut problem = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..50 {
        let at = SocketAddr::new(local.ip(), 0);
        let rtp = UdpSocket::bind(at).await.map_err(|source| PhoneError::Socket { at, source })?;
        let port = rtp.local_addr().map_or(1, |address| address.port());
        if port % 2 == 0 {
            match UdpSocket::bind(SocketAddr::new(local.ip(), port + 1)).await {
                Ok(reports) => return Ok((rtp, reports)),
                Err(error) => problem = error,
            }
        }
    }
    Err(PhoneError::Socket { at: local, source: problem })
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
