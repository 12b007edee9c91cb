//! Our side of offer and answer for a call that a switch forks to us: two streams, and we never send (RFC 7866 §7).

use std::net::SocketAddr;

use super::{
    Agreed, Description, Direction, Forked, Sealing,
    session::{Seal, Words, line, refuse, write_audio},
};

/// Writes our descriptions and remembers which stream is whose.
#[derive(Debug)]
pub struct ForkSession {
    words: Words,
    /// Where we want to hear the caller and the operator; one machine.
    media: [SocketAddr; 2],
    sealing: Sealing,
    /// The m-lines of the caller's stream and of the operator's.
    taken: [Option<usize>; 2],
}

impl ForkSession {
    /// * `id` — the session's number in `o=`.
    /// * `media` — where we want to hear the caller and the operator, addresses that the switch can reach.
    pub fn new(id: u64, media: [SocketAddr; 2], sealing: Sealing) -> Self {
        Self { words: Words::new(id, media[0].ip()), media, sealing, taken: [None; 2] }
    }

    /// The m-lines that were taken last.
    pub const fn taken(&self) -> [Option<usize>; 2] {
        self.taken
    }

    /// Answers their offer: each stream that is taken with a port of its own, `recvonly` and with its label; every other one
    /// with port 0.
    ///
    /// * `taken` — the m-lines of the caller's stream and of the operator's.
    pub fn answer(&mut self, offer: &Description, taken: [Option<usize>; 2]) -> (String, Forked) {
        self.taken = taken;
        let mut streams = String::new();
        for (index, stream) in offer.streams.iter().enumerate() {
            let side = taken.iter().position(|it| *it == Some(index));
            let Some((side, agreed)) = side.zip(offer.agree(stream, self.sealing)) else {
                refuse(&mut streams, stream);
                continue;
            };
            let codecs = [(agreed.payload_type, agreed.codec)];
            let seal = Seal::of(agreed.security.as_deref());
            write_audio(&mut streams, self.media[side].port(), &codecs, agreed.telephone_event, seal);
            if stream.rtcp_mux {
                line(&mut streams, format_args!("a=rtcp-mux"));
            }
            line(&mut streams, format_args!("a={}", Direction::of(false, agreed.receive).name()));
            if let Some(label) = &stream.label {
                line(&mut streams, format_args!("a=label:{label}"));
            }
        }
        (self.words.say(&offer.time, &streams), self.settled(offer))
    }

    /// What we said last, in the same words and with the same version.
    pub fn again(&self) -> Option<String> {
        self.words.again()
    }

    /// Takes their answer to [`ForkSession::again`].
    pub fn accept(&self, answer: &Description) -> Forked {
        self.settled(answer)
    }

    fn settled(&self, theirs: &Description) -> Forked {
        let agreed = |side: usize| {
            let agreed = theirs.agree(theirs.streams.get(self.taken[side]?)?, self.sealing)?;
            Some(Agreed { send: false, ..agreed })
        };
        Forked { caller: agreed(0), operator: agreed(1) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sip::sdp::SrtpPolicy;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0 8\r\na=label:96\r\na=sendonly\r\nm=video 4004 RTP/AVP 31\r\na=label:98\r\n\
        m=audio 4008 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=label:97\r\na=sendonly\r\n\
        m=audio 4012 RTP/AVP 8\r\na=label:99\r\n";

    fn parse(text: &str) -> Description {
        Description::parse(text.as_bytes()).expect("a description")
    }

    fn session() -> ForkSession {
        let media = ["192.0.2.5:20000", "192.0.2.5:20002"].map(|it| it.parse().expect("an address"));
        ForkSession::new(7, media, Sealing::unkeyed(SrtpPolicy::Accept))
    }

    #[test]
    fn both_streams_are_taken_with_a_port_of_their_own_and_their_label() {
        let offer = parse(OFFER);
        let labels: Vec<_> = offer.usable(SrtpPolicy::Accept);
        assert_eq!(labels, [(0, Some("96")), (2, Some("97")), (3, Some("99"))]);
        let (answer, settled) = session().answer(&offer, [Some(2), Some(0)]);
        assert_eq!(
            answer,
            "v=0\r\no=- 7 1 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP4 192.0.2.5\r\nt=0 0\r\n\
             m=audio 20002 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=recvonly\r\na=label:96\r\n\
             m=video 0 RTP/AVP 31\r\n\
             m=audio 20000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-15\r\na=ptime:20\r\na=recvonly\r\na=label:97\r\nm=audio 0 RTP/AVP 8\r\n"
        );
        let (caller, operator) = (settled.caller.expect("a stream"), settled.operator.expect("a stream"));
        assert_eq!((caller.address.port(), caller.receive, caller.send), (4008, true, false));
        assert_eq!((operator.address.port(), operator.payload_type), (4000, 0));
    }

    #[test]
    fn a_stream_on_hold_is_inactive_and_the_version_grows_with_a_change_only() {
        let mut session = session();
        let version = |text: &str| text.split(' ').nth(2).map(str::to_owned).expect("o= has a version");
        let (first, _) = session.answer(&parse(OFFER), [Some(0), Some(2)]);
        let held = OFFER.replacen("a=sendonly", "a=inactive", 1);
        let (text, settled) = session.answer(&parse(&held), [Some(0), Some(2)]);
        assert_eq!((version(&first).as_str(), version(&text).as_str()), ("1", "2"));
        assert!(text.contains("a=ptime:20\r\na=inactive\r\na=label:96\r\n"), "{text}");
        assert_eq!(settled.caller.as_ref().map(|it| it.receive), Some(false));
        assert_eq!(session.answer(&parse(&held), [Some(0), Some(2)]).0, text);
        assert_eq!(session.again(), Some(text));
        assert_eq!(session.accept(&parse(&held)), settled);
        let gone = OFFER.replacen("m=audio 4000", "m=audio 0", 1);
        let (text, settled) = session.answer(&parse(&gone), [None, Some(2)]);
        assert!(text.contains("m=audio 0 RTP/AVP 0 8\r\n") && settled.caller.is_none(), "{text}");
    }

    proptest! {
        #[test]
        fn an_answer_has_as_many_streams_and_never_sends(
            lines in prop::collection::vec(("(audio|video)", any::<u16>(), "[08]( 101)?", "(sendonly|sendrecv|inactive|label:[a-z]{0,3})"), 1..8),
            taken in prop::array::uniform2(prop::option::of(0..9_usize)),
        ) {
            let lines: Vec<_> = lines.iter().map(|(kind, port, formats, attribute)| format!("m={kind} {port} RTP/AVP {formats}\na={attribute}")).collect();
            let offer = parse(&format!("v=0\nc=IN IP4 192.0.2.1\n{}", lines.join("\n")));
            let (text, settled) = session().answer(&offer, taken);
            prop_assert_eq!(parse(&text).streams.len(), lines.len());
            prop_assert!(!text.contains("sendrecv") && !text.contains("sendonly"));
            prop_assert!([settled.caller, settled.operator].iter().flatten().all(|it| !it.send));
        }
    }
}
