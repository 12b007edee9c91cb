//! A session description as they wrote it, as far as a telephone cares.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use super::{
    Agreed, Codec, Credentials, NoCommonCodec, Sealing, Security, SrtpPolicy,
    browser::{self, Theirs},
    crypto::Crypto,
};

/// Longest description read, in bytes; a datagram is never longer than this.
const LONGEST: usize = 16 * 1024;
/// Most m-lines; the answer must repeat each.
const MOST_STREAMS: usize = 16;
/// Most formats kept of an m-line; the rest is not looked at.
const MOST_FORMATS: usize = 32;
/// Longest `a=label` kept, bytes.
const LONGEST_LABEL: usize = 64;

/// Why a body is no session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("the description is not UTF-8, is empty or does not begin with v=0")]
    NotSdp,
    #[error("the description is longer than {LONGEST} bytes or has more than {MOST_STREAMS} streams")]
    TooLong,
    #[error("an m-line is not `m=kind port protocol formats`")]
    BadStream,
}

/// Which way sound may flow, seen from the writer of the description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// One m-line with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `image` …
    pub kind: String,
    /// 0 switches the stream off.
    pub port: u16,
    /// `RTP/AVP`, `RTP/SAVP`, `udptl` …
    pub protocol: String,
    /// As written, in their order of preference.
    pub formats: Vec<String>,
    address: Option<IpAddr>,
    direction: Option<Direction>,
    names: Vec<(u8, String)>,
    /// `a=label` (RFC 4574): what metadata call this stream.
    pub(super) label: Option<String>,
    pub(super) rtcp_mux: bool,
    /// Port, and address where it is another (RFC 3605).
    rtcp: Option<(u16, Option<IpAddr>)>,
    /// The first line of theirs that we can use.
    crypto: Option<Crypto>,
    /// `a=mid` (RFC 5888).
    pub(super) mid: Option<String>,
    browser: Theirs,
}

/// An offer or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub streams: Vec<Media>,
    /// The `t=` line's value; an answer repeats it.
    pub(super) time: String,
    address: Option<IpAddr>,
    direction: Option<Direction>,
    /// Said for all streams.
    browser: Theirs,
}

impl Direction {
    /// As the attribute is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(super) const fn of(send: bool, receive: bool) -> Self {
        match (send, receive) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive].into_iter().find(|it| it.name() == name)
    }
}

