//! Merged requests (RFC 3261 §8.2.2.2): one request that reached us over two ways is one call, not two.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// Remembers which requests came over which way. Pure: the caller brings the time.
pub(super) struct Merged {
    memory: Duration,
    hasher: RandomState,
    ways: HashMap<u64, u64>,
    order: VecDeque<(Instant, u64)>,
}

impl Merged {
    /// Requests remembered at once; the oldest is forgotten first.
    const CAPACITY: usize = 16_384;

    /// * `memory` — how long a request is remembered: 64 T1.
    pub(super) fn new(memory: Duration) -> Self {
        Self { memory, hasher: RandomState::new(), ways: HashMap::new(), order: VecDeque::new() }
    }

    /// Notes a request outside a dialog.
    ///
    /// * `request` — From tag, Call-ID and CSeq.
    /// * `branch` — of the top Via, which differs between ways.
    /// * returns — whether the same request came over another way before.
    pub(super) fn seen(&mut self, request: (&str, &str, u32), branch: &str, now: Instant) -> bool {
        while let Some((since, key)) = self.order.front().copied()
            && (now.duration_since(since) >= self.memory || self.order.len() > Self::CAPACITY)
        {
            self.order.pop_front();
            self.ways.remove(&key);
        }
        let (key, way) = (self.hasher.hash_one(request), self.hasher.hash_one(branch));
        if let Some(before) = self.ways.get(&key) {
            return *before != way;
        }
        self.ways.insert(key, way);
        self.order.push_back((now, key));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_request_over_another_way_is_merged_until_it_is_forgotten() {
        let (mut merged, now) = (Merged::new(Duration::from_secs(32)), Clock::system().instant());
        assert!(!merged.seen(("a", "c1", 1), "z9hG4bK1", now));
        assert!(!merged.seen(("a", "c1", 1), "z9hG4bK1", now), "the same way again is a repetition");
        assert!(merged.seen(("a", "c1", 1), "z9hG4bK2", now));
        assert!(!merged.seen(("a", "c1", 2), "z9hG4bK3", now), "another CSeq is another request");
        assert!(!merged.seen(("a", "c1", 1), "z9hG4bK2", now + Duration::from_secs(32)));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut merged, now) = (Merged::new(Duration::from_secs(32)), Clock::system().instant());
        for cseq in 0..40_000 {
            merged.seen(("a", "c", cseq), "z9hG4bK1", now);
        }
        assert!(merged.ways.len() <= Merged::CAPACITY + 1);
    }
}
