//! Our side of offer and answer over the life of one call.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use super::{
    Agreed, Codec, Credentials, Description, Direction, Media, NoCommonCodec, Sealing, Security, SrtpPolicy, Suite,
    browser, crypto::Crypto, description::protocol,
};

/// RTP payload type of RFC 4733 events in our own offers.
const OUR_EVENTS: u8 = 101;
/// The same where a browser reads them: its own number.
const BROWSER_EVENTS: u8 = 126;
/// The name of our stream in our own offers.
const OUR_MID: &str = "0";

/// Writes our descriptions and remembers what the last one said.
#[derive(Debug)]
pub struct Session {
    words: Words,
    media: SocketAddr,
    sealing: Sealing,
    /// They are a browser.
    browser: Option<Credentials>,
    settled: Option<Agreed>,
}

/// The lines that every description of one call begins with.
pub(super) struct Words {
    id: u64,
    version: u64,
    address: IpAddr,
    said: Option<String>,
}

impl Session {
    /// * `id` — the session's number in `o=`, random and the same for the whole call.
    /// * `media` — where we want to hear them, an address they can reach.
    pub fn new(id: u64, media: SocketAddr, sealing: Sealing) -> Self {
        Self { words: Words::new(id, media.ip()), media, sealing, browser: None, settled: None }
    }

    /// The same with a browser.
    pub fn with_browser(id: u64, media: SocketAddr, ours: Credentials) -> Self {
        Self { browser: Some(ours), ..Self::new(id, media, Sealing::unkeyed(SrtpPolicy::Off)) }
    }

    /// Answers their offer. A refused offer changes nothing.
    pub fn answer(&mut self, offer: &Description) -> Result<(String, Agreed), NoCommonCodec> {
        let (taken, agreed) = match &self.browser {
            Some(ours) => offer.choose_browser(ours)?,
            None => offer.choose(self.sealing)?,
        };
        let agreed = self.settle(agreed);
        let mut streams = String::new();
        if self.browser.is_some() {
            begin_browser(&mut streams, offer.streams[taken].mid.as_deref());
        }
        for (index, stream) in offer.streams.iter().enumerate() {
            if index == taken {
                let codecs = [(agreed.payload_type, agreed.codec)];
                let seal = self.seal(agreed.security.as_deref());
                write_audio(&mut streams, self.media.port(), &codecs, agreed.telephone_event, seal);
                if let Some(ours) = &self.browser {
                    ours.write(&mut streams, self.media, "passive");
                    if let Some(mid) = &stream.mid {
                        line(&mut streams, format_args!("a=mid:{mid}"));
                    }
                } else if stream.rtcp_mux {
                    line(&mut streams, format_args!("a=rtcp-mux"));
                }
                line(&mut streams, format_args!("a={}", Direction::of(agreed.send, agreed.receive).name()));
            } else {
                refuse(&mut streams, stream);
            }
        }
        Ok((self.words.say(&offer.time, &streams), agreed))
    }

    /// Our own offer, for an INVITE without one: both codecs, both ways.
    pub fn offer(&mut self) -> String {
        let mut streams = String::new();
        let codecs = [Codec::Pcma, Codec::Pcmu].map(|codec| (codec.static_number(), codec));
        let offered = self.offered();
        if let Some(ours) = &self.browser {
            begin_browser(&mut streams, Some(OUR_MID));
            // A-law alone, which every browser has (RFC 7874 §3): the bridge is a copy, and the recording decodes nothing.
            write_audio(&mut streams, self.media.port(), &codecs[..1], Some(BROWSER_EVENTS), self.seal(None));
            ours.write(&mut streams, self.media, "actpass");
            line(&mut streams, format_args!("a=mid:{OUR_MID}"));
        } else {
            write_audio(&mut streams, self.media.port(), &codecs, Some(OUR_EVENTS), self.seal(offered.as_ref()));
        }
        line(&mut streams, format_args!("a=sendrecv"));
        self.words.say("0 0", &streams)
    }

