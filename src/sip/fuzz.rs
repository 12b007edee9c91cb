//! Coverage-guided targets for what reads bytes from the wire. `./dev test` runs them over their corpus and some random
//! input; `./dev soak` lets libFuzzer look for new ways.

use std::net::SocketAddr;

use rsipstack::sip::Transport;

use super::{
    framing::{Frame, Framer},
    screen::{Screened, screen},
    sdp::{Description, Sealing, Session, SrtpPolicy},
};
use crate::domain::number;

fn source() -> SocketAddr {
    ([192, 0, 2, 7], 5070).into()
}

/// What is let through once is let through as it is.
#[test]
fn fuzz_sip_message() {
    bolero::check!().for_each(|message: &[u8]| {
        if let Screened::Pass(bytes) = screen(message, source(), Transport::Udp)
            && let Screened::Pass(again) = screen(&bytes, source(), Transport::Udp)
        {
            assert!(bytes == again, "{} became {}", bytes.escape_ascii(), again.escape_ascii());
        }
    });
}

/// However the network cuts a stream, the same messages come out. The first byte says how long the pieces are.
#[test]
fn fuzz_sip_stream() {
    bolero::check!().for_each(|input: &[u8]| {
        let Some((length, stream)) = input.split_first() else { return };
        let whole = frames([stream].into_iter());
        assert_eq!(frames(stream.chunks(usize::from(*length).max(1))), whole);
        let bytes: usize =
            whole.iter().map(|frame| if let Frame::Message(bytes) = frame { bytes.len() } else { 0 }).sum();
        assert!(bytes <= stream.len());
    });
}

/// Up to the first frame after which nobody reads on.
fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Frame> {
    let (mut framer, mut found) = (Framer::default(), Vec::new());
    for piece in pieces {
        framer.push(piece);
        while let Some(frame) = framer.next() {
            if let Frame::Broken { status, reason, .. } = frame {
                // How much of it was read by then depends on the pieces.
                found.push(Frame::Broken { head: Vec::new(), status, reason });
                return found;
            }
            found.push(frame);
        }
    }
    found
}

/// Whatever they offer, our answer has their streams in their order and can be read.
#[test]
fn fuzz_sdp() {
    bolero::check!().for_each(|body: &[u8]| {
        let Ok(offer) = Description::parse(body) else { return };
        let sealing = Sealing { policy: SrtpPolicy::Accept, ours: [7; 30] };
        let mut session = Session::new(1, ([192, 0, 2, 1], 20_000).into(), sealing);
        if let Ok((answer, _)) = session.answer(&offer) {
            let answer = Description::parse(answer.as_bytes()).expect("our own text");
            assert_eq!(answer.streams.len(), offer.streams.len());
        }
        let _ = session.accept(&offer);
    });
}

/// One number, one spelling: spelled once it stays.
#[test]
fn fuzz_number() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let number = String::from_utf8_lossy(bytes);
        let once = number::national(&number, "0635");
        assert_eq!(number::national(&once, "0635"), once, "{number}");
    });
}
