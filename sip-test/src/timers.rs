//! When a message is sent again, and when it is given up (RFC 3261 §17).

use std::time::Duration;

use tokio::time::Instant;

/// First retransmission, RFC 3261 §17.1.1.1; it doubles from there, up to `T2` for all but INVITE.
pub(crate) const T1: Duration = Duration::from_millis(500);
pub(crate) const T2: Duration = Duration::from_secs(4);
/// Longest a message is repeated, RFC 3261 §17.1 (64 T1).
pub(crate) const GIVE_UP: Duration = Duration::from_secs(32);

/// When a message is sent again, and until when.
#[derive(Debug)]
pub(crate) struct Repeats {
    /// Nothing over a stream, or once a provisional answer came.
    pub(crate) again: Option<Instant>,
    pause: Duration,
    longest: Duration,
    pub(crate) give_up: Instant,
}

impl Repeats {
    /// * `reliable` — it went over a stream and is not repeated.
    pub(crate) fn new(reliable: bool, longest: Duration, now: Instant) -> Self {
        Self { again: (!reliable).then_some(now + T1), pause: T1 * 2, longest, give_up: now + GIVE_UP }
    }

    pub(crate) fn next(&self) -> Instant {
        self.again.map_or(self.give_up, |again| again.min(self.give_up))
    }

    /// Whether it is time to send again.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        let due = self.again.is_some_and(|again| again <= now);
        if due {
            self.again = Some(now + self.pause);
            self.pause = (self.pause * 2).min(self.longest);
        }
        due
    }
}
