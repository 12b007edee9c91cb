//! The hands of the misbehaving phone: it sends what it is told and hears what comes, its sound running on meanwhile.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::UdpSocket,
    time::{Instant, sleep_until},
};

use crate::{
    PhoneError,
    audio::{Codec, FRAME},
    phone::{ALLOW, EVENTS, resolve, wants_tcp},
    sdp::{self, FarMedia},
    sip::{Dialog, Message, branch, token},
    sound::media_ports,
    timers::T1,
    transport::Transport,
};

/// Longest wait for an answer that has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);
/// CSeq of the INVITE; there is room below it.
pub(crate) const FIRST: u32 = 100;
const CODECS: [Codec; 2] = [Codec::Alaw, Codec::Ulaw];

pub(crate) struct Rascal {
    transport: Transport,
    pub(crate) dialog: Dialog,
    pub(crate) cseq: u32,
    /// Branch of the INVITE.
    pub(crate) branch: String,
    rtp: UdpSocket,
    _rtcp: UdpSocket,
    pub(crate) voice: Option<Voice>,
    /// Packets of sound heard.
    pub(crate) heard: u64,
    /// BYEs of the far side.
    pub(crate) byes: u32,
    /// Answers the far side's requests.
    pub(crate) polite: bool,
}

/// The sound it sends.
pub(crate) struct Voice {
    pub(crate) far: FarMedia,
    /// Whether it sends at all.
    pub(crate) speaks: bool,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    next: Instant,
}

impl Voice {
    pub(crate) fn new(far: FarMedia) -> Self {
        let (ssrc, sequence, timestamp) = (fastrand::u32(..), fastrand::u16(..), fastrand::u32(..));
        Self { far, speaks: true, ssrc, sequence, timestamp, next: Instant::now() }
    }

    /// The next packet: a buzz, so that it cannot be taken for silence.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        let codec = self.far.codec;
        let mut packet = vec![0x80, codec.payload_type()];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend((0..FRAME).map(|index| codec.encode(if index % 16 < 8 { 4_000 } else { -4_000 })));
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        packet
    }
}

impl Rascal {
    pub(crate) async fn open(to: &str) -> Result<Self, PhoneError> {
        let far = resolve(to).await?;
        let transport = Transport::open(far, wants_tcp(to)).await?;
        let local = transport.local().map_err(|source| PhoneError::Unreachable { far, source })?;
        let (rtp, rtcp) = media_ports(local).await?;
        Ok(Self {
            dialog: Dialog::new(to, local, "13800000099", None, transport.is_tcp()),
            transport,
            cseq: FIRST,
            branch: branch(),
            rtp,
            _rtcp: rtcp,
            voice: None,
            heard: 0,
            byes: 0,
            polite: true,
        })
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.transport.is_tcp()
    }

    pub(crate) fn invite(&self) -> Result<String, PhoneError> {
        let at = self.rtp.local_addr().map_err(|source| PhoneError::Socket { at: self.dialog.local, source })?;
        let offer = sdp::describe(at, 1, &CODECS, Some(EVENTS));
        Ok(self.dialog.request("INVITE", FIRST, &self.branch, &[("Allow", ALLOW)], &offer))
    }

