//! The interface between an engine and a recorder: steps, orders of the plan, delayed messages.

use crate::scenario::plan::Planned;

/// The cause of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The event's number; 0 for none.
    pub event: u64,
    /// The host whose step it was; [`NO_HOST`] for an order of the plan.
    host: u32,
    /// The place of the process on its host.
    place: u32,
}

/// No host.
const NO_HOST: u32 = u32::MAX;

impl Cause {
    /// Nothing did.
    pub const NONE: Self = Self::order(0);

    /// An order of the plan did, by its number.
    #[must_use]
    pub const fn order(event: u64) -> Self {
        Self {
            event,
            host: NO_HOST,
            place: 0,
        }
    }

    /// A step did, of the process at a place on a host.
    #[must_use]
    pub fn step(event: u64, host: usize, place: usize) -> Self {
        Self {
            event,
            host: u32::try_from(host).unwrap_or(NO_HOST),
            place: u32::try_from(place).unwrap_or(0),
        }
    }

    /// The host whose step it was; none for an order of the plan.
    #[must_use]
    pub const fn host(&self) -> Option<usize> {
        match self.host {
            NO_HOST => None,
            host => Some(host as usize),
        }
    }

    /// The place on its host of the process whose step it was.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place as usize
    }
}

/// Something that a node reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// The event's word in scenario files.
    pub word: &'static str,
    /// About whom.
    pub about: Option<&'a str>,
}

/// A node took an input.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Its number.
    pub event: u64,
    /// True time, in nanoseconds.
    pub at: u64,
    /// The host of the process.
    pub host: usize,
    /// The program of the process, if its host runs several.
    pub program: Option<&'static str>,
    /// The event's kind: the word of a message, or of another event.
    pub kind: &'static str,
    /// Encoded bytes, of a message.
    pub size: usize,
    /// The cause.
    pub cause: Cause,
    /// The program of the process that `cause` is a step of, if its host runs several.
    pub cause_program: Option<&'static str>,
    /// The hash of the views of the host's processes afterwards.
    pub digest: u64,
    /// The reports of the process.
    pub said: &'a [Said<'a>],
}

impl Step<'_> {
    /// The sending host, of a message.
    #[must_use]
    pub const fn sender(&self) -> Option<usize> {
        if self.size > 0 {
            self.cause.host()
        } else {
            None
        }
    }
}

/// An order of the plan was done.
#[derive(Clone, Copy, Debug)]
pub struct Done<'a> {
    /// Its number.
    pub event: u64,
    /// True time, in nanoseconds.
    pub at: u64,
    /// The order.
    pub planned: &'a Planned,
}

/// A message that a cut or loss kept from arriving at once.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// True time of its first transmission, in nanoseconds.
    pub at: u64,
    /// The sending host.
    pub from: usize,
    /// The receiving host.
    pub to: usize,
    /// A cut swallowed it; else segments were lost.
    pub cut: bool,
}

/// Keeps a run, or a part of it.
pub trait Recorder {
    /// A node took an input.
    fn step(&mut self, step: &Step<'_>);

    /// An order of the plan was done.
    fn order(&mut self, order: &Done<'_>);

    /// A message did not arrive at once.
    fn held(&mut self, _held: Held) {}
}