    /// Takes their answer to [`Session::offer`].
    pub fn accept(&mut self, answer: &Description) -> Result<Agreed, NoCommonCodec> {
        match self.read_answer(answer, self.offered().map(|it| it.suite))? {
            (0, agreed) => Ok(self.settle(agreed)),
            // We offered one stream; an answer that moves it is none.
            _ => Err(NoCommonCodec),
        }
    }

    /// What we said last, in the same words and with the same version: an offer that changes nothing (RFC 4028 §7.4).
    pub fn again(&self) -> Option<String> {
        self.words.again()
    }

    /// Takes their answer to [`Session::again`]; ours may have several streams by now.
    pub fn accept_again(&mut self, answer: &Description) -> Result<Agreed, NoCommonCodec> {
        let (_, agreed) = self.read_answer(answer, self.settled.as_ref().and_then(suite_of))?;
        Ok(self.settle(agreed))
    }

    /// How our stream is sealed.
    fn seal<'a>(&self, security: Option<&'a Security>) -> Seal<'a> {
        match (security, &self.browser) {
            (_, Some(_)) => Seal::Dtls,
            (Some(security), None) => Seal::Sdes(security),
            (None, None) => Seal::Clear,
        }
    }

    /// What an offer of ours holds of keys: as long as sealed streams are not demanded, none.
    fn offered(&self) -> Option<Security> {
        let Sealing { policy, ours } = self.sealing;
        let suite = Suite::AesCm128HmacSha1_80;
        (policy == SrtpPolicy::Require).then_some(Security { suite, ours, theirs: ours, tag: 1 })
    }

    /// An answer keeps to what was offered: sealed with the same suite, or in clear.
    fn read_answer(&self, answer: &Description, offered: Option<Suite>) -> Result<(usize, Agreed), NoCommonCodec> {
        if let Some(ours) = &self.browser {
            return answer.choose_browser(ours);
        }
        let policy = if offered.is_some() { SrtpPolicy::Require } else { SrtpPolicy::Off };
        let (index, agreed) = answer.choose(Sealing { policy, ..self.sealing })?;
        if suite_of(&agreed) == offered { Ok((index, agreed)) } else { Err(NoCommonCodec) }
    }

    /// Keeps the address of before the hold where theirs is 0.0.0.0.
    fn settle(&mut self, mut agreed: Agreed) -> Agreed {
        if agreed.address.ip().is_unspecified()
            && let Some(before) = &self.settled
        {
            (agreed.address, agreed.rtcp) = (before.address, before.rtcp);
        }
        self.settled = Some(agreed.clone());
        agreed
    }
}

fn suite_of(agreed: &Agreed) -> Option<Suite> {
    agreed.security.as_ref().map(|security| security.suite)
}

impl Words {
    pub(super) fn new(id: u64, address: IpAddr) -> Self {
        Self { id, version: 1, address, said: None }
    }

    /// A description of these streams; its version grows if it is another than the last.
    pub(super) fn say(&mut self, time: &str, streams: &str) -> String {
        let address = self.address;
        let rest = format!("s=-\r\nc=IN {} {address}\r\nt={time}\r\n{streams}", family(address));
        if self.said.as_ref().is_some_and(|said| *said != rest) {
            self.version += 1;
        }
        let text = format!("v=0\r\n{}\r\n{rest}", self.origin());
        self.said = Some(rest);
        text
    }

    /// The last description once more.
    pub(super) fn again(&self) -> Option<String> {
        Some(format!("v=0\r\n{}\r\n{}", self.origin(), self.said.as_ref()?))
    }

    fn origin(&self) -> String {
        format!("o=- {} {} IN {} {}", self.id, self.version, family(self.address), self.address)
    }
}

/// How a stream of ours is sealed.
#[derive(Clone, Copy)]
pub(super) enum Seal<'a> {
    Clear,
    /// With keys in the description.
    Sdes(&'a Security),
    /// With keys of a handshake.
    Dtls,
}

