//! One call from INVITE to BYE.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::lookup_host,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    CallReport, CallSpec, EndedBy, Faults, GRACE, OptionsReport, PhoneError,
    audio::{self, Codec, RATE},
    rtp::{Listener, Talker, after_silence, events},
    sdp::{self, FarMedia},
    sip::{Dialog, Message, branch, token},
    sound::{Event, Sound, TICK},
    srtp::{self, Master, Srtp},
    timers::{T1, T2},
    transport::Transport,
};

/// Longest wait for the answer to a BYE or OPTIONS.
const SHORT: Duration = Duration::from_secs(5);
/// Our payload type for keys.
pub(crate) const EVENTS: u8 = 101;
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY";

/// Makes a call and waits for its end.
///
/// # Errors
/// Everything that leaves no call to report. A refusal is a report with its status.
pub async fn call(spec: CallSpec) -> Result<CallReport, PhoneError> {
    let far = resolve(&spec.to).await?;
    let keys = events(&spec.keys).map_err(PhoneError::Key)?;
    let pcm = after_silence(spec.lead_in, &spec.play);
    // Codec and payload type are settled with the answer.
    let talker = Talker::new(pcm, Codec::Alaw, None, keys, spec.faults);
    let length = spec.hang_up_after.unwrap_or(TICK * u32::try_from(talker.ticks()).unwrap_or(u32::MAX / 64));
    let all = length + GRACE;
    let limit = usize::try_from(length.as_secs() + 10).unwrap_or(0).saturating_mul(RATE as usize);
    let phone = Phone::open(spec, far, talker, Listener::new(limit)).await?;
    timeout(all, phone.walk(length)).await.map_err(|_| PhoneError::Overrun { far, seconds: all.as_secs() })?
}

/// Asks whether anybody is there, for at most five seconds.
///
/// # Errors
/// The address is wrong or nobody answers.
pub async fn options(to: &str) -> Result<OptionsReport, PhoneError> {
    let far = resolve(to).await?;
    let silent = Talker::new(Vec::new(), Codec::Alaw, None, Vec::new(), Faults::default());
    let mut phone = Phone::open(CallSpec::new(to), far, silent, Listener::new(0)).await?;
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
    sound: Sound,
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

/// What a talk left behind, but for its sound.
#[derive(Default)]
struct Talk {
    answers_repeated: u32,
    far_hung_up: bool,
}

impl Phone {
    async fn open(spec: CallSpec, far: SocketAddr, talker: Talker, listener: Listener) -> Result<Self, PhoneError> {
        let tcp = wants_tcp(&spec.to);
        let sip = Transport::open(far, tcp).await?;
        let local = sip.local().map_err(|source| PhoneError::Unreachable { far, source })?;
        let mut sound = Sound::open(local, talker, listener).await?;
        (sound.keys_as, sound.mute) = (Some(EVENTS), spec.mute);
        sound.leave_to(spec.elsewhere.clone());
        let codecs = spec.codec.map_or_else(|| vec![Codec::Alaw, Codec::Ulaw], |codec| vec![codec]);
        let dialog = Dialog::new(&spec.to, local, &spec.from, spec.display_name.as_deref(), tcp);
        let session = u64::from(fastrand::u32(1..));
        let key = spec.srtp.then(srtp::master);
        Ok(Self { spec, far, sip, sound, key, codecs, dialog, session, cseq: 1, malformed: 0 })
    }

    async fn walk(mut self, length: Duration) -> Result<CallReport, PhoneError> {
        let rang = self.ring().await?;
        let status = rang.answer.status.unwrap_or(0);
        if status >= 300 || rang.cancelled {
            let ended_by = if rang.cancelled { EndedBy::Cancelled } else { EndedBy::Refused };
            if status < 300 {
                self.take(&rang.answer).await?;
                self.acknowledge("").await?;
                self.hang_up().await?;
            }
            return Ok(self.report(&rang, ended_by, None, &Talk::default(), Duration::ZERO));
        }
        self.take(&rang.answer).await?;
        let media = sdp::read(&rang.answer.body, &self.codecs);
        let answer = if self.spec.no_sdp { self.description() } else { String::new() };
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
        let codec = media.codec;
        self.sound.seal = seal;
        self.sound.turn(media);
        self.sound.begin(rang.at, Some(length));
        let talk = self.talk(&answer).await?;
        let lasted = rang.at.elapsed();
        let bye_status = if talk.far_hung_up { None } else { self.hang_up().await? };
        self.sound.last_reports().await;
        let ended_by = if talk.far_hung_up { EndedBy::Far } else { EndedBy::Phone };
        let mut report = self.report(&rang, ended_by, Some(codec), &talk, lasted);
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
            (None, false) => self.description(),
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
    async fn talk(&mut self, ack_body: &str) -> Result<Talk, PhoneError> {
        let mut talk = Talk::default();
        loop {
            tokio::select! {
                received = self.sip.receive() => {
                    let Some(message) = self.heard(received)? else { continue };
                    if message.status == Some(200) && message.cseq() == Some((self.cseq, "INVITE")) {
                        talk.answers_repeated += 1;
                        if !self.spec.withhold_ack {
                            self.acknowledge(ack_body).await?;
                        }
                    } else if message.method.is_some() && self.serve(&message, true).await? {
                        talk.far_hung_up = true;
                        return Ok(talk);
                    }
                }
                event = self.sound.next() => match event {
                    Event::Over => return Ok(talk),
                    event => self.sound.handle(&event).await,
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
                        self.serve(&message, false).await?;
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
    ///
    /// * `talking` — it may move our sound.
    async fn serve(&mut self, request: &Message, talking: bool) -> Result<bool, PhoneError> {
        let method = request.method.as_deref().unwrap_or_default();
        let ours = request.header("Call-ID") == Some(&self.dialog.call_id);
        let contact = self.dialog.contact.clone();
        let headers = [("Contact", contact.as_str()), ("Allow", ALLOW)];
        let answer = |status: &str, body: &str| request.answer(status, &token(), &headers, body);
        let text = match (method, ours, talking) {
            ("ACK", ..) => return Ok(false),
            ("OPTIONS", ..) | ("BYE" | "INFO" | "NOTIFY" | "UPDATE", true, _) => answer("200 OK", ""),
            ("INVITE", true, true) => match sdp::read(&request.body, &self.codecs) {
                Ok(moved) => {
                    self.sound.turn(moved);
                    answer("200 OK", &self.description())
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

    fn description(&self) -> String {
        let text = sdp::describe(self.sound.at, self.session, &self.codecs, Some(EVENTS));
        self.key.as_ref().map_or_else(|| text.clone(), |key| sdp::sealed(&text, key))
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

    fn report(
        &mut self,
        rang: &Rang,
        ended_by: EndedBy,
        codec: Option<Codec>,
        talk: &Talk,
        lasted: Duration,
    ) -> CallReport {
        let sound = &mut self.sound;
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
            packets_sent: sound.packets_sent,
            packets_received: sound.packets_received,
            streams_heard: sound.listener.streams,
            keys_sent: sound.talker.keys_sent,
            keys_heard: std::mem::take(&mut sound.listener.keys),
            answers_repeated: talk.answers_repeated,
            malformed: self.malformed,
            reports_heard: sound.reports.heard,
            report_said_bye: sound.reports.bye,
            recorded: None,
            on_the_wire: std::mem::take(&mut sound.on_the_wire),
            heard: sound.listener.take(lasted),
        }
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

pub(crate) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