impl Description {
    /// Reads a body.
    ///
    /// Unknown lines and attributes are skipped; lines may end with LF alone.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        if body.len() > LONGEST {
            return Err(SdpError::TooLong);
        }
        let text = String::from_utf8_lossy(body);
        let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        if lines.next() != Some("v=0") {
            return Err(SdpError::NotSdp);
        }
        let mut this = Self {
            streams: Vec::new(),
            time: "0 0".into(),
            address: None,
            direction: None,
            browser: Theirs::default(),
        };
        for line in lines {
            let Some((kind, value)) = line.split_once('=') else { continue };
            match kind {
                "m" => {
                    if this.streams.len() == MOST_STREAMS {
                        return Err(SdpError::TooLong);
                    }
                    this.streams.push(Media::parse(value).ok_or(SdpError::BadStream)?);
                }
                "c" => {
                    let address = connection_address(value);
                    match this.streams.last_mut() {
                        Some(stream) => stream.address = address,
                        None => this.address = address,
                    }
                }
                "t" if this.streams.is_empty() && is_time(value) => this.time = value.into(),
                "a" => match (Direction::from_name(value.trim()), this.streams.last_mut()) {
                    (Some(direction), Some(stream)) => stream.direction = Some(direction),
                    (Some(direction), None) => this.direction = Some(direction),
                    (None, Some(stream)) => stream.attribute(value),
                    (None, None) => this.browser.attribute(value),
                },
                _ => {}
            }
        }
        Ok(this)
    }

    /// Finds the audio stream we take, and what is settled by taking it.
    ///
    /// * returns — the index of its m-line, and the agreement. Of several streams the first usable one, sealed ones first;
    ///   of several codecs the one they like best.
    pub fn choose(&self, sealing: Sealing) -> Result<(usize, Agreed), NoCommonCodec> {
        let usable = |(index, stream): (usize, &Media)| Some((index, self.agree(stream, sealing)?));
        let mut found = self.streams.iter().enumerate().filter_map(usable);
        let first = found.next().ok_or(NoCommonCodec)?;
        let sealed = |it: &(usize, Agreed)| it.1.security.is_some();
        Ok(if sealed(&first) { first } else { found.find(sealed).unwrap_or(first) })
    }

    /// The audio streams we could take: index of the m-line, label.
    pub fn usable(&self, policy: SrtpPolicy) -> Vec<(usize, Option<&str>)> {
        let sealing = Sealing::unkeyed(policy);
        let streams = self.streams.iter().enumerate().filter(|(_, stream)| self.agree(stream, sealing).is_some());
        streams.map(|(index, stream)| (index, stream.label.as_deref())).collect()
    }

    /// The same with a browser.
    pub fn choose_browser(&self, ours: &Credentials) -> Result<(usize, Agreed), NoCommonCodec> {
        let usable = |(index, stream): (usize, &Media)| {
            let spoken = stream.port != 0 && stream.kind == "audio" && stream.protocol == browser::PROTOCOL;
            let dtls = stream.browser.settle(&self.browser, ours).filter(|_| spoken && stream.rtcp_mux)?;
            // Where they are heard and spoken to is found by packets; c=0.0.0.0 says nothing here.
            let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let (send, receive) = self.ways(stream);
            let address = SocketAddr::new(nowhere, stream.port);
            Some((index, Agreed { send, receive, dtls: Some(dtls), ..stream.settle(address)? }))
        };
        self.streams.iter().enumerate().find_map(usable).ok_or(NoCommonCodec)
    }

    /// Whether we may send, and they.
    fn ways(&self, stream: &Media) -> (bool, bool) {
        let theirs = stream.direction.or(self.direction).unwrap_or_default();
        (
            matches!(theirs, Direction::SendRecv | Direction::RecvOnly),
            matches!(theirs, Direction::SendRecv | Direction::SendOnly),
        )
    }

    pub(super) fn agree(&self, stream: &Media, sealing: Sealing) -> Option<Agreed> {
        let sealed = stream.protocol == protocol(true);
        let known = sealed || stream.protocol == protocol(false);
        if stream.port == 0 || stream.kind != "audio" || !known || !sealing.policy.takes(sealed) {
            return None;
        }
        let security = match stream.crypto {
            Some(Crypto { tag, suite, master }) if sealed => {
                Some(Arc::new(Security { suite, ours: sealing.ours, theirs: master, tag }))
            }
            None if sealed => return None,
            _ => None,
        };
        let address = stream.address.or(self.address)?;
        // c=0.0.0.0 is the old way to say "send me nothing" (RFC 3264 §8.4).
        let held = address.is_unspecified();
        let (send, receive) = self.ways(stream);
        let rtcp = if stream.rtcp_mux { None } else { Some(stream.control(address)) };
        let agreed = stream.settle(SocketAddr::new(address, stream.port))?;
        Some(Agreed { rtcp, send: send && !held, receive, security, ..agreed })
    }
}

/// What stands in the m-line of a stream that is sealed or not.
pub(super) const fn protocol(sealed: bool) -> &'static str {
    if sealed { "RTP/SAVP" } else { "RTP/AVP" }
}

impl Media {
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let kind = words.next()?;
        // `49170/2` counts ports, of which we take the first.
        let port = words.next()?.split('/').next()?.parse().ok()?;
        let protocol = words.next()?;
        let formats: Vec<String> = words.take(MOST_FORMATS).map(str::to_owned).collect();
        if formats.is_empty() {
            return None;
        }
        let (kind, protocol) = (kind.to_owned(), protocol.to_owned());
        Some(Self {
            kind,
            port,
            protocol,
            formats,
            address: None,
            direction: None,
            names: Vec::new(),
            label: None,
            rtcp_mux: false,
            rtcp: None,
            crypto: None,
            mid: None,
            browser: Theirs::default(),
        })
    }

    /// The codec and the keys of this stream, both ways in clear.
    fn settle(&self, address: SocketAddr) -> Option<Agreed> {
        let numbers = || self.formats.iter().filter_map(|format| format.parse::<u8>().ok()).filter(|it| *it < 128);
        let (payload_type, codec) = numbers().find_map(|number| Some((number, self.codec(number)?)))?;
        let telephone_event = numbers().find(|number| self.is_telephone_event(*number));
        Some(Agreed {
            address,
            rtcp: None,
            codec,
            payload_type,
            telephone_event,
            send: true,
            receive: true,
            security: None,
            dtls: None,
        })
    }

    fn attribute(&mut self, value: &str) {
        if value.trim() == "rtcp-mux" {
            self.rtcp_mux = true;
        } else if let Some(label) = value.strip_prefix("label:").map(str::trim) {
            let fits = (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic());
            self.label = fits.then(|| label.to_owned());
        } else if let Some(mid) = value.strip_prefix("mid:").map(str::trim) {
            let fits = (1..=LONGEST_LABEL).contains(&mid.len()) && mid.bytes().all(|byte| byte.is_ascii_graphic());
            self.mid = fits.then(|| mid.to_owned());
        } else if let Some(rtcp) = value.strip_prefix("rtcp:") {
            let mut words = rtcp.split_ascii_whitespace();
            let port = words.next().and_then(|port| port.parse().ok());
            self.rtcp = port.map(|port| (port, connection_address(&words.collect::<Vec<_>>().join(" "))));
        } else if let Some(crypto) = value.strip_prefix("crypto:") {
            self.crypto = self.crypto.or_else(|| Crypto::parse(crypto));
        } else {
            self.browser.attribute(value);
            self.name_format(value);
        }
    }

    /// Where they want RTCP: the port after RTP's unless they say otherwise.
    ///
    /// * `address` — where they want RTP.
    fn control(&self, address: IpAddr) -> SocketAddr {
        let (port, own) = self.rtcp.unwrap_or((self.port.saturating_add(1), None));
        SocketAddr::new(own.unwrap_or(address), port)
    }

    fn name_format(&mut self, value: &str) {
        let Some(map) = value.strip_prefix("rtpmap:") else { return };
        let Some((number, name)) = map.trim().split_once(char::is_whitespace) else { return };
        let Ok(number) = number.parse() else { return };
        if self.names.len() < MOST_FORMATS {
            self.names.push((number, name.trim().to_ascii_uppercase()));
        }
    }

    /// The name from `a=rtpmap`, in capitals.
    fn name(&self, number: u8) -> Option<&str> {
        self.names.iter().find(|(it, _)| *it == number).map(|(_, name)| name.as_str())
    }

    fn codec(&self, number: u8) -> Option<Codec> {
        match (self.name(number), number) {
            (Some("PCMA/8000" | "PCMA/8000/1"), _) | (None, 8) => Some(Codec::Pcma),
            (Some("PCMU/8000" | "PCMU/8000/1"), _) | (None, 0) => Some(Codec::Pcmu),
            _ => None,
        }
    }

    fn is_telephone_event(&self, number: u8) -> bool {
        matches!(self.name(number), Some("TELEPHONE-EVENT/8000" | "TELEPHONE-EVENT/8000/1"))
    }
}

