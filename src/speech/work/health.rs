//! Whether anybody can hear at the moment, for the readiness page.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The workers' state. Cheap to clone; all clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Vec<Option<String>>>>);

impl Health {
    /// One entry a worker, all of them starting.
    pub fn of(workers: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![Some("the speech worker is starting".into()); workers])))
    }

    /// Why nobody can hear; `None` while at least one worker can, or none is wanted here.
    pub fn degraded(&self) -> Option<String> {
        let workers = self.lock();
        if workers.iter().any(Option::is_none) { None } else { workers.first().cloned().flatten() }
    }

    /// * returns — whether this is news.
    pub(super) fn set(&self, worker: usize, trouble: Option<String>) -> bool {
        let mut workers = self.lock();
        match workers.get_mut(worker) {
            Some(state) if *state != trouble => *state = trouble,
            _ => return false,
        }
        let up = workers.iter().filter(|trouble| trouble.is_none()).count();
        metrics::gauge!("hotline_speech_workers_up").set(u32::try_from(up).unwrap_or(u32::MAX));
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_that_hears_is_enough() {
        assert_eq!(Health::of(0).degraded(), None);
        let health = Health::of(2);
        assert!(health.degraded().is_some());
        assert!(health.set(1, None));
        assert_eq!(health.degraded(), None);
        assert!(health.set(1, Some("gone".into())) && !health.set(1, Some("gone".into())));
        assert!(health.degraded().is_some());
    }
}
