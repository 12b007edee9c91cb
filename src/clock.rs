//! The only reader of clocks and randomness. Everybody else is handed a [`Clock`], so tests decide what time it is.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::watch, time::sleep};
use uuid::{NoContext, Timestamp, Uuid};

use crate::domain::time::UnixMs;

/// Processor time of the calling thread: what a task costs, however busy the machine is.
pub fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Wall time, monotonic time and fresh identities.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Set in tests: wall time stands at this many milliseconds until moved.
    fixed: Option<Arc<AtomicI64>>,
    /// Set in tests: how far monotonic time was moved on.
    ahead: Option<Arc<watch::Sender<Duration>>>,
    /// Set in tests: how many milliseconds wall time was set wrong.
    wrong: Option<Arc<AtomicI64>>,
    pace: Arc<Mutex<Pace>>,
    /// Millisecond of the newest identity.
    newest: Arc<AtomicI64>,
}

/// How wall time goes beside monotonic time.
#[derive(Debug, Default)]
struct Pace {
    /// When it was looked at last, by both.
    last: Option<(UnixMs, Instant)>,
    /// When it was seen that wall time had been set.
    set: Option<Instant>,
}

/// What wall time and monotonic time may differ in from one look to the next before it counts as set, milliseconds. NTP
/// slews by less; whatever lasts longer than a second is stepped.
const SET: i64 = 1_000;

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A wall clock that stands still until [`Clock::set`].
    pub fn standing_at(now: UnixMs) -> Self {
        Self { fixed: Some(Arc::new(AtomicI64::new(now.0))), ..Self::default() }
    }

    /// The machine's own clock, whose monotonic time can be moved on with [`Clock::advance`], and whose wall time can be
    /// set wrong with [`Clock::step`].
    pub fn that_can_be_advanced() -> Self {
        Self { ahead: Some(Arc::default()), wrong: Some(Arc::default()), ..Self::default() }
    }

    /// Moves monotonic time on, and wakes whoever waits in [`Clock::sleep_until`]; the machine's own cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Some(ahead) = &self.ahead {
            ahead.send_modify(|ahead| *ahead += by);
        }
    }

    /// Moves wall time alone, as an administrator does; the machine's own cannot be moved.
    ///
    /// * `by` — milliseconds, back if below zero.
    pub fn step(&self, by: i64) {
        if let Some(wrong) = &self.wrong {
            wrong.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Moves a standing clock; the machine's own cannot be moved.
    pub fn set(&self, now: UnixMs) {
        if let Some(fixed) = &self.fixed {
            fixed.store(now.0, Ordering::Relaxed);
        }
    }

    /// Wall time.
    #[expect(clippy::disallowed_methods, reason = "this file is the one that may")]
    pub fn now(&self) -> UnixMs {
        if let Some(fixed) = &self.fixed {
            return UnixMs(fixed.load(Ordering::Relaxed));
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wrong = self.wrong.as_ref().map_or(0, |wrong| wrong.load(Ordering::Relaxed));
        UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_add(wrong))
    }

    /// Whether wall time was set (by hand, by NTP, by a machine that slept) within this span before now, as far as the
    /// looks before this one can tell: what was stored with an end may seem to be over, or to last too long.
    pub fn was_set_within(&self, span: Duration) -> bool {
        if self.fixed.is_some() {
            return false; // moved by a test, which means that time passes
        }
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, now) = (self.now(), self.instant());
        if let Some((then, since)) = pace.last.replace((wall, now)) {
            let passed = i64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(i64::MAX);
            if wall.0.saturating_sub(then.0).saturating_sub(passed).abs() > SET {
                pace.set = Some(now);
            }
        }
        pace.set.is_some_and(|set| now.saturating_duration_since(set) < span)
    }

    /// Monotonic time, for spans inside a call.
    #[expect(clippy::disallowed_methods, reason = "this file is the one that may")]
    pub fn instant(&self) -> Instant {
        let ahead = self.ahead.as_ref().map(|ahead| *ahead.borrow()).unwrap_or_default();
        Instant::now() + ahead
    }

    /// Waits for a moment of [`Clock::instant`].
    pub async fn sleep_until(&self, due: Instant) {
        let mut moved = self.ahead.as_ref().map(|ahead| ahead.subscribe());
        loop {
            let left = due.saturating_duration_since(self.instant());
            match &mut moved {
                _ if left.is_zero() => return,
                None => sleep(left).await,
                Some(moved) => tokio::select! {
                    () = sleep(left) => {}
                    _ = moved.changed() => {}
                },
            }
        }
    }

    /// Time since 1970 as the kernel stamps packets with it; never a standing clock's.
    #[expect(clippy::disallowed_methods, reason = "this file is the one that may")]
    pub fn kernel_time(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// A fresh UUIDv7 of [`Clock::now`]. In one process a later one is never of an earlier millisecond, even where the
    /// clock is set back: what is sorted by identity stays in its order.
    pub fn uuid(&self) -> Uuid {
        let now = self.now().0;
        let ms = now.max(self.newest.fetch_max(now, Ordering::Relaxed));
        let ms = u64::try_from(ms).unwrap_or(0);
        Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1000, u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000))
    }

    /// Bytes nobody can guess, for tokens and for RTP's first sequence numbers.
    ///
    /// # Panics
    /// When the operating system has no randomness left to give; nothing safe can be done then.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_clock_that_is_set_is_noticed_for_a_while_whichever_way_it_went() {
        for by in [HOUR, -HOUR] {
            let clock = Clock::that_can_be_advanced();
            assert!(!clock.was_set_within(MINUTE));
            clock.step(by);
            assert!(clock.was_set_within(MINUTE) && clock.was_set_within(MINUTE), "{by}");
            // Time that passes passes by both.
            clock.advance(MINUTE);
            clock.step(60_000);
            assert!(!clock.was_set_within(MINUTE), "{by}");
        }
    }

    #[test]
    fn identities_keep_their_order_when_the_clock_is_set_back() {
        let clock = Clock::that_can_be_advanced();
        let before = clock.uuid();
        clock.step(-HOUR);
        let (after, later) = (clock.uuid(), clock.uuid());
        let millisecond = |id: Uuid| id.get_timestamp().expect("of version 7").to_unix();
        assert!(millisecond(before) <= millisecond(after) && millisecond(after) <= millisecond(later));
    }
}
