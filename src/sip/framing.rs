//! Cuts messages out of a byte stream (RFC 3261 §18.3, keep-alives of RFC 5626 §3.5.1). Pure: the connection feeds it.

use super::datagram::{self, BodyLength, LONGEST};

const BLANK: &[u8] = b"\r\n\r\n";

/// The bytes of a connection that make no whole message yet; never more than one message and what one read adds.
#[derive(Debug, Default)]
pub(super) struct Framer {
    buffer: Vec<u8>,
    /// How far no blank line was found.
    searched: usize,
    /// One empty line stands alone so far; a second makes it a ping.
    half_ping: bool,
}

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// One message with its whole body.
    Message(Vec<u8>),
    /// Two empty lines, to be answered with one.
    Ping,
    /// An empty line: the answer to a ping, or nothing.
    Blank,
    /// Where the next message begins cannot be known: refuse this one and hang up.
    Broken { head: Vec<u8>, status: u16, reason: &'static str },
}

impl Framer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether no message has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next frame, if it is whole.
    pub(super) fn next(&mut self) -> Option<Frame> {
        if self.buffer.starts_with(b"\r\n") {
            self.buffer.drain(..2);
            self.half_ping = !self.half_ping;
            return Some(if self.half_ping { Frame::Blank } else { Frame::Ping });
        }
        let from = self.searched.saturating_sub(BLANK.len() - 1);
        let found = self.buffer[from..].windows(BLANK.len()).position(|four| four == BLANK);
        let Some(head) = found.map(|at| from + at + BLANK.len()) else {
            self.searched = self.buffer.len();
            return (self.buffer.len() > LONGEST).then(|| self.broken(513, "Message Too Large"));
        };
        let length = match datagram::body_length(&self.buffer[..head]) {
            BodyLength::Is(length) => length,
            BodyLength::Missing => return Some(self.broken(400, "No Content-Length")),
            BodyLength::Bad => return Some(self.broken(400, "Bad Content-Length")),
            BodyLength::NotSip => return Some(self.broken(400, "Bad Request")),
        };
        let whole = head.saturating_add(length);
        if whole > LONGEST {
            return Some(self.broken(513, "Message Too Large"));
        }
        if self.buffer.len() < whole {
            return None;
        }
        let rest = self.buffer.split_off(whole);
        (self.searched, self.half_ping) = (0, false);
        Some(Frame::Message(std::mem::replace(&mut self.buffer, rest)))
    }

    /// Gives up what has begun and does not go on.
    pub(super) fn give_up(&mut self) -> Frame {
        self.broken(400, "Bad Content-Length")
    }

    fn broken(&mut self, status: u16, reason: &'static str) -> Frame {
        self.searched = 0;
        Frame::Broken { head: std::mem::take(&mut self.buffer), status, reason }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(body: &str) -> String {
        format!("INFO sip:12345@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nl: {}\r\n\r\n{body}", body.len())
    }

    fn frames(framer: &mut Framer) -> Vec<Frame> {
        std::iter::from_fn(|| framer.next()).collect()
    }

    #[test]
    fn two_empty_lines_are_a_ping_and_one_is_nothing() {
        let mut framer = Framer::default();
        framer.push(b"\r\n");
        assert_eq!(frames(&mut framer), [Frame::Blank]);
        framer.push(b"\r\n\r\n");
        assert_eq!(frames(&mut framer), [Frame::Ping, Frame::Blank]);
        framer.push(message("").as_bytes());
        framer.push(b"\r\n");
        assert_eq!(frames(&mut framer), [Frame::Message(message("").into_bytes()), Frame::Blank]);
        assert!(framer.is_empty());
    }

    #[test]
    fn a_length_that_cannot_be_true_breaks_the_stream() {
        let broken = |text: &str| {
            let mut framer = Framer::default();
            framer.push(text.as_bytes());
            match framer.next() {
                Some(Frame::Broken { status, .. }) => Some(status),
                _ => None,
            }
        };
        assert_eq!(broken(&message("").replace("l: 0\r\n", "")), Some(400));
        assert_eq!(broken(&message("").replace("l: 0", "l: -1")), Some(400));
        assert_eq!(broken(&message("").replace("l: 0", "l: 0\r\nContent-Length: 1")), Some(400));
        assert_eq!(broken(&message("").replace("l: 0", "l: 99999999")), Some(513));
        assert_eq!(broken("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(400));
        assert_eq!(broken(&"x".repeat(LONGEST)), None);
        assert_eq!(broken(&"x".repeat(LONGEST + 1)), Some(513));
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_however_the_stream_is_cut(
            bodies in prop::collection::vec("[a-z\\r\\n]{0,40}", 1..6), cuts in prop::collection::vec(1_usize..40, 1..60)
        ) {
            let stream: String = bodies.iter().map(|body| message(body)).collect();
            let (mut framer, mut out, mut rest) = (Framer::default(), Vec::new(), stream.as_bytes());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                framer.push(now);
                out.extend(frames(&mut framer));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            let wanted: Vec<_> = bodies.iter().map(|body| Frame::Message(message(body).into_bytes())).collect();
            prop_assert_eq!(out, wanted);
        }

        #[test]
        fn no_bytes_make_it_fall_over_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..20_000)) {
            let mut framer = Framer::default();
            for chunk in bytes.chunks(777) {
                framer.push(chunk);
                while framer.next().is_some() {}
                prop_assert!(framer.buffer.len() <= LONGEST);
            }
        }
    }
}
