//! Our side of offer and answer over the life of one call.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use super::{
    Agreed, Codec, Description, Direction, Media, NoCommonCodec, Sealing, Security, SrtpPolicy, Suite, crypto::Crypto,
    description::protocol,
};

/// RTP payload type of RFC 4733 events in our own offers.
const OUR_EVENTS: u8 = 101;

/// Writes our descriptions and remembers what the last one said.
#[derive(Debug)]
pub struct Session {
    words: Words,
    media: SocketAddr,
    sealing: Sealing,
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
        Self { words: Words::new(id, media.ip()), media, sealing, settled: None }
    }

    /// Answers their offer. A refused offer changes nothing.
    pub fn answer(&mut self, offer: &Description) -> Result<(String, Agreed), NoCommonCodec> {
        let (taken, agreed) = offer.choose(self.sealing)?;
        let agreed = self.settle(agreed);
        let mut streams = String::new();
        for (index, stream) in offer.streams.iter().enumerate() {
            if index == taken {
                let codecs = [(agreed.payload_type, agreed.codec)];
                let security = agreed.security.as_deref();
                write_audio(&mut streams, self.media.port(), &codecs, agreed.telephone_event, security);
                if stream.rtcp_mux {
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
        write_audio(&mut streams, self.media.port(), &codecs, Some(OUR_EVENTS), self.offered().as_ref());
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

    /// What an offer of ours holds of keys: as long as sealed streams are not demanded, none.
    fn offered(&self) -> Option<Security> {
        let Sealing { policy, ours } = self.sealing;
        let suite = Suite::AesCm128HmacSha1_80;
        (policy == SrtpPolicy::Require).then_some(Security { suite, ours, theirs: ours, tag: 1 })
    }

    /// An answer keeps to what was offered: sealed with the same suite, or in clear.
    fn read_answer(&self, answer: &Description, offered: Option<Suite>) -> Result<(usize, Agreed), NoCommonCodec> {
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

/// The m-line of a stream we take, and what it may carry.
pub(super) fn write_audio(
    out: &mut String,
    port: u16,
    codecs: &[(u8, Codec)],
    events: Option<u8>,
    security: Option<&Security>,
) {
    let numbers = codecs.iter().map(|(number, _)| *number).chain(events);
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    line(out, format_args!("m=audio {port} {} {}", protocol(security.is_some()), numbers.join(" ")));
    for (number, codec) in codecs {
        line(out, format_args!("a=rtpmap:{number} {}/8000", codec.name()));
    }
    if let Some(number) = events {
        line(out, format_args!("a=rtpmap:{number} telephone-event/8000"));
        line(out, format_args!("a=fmtp:{number} 0-15"));
    }
    line(out, format_args!("a=ptime:20"));
    if let Some(Security { suite, ours, tag, .. }) = security {
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
