//! The parts of the credentials machine that its components share.

use super::interface::Output;
use crate::deadlines::Deadlines;
use crate::link::LinkId;
use crate::machine::Outbox;
use crate::random::Random;
use crate::time::{Instant, Wall};

/// The timers, each set by the component that it is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The calendar is read.
    Calendar,
    /// A request for a certificate is retried.
    Certificate,
    /// The replacement of a link is attempted.
    Link(LinkId),
}

/// The shared parts, for handling one input.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    /// The calendar time, read or estimated from the last reading.
    pub(super) wall: Wall,
    pub(super) timers: &'a mut Deadlines<Timer>,
    pub(super) random: &'a mut Random,
    pub(super) out: &'a mut Outbox<Output>,
}