/// `IN IP4 192.0.2.1`, with or without `/ttl`. A host name gives `None`: we look nothing up in the middle of a call.
fn connection_address(value: &str) -> Option<IpAddr> {
    let mut words = value.split_ascii_whitespace();
    let (network, family, address) = (words.next()?, words.next()?, words.next()?);
    if network != "IN" || !matches!(family, "IP4" | "IP6") {
        return None;
    }
    let address: IpAddr = address.split('/').next()?.parse().ok()?;
    let reachable = !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST);
    reachable.then_some(address)
}

fn is_time(value: &str) -> bool {
    value.len() <= 48 && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sip::sdp::Suite;

    const SEALING: Sealing = Sealing { policy: SrtpPolicy::Accept, ours: [7; 30] };
    const KEY: &str = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn choose(text: &str) -> Option<Agreed> {
        Description::parse(text.as_bytes()).ok()?.choose(SEALING).ok().map(|(_, agreed)| agreed)
    }

    #[test]
    fn the_codec_they_like_best_is_taken_and_dynamic_numbers_are_read_from_rtpmap() {
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
        let agreed = choose(&format!("{head}m=audio 4000 RTP/AVP 18 0 8 96\r\na=rtpmap:96 telephone-event/8000\r\n"));
        let agreed = agreed.expect("PCMU");
        assert_eq!((agreed.codec, agreed.payload_type, agreed.telephone_event), (Codec::Pcmu, 0, Some(96)));
        assert_eq!(agreed.address.to_string(), "192.0.2.1:4000");

        let renamed = choose(&format!("{head}m=audio 4000 RTP/AVP 99\r\na=rtpmap:99 pcma/8000/1\r\n")).expect("PCMA");
        assert_eq!((renamed.codec, renamed.payload_type, renamed.telephone_event), (Codec::Pcma, 99, None));

        assert_eq!(choose(&format!("{head}m=audio 4000 RTP/AVP 8\r\na=rtpmap:8 OPUS/48000/2\r\n")), None);
        assert_eq!(choose(&format!("{head}m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n")), None);
        assert_eq!(choose(&format!("{head}m=audio 4000 RTP/SAVP 8\r\n")), None);
        assert_eq!(choose(&format!("{head}m=audio 0 RTP/AVP 8\r\n")), None);
    }

    #[test]
    fn directions_and_the_old_hold_address_are_mirrored() {
        let with = |line: &str| {
            choose(&format!("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 8\n{line}\n"))
                .map(|it| (it.send, it.receive))
        };
        assert_eq!(with("a=mid:1"), Some((true, true)));
        assert_eq!(with("a=sendonly"), Some((false, true)));
        assert_eq!(with("a=recvonly"), Some((true, false)));
        assert_eq!(with("a=inactive"), Some((false, false)));
        assert_eq!(with("c=IN IP4 0.0.0.0"), Some((false, true)));
        let session = "v=0\nc=IN IP4 192.0.2.1\na=sendonly\nm=audio 4000 RTP/AVP 8\n";
        assert_eq!(choose(session).map(|it| it.send), Some(false), "the session's direction holds for its streams");
    }

    #[test]
    fn the_stream_s_own_address_wins_and_names_are_not_looked_up() {
        let text = "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000/2 RTP/AVP 8\nc=IN IP4 192.0.2.9/127\n";
        assert_eq!(choose(text).map(|it| it.address.to_string()).as_deref(), Some("192.0.2.9:4000"));
        assert_eq!(choose("v=0\nc=IN IP4 phone.example\nm=audio 4000 RTP/AVP 8\n"), None);
        assert_eq!(choose("v=0\nc=IN IP4 239.1.1.1\nm=audio 4000 RTP/AVP 8\n"), None);
        let six = choose("v=0\nc=IN IP6 2001:db8::1\nm=audio 4000 RTP/AVP 8\n").expect("IPv6");
        assert_eq!(six.address.to_string(), "[2001:db8::1]:4000");
    }

    #[test]
    fn rtcp_goes_with_rtp_or_to_the_next_port_or_where_they_say() {
        let with = |line: &str| {
            choose(&format!("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 8\n{line}\n")).expect("PCMA").rtcp
        };
        let at = |text: &str| Some(text.parse().expect("an address"));
        assert_eq!(with("a=mid:1"), at("192.0.2.1:4001"));
        assert_eq!(with("a=rtcp-mux"), None);
        assert_eq!(with("a=rtcp:53020"), at("192.0.2.1:53020"));
        assert_eq!(with("a=rtcp:53020 IN IP4 192.0.2.7"), at("192.0.2.7:53020"));
        assert_eq!(with("a=rtcp:x"), at("192.0.2.1:4001"));
    }

    #[test]
    fn a_sealed_stream_is_taken_before_one_in_clear_unless_the_settings_say_otherwise() {
        use SrtpPolicy::{Accept, Off, Require};
        let plain = "m=audio 4000 RTP/AVP 8\n";
        let sealed = format!(
            "m=audio 4002 RTP/SAVP 8\na=crypto:1 F8_128_HMAC_SHA1_80 {KEY}\na=crypto:2 AES_CM_128_HMAC_SHA1_32 {KEY}\n\
             a=crypto:3 AES_CM_128_HMAC_SHA1_80 {KEY}\n"
        );
        let keyless = "m=audio 4004 RTP/SAVP 8\n";
        let chosen = |streams: &[&str], policy| {
            let text = format!("v=0\nc=IN IP4 192.0.2.1\n{}", streams.concat());
            let chosen = Description::parse(text.as_bytes()).expect("SDP").choose(Sealing { policy, ..SEALING }).ok();
            chosen.map(|(index, agreed)| (index, agreed.security.map(|it| (it.tag, it.suite, it.ours, it.theirs[0]))))
        };
        let keys = Some((2, Suite::AesCm128HmacSha1_32, SEALING.ours, b'w'));
        assert_eq!(chosen(&[plain, &sealed], Accept), Some((1, keys)), "the first line of theirs that we know");
        assert_eq!(chosen(&[plain, &sealed], Require), Some((1, keys)));
        assert_eq!(chosen(&[plain, &sealed], Off), Some((0, None)));
        assert_eq!(chosen(&[&sealed], Off), None);
        assert_eq!(chosen(&[plain, keyless], Accept), Some((0, None)));
        assert_eq!(chosen(&[plain, keyless], Require), None);
    }

    #[test]
    fn bodies_that_are_no_descriptions_are_refused() {
        assert_eq!(Description::parse(b""), Err(SdpError::NotSdp));
        assert_eq!(Description::parse(b"hello"), Err(SdpError::NotSdp));
        assert_eq!(Description::parse(b"v=0\r\nm=audio x RTP/AVP 8"), Err(SdpError::BadStream));
        assert_eq!(Description::parse(&vec![b'a'; LONGEST + 1]), Err(SdpError::TooLong));
        let many = format!("v=0\n{}", "m=audio 4000 RTP/AVP 8\n".repeat(MOST_STREAMS + 1));
        assert_eq!(Description::parse(many.as_bytes()), Err(SdpError::TooLong));
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_fall_over(body in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = Description::parse(&body).map(|it| it.choose(SEALING));
        }

        #[test]
        fn no_lines_of_sdp_make_the_reader_fall_over(lines in prop::collection::vec("[vosctma]=[ -~]{0,60}", 0..40)) {
            let body = format!("v=0\n{}", lines.join("\r\n"));
            let _ = Description::parse(body.as_bytes()).map(|it| it.choose(SEALING));
        }
    }
}
