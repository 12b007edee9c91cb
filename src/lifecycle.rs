//! Who spawns, owns: every long-lived task has a name here, is told to stop, and is waited for.

use std::{future::Future, time::Duration};

use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Starts tasks and ends them in order.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    stopping: CancellationToken,
    tasks: TaskTracker,
    ended_unasked: mpsc::Sender<&'static str>,
}

/// Tells when a task ended although nobody asked it to.
#[derive(Debug)]
pub struct Alarm(mpsc::Receiver<&'static str>);

impl Lifecycle {
    /// An empty house.
    pub fn new() -> (Self, Alarm) {
        let (ended_unasked, alarm) = mpsc::channel(16);
        (Self { stopping: CancellationToken::new(), tasks: TaskTracker::new(), ended_unasked }, Alarm(alarm))
    }

    /// Runs `task` until it ends. A task that ends before [`Lifecycle::stop`] raises the alarm.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stopping, alarm) = (self.stopping.clone(), self.ended_unasked.clone());
        self.tasks.spawn(async move {
            // A panic unwinds through here too: the guard, not the end of the block, raises the alarm.
            let guard = Guard { name, stopping, alarm };
            task.await;
            drop(guard);
        });
    }

    /// Cancelled when the house is to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Asks all tasks to end and waits for them.
    ///
    /// * `patience` — how long to wait.
    /// * returns — whether all ended in time.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.stopping.cancel();
        self.tasks.close();
        tokio::time::timeout(patience, self.tasks.wait()).await.is_ok()
    }
}

impl Alarm {
    /// Waits for a task that ended unasked and gives its name.
    pub async fn raised(&mut self) -> &'static str {
        match self.0.recv().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }
}

struct Guard {
    name: &'static str,
    stopping: CancellationToken,
    alarm: mpsc::Sender<&'static str>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.stopping.is_cancelled() {
            // Full means that an alarm is waiting already, and one is enough.
            let _ = self.alarm.try_send(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_or_panics_unasked_raises_the_alarm() {
        let (lifecycle, mut alarm) = Lifecycle::new();
        lifecycle.spawn("ends", async {});
        assert_eq!(alarm.raised().await, "ends");
        lifecycle.spawn("panics", async { panic!("as the test wants") });
        assert_eq!(alarm.raised().await, "panics");
    }

    #[tokio::test]
    async fn stopping_waits_for_every_task() {
        let (lifecycle, _alarm) = Lifecycle::new();
        let stopping = lifecycle.stopping();
        lifecycle.spawn("patient", async move { stopping.cancelled().await });
        assert!(lifecycle.stop(Duration::from_secs(10)).await);
    }
}
