//! The only reader of clocks and randomness. Everybody else is handed a [`Clock`], so tests decide what time it is.

use std::{
    sync::{
        Arc,
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
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A wall clock that stands still until [`Clock::set`].
    pub fn standing_at(now: UnixMs) -> Self {
        Self { fixed: Some(Arc::new(AtomicI64::new(now.0))), ahead: None }
    }

    /// The machine's own clock, whose monotonic time can be moved on with [`Clock::advance`].
    pub fn that_can_be_advanced() -> Self {
        Self { fixed: None, ahead: Some(Arc::new(watch::Sender::default())) }
    }

    /// Moves monotonic time on, and wakes whoever waits in [`Clock::sleep_until`]; the machine's own cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Some(ahead) = &self.ahead {
            ahead.send_modify(|ahead| *ahead += by);
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
        UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
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

    /// A fresh UUIDv7 of [`Clock::now`].
    pub fn uuid(&self) -> Uuid {
        let ms = u64::try_from(self.now().0).unwrap_or(0);
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
