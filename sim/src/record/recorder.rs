//! The interface between an engine and a recorder: steps, actions of the plan, delayed messages.

use crate::scenario::plan::Planned;

/// The cause of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The number of the event; 0 for none.
    pub event: u64,
    /// The host of the step; [`NO_HOST`] for an action of the plan.
    host: u32,
    /// The index of the process on its host.
    place: u32,
}

/// The value for "no host".
const NO_HOST: u32 = u32::MAX;

impl Cause {
    /// No cause.
    pub const NONE: Self = Self::action(0);

    /// The cause is an action of the plan, by event number.
    #[must_use]
    pub const fn action(event: u64) -> Self {
        Self {
            event,
            host: NO_HOST,
            place: 0,
        }
    }

    /// The cause is a step of the process with this index on a host.
    #[must_use]
    pub fn step(event: u64, host: usize, place: usize) -> Self {
        Self {
            event,
            host: u32::try_from(host).unwrap_or(NO_HOST),
            place: u32::try_from(place).unwrap_or(0),
        }
    }

    /// Returns the host of the step; `None` for an action of the plan.
    #[must_use]
    pub const fn host(&self) -> Option<usize> {
        match self.host {
            NO_HOST => None,
            host => Some(host as usize),
        }
    }

    /// Returns the index of the process on its host.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place as usize
    }
}

/// An event reported by a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepReport<'a> {
    /// The word of the event in scenario files.
    pub word: &'static str,
    /// The subject of the event.
    pub about: Option<&'a str>,
}

/// A step: a node processed an input.
#[derive(Clone, Copy, Debug)]
pub struct RecordedStep<'a> {
    /// The number of the event.
    pub event: u64,
    /// True time, in nanoseconds.
    pub at: u64,
    /// The host of the process.
    pub host: usize,
    /// The program of the process, if its host runs several.
    pub program: Option<&'static str>,
    /// The event's kind: the word of a message, or of another event.
    pub kind: &'static str,
    /// Encoded size in bytes, for a message.
    pub size: usize,
    /// The cause.
    pub cause: Cause,
    /// The program of the process that `cause` is a step of, if its host runs several.
    pub cause_program: Option<&'static str>,
    /// Hash of the views of the host's processes after the step.
    pub digest: u64,
    /// The reports of the process.
    pub said: &'a [StepReport<'a>],
}

impl RecordedStep<'_> {
    /// Returns the sending host, for a message.
    #[must_use]
    pub const fn sender(&self) -> Option<usize> {
        if self.size > 0 {
            self.cause.host()
        } else {
            None
        }
    }
}

/// An action of the plan was executed.
#[derive(Clone, Copy, Debug)]
pub struct ExecutedAction<'a> {
    /// The number of the event.
    pub event: u64,
    /// True time, in nanoseconds.
    pub at: u64,
    /// The action.
    pub planned: &'a Planned,
}

/// A message that was delayed or dropped by a cut or by loss.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// True time of the first transmission, in nanoseconds.
    pub at: u64,
    /// The sending host.
    pub from: usize,
    /// The receiving host.
    pub to: usize,
    /// Whether a cut dropped the message; otherwise segments were lost.
    pub cut: bool,
}

/// Records a run, or a part of it.
pub trait Recorder {
    /// Called when a node has processed an input.
    fn step(&mut self, step: &RecordedStep<'_>);

    /// Called after a step with the hash of what the host's processes know of membership
    /// ([`ProcessView::membership`](crate::world::ProcessView::membership)).
    fn membership(&mut self, _host: usize, _digest: u64) {}

    /// Called when an action of the plan was executed.
    fn action(&mut self, action: &ExecutedAction<'_>);

    /// Called when a message did not arrive at once.
    fn held(&mut self, _held: Held) {}
}
