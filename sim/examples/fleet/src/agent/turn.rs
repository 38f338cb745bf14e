//! One step of the agent, as its components see it.

use core::time::Duration;
use phalanx_core::time::Instant;
use phalanx_sim::world::{Effects, Ticket};

/// The pause before a failed operation is tried again.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// The time of a step, its effects, and the number of the latest ticket.
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    pub(super) out: &'a mut Effects,
    pub(super) tickets: u64,
}

impl Turn<'_> {
    /// Returns a new ticket.
    pub(super) const fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}
