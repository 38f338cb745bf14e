//! The one loop that owns a machine: it takes what happened, steps, and hands the orders on.
//!
//! The loop decides nothing. It reads its inbox, and when nothing waits there and the machine's deadline has
//! come it sends [`Wake`]. Waiting inputs come first (at most [`BATCH`] at a time and for [`BATCH_TIME`], so that
//! neither a flood nor a slow machine stops the clock). A process that was stopped hears its mail before it accuses
//! anyone: a `Wake` that is late by more than [`LATE`] waits once for [`GRACE`] more, so that the tasks that read sockets
//! can put their mail into the inbox, and then for everything that lies there and can be taken in [`BATCH_TIME`].
//!
//! Orders go to a [`Performer`], in order. A performer does not wait: what takes time is a task of its own whose
//! completion comes back as an input through a [`Handle`].
//!
//! Bounds: the inbox holds [`INBOX`] letters; senders wait. This file needs tokio's channels and time
//! and nothing else, so that other runtimes with the same interface can run it.

use phalanx_core::machine::{Machine, Outbox, Wake, wake_checked};
use phalanx_core::time::Instant;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time;

/// The most letters that wait for a machine.
pub const INBOX: usize = 1024;
/// The most letters taken between two looks at the clock.
pub const BATCH: usize = 128;
/// The longest that letters are taken between two looks at the clock: a machine that needs long for each is late with
/// what it must send, but not for ever.
pub const BATCH_TIME: Duration = Duration::from_millis(100);
/// A deadline missed by more than this, longer than two batches take, was missed because the process did not run.
pub const LATE: Duration = Duration::from_millis(250);
/// What the readers of sockets get to deliver their mail, after the process did not run.
pub const GRACE: Duration = Duration::from_millis(5);

/// What a loop does with its machine's orders.
pub trait Performer<M: Machine>: Send {
    /// Carries out one order. Returns at once.
    fn perform(&mut self, now: Instant, order: M::Output);

    /// Sees an input before the machine does.
    fn observe(&mut self, now: Instant, input: &M::Input) {
        let (_, _) = (now, input);
    }
}

/// A question to a machine.
type Question<M> = Box<dyn FnOnce(&M, Instant) + Send>;

/// What lies in an inbox.
enum Letter<M: Machine> {
    Input(M::Input),
    Inspect(Question<M>),
    Stop,
}

/// The machine's loop has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the node has stopped")
    }
}

impl std::error::Error for Stopped {}

/// The way to a running machine. Cloning is cheap.
pub struct Handle<M: Machine> {
    inbox: mpsc::Sender<Letter<M>>,
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
    /// When the loop has ended.
    pub async fn send(&self, input: M::Input) -> Result<(), Stopped> {
        self.inbox
            .send(Letter::Input(input))
            .await
            .map_err(|_| Stopped)
    }

    /// Answers a question about the machine, after everything that was delivered before.
    ///
    /// # Errors
    /// When the loop has ended.
    pub async fn inspect<T, F>(&self, question: F) -> Result<T, Stopped>
    where
        T: Send + 'static,
        F: FnOnce(&M, Instant) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let question: Question<M> = Box::new(move |machine, now| {
            // Who asked may have gone away meanwhile.
            let _gone = answer.send(question(machine, now)).is_err();
        });
        self.inbox
            .send(Letter::Inspect(question))
            .await
            .map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// Ends the loop, after everything that was delivered before.
    pub async fn stop(&self) {
        // An error means that the loop has ended already.
        let _ended = self.inbox.send(Letter::Stop).await.is_err();
    }
}

/// A machine's inbox before its loop runs: made first, since the performer often needs the [`Handle`].
pub struct Inbox<M: Machine> {
    letters: mpsc::Receiver<Letter<M>>,
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
    /// An empty inbox.
    #[must_use]
    pub fn new() -> Self {
        let (inbox, letters) = mpsc::channel(INBOX);
        Self {
            letters,
            handle: Handle { inbox },
        }
    }

    /// The way to it.
    #[must_use]
    pub fn handle(&self) -> Handle<M> {
        self.handle.clone()
    }
}