impl<'a> Seal<'a> {
    pub(super) fn of(security: Option<&'a Security>) -> Self {
        security.map_or(Self::Clear, Self::Sdes)
    }

    const fn protocol(self) -> &'static str {
        match self {
            Self::Clear => protocol(false),
            Self::Sdes(_) => protocol(true),
            Self::Dtls => browser::PROTOCOL,
        }
    }
}

/// What a browser is told of all streams: that we only answer its tests of ways, and that there is one stream.
fn begin_browser(out: &mut String, mid: Option<&str>) {
    line(out, format_args!("a=ice-lite"));
    if let Some(mid) = mid {
        line(out, format_args!("a=group:BUNDLE {mid}"));
    }
}

/// The m-line of a stream we take, and what it may carry.
pub(super) fn write_audio(out: &mut String, port: u16, codecs: &[(u8, Codec)], events: Option<u8>, seal: Seal<'_>) {
    let numbers = codecs.iter().map(|(number, _)| *number).chain(events);
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    line(out, format_args!("m=audio {port} {} {}", seal.protocol(), numbers.join(" ")));
    for (number, codec) in codecs {
        line(out, format_args!("a=rtpmap:{number} {}/8000", codec.name()));
    }
    if let Some(number) = events {
        line(out, format_args!("a=rtpmap:{number} telephone-event/8000"));
        line(out, format_args!("a=fmtp:{number} 0-15"));
    }
    line(out, format_args!("a=ptime:20"));
    if let Seal::Sdes(Security { suite, ours, tag, .. }) = seal {
        line(out, format_args!("{}", Crypto { tag: *tag, suite: *suite, master: *ours }.line()));
    }
}

/// Without what was said: it may hold our key.
impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Words({} {})", self.id, self.version)
    }
}

const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}

pub(super) fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{text}\r\n");
}

