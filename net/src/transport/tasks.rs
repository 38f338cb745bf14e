//! The tasks of the transport, tracked so that none outlives the node, and supervised: a node whose task fails ends.
//!
//! A panic of any task is a failure, except in tasks of single links ([`Tasks::spawn_contained`]). The end of a task that
//! the node needs ([`Tasks::spawn_essential`]) is a failure too, until the node is ending.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;

/// The tasks of one node. Clones share them.
#[derive(Clone, Debug)]
pub struct Tasks {
    /// `None` once the node is ending: no further task is started.
    running: Arc<Mutex<Option<JoinSet<()>>>>,
    /// Whether the node ends on request.
    ending: Arc<AtomicBool>,
    /// The first task that failed.
    failed: watch::Sender<Option<&'static str>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

/// Reports the failure of a task when it is dropped: after a panic, and after any end if the task is essential.
struct Watched {
    tasks: Tasks,
    name: &'static str,
    essential: bool,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let ends = self.essential && !self.tasks.ending.load(Ordering::Acquire);
        if ends || thread::panicking() {
            let name = self.name;
            self.tasks
                .failed
                .send_if_modified(|failed| failed.replace(failed.unwrap_or(name)).is_none());
        }
    }
}

/// Calls a function if it is dropped by a panic.
struct OnPanic<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if let Some(then) = self.0.take()
            && thread::panicking()
        {
            then();
        }
    }
}

impl Tasks {
    /// Creates an empty set of tasks.
    #[must_use]
    pub fn new() -> Self {
        Self {
            running: Arc::new(Mutex::new(Some(JoinSet::new()))),
            ending: Arc::default(),
            failed: watch::channel(None).0,
        }
    }

    /// Starts a task; does nothing when the node is ending.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_watched("a task of the node", false, task);
    }

    /// Starts a task without which the node cannot work.
    pub(crate) fn spawn_essential(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_watched(name, true, task);
    }

    /// Starts a task whose panic concerns a part of the node only, which `then` ends.
    pub(crate) fn spawn_contained(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) {
        self.start(async move {
            let guard = OnPanic(Some(then));
            task.await;
            drop(guard);
        });
    }

    fn spawn_watched(
        &self,
        name: &'static str,
        essential: bool,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let watched = Watched {
            tasks: self.clone(),
            name,
            essential,
        };
        self.start(async move {
            let watched = watched;
            task.await;
            drop(watched);
        });
    }

    fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.as_mut() {
            // Completed tasks are removed here, so that the set contains only running tasks.
            while running.try_join_next().is_some() {}
            running.spawn(task);
        }
    }

    /// The node ends on request: the end of a task is not a failure from now on.
    pub(crate) fn begin_end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Returns the name of the first task that failed.
    pub(crate) fn failure(&self) -> Option<&'static str> {
        *self.failed.borrow()
    }

    /// Waits until a task fails; returns its name.
    pub(crate) async fn failed(&self) -> &'static str {
        let mut failed = self.failed.subscribe();
        // This set holds a sender, so the wait ends with a failure only.
        match failed.wait_for(Option::is_some).await.map(|it| *it) {
            Ok(Some(name)) => name,
            Ok(None) | Err(_) => std::future::pending().await,
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

    #[tokio::test]
    async fn a_panic_of_any_task_and_the_end_of_an_essential_one_are_failures() {
        let tasks = Tasks::new();
        tasks.spawn(async {});
        tasks.spawn_essential("quick", async {});
        assert_eq!(tasks.failed().await, "quick");
        let tasks = Tasks::new();
        tasks.spawn(async { panic!("planted") });
        assert_eq!(tasks.failed().await, "a task of the node");
        tasks.spawn_essential("late", async {});
        tasks.finish(Duration::from_secs(60)).await;
        assert_eq!(tasks.failure(), Some("a task of the node"), "the first one");
    }

    #[tokio::test]
    async fn a_contained_panic_and_the_end_on_request_are_not_failures() {
        let tasks = Tasks::new();
        let (told, was_told) = oneshot::channel();
        let link = async { panic!("planted") };
        tasks.spawn_contained(link, || told.send(()).unwrap());
        was_told.await.unwrap();
        tasks.begin_end();
        tasks.spawn_essential("listener", async {});
        tasks.finish(Duration::from_secs(60)).await;
        assert_eq!(tasks.failure(), None);
    }
}
