//! How many streams one person has open.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, domain::ids::UserId};

/// Streams that one person may have open; a browser has at most six connections.
pub(super) const MOST: usize = 8;
/// A stream that was not read for so long has nobody at the other end; live ones take a sign of life every 15 s.
pub(super) const UNREAD: Duration = Duration::from_mins(1);

/// The open streams. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    began: Instant,
    open: Mutex<HashMap<UserId, Vec<Arc<Seat>>>>,
}

#[derive(Debug)]
struct Seat {
    gone: CancellationToken,
    /// Milliseconds since `began`.
    read: AtomicU64,
}

/// A place that is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    user: UserId,
    seat: Arc<Seat>,
}

impl Places {
    pub(crate) fn new(clock: Clock) -> Self {
        let began = clock.instant();
        Self::since(began, clock)
    }

    fn since(began: Instant, clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, began, open: Mutex::default() }))
    }

    /// A place for one more stream of a person. One that nobody reads any more makes room.
    pub(super) fn take(&self, user: UserId) -> Option<Place> {
        let now = self.now();
        let mut open = self.open();
        let seats = open.entry(user).or_default();
        if seats.len() >= MOST {
            let since = |seat: &Seat| Duration::from_millis(now.saturating_sub(seat.read.load(Ordering::Relaxed)));
            let unread = seats.iter().position(|seat| since(seat) > UNREAD)?;
            seats.remove(unread).gone.cancel();
        }
        let seat = Arc::new(Seat { gone: CancellationToken::new(), read: AtomicU64::new(now) });
        seats.push(Arc::clone(&seat));
        Some(Place { places: self.clone(), user, seat })
    }

    fn now(&self) -> u64 {
        let since = self.0.clock.instant().saturating_duration_since(self.0.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Arc<Seat>>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Notes that somebody reads.
    pub(super) fn is_read(&self) {
        self.seat.read.store(self.places.now(), Ordering::Relaxed);
    }

    /// Cancelled when the place was given to another stream.
    pub(super) fn gone(&self) -> &CancellationToken {
        &self.seat.gone
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.open();
        if let Some(seats) = open.get_mut(&self.user) {
            seats.retain(|seat| !Arc::ptr_eq(seat, &self.seat));
            if seats.is_empty() {
                open.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_so_many_streams_and_one_that_nobody_reads_makes_room() {
        let clock = Clock::system();
        let began = clock.instant().checked_sub(2 * UNREAD).expect("a machine that runs for minutes");
        let places = Places::since(began, clock.clone());
        let (li, wang) = (UserId::new(clock.uuid()), UserId::new(clock.uuid()));
        let mut taken: Vec<_> = (0..MOST).map(|_| places.take(li).expect("a place")).collect();
        assert!(places.take(li).is_none());
        assert!(places.take(wang).is_some(), "each has their own");
        taken.pop();
        taken.push(places.take(li).expect("the one that ended"));
        taken[1].seat.read.store(0, Ordering::Relaxed);
        taken.push(places.take(li).expect("the one that was last read at the beginning makes room"));
        assert!(taken[1].gone().is_cancelled() && !taken[0].gone().is_cancelled());
        assert!(places.take(li).is_none());
        drop(taken);
        assert_eq!(places.open().len(), 0, "nothing is left behind");
    }
}
