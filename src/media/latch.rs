//! Whose packets count, and where ours go (symmetric RTP).
//!
//! The address in the SDP is where a phone thinks it is; behind NAT its packets come from elsewhere. We send to where
//! they come from. An attacker who guesses the port may be first, so the address of the SDP wins whenever it is heard,
//! anybody else is believed only after a moment in which it was not, and after the first seconds nothing moves any more
//! until signalling says so.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The peer of one leg.
#[derive(Debug)]
pub struct Latch {
    signalled: SocketAddr,
    heard: Option<SocketAddr>,
    /// When the peer was heard last.
    last: Instant,
    /// The peer of before a change of address, and how long it may still speak if the new one does not.
    leaving: Option<(SocketAddr, Instant)>,
    /// Until when another source may take over.
    open_until: Instant,
}

/// What a packet's sender is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The one we talk with.
    Peer,
    /// Perhaps: nobody was heard yet, and it is not the address of the SDP.
    Doubt,
    Stranger,
}

impl Latch {
    /// After offer/answer, and after the first packet, the source may still change this long.
    pub const WINDOW: Duration = Duration::from_secs(4);
    /// In the window another source takes over only when the peer was silent for this long (10 packets).
    pub const QUIET: Duration = Duration::from_millis(200);
    /// Packets that were under way at a change of address still count this long.
    const LEAVING: Duration = Duration::from_secs(1);

    /// * `signalled` — address of the SDP.
    pub fn new(signalled: SocketAddr, now: Instant) -> Self {
        Self { signalled, heard: None, last: now, leaving: None, open_until: now + Self::WINDOW }
    }

    /// New offer/answer: the same address keeps the peer, another one forgets it. The window opens again.
    pub fn connect(&mut self, signalled: SocketAddr, now: Instant) {
        if signalled != self.signalled {
            self.leaving = self.heard.take().map(|peer| (peer, now + Self::LEAVING));
            self.signalled = signalled;
        }
        self.open_until = now + Self::WINDOW;
    }

    /// Judges the sender of a packet of negotiated type; it may become the peer.
    pub fn judge(&mut self, from: SocketAddr, now: Instant) -> Verdict {
        match self.heard {
            Some(heard) if heard == from => {
                self.last = self.last.max(now);
                Verdict::Peer
            }
            _ if from == self.signalled => self.settle(from, now),
            None if self.leaving.is_some_and(|(peer, until)| peer == from && now < until) => Verdict::Peer,
            None if is_real(self.signalled) => Verdict::Doubt,
            None => self.settle(from, now),
            Some(heard)
                if now < self.open_until
                    && heard != self.signalled
                    && now.saturating_duration_since(self.last) >= Self::QUIET =>
            {
                self.settle(from, now)
            }
            Some(_) => Verdict::Stranger,
        }
    }

    /// Judges a sender who is beyond doubt: the address of the SDP was waited for in vain, or the packet proves its origin.
    pub fn believe(&mut self, from: SocketAddr, now: Instant) -> Verdict {
        match self.judge(from, now) {
            Verdict::Doubt => self.settle(from, now),
            verdict => verdict,
        }
    }

    /// Whether `from` is the machine we talk with, whatever its port (RTCP comes from another one).
    pub fn knows(&self, from: SocketAddr) -> bool {
        from.ip() == self.heard.unwrap_or(self.signalled).ip()
    }

    /// Whether the peer of before a change of address may still speak: nobody else is believed meanwhile.
    pub fn is_leaving(&self, now: Instant) -> bool {
        self.leaving.is_some_and(|(_, until)| now < until)
    }

    /// Whether `from` is the peer that was heard.
    pub fn is_peer(&self, from: SocketAddr) -> bool {
        self.heard == Some(from)
    }

    /// Where to send; `None` as long as nobody was heard and the SDP named no real address.
    pub fn destination(&self) -> Option<SocketAddr> {
        Some(self.heard.unwrap_or(self.signalled)).filter(|address| is_real(*address))
    }

    fn settle(&mut self, from: SocketAddr, now: Instant) -> Verdict {
        if self.heard.is_none() {
            self.open_until = self.open_until.max(now + Self::WINDOW);
        }
        (self.heard, self.leaving, self.last) = (Some(from), None, self.last.max(now));
        Verdict::Peer
    }
}

/// Whether packets can go there.
pub fn is_real(address: SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}

#[cfg(test)]
mod tests {
    use super::{
        Verdict::{Doubt, Peer, Stranger},
        *,
    };

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
        assert_eq!(latch.judge(at(9, 61_000), now), Doubt);
        assert_eq!(latch.believe(at(9, 61_000), now), Peer);
        assert_eq!(latch.destination(), Some(at(9, 61_000)));
    }

    #[test]
    fn after_the_first_seconds_a_stranger_changes_nothing() {
        let now = start();
        let mut latch = Latch::new(at(1, 4_000), now);
        latch.believe(at(9, 61_000), now);
        let later = now + Latch::WINDOW;
        assert_eq!(latch.judge(at(66, 6_666), later), Stranger);
        assert_eq!(latch.destination(), Some(at(9, 61_000)));
    }

    #[test]
    fn in_the_first_seconds_a_stranger_takes_over_only_from_a_peer_who_fell_silent() {
        let now = start();
        let mut latch = Latch::new(at(1, 4_000), now);
        latch.believe(at(9, 61_000), now);
        let soon = now + Latch::QUIET / 2;
        assert_eq!(latch.judge(at(66, 6_666), soon), Stranger);
        assert_eq!(latch.judge(at(9, 61_000), soon), Peer);
        assert_eq!(latch.judge(at(9, 62_000), now + Latch::QUIET), Stranger);
        assert_eq!(latch.judge(at(9, 62_000), soon + Latch::QUIET), Peer, "its NAT gave it another port");
    }

    #[test]
    fn the_signalled_address_wins_over_a_stranger_who_was_first_and_then_stays() {
        let now = start();
        let mut latch = Latch::new(at(1, 4_000), now);
        assert_eq!(latch.believe(at(66, 6_666), now), Peer);
        assert_eq!(latch.judge(at(1, 4_000), now + 2 * Latch::WINDOW), Peer);
        assert_eq!(latch.believe(at(66, 6_666), now + 2 * Latch::WINDOW), Stranger);
        assert_eq!(latch.destination(), Some(at(1, 4_000)));
    }

    #[test]
    fn a_new_offer_moves_the_peer_and_a_refresh_does_not() {
        let now = start();
        let mut latch = Latch::new(at(1, 4_000), now);
        latch.judge(at(1, 4_000), now);
        let later = now + 10 * Latch::WINDOW;
        latch.connect(at(1, 4_000), later);
        assert_eq!(latch.destination(), Some(at(1, 4_000)));
        latch.connect(at(2, 5_000), later);
        assert_eq!(latch.destination(), Some(at(2, 5_000)));
        assert_eq!(latch.judge(at(1, 4_000), later), Peer, "its last words");
        assert_eq!(latch.destination(), Some(at(2, 5_000)), "which move nothing");
        assert_eq!(latch.judge(at(2, 5_000), later), Peer);
        assert_eq!(latch.judge(at(1, 4_000), later), Stranger);
    }

    #[test]
    fn nothing_goes_to_an_unspecified_address() {
        let now = start();
        let mut latch = Latch::new(([0, 0, 0, 0], 4_000).into(), now);
        assert_eq!(latch.destination(), None);
        assert_eq!(latch.judge(at(3, 4_000), now), Peer, "nobody else can be waited for");
        assert_eq!(latch.destination(), Some(at(3, 4_000)));
    }
}
