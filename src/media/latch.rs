//! Whose packets count, and where ours go (symmetric RTP).
//!
//! The address in the SDP is where a phone thinks it is; behind NAT its packets come from elsewhere. We send to where
//! they come from. An attacker who guesses the port may be first, so the address of the SDP, once heard, always wins,
//! and after the first seconds nothing moves any more until signalling says so.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The peer of one leg.
#[derive(Debug)]
pub struct Latch {
    signalled: SocketAddr,
    heard: Option<SocketAddr>,
    /// Until when another source may take over.
    open_until: Instant,
}

impl Latch {
    /// After offer/answer, and after the first packet, the source may still change this long.
    pub const WINDOW: Duration = Duration::from_secs(4);

    /// * `signalled` — address of the SDP.
    pub fn new(signalled: SocketAddr, now: Instant) -> Self {
        Self { signalled, heard: None, open_until: now + Self::WINDOW }
    }

    /// New offer/answer: the same address keeps the peer, another one forgets it. The window opens again.
    pub fn connect(&mut self, signalled: SocketAddr, now: Instant) {
        if signalled != self.signalled {
            (self.signalled, self.heard) = (signalled, None);
        }
        self.open_until = now + Self::WINDOW;
    }

    /// Whether a packet of negotiated type from `from` counts; it may make `from` the peer.
    pub fn accept(&mut self, from: SocketAddr, now: Instant) -> bool {
        match self.heard {
            Some(heard) if heard == from => true,
            None => {
                self.heard = Some(from);
                self.open_until = self.open_until.max(now + Self::WINDOW);
                true
            }
            Some(heard) if now < self.open_until && heard != self.signalled => {
                self.heard = Some(from);
                true
            }
            Some(_) => false,
        }
    }

    /// Whether `from` is the machine we talk with, whatever its port (RTCP comes from another one).
    pub fn knows(&self, from: SocketAddr) -> bool {
        from.ip() == self.heard.unwrap_or(self.signalled).ip()
    }

    /// Where to send; `None` as long as nobody was heard and the SDP named no real address.
    pub fn destination(&self) -> Option<SocketAddr> {
        let address = self.heard.unwrap_or(self.signalled);
        (!address.ip().is_unspecified() && address.port() != 0).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8, port: u16) -> SocketAddr {
        ([10, 0, 0, last], port).into()
    }

    #[expect(clippy::disallowed_methods, reason = "only differences count here")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_phone_behind_nat_is_answered_where_it_sends_from() {
        let now = start();
        let mut latch = Latch::new(at(1, 4_000), now);
        assert_eq!(latch.destination(), Some(at(1, 4_000)));
        assert!(latch.accept(at(9, 61_000), now));
        assert_eq!(latch.destination(), Some(at(9, 61_000)));
    }

    #[test]
    fn after_the_first_seconds_a_stranger_changes_nothing() {
        let now = start();
        let mut latch = Latch::new(at(1, 4_000), now);
        latch.accept(at(9, 61_000), now);
        let later = now + Latch::WINDOW;
        assert!(!latch.accept(at(66, 6_666), later));
        assert_eq!(latch.destination(), Some(at(9, 61_000)));
    }

    #[test]
    fn the_signalled_address_wins_over_a_stranger_who_was_first_and_then_stays() {
        let now = start();
        let mut latch = Latch::new(at(1, 4_000), now);
        assert!(latch.accept(at(66, 6_666), now));
        assert!(latch.accept(at(1, 4_000), now));
        assert!(!latch.accept(at(66, 6_666), now));
        assert_eq!(latch.destination(), Some(at(1, 4_000)));
    }

    #[test]
    fn a_new_offer_moves_the_peer_and_a_refresh_does_not() {
        let now = start();
        let mut latch = Latch::new(at(1, 4_000), now);
        latch.accept(at(1, 4_000), now);
        let later = now + 10 * Latch::WINDOW;
        latch.connect(at(1, 4_000), later);
        assert_eq!(latch.destination(), Some(at(1, 4_000)));
        latch.connect(at(2, 5_000), later);
        assert_eq!(latch.destination(), Some(at(2, 5_000)));
        assert!(latch.accept(at(2, 5_000), later));
    }

    #[test]
    fn nothing_goes_to_an_unspecified_address() {
        let now = start();
        let mut latch = Latch::new(([0, 0, 0, 0], 4_000).into(), now);
        assert_eq!(latch.destination(), None);
        latch.accept(at(3, 4_000), now);
        assert_eq!(latch.destination(), Some(at(3, 4_000)));
    }
}
