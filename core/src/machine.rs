//! The interface of every state machine in this crate.
//!
//! A machine is a value that changes in one method, [`Machine::step`]: an input states what happened, and the outputs
//! are orders for the caller. A machine does not wait, send or read a clock. Its owner (the driver in `phalanx-net`,
//! the event heap in `phalanx-sim`, a parent machine) performs the outputs in order and calls `step` again.
//!
//! Rules for the caller:
//! - `now` never goes backwards;
//! - the outbox is empty when `step` is called;
//! - waiting inputs are delivered before a [`Wake`] (in bounded batches), so that a process that was paused handles
//!   received messages before the process accuses a member;
//! - a `Wake` is delivered no earlier than [`Machine::next_deadline`].

use crate::time::Instant;

/// The input that every machine accepts: a deadline that the machine requested has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wake;

/// A pure state machine.
///
/// ```
/// use phalanx_core::machine::{Machine, Outbox, Wake, wake_checked};
/// use phalanx_core::time::Instant;
/// use core::time::Duration;
///
/// /// Rings once, a second after it was wound.
/// #[derive(Default)]
/// struct Alarm { rings_at: Option<Instant> }
/// enum Input { Wind, Wake }
/// impl From<Wake> for Input { fn from(_: Wake) -> Self { Input::Wake } }
/// #[derive(Debug, PartialEq)]
/// struct Ring;
///
/// impl Machine for Alarm {
///     type Input = Input;
///     type Output = Ring;
///     fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Ring>) {
///         match input {
///             Input::Wind => self.rings_at = Some(now + Duration::from_secs(1)),
///             Input::Wake => {
///                 if self.rings_at.is_some_and(|at| at <= now) {
///                     self.rings_at = None;
///                     out.push(Ring);
///                 }
///             }
///         }
///     }
///     fn next_deadline(&self) -> Option<Instant> { self.rings_at }
/// }
///
/// let (mut alarm, mut out) = (Alarm::default(), Outbox::new());
/// alarm.step(Instant::ZERO, Input::Wind, &mut out);
/// let at = alarm.next_deadline().unwrap();
/// wake_checked(&mut alarm, at, &mut out);
/// assert_eq!(out.drain().collect::<Vec<_>>(), [Ring]);
/// ```
pub trait Machine {
    /// The events that the machine reacts to.
    type Input: From<Wake>;
    /// The orders to the caller.
    type Output;

    /// Applies one input, and appends the resulting orders in the order in which they must be performed.
    fn step(&mut self, now: Instant, input: Self::Input, out: &mut Outbox<Self::Output>);

    /// The time at which the machine next needs a [`Wake`]. After a `Wake`, the deadline is later than the `now` of
    /// that step; after another input, it may be overdue.
    fn next_deadline(&self) -> Option<Instant>;
}

/// Number of orders for which an empty outbox keeps memory. The step that applies a snapshot reports every member of
/// the snapshot, but such a step happens only once.
const KEPT: usize = 16;

/// The orders of one step, in the order in which they must be performed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox<T> {
    items: Vec<T>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Outbox<T> {
    /// An empty outbox.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Appends one order.
    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// Removes and returns all orders, in order. The outbox keeps its memory.
    pub fn drain(&mut self) -> std::vec::Drain<'_, T> {
        self.items.drain(..)
    }

    /// Releases all memory except that of a few orders, because one message may cause a thousand orders.
    pub fn shrink(&mut self) {
        self.items.shrink_to(KEPT);
    }

    /// Whether there are no orders.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The number of orders.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// The orders, in the order in which they must be performed.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.items
    }
}

/// Wakes a machine and checks that it does not request another wake at or before `now`.
///
/// # Panics
/// Panics, in debug builds, if the outbox was not drained or if the next deadline is not later than `now`.
pub fn wake_checked<M: Machine>(machine: &mut M, now: Instant, out: &mut Outbox<M::Output>) {
    debug_assert!(out.is_empty(), "the previous step was not drained");
    machine.step(now, Wake.into(), out);
    debug_assert!(
        machine.next_deadline().is_none_or(|at| at > now),
        "would spin the caller"
    );
}
