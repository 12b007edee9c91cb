//! How long the machine itself stood still: measured beside what is promised, so that a busy machine fails no promise.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use hotline::clock::Clock;

/// How often somebody wants to run and write.
const TICK: Duration = Duration::from_millis(10);
/// Moments that are remembered.
const MOST: usize = 10_000;

/// A thread that wakes up every 10 ms and writes a small file, and remembers by how much each was late.
pub struct Stalls {
    late: Arc<Mutex<Vec<(Instant, Duration)>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stalls {
    /// * `folder` — on the disk that matters.
    pub fn watch(folder: &Path) -> Self {
        let (late, over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (seen, end) = (Arc::clone(&late), Arc::clone(&over));
        let (file, clock) = (folder.join("stalls"), Clock::system());
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let begun = clock.instant();
                thread::sleep(TICK);
                fs::write(&file, [0; 4_096]).expect("a small file");
                let mut seen = seen.lock().expect("the list");
                if seen.len() == MOST {
                    seen.clear();
                }
                seen.push((begun, (clock.instant() - begun).saturating_sub(TICK)));
            }
        });
        Self { late, over, thread: Some(thread) }
    }

    /// All lateness of a time that ends now.
    pub fn of_the_last(&self, time: Duration) -> Duration {
        let late = self.late.lock().expect("the list");
        late.iter().rev().take_while(|(at, _)| at.elapsed() < time).map(|(_, late)| *late).sum()
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
