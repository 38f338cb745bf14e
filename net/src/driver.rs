//! The one loop that owns a machine: it takes inputs, steps the machine and performs the outputs.
//!
//! The loop decides nothing. It reads its inbox, and when the inbox is empty and the machine's deadline has come it
//! sends [`Wake`]. Waiting inputs come first (at most [`BATCH`] at a time and for [`BATCH_TIME`], so that neither a
//! flood nor a slow machine stops the clock). A process that was stopped reads its inputs before it suspects a peer: a
//! `Wake` that is late by more than [`STALL_THRESHOLD`] waits [`DRAIN_TIME`] once, so that the tasks that read sockets
//! can fill the inbox, and then for all inputs there that can be taken in [`BATCH_TIME`].
//!
//! Outputs go to an [`Executor`], in order. An executor does not wait: a slow effect is a task of its own whose
//! completion comes back as an input through a [`Handle`].
//!
//! Bounds: the inbox holds [`INBOX`] commands; senders wait. This file needs tokio's channels and time and nothing
//! else, so that other runtimes with the same interface can run it.

use phalanx_core::machine::{Machine, Outbox, Wake, wake_checked};
use phalanx_core::time::Instant;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time;

/// Inbox capacity, in commands.
pub const INBOX: usize = 1024;
/// Maximum number of commands taken per reading of the clock.
pub const BATCH: usize = 128;
/// Maximum time in which commands are taken per reading of the clock. It bounds the lag of a machine whose steps are
/// slow.
pub const BATCH_TIME: Duration = Duration::from_millis(100);
/// A deadline missed by more than this, which is longer than two batches take, means that the process was stalled.
pub const STALL_THRESHOLD: Duration = Duration::from_millis(250);
/// The time that the tasks that read sockets have after a stall to deliver inputs.
pub const DRAIN_TIME: Duration = Duration::from_millis(5);

/// Executes the outputs of a loop's machine.
pub trait Executor<M: Machine>: Send {
    /// Executes one output. Returns at once.
    fn execute(&mut self, now: Instant, output: M::Output);

    /// Observes an input before the machine processes it.
    fn observe(&mut self, now: Instant, input: &M::Input) {
        let (_, _) = (now, input);
    }
}

/// A closure that reads a machine.
type Question<M> = Box<dyn FnOnce(&M, Instant) + Send>;

/// An item of an inbox.
enum Command<M: Machine> {
    Input(M::Input),
    Inspect(Question<M>),
    Stop,
}

/// The loop of the machine has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the node has stopped")
    }
}

impl std::error::Error for Stopped {}

/// The sending end of a running machine's inbox. Cloning is cheap.
pub struct Handle<M: Machine> {
    inbox: mpsc::Sender<Command<M>>,
}

impl<M: Machine> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
        }
    }
}

impl<M: Machine> std::fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("room", &self.inbox.capacity())
            .finish()
    }
}

impl<M: Machine> Handle<M> {
    /// Delivers an input; waits while the inbox is full.
    ///
    /// # Errors
    /// If the loop has ended.
    pub async fn send(&self, input: M::Input) -> Result<(), Stopped> {
        self.inbox
            .send(Command::Input(input))
            .await
            .map_err(|_| Stopped)
    }

    /// Answers a question about the machine, after all inputs that were delivered before.
    ///
    /// # Errors
    /// If the loop has ended.
    pub async fn inspect<T, F>(&self, question: F) -> Result<T, Stopped>
    where
        T: Send + 'static,
        F: FnOnce(&M, Instant) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let question: Question<M> = Box::new(move |machine, now| {
            // The caller may have given up meanwhile.
            let _gone = answer.send(question(machine, now)).is_err();
        });
        self.inbox
            .send(Command::Inspect(question))
            .await
            .map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// Ends the loop, after all inputs that were delivered before.
    pub async fn stop(&self) {
        // An error means that the loop has ended already.
        let _ended = self.inbox.send(Command::Stop).await.is_err();
    }
}

/// The inbox of a machine whose loop does not run yet. It is created first, because the executor
/// often needs the [`Handle`].
pub struct Inbox<M: Machine> {
    commands: mpsc::Receiver<Command<M>>,
    handle: Handle<M>,
}

impl<M: Machine> Default for Inbox<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Machine> std::fmt::Debug for Inbox<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl<M: Machine> Inbox<M> {
    /// Creates an empty inbox.
    #[must_use]
    pub fn new() -> Self {
        let (inbox, commands) = mpsc::channel(INBOX);
        Self {
            commands,
            handle: Handle { inbox },
        }
    }

    /// Its sending end.
    #[must_use]
    pub fn handle(&self) -> Handle<M> {
        self.handle.clone()
    }
}

