//! Offers and answers of one call, the seat's side (RFC 3264).

use std::net::SocketAddr;

use crate::{
    audio::Codec,
    phone::EVENTS,
    sdp::{self, FarMedia},
};

/// What the two sides have agreed on by now.
pub(super) struct Bargain {
    /// Our RTP.
    at: SocketAddr,
    codecs: Vec<Codec>,
    session: u64,
    /// Our last description, and the version it had.
    last: (String, u32),
    /// What they last offered or answered.
    pub(super) far: Option<FarMedia>,
    /// We do not listen.
    pub(super) holding: bool,
}

impl Bargain {
    pub(super) fn new(at: SocketAddr, codecs: Vec<Codec>) -> Self {
        let session = u64::from(fastrand::u32(1..));
        Self { at, codecs, session, last: (String::new(), 1), far: None, holding: false }
    }

    /// Our offer.
    pub(super) fn offer(&mut self) -> String {
        let number = self.far.as_ref().and_then(|far| far.telephone_event).unwrap_or(EVENTS);
        let text = sdp::describe(self.at, self.session, &self.codecs, Some(number));
        self.publish(sdp::directed(&text, true, !self.holding))
    }

    /// Their answer to it, or an offer of theirs.
    ///
    /// * returns — in words, why nothing can be agreed on.
    pub(super) fn read(&self, text: &str) -> Result<FarMedia, String> {
        let far = sdp::read(text, &self.codecs)?;
        self.reply(text, &far).map(|_| far).ok_or_else(|| "the audio is no plain RTP".into())
    }

    /// Our answer to an offer that was read.
    pub(super) fn answer(&mut self, offer: &str, far: &FarMedia) -> String {
        let text = self.reply(offer, far).unwrap_or_default();
        self.publish(text)
    }

    fn reply(&self, offer: &str, far: &FarMedia) -> Option<String> {
        let text = sdp::describe(self.at, self.session, &[far.codec], far.telephone_event);
        sdp::answer(offer, &sdp::directed(&text, far.listens, far.speaks && !self.holding))
    }

    /// The version grows with each change and only then (RFC 3264 §8).
    fn publish(&mut self, text: String) -> String {
        let (last, version) = &mut self.last;
        if *last != text {
            *version += u32::from(!last.is_empty());
            *last = text;
        }
        sdp::versioned(last, *version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_grows_with_each_change_and_only_then() {
        let mut bargain = Bargain::new("10.0.0.1:6000".parse().unwrap(), vec![Codec::Alaw, Codec::Ulaw]);
        let offer = |direction| format!("v=0\r\nc=IN IP4 10.0.0.9\r\nm=audio 4000 RTP/AVP 0 96\r\na={direction}\r\n");
        let mut answer = |text: &str| {
            let far = bargain.read(text).unwrap();
            let text = bargain.answer(text, &far);
            let version = text.lines().nth(1).unwrap().split(' ').nth(2).unwrap().to_owned();
            (version, text.trim_end().rsplit_once("a=").unwrap().1.to_owned())
        };
        let got = [answer(&offer("sendrecv")), answer(&offer("sendrecv")), answer(&offer("sendonly"))];
        let expected = [("1", "sendrecv"), ("1", "sendrecv"), ("2", "recvonly")];
        assert_eq!(got, expected.map(|(version, direction)| (version.to_owned(), direction.to_owned())));
        bargain.holding = true;
        assert!(bargain.offer().contains("a=sendonly"));
        assert!(bargain.read("v=0\r\nc=IN IP4 10.0.0.9\r\nm=audio 4000 RTP/SAVP 0\r\n").is_err());
    }
}