/// Counts a machine's instants from one point of the runtime's clock.
#[derive(Clone, Copy, Debug)]
pub struct Epoch(time::Instant);

impl Epoch {
    /// Counts from now.
    #[must_use]
    pub fn begin() -> Self {
        Self(time::Instant::now())
    }

    /// The machine's time now.
    #[must_use]
    pub fn now(self) -> Instant {
        let elapsed = time::Instant::now().saturating_duration_since(self.0);
        Instant::ZERO + elapsed
    }

    /// The runtime's instant for one of the machine's; none if it lies beyond the runtime's reach.
    fn at(self, instant: Instant) -> Option<time::Instant> {
        self.0.checked_add(instant.since(Instant::ZERO))
    }
}

/// What made the loop turn.
enum Turn<M: Machine> {
    Letter(Letter<M>),
    Deadline,
}

/// One machine, its inbox and its performer.
struct Driver<M: Machine, P> {
    machine: M,
    performer: P,
    letters: mpsc::Receiver<Letter<M>>,
    epoch: Epoch,
    out: Outbox<M::Output>,
}

/// Runs a machine until it is stopped or every handle is gone, and gives it back with its performer.
///
/// `epoch` is the zero of the machine's time: the one that was used to build the machine.
pub async fn run<M, P>(machine: M, performer: P, inbox: Inbox<M>, epoch: Epoch) -> (M, P)
where
    M: Machine,
    P: Performer<M>,
{
    let Inbox { letters, handle } = inbox;
    drop(handle);
    let mut driver = Driver {
        machine,
        performer,
        letters,
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
                Some(Turn::Letter(letter)) => {
                    if !self.take(letter) || !self.take_waiting(BATCH) {
                        return;
                    }
                }
                Some(Turn::Deadline) => {}
                None => return,
            }
            let Some(late) = self.overdue() else { continue };
            let mail = if late > LATE {
                time::sleep(GRACE).await;
                self.letters.len()
            } else {
                BATCH
            };
            if !self.take_waiting(mail) {
                return;
            }
            self.wake();
        }
    }

    /// Waits for a letter or the machine's deadline; none when every handle is gone.
    async fn next_turn(&mut self) -> Option<Turn<M>> {
        let deadline = self
            .machine
            .next_deadline()
            .and_then(|at| self.epoch.at(at));
        let Some(deadline) = deadline else {
            return self.letters.recv().await.map(Turn::Letter);
        };
        // A biased select, written out: mail comes before the deadline.
        let mut sleep = pin!(time::sleep_until(deadline));
        poll_fn(|context| {
            if let Poll::Ready(letter) = self.letters.poll_recv(context) {
                return Poll::Ready(letter.map(Turn::Letter));
            }
            sleep.as_mut().poll(context).map(|()| Some(Turn::Deadline))
        })
        .await
    }

    /// Takes what waits, at most so many letters and for [`BATCH_TIME`]. False: stop.
    fn take_waiting(&mut self, most: usize) -> bool {
        let until = self.epoch.now() + BATCH_TIME;
        for _ in 0..most {
            if self.epoch.now() >= until {
                break;
            }
            match self.letters.try_recv() {
                Ok(letter) => {
                    if !self.take(letter) {
                        return false;
                    }
                }
                // Empty; that every handle is gone is noticed by the next wait.
                Err(_) => return true,
            }
        }
        true
    }

    /// Takes one letter. False: stop.
    fn take(&mut self, letter: Letter<M>) -> bool {
        let now = self.epoch.now();
        match letter {
            Letter::Input(input) => {
                self.performer.observe(now, &input);
                self.machine.step(now, input, &mut self.out);
                self.perform(now);
                true
            }
            Letter::Inspect(question) => {
                question(&self.machine, now);
                true
            }
            Letter::Stop => false,
        }
    }

    /// How long the machine's deadline has passed; none if it has not.
    fn overdue(&self) -> Option<Duration> {
        let now = self.epoch.now();
        self.machine
            .next_deadline()
            .filter(|at| *at <= now)
            .map(|at| now.since(at))
    }

    /// Wakes the machine if it still wants to be woken.
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