/// Port 0 refuses a stream; kind, protocol and formats stay as they were.
pub(super) fn refuse(out: &mut String, stream: &Media) {
    line(out, format_args!("m={} 0 {} {}", stream.kind, stream.protocol, stream.formats.join(" ")));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session() -> Session {
        with(SrtpPolicy::Accept)
    }

    fn with(policy: SrtpPolicy) -> Session {
        Session::new(7, "192.0.2.5:20000".parse().expect("an address"), Sealing { policy, ours: [7; 30] })
    }

    fn parse(text: &str) -> Description {
        Description::parse(text.as_bytes()).expect("a description")
    }

    #[test]
    fn an_answer_keeps_number_and_order_of_the_streams_and_refuses_all_but_one() {
        let offer = parse(
            "v=0\r\nc=IN IP4 192.0.2.1\r\nt=3 4\r\nm=video 5000 RTP/AVP 31 34\r\nm=audio 4000 RTP/AVP 8 97\r\n\
             a=rtpmap:97 telephone-event/8000\r\nm=audio 4002 RTP/SAVP 8\r\n",
        );
        let (answer, _) = session().answer(&offer).expect("PCMA");
        assert_eq!(
            answer,
            "v=0\r\no=- 7 1 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP4 192.0.2.5\r\nt=3 4\r\nm=video 0 RTP/AVP 31 34\r\n\
             m=audio 20000 RTP/AVP 8 97\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:97 telephone-event/8000\r\n\
             a=fmtp:97 0-15\r\na=ptime:20\r\na=sendrecv\r\nm=audio 0 RTP/SAVP 8\r\n"
        );
    }

    /// What Chromium answers to an offer of ours, shortened.
    fn chromium(direction: &str, setup: &str) -> String {
        let fingerprint = ["AB"; 32].join(":");
        format!(
            "v=0\r\no=- 4 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=fingerprint:sha-256 {fingerprint}\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 8 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:Xy+1\r\n\
             a=ice-pwd:0123456789012345678901\r\na=setup:{setup}\r\na=mid:0\r\na={direction}\r\na=rtcp-mux\r\n\
             a=rtpmap:8 PCMA/8000\r\na=rtpmap:126 telephone-event/8000\r\n"
        )
    }

    #[test]
    fn a_browser_is_offered_our_certificate_and_its_hold_is_answered_by_the_same_credentials() {
        let ours = Credentials::new([0x5A; 22], [0xCD; 32]);
        let mut session = Session::with_browser(7, "192.0.2.5:20000".parse().expect("an address"), ours.clone());
        let offer = session.offer();
        for line in [
            "a=ice-lite",
            "a=group:BUNDLE 0",
            "m=audio 20000 UDP/TLS/RTP/SAVPF 8 126",
            "a=rtcp-mux",
            "a=ice-ufrag:5a5a5a5a",
            "a=setup:actpass",
            "a=candidate:1 1 udp 2130706431 192.0.2.5 20000 typ host",
            "a=sendrecv",
        ] {
            assert!(offer.lines().any(|it| it == line), "{line}\n{offer}");
        }
        assert!(offer.find("a=ice-lite") < offer.find("m=audio"), "it is said for all streams");
        let agreed = session.accept(&parse(&chromium("sendrecv", "active"))).expect("agreed");
        let dtls = agreed.dtls.clone().expect("a browser");
        assert_eq!((dtls.ours.clone(), dtls.fingerprint), (ours, [0xAB; 32]));
        assert_eq!(
            (agreed.send, agreed.receive, agreed.payload_type, agreed.telephone_event),
            (true, true, 8, Some(126))
        );

        let (answer, held) = session.answer(&parse(&chromium("sendonly", "actpass"))).expect("a hold");
        assert_eq!((held.send, held.receive, held.dtls), (false, true, agreed.dtls));
        for line in ["a=setup:passive", "a=recvonly", "a=mid:0", "a=ice-ufrag:5a5a5a5a"] {
            assert!(answer.lines().any(|it| it == line), "{line}\n{answer}");
        }
    }

    #[test]
    fn who_waits_for_us_to_begin_or_shows_no_certificate_is_no_browser_of_ours() {
        let session = || {
            let mut session =
                Session::with_browser(7, ([192, 0, 2, 5], 20_000).into(), Credentials::new([1; 22], [2; 32]));
            session.offer();
            session
        };
        for answer in [
            chromium("sendrecv", "passive"),
            chromium("sendrecv", "active").replace("a=fingerprint:sha-256", "a=fingerprint:sha-1"),
            chromium("sendrecv", "active").replace("a=rtcp-mux\r\n", ""),
            chromium("sendrecv", "active").replace("a=ice-ufrag:Xy+1\r\n", ""),
            chromium("sendrecv", "active").replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
            chromium("sendrecv", "active").replace("audio 9", "audio 0"),
        ] {
            assert_eq!(session().accept(&parse(&answer)), Err(NoCommonCodec), "{answer}");
        }
    }

    #[test]
    fn the_version_grows_with_a_change_and_only_then() {
        let mut session = session();
        let version = |text: &str| text.split(' ').nth(2).map(str::to_owned).expect("o= has a version");
        let talk = parse("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 8\n");
        let hold = parse("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 8\na=sendonly\n");
        let none = parse("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 18\n");
        assert_eq!(version(&session.answer(&talk).expect("talk").0), "1");
        assert_eq!(version(&session.answer(&talk).expect("talk").0), "1");
        let (text, agreed) = session.answer(&hold).expect("hold");
        assert_eq!((version(&text).as_str(), agreed.send, agreed.receive), ("2", false, true));
        assert!(text.contains("a=recvonly"));
        assert_eq!(session.answer(&none), Err(NoCommonCodec));
        assert_eq!(version(&session.answer(&hold).expect("hold").0), "2", "a refused offer changed nothing");
    }

    #[test]
    fn hold_by_address_keeps_the_address_of_before() {
        let mut session = session();
        session.answer(&parse("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 8\n")).expect("talk");
        let (text, agreed) = session.answer(&parse("v=0\nc=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 8\n")).expect("hold");
        assert_eq!((agreed.address.to_string().as_str(), agreed.send), ("192.0.2.1:4000", false));
        assert!(text.contains("a=recvonly"));
    }

    #[test]
    fn our_offer_is_answered_with_the_number_they_chose_for_events() {
        let mut session = session();
        let offer = session.offer();
        assert_eq!(
            parse(&offer).choose(Sealing::unkeyed(SrtpPolicy::Accept)).expect("our own offer").1.payload_type,
            8
        );
        let answer = parse("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n");
        let agreed = session.accept(&answer).expect("PCMU");
        assert_eq!((agreed.codec, agreed.telephone_event), (Codec::Pcmu, Some(101)));
        assert_eq!(session.offer(), offer, "the same words, the same version");
        assert_eq!(session.again(), Some(offer));
    }

    const KEY: &str = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    #[test]
    fn a_sealed_stream_is_answered_with_our_key_and_their_tag_and_rtcp_mux_where_it_was_offered() {
        let offer = parse(&format!(
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/SAVP 8\na=rtcp-mux\na=crypto:5 AES_CM_128_HMAC_SHA1_32 {KEY}\n"
        ));
        let mut session = session();
        let (answer, agreed) = session.answer(&offer).expect("a stream");
        let security = agreed.security.as_ref().expect("sealed");
        assert_eq!((agreed.rtcp, security.ours, security.theirs[..2].to_vec()), (None, [7; 30], b"wD".to_vec()));
        let lines = "m=audio 20000 RTP/SAVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=crypto:5 AES_CM_128_HMAC_SHA1_32 \
                     inline:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\r\na=rtcp-mux\r\na=sendrecv\r\n";
        assert!(answer.ends_with(lines), "{answer}");
        assert_eq!(session.answer(&offer).expect("again").0, answer, "the same key, the same version");
        assert!(session.again().is_some_and(|again| again.contains("RTP/SAVP")));
        assert!(!format!("{session:?}{agreed:?}").contains("BwcH"));
    }

    #[test]
    fn where_sealing_is_required_we_offer_it_and_take_no_answer_in_clear() {
        let mut session = with(SrtpPolicy::Require);
        let offer = session.offer();
        assert!(offer.contains("RTP/SAVP 8 0 101") && offer.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:BwcH"));
        let answer = |protocol: &str, suite: &str| {
            parse(&format!(
                "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 {protocol} 0\na=crypto:1 AES_CM_128_HMAC_SHA1_{suite} {KEY}\n"
            ))
        };
        assert_eq!(session.accept(&answer("RTP/AVP", "80")), Err(NoCommonCodec));
        assert_eq!(session.accept(&answer("RTP/SAVP", "32")), Err(NoCommonCodec), "never offered");
        assert!(session.accept(&answer("RTP/SAVP", "80")).expect("sealed").security.is_some());
        assert_eq!(with(SrtpPolicy::Accept).accept(&answer("RTP/SAVP", "80")), Err(NoCommonCodec), "offered in clear");
    }

    proptest! {
        #[test]
        fn an_answer_always_reads_back_with_as_many_streams(
            streams in prop::collection::vec(("(audio|video|image)", any::<u16>(), "(RTP/AVP|RTP/SAVP|udptl)", "[0-9]{1,3}( [0-9]{1,3}){0,6}"), 1..8)
        ) {
            let lines: Vec<_> =
                streams.iter().map(|(kind, port, protocol, formats)| format!("m={kind} {port} {protocol} {formats}")).collect();
            let lines = lines.join("\n");
            let offer = parse(&format!("v=0\nc=IN IP4 192.0.2.1\n{lines}"));
            if let Ok((answer, agreed)) = session().answer(&offer) {
                let answer = parse(&answer);
                prop_assert_eq!(answer.streams.len(), streams.len());
                let (_, back) = answer.choose(Sealing::unkeyed(SrtpPolicy::Accept)).expect("we took one stream");
                prop_assert_eq!(back.payload_type, agreed.payload_type);
            }
        }
    }
}
