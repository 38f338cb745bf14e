//! The loop that owns a machine: it receives inputs, steps the machine and executes its outputs.
//!
//! The loop decides nothing. It reads its inbox, and sends [`Wake`] once the machine's deadline has
//! passed and the inbox is empty. Waiting inputs come first, at most [`BATCH`] at a time and for at
//! most [`BATCH_TIME`], so that neither a flood of inputs nor a slow machine delays the `Wake`
//! forever. A process that was suspended processes the messages that arrived meanwhile before it
//! suspects a peer: a `Wake` that is late by more than [`LATE`] waits once more for [`GRACE`], so
//! that the tasks that read sockets can fill the inbox, and then for all inputs that can be
//! processed within [`BATCH_TIME`].
//!
//! Outputs go to a [`Performer`], in order. A performer never blocks: slow work runs in a task of
//! its own, whose completion comes back as an input through a [`Handle`].
//!
//! Bounds: the inbox holds [`INBOX`] inputs; senders wait while it is full. This file uses only
//! tokio's channels and time, so that other runtimes with the same interface can run it.

use phalanx_core::machine::{Machine, Outbox, Wake, wake_checked};
use phalanx_core::time::Instant;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time;

/// Capacity of the inbox, in inputs.
pub const INBOX: usize = 1024;
/// Maximum number of inputs processed before the deadline is checked.
pub const BATCH: usize = 128;
/// Maximum time of input processing before the deadline is checked. A machine that needs long for
/// each input is woken late, but not arbitrarily late.
pub const BATCH_TIME: Duration = Duration::from_millis(100);
/// A deadline missed by more than this was missed because the process was suspended; two batches
/// take less.
pub const LATE: Duration = Duration::from_millis(250);
/// Time for the socket readers to deliver their messages after the process was suspended.
pub const GRACE: Duration = Duration::from_millis(5);

/// Executes the outputs of a machine.
pub trait Performer<M: Machine>: Send {
    /// Executes one output. Must not block.
    fn perform(&mut self, now: Instant, order: M::Output);

    /// Observes an input before the machine processes it.
    fn observe(&mut self, now: Instant, input: &M::Input) {
        let (_, _) = (now, input);
    }
}

/// A closure that reads a machine.
type Question<M> = Box<dyn FnOnce(&M, Instant) + Send>;

/// An entry of an inbox.
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

/// Sends inputs to a running machine. Cheap to clone.
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

    /// Evaluates a closure on the machine, after all inputs that were delivered earlier.
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
            // The caller may have been cancelled meanwhile.
            let _gone = answer.send(question(machine, now)).is_err();
        });
        self.inbox
            .send(Command::Inspect(question))
            .await
            .map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// Ends the loop, after all inputs that were delivered earlier.
    pub async fn stop(&self) {
        // An error means that the loop has already ended.
        let _ended = self.inbox.send(Command::Stop).await.is_err();
    }
}

/// The inbox of a machine whose loop does not run yet. It is created first, because the performer
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

    /// Returns a handle that sends to this inbox.
    #[must_use]
    pub fn handle(&self) -> Handle<M> {
        self.handle.clone()
    }
}

/// Converts between a machine's instants and the runtime's clock.
#[derive(Clone, Copy, Debug)]
pub struct Epoch(time::Instant);

impl Epoch {
    /// Starts to count from the current time.
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

    /// Converts an instant of the machine; `None` if it is beyond the range of the runtime's clock.
    fn at(self, instant: Instant) -> Option<time::Instant> {
        self.0.checked_add(instant.since(Instant::ZERO))
    }
}

/// The reason for an iteration of the loop.
enum Turn<M: Machine> {
    Command(Command<M>),
    Deadline,
}

/// A machine with its inbox and its performer.
struct Driver<M: Machine, P> {
    machine: M,
    performer: P,
    commands: mpsc::Receiver<Command<M>>,
    epoch: Epoch,
    out: Outbox<M::Output>,
}

/// Runs a machine until it is stopped or all handles are dropped; returns it with its performer.
///
/// `epoch` must be the one that was used to create the machine.
pub async fn run<M, P>(machine: M, performer: P, inbox: Inbox<M>, epoch: Epoch) -> (M, P)
where
    M: Machine,
    P: Performer<M>,
{
    let Inbox { commands, handle } = inbox;
    drop(handle);
    let mut driver = Driver {
        machine,
        performer,
        commands,
        epoch,
        out: Outbox::new(),
    };
    driver.turn_until_stopped().await;
    (driver.machine, driver.performer)
}

impl<M: Machine, P: Performer<M>> Driver<M, P> {
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
            let mail = if late > LATE {
                time::sleep(GRACE).await;
                self.commands.len()
            } else {
                BATCH
            };
            if !self.take_waiting(mail) {
                return;
            }
            self.wake();
        }
    }

    /// Waits for an input or the machine's deadline; returns `None` when all handles are dropped.
    async fn next_turn(&mut self) -> Option<Turn<M>> {
        let deadline = self
            .machine
            .next_deadline()
            .and_then(|at| self.epoch.at(at));
        let Some(deadline) = deadline else {
            return self.commands.recv().await.map(Turn::Command);
        };
        // A biased select written by hand: inputs come before the deadline.
        let mut sleep = pin!(time::sleep_until(deadline));
        poll_fn(|context| {
            if let Poll::Ready(command) = self.commands.poll_recv(context) {
                return Poll::Ready(command.map(Turn::Command));
            }
            sleep.as_mut().poll(context).map(|()| Some(Turn::Deadline))
        })
        .await
    }

    /// Processes at most `most` waiting inputs, for at most [`BATCH_TIME`]. Returns false if the
    /// loop must stop.
    fn take_waiting(&mut self, most: usize) -> bool {
        let until = self.epoch.now() + BATCH_TIME;
        for _ in 0..most {
            if self.epoch.now() >= until {
                break;
            }
            match self.commands.try_recv() {
                Ok(command) => {
                    if !self.take(command) {
                        return false;
                    }
                }
                // The inbox is empty. If all handles are dropped, the next wait notices it.
                Err(_) => return true,
            }
        }
        true
    }

    /// Processes one entry of the inbox. Returns false if the loop must stop.
    fn take(&mut self, command: Command<M>) -> bool {
        let now = self.epoch.now();
        match command {
            Command::Input(input) => {
                self.performer.observe(now, &input);
                self.machine.step(now, input, &mut self.out);
                self.perform(now);
                true
            }
            Command::Inspect(question) => {
                question(&self.machine, now);
                true
            }
            Command::Stop => false,
        }
    }

    /// Returns how long ago the machine's deadline passed; `None` if it has not passed.
    fn overdue(&self) -> Option<Duration> {
        let now = self.epoch.now();
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
        let now = self.epoch.now();
        self.performer.observe(now, &Wake.into());
        wake_checked(&mut self.machine, now, &mut self.out);
        self.perform(now);
    }

    fn perform(&mut self, now: Instant) {
        for order in self.out.drain() {
            self.performer.perform(now, order);
        }
        self.out.shrink();
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