/// The zero of a machine's time, as an instant of the runtime's clock.
#[derive(Clone, Copy, Debug)]
pub struct TimeOrigin(time::Instant);

impl TimeOrigin {
    /// The present instant.
    #[must_use]
    pub fn begin() -> Self {
        Self(time::Instant::now())
    }

    /// Returns the machine's current time.
    #[must_use]
    pub fn now(self) -> Instant {
        let elapsed = time::Instant::now().saturating_duration_since(self.0);
        Instant::ZERO + elapsed
    }

    /// The runtime's instant for one of the machine's; `None` if it is beyond the runtime's range.
    fn at(self, instant: Instant) -> Option<time::Instant> {
        self.0.checked_add(instant.since(Instant::ZERO))
    }
}

/// The reason for a turn of the loop.
enum Turn<M: Machine> {
    Command(Command<M>),
    Deadline,
}

/// A machine with its inbox and its executor.
struct Driver<M: Machine, P> {
    machine: M,
    executor: P,
    commands: mpsc::Receiver<Command<M>>,
    origin: TimeOrigin,
    out: Outbox<M::Output>,
}

/// Runs a machine until it is stopped or all handles are dropped; returns it with its executor.
///
/// `origin` is the zero of the machine's time, the same that was used to build the machine.
pub async fn run<M, P>(machine: M, executor: P, inbox: Inbox<M>, origin: TimeOrigin) -> (M, P)
where
    M: Machine,
    P: Executor<M>,
{
    let Inbox { commands, handle } = inbox;
    drop(handle);
    let mut driver = Driver {
        machine,
        executor,
        commands,
        origin,
        out: Outbox::new(),
    };
    driver.turn_until_stopped().await;
    (driver.machine, driver.executor)
}

impl<M: Machine, P: Executor<M>> Driver<M, P> {
    async fn turn_until_stopped(&mut self) {
        loop {
            match self.next_turn().await {
                Some(Turn::Command(command)) => {
                    if !self.take(command) || !self.take_waiting(BATCH) {
                        return;
                    }
                }
                Some(Turn::Deadline) => {}
                None => return,
            }
            let Some(late) = self.overdue() else { continue };
            let most = if late > STALL_THRESHOLD {
                time::sleep(DRAIN_TIME).await;
                self.commands.len()
            } else {
                BATCH
            };
            if !self.take_waiting(most) {
                return;
            }
            self.wake();
        }
    }

    /// Waits for a command or the machine's deadline; `None` when every handle is gone.
    async fn next_turn(&mut self) -> Option<Turn<M>> {
        let deadline = self
            .machine
            .next_deadline()
            .and_then(|at| self.origin.at(at));
        let Some(deadline) = deadline else {
            return self.commands.recv().await.map(Turn::Command);
        };
        // A biased select, written out: commands come before the deadline.
        let mut sleep = pin!(time::sleep_until(deadline));
        poll_fn(|context| {
            if let Poll::Ready(command) = self.commands.poll_recv(context) {
                return Poll::Ready(command.map(Turn::Command));
            }
            sleep.as_mut().poll(context).map(|()| Some(Turn::Deadline))
        })
        .await
    }

    /// Takes waiting commands, at most `most` and for [`BATCH_TIME`]. False: stop.
    fn take_waiting(&mut self, most: usize) -> bool {
        let until = self.origin.now() + BATCH_TIME;
        for _ in 0..most {
            if self.origin.now() >= until {
                break;
            }
            match self.commands.try_recv() {
                Ok(command) => {
                    if !self.take(command) {
                        return false;
                    }
                }
                // Empty. The next wait notices if every handle is gone.
                Err(_) => return true,
            }
        }
        true
    }

    /// Takes one command. False: stop.
    fn take(&mut self, command: Command<M>) -> bool {
        let now = self.origin.now();
        match command {
            Command::Input(input) => {
                self.executor.observe(now, &input);
                self.machine.step(now, input, &mut self.out);
                self.execute(now);
                true
            }
            Command::Inspect(question) => {
                question(&self.machine, now);
                true
            }
            Command::Stop => false,
        }
    }

    /// The time since the machine's deadline; `None` if it has not passed.
    fn overdue(&self) -> Option<Duration> {
        let now = self.origin.now();
        self.machine
            .next_deadline()
            .filter(|at| *at <= now)
            .map(|at| now.since(at))
    }

    /// Wakes the machine if its deadline has still passed.
    fn wake(&mut self) {
        if self.overdue().is_none() {
            return;
        }
        let now = self.origin.now();
        self.executor.observe(now, &Wake.into());
        wake_checked(&mut self.machine, now, &mut self.out);
        self.execute(now);
    }

    fn execute(&mut self, now: Instant) {
        for output in self.out.drain() {
            self.executor.execute(now, output);
        }
        self.out.shrink();
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
