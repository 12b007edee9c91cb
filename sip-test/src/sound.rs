//! The sound of one call over its two ports, whoever called whom: paced out every 20 ms, placed where it was heard.

use std::{io, net::SocketAddr, sync::PoisonError, time::Duration};

use tokio::{
    net::UdpSocket,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Elsewhere, PhoneError,
    reports::Reports,
    rtp::{self, Listener, Talker, Track},
    sdp::FarMedia,
    srtp::Srtp,
};

/// Samples of our packets that are kept as they were on the wire: a minute.
const WIRE: usize = 480_000;
/// How long the far side's last RTCP is waited for.
const LAST_REPORT: Duration = Duration::from_secs(5);
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// What is said and what is heard.
pub(crate) struct Sound {
    rtp: UdpSocket,
    /// The port after RTP's.
    rtcp: UdpSocket,
    /// Where RTP is heard; what a description says.
    pub(crate) at: SocketAddr,
    pub(crate) talker: Talker,
    pub(crate) listener: Listener,
    /// What both are sealed with.
    pub(crate) seal: Option<Srtp>,
    /// Where it goes; nothing is sent while nobody said.
    pub(crate) far: Option<FarMedia>,
    /// Payload type under which keys are heard.
    pub(crate) keys_as: Option<u8>,
    pub(crate) mute: bool,
    elsewhere: Option<Elsewhere>,
    start: Instant,
    /// When it ends by itself.
    until: Option<Instant>,
    tick: usize,
    pub(crate) packets_sent: u64,
    pub(crate) packets_received: u64,
    /// Which of them never came.
    pub(crate) track: Track,
    pub(crate) reports: Reports,
    pub(crate) on_the_wire: Vec<i16>,
    buffers: [Box<[u8]>; 2],
}

/// What [`Sound::next`] waited for.
pub(crate) enum Event {
    Rtp(usize),
    Rtcp(usize, SocketAddr),
    /// Time for the next packet.
    Tick,
    /// The time set to it is over.
    Over,
}

impl Sound {
    /// Opens its ports on the address of `local`.
    pub(crate) async fn open(local: SocketAddr, talker: Talker, listener: Listener) -> Result<Self, PhoneError> {
        let (rtp, rtcp) = media_ports(local).await?;
        let at = rtp.local_addr().map_err(|source| PhoneError::Socket { at: local, source })?;
        Ok(Self {
            rtp,
            rtcp,
            at,
            talker,
            listener,
            seal: None,
            far: None,
            keys_as: None,
            mute: false,
            elsewhere: None,
            start: Instant::now(),
            until: None,
            tick: 0,
            packets_sent: 0,
            packets_received: 0,
            track: Track::default(),
            reports: Reports::default(),
            on_the_wire: Vec::new(),
            buffers: [vec![0; 2_048].into(), vec![0; 2_048].into()],
        })
    }

    /// Leaves the sound to somebody else.
    pub(crate) fn leave_to(&mut self, elsewhere: Option<Elsewhere>) {
        if let Some(elsewhere) = elsewhere {
            self.at = elsewhere.address;
            self.elsewhere = Some(elsewhere);
        }
    }

    /// Its clock starts; what is heard is placed from here on.
    pub(crate) fn begin(&mut self, start: Instant, length: Option<Duration>) {
        (self.start, self.until) = (start, length.map(|length| start + length));
    }

    /// The far side said where and how it wants to be talked to.
    pub(crate) fn turn(&mut self, far: FarMedia) {
        self.talker.retune(far.codec, far.telephone_event);
        if let Some(elsewhere) = &self.elsewhere {
            *elsewhere.far.lock().unwrap_or_else(PoisonError::into_inner) = Some(far.address);
        }
        self.far = Some(far);
    }

    /// Waits for the next thing to [`Sound::handle`]. Loses nothing when it is given up in mid-wait.
    pub(crate) async fn next(&mut self) -> Event {
        let due = self.start + TICK * u32::try_from(self.tick).unwrap_or(u32::MAX);
        let due = self.until.map_or(due, |until| due.min(until));
        let [rtp_buffer, rtcp_buffer] = &mut self.buffers;
        loop {
            // An ICMP error of a closed far port comes up here; it ends nothing.
            tokio::select! {
                received = self.rtp.recv_from(rtp_buffer) => {
                    if let Ok((length, _)) = received { return Event::Rtp(length) }
                }
                received = self.rtcp.recv_from(rtcp_buffer) => {
                    if let Ok((length, from)) = received { return Event::Rtcp(length, from) }
                }
                () = sleep_until(due) => {
                    let over = self.until.is_some_and(|until| Instant::now() >= until);
                    return if over { Event::Over } else { Event::Tick };
                }
            }
        }
    }

    /// Does what the event asks for.
    pub(crate) async fn handle(&mut self, event: &Event) {
        match event {
            Event::Rtp(length) => self.hear(*length),
            Event::Rtcp(length, from) => self.hear_report(*length, *from).await,
            Event::Tick => self.say().await,
            Event::Over => {}
        }
    }

    /// What comes by RTCP after the call: the far side's BYE, if it is one that reports.
    pub(crate) async fn last_reports(&mut self) {
        while self.reports.heard > 0 && !self.reports.bye {
            let wait = timeout(LAST_REPORT, self.rtcp.recv_from(&mut self.buffers[1]));
            let Ok(Ok((length, _))) = wait.await else { return };
            self.reports.hear(&opened(self.seal.as_ref(), &self.buffers[1][..length]), 0);
        }
    }

    fn hear(&mut self, length: usize) {
        let datagram = &self.buffers[0][..length];
        let packet = match &mut self.seal {
            None => datagram.to_vec(),
            Some(seal) => seal.open(datagram).unwrap_or_default(),
        };
        if self.listener.hear(&packet, self.start.elapsed(), self.keys_as)
            && let Some((_, _, ssrc, _)) = rtp::parse(&packet)
        {
            self.packets_received += 1;
            self.track.note(ssrc, u16::from_be_bytes([packet[2], packet[3]]));
        }
    }

    async fn hear_report(&mut self, length: usize, from: SocketAddr) {
        let compound = opened(self.seal.as_ref(), &self.buffers[1][..length]);
        let Some(answer) = self.reports.hear(&compound, self.talker.ssrc()) else { return };
        let answer = match &mut self.seal {
            None => answer,
            Some(seal) => seal.seal_report(answer),
        };
        // One that is lost is followed by another.
        let _ = self.rtcp.send_to(&answer, from).await;
    }

    async fn say(&mut self) {
        let tick = self.tick;
        self.tick += 1;
        let Some(far) = self.far.as_ref().filter(|far| far.listens && !self.mute && self.elsewhere.is_none()) else {
            return;
        };
        for packet in self.talker.packets(tick) {
            let packet = match &mut self.seal {
                None => packet,
                Some(seal) => seal.seal(packet),
            };
            if self.on_the_wire.len() < WIRE {
                let payload = packet.get(12..).unwrap_or_default();
                self.on_the_wire.extend(payload.iter().map(|byte| far.codec.decode(*byte)));
            }
            // A full send buffer loses a packet, as a network may.
            if self.rtp.send_to(&packet, far.address).await.is_ok() {
                self.packets_sent += 1;
            }
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