    /// A request of the dialog with the next CSeq.
    pub(crate) fn next(&mut self, method: &str) -> String {
        self.cseq += 1;
        self.dialog.request(method, self.cseq, &branch(), &[], "")
    }

    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.transport.send(text.as_ref()).await
    }

    pub(crate) fn acknowledgement(&self) -> String {
        self.dialog.request("ACK", FIRST, &branch(), &[], "")
    }

    /// ACK of a refusal: the INVITE's branch, the refusal's To.
    pub(crate) async fn acknowledge_refusal(&mut self, refusal: &Message) {
        let mut dialog = self.dialog.clone();
        dialog.to = refusal.header("To").unwrap_or_default().into();
        let _ = self.send(dialog.request("ACK", FIRST, &self.branch, &[], "")).await;
    }

    /// Takes the 200 over and begins to speak.
    pub(crate) fn take(&mut self, answer: &Message) -> Result<(), String> {
        self.dialog.confirm(answer);
        self.voice = Some(Voice::new(sdp::read(&answer.body, &CODECS)?));
        Ok(())
    }

    /// Sends these very bytes from the call's own port to the far one, or to the port after it.
    pub(crate) async fn send_media(&self, bytes: &[u8], reports: bool) {
        if let Some(voice) = &self.voice {
            let mut to = voice.far.address;
            to.set_port(to.port().saturating_add(u16::from(reports)));
            let _ = self.rtp.send_to(bytes, to).await;
        }
    }

    /// Next message until then, `None` if there is none or the connection is closed.
    pub(crate) async fn hear(&mut self, until: Instant) -> Option<Message> {
        let mut buffer = [0; 2_048];
        loop {
            let speaks = self.voice.as_ref().is_some_and(|voice| voice.speaks);
            let next = self.voice.as_ref().map_or(until, |voice| voice.next).min(until);
            tokio::select! {
                received = self.transport.receive() => match received {
                    Ok(bytes) => {
                        let Ok(message) = Message::parse(&bytes) else { continue };
                        if let Some(method) = message.method.clone() {
                            self.byes += u32::from(method == "BYE");
                            if self.polite && method != "ACK" {
                                let _ = self.send(message.answer("200 OK", &token(), &[], "")).await;
                            }
                        }
                        return Some(message);
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(_) => return None,
                },
                received = self.rtp.recv_from(&mut buffer) => {
                    self.heard += u64::from(received.is_ok_and(|(length, _)| length > 12));
                }
                () = sleep_until(next) => {
                    if Instant::now() >= until {
                        return None;
                    }
                    if let Some(voice) = &mut self.voice {
                        voice.next += Duration::from_millis(20);
                        if speaks {
                            let (packet, address) = (voice.packet(), voice.far.address);
                            let _ = self.rtp.send_to(&packet, address).await;
                        }
                    }
                }
            }
        }
    }

    /// Lets the call go on for so long.
    pub(crate) async fn pass(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while self.hear(until).await.is_some() {}
    }

    /// Next message of this kind within the time.
    pub(crate) async fn wait(&mut self, span: Duration, wanted: impl Fn(&Message) -> bool) -> Option<Message> {
        let until = Instant::now() + span;
        loop {
            let message = self.hear(until).await?;
            if wanted(&message) {
                return Some(message);
            }
        }
    }

    /// Sends a request until its final answer; over UDP again and again, as RFC 3261 §17.1 has it.
    pub(crate) async fn ask(&mut self, request: &str) -> Option<Message> {
        // `rsip` knows no methods but the common ones, so our own request is not read with it.
        let line = |start: &str| request.lines().find_map(|line| line.strip_prefix(start));
        let branch = line("Via: ")?.split(";branch=").nth(1)?.split(';').next()?;
        let (number, method) = line("CSeq: ")?.split_once(' ')?;
        let cseq = Some((number.parse().ok()?, method));
        let until = Instant::now() + PATIENCE;
        let (mut pause, mut proceeding) = (T1, false);
        self.send(request).await.ok()?;
        while Instant::now() < until {
            let turn = if self.is_tcp() || proceeding { until } else { (Instant::now() + pause).min(until) };
            while let Some(message) = self.hear(turn).await {
                if message.status.is_none() || message.branch() != Some(branch) || message.cseq() != cseq {
                    continue;
                }
                if message.status >= Some(200) {
                    return Some(message);
                }
                proceeding = true;
            }
            if Instant::now() < until && !self.is_tcp() && !proceeding {
                self.send(request).await.ok()?;
            } else if self.is_tcp() {
                return None;
            }
            pause *= 2;
        }
        None
    }
}

/// Sound from an address of its own to a call it has no part in.
pub(crate) async fn stranger(local: SocketAddr, far: &FarMedia, packets: u32) -> io::Result<u64> {
    let socket = UdpSocket::bind(SocketAddr::new(local.ip(), 0)).await?;
    let mut voice = Voice::new(far.clone());
    let (mut heard, mut buffer) = (0, [0; 2_048]);
    let began = Instant::now();
    for number in 0..packets {
        socket.send_to(&voice.packet(), far.address).await?;
        let until = began + Duration::from_millis(20) * (number + 1);
        loop {
            tokio::select! {
                received = socket.recv_from(&mut buffer) => heard += u64::from(received.is_ok()),
                () = sleep_until(until) => break,
            }
        }
    }
    Ok(heard)
}
