//! The tasks of the transport, tracked so that none outlives the node.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time;

/// The tasks of one node. Clones share them.
#[derive(Clone, Debug)]
pub struct Tasks {
    /// `None` once the node is ending: no further task is started.
    running: Arc<Mutex<Option<JoinSet<()>>>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// Creates an empty set of tasks.
    #[must_use]
    pub fn new() -> Self {
        Self {
            running: Arc::new(Mutex::new(Some(JoinSet::new()))),
        }
    }

    /// Starts a task; does nothing when the node is ending.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.as_mut() {
            // Completed tasks are removed here, so that the set contains only running tasks.
            while running.try_join_next().is_some() {}
            running.spawn(task);
        }
    }

    /// Returns the number of running tasks.
    #[must_use]
    pub fn count(&self) -> usize {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_mut().map_or(0, |running| {
            while running.try_join_next().is_some() {}
            running.len()
        })
    }

    /// Starts no further tasks, waits for the running ones, and aborts those still running after
    /// `grace`.
    pub async fn finish(&self, grace: Duration) {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut running) = running else { return };
        let all = async { while running.join_next().await.is_some() {} };
        if time::timeout(grace, all).await.is_err() {
            running.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test(start_paused = true)]
    async fn finish_waits_for_quick_tasks_and_aborts_slow_ones() {
        let tasks = Tasks::new();
        let (quick, was_quick) = oneshot::channel();
        let (slow, was_slow) = oneshot::channel();
        tasks.spawn(async move {
            time::sleep(Duration::from_millis(10)).await;
            quick.send(()).unwrap();
        });
        tasks.spawn(async move {
            time::sleep(Duration::from_secs(3600)).await;
            slow.send(()).unwrap();
        });
        assert_eq!(tasks.count(), 2);
        tasks.finish(Duration::from_secs(1)).await;
        assert!(was_quick.await.is_ok());
        assert!(was_slow.await.is_err(), "the slow task was aborted");
        tasks.spawn(async {});
        assert_eq!(tasks.count(), 0, "no task starts after the end");
    }
}
