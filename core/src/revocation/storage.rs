//! The durable copy of a node's revocations, and the callers that wait for it.
//!
//! The whole list is stored at each change, one order at a time; changes during an order are stored by the next order.
//! A caller is answered when the list with its revocation is durable. While no caller waits, there is a pause after each
//! order, in proportion to the list, so that a long exchange does not write a long list again and again.
//!
//! Bound: [`WAITING_MAX`] callers.

use crate::link::Ticket;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// Maximum number of callers that wait.
pub const WAITING_MAX: usize = 1_024;
/// Time after which a failed order is repeated.
const RETRY: Duration = Duration::from_secs(1);
/// Pause after an order, for each revocation of the list: 3.3 s for a full one.
const PAUSE: Duration = Duration::from_micros(50);
/// Tickets of this machine have this bit, which tells them from those of gossip.
const TICKETS: u64 = 1 << 63;

/// A caller's number of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationRequest(pub u64);

/// Whether a ticket is of an order to store revocations.
#[must_use]
pub const fn is_revocation_ticket(ticket: Ticket) -> bool {
    ticket.0 & TICKETS != 0
}

/// The durable copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RevocationStorage {
    /// The number of changes of the list.
    changes: u64,
    /// The number of changes that are durable.
    durable: u64,
    /// The number of changes that the order in progress stores.
    ordered: Option<u64>,
    /// The time at which a failed order is repeated.
    retry: Option<Instant>,
    /// The end of the pause after the last order.
    pause: Option<Instant>,
    /// The callers, each with the number of changes that it waits for.
    waiting: VecDeque<(u64, RevocationRequest)>,
}

impl RevocationStorage {
    /// The list changed.
    pub(super) const fn on_changed(&mut self) {
        self.changes += 1;
    }

    /// The ticket of the order that is due, if one is due.
    pub(super) fn order(&mut self, now: Instant) -> Option<Ticket> {
        let paused = self.waiting.is_empty() && self.pause.is_some_and(|end| now < end);
        let due = self.changes > self.durable && self.ordered.is_none() && self.retry.is_none();
        let due = due && !paused;
        due.then(|| {
            self.ordered = Some(self.changes);
            Ticket(TICKETS | self.changes)
        })
    }

    /// A caller waits until the present list is durable. Returns false if too many callers wait.
    pub(super) fn wait(&mut self, request: RevocationRequest) -> bool {
        let room = self.waiting.len() < WAITING_MAX;
        if room {
            self.waiting.push_back((self.changes, request));
        }
        room
    }

    /// Whether another caller may wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    /// An order is complete. The list has this number of revocations.
    pub(super) fn on_stored(&mut self, now: Instant, ticket: Ticket, revocations: usize) {
        if let Some(stored) = self.ordered
            && ticket.0 == TICKETS | stored
        {
            self.ordered = None;
            self.durable = stored;
            let count = u32::try_from(revocations).unwrap_or(u32::MAX);
            self.pause = Some(now + PAUSE.saturating_mul(count));
        }
    }

    /// An order failed.
    pub(super) fn on_failed(&mut self, now: Instant, ticket: Ticket) {
        if let Some(ordered) = self.ordered
            && ticket.0 == TICKETS | ordered
        {
            self.ordered = None;
            self.retry = Some(now + RETRY);
        }
    }

    /// The time at which an order becomes due, if it does so by time alone.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let changed = self.changes > self.durable && self.ordered.is_none();
        self.retry.or(self.pause.filter(|_| changed))
    }

    /// A deadline has arrived.
    pub(super) fn on_wake(&mut self, now: Instant) {
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
        }
    }

    /// Removes and returns the callers whose revocations are durable; with `early`, all callers.
    pub(super) fn take_durable(&mut self, early: bool) -> Vec<RevocationRequest> {
        let mut done = Vec::new();
        while let Some((change, request)) = self.waiting.front()
            && (early || *change <= self.durable)
        {
            done.push(*request);
            self.waiting.pop_front();
        }
        done
    }

    /// Whether all changes are durable.
    pub(super) const fn is_durable(&self) -> bool {
        self.durable == self.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_wait_for_the_order_that_stores_their_change() {
        let mut storage = RevocationStorage::default();
        storage.on_changed();
        assert!(storage.wait(RevocationRequest(1)));
        let first = storage.order(Instant::ZERO).unwrap();
        assert!(is_revocation_ticket(first) && !is_revocation_ticket(Ticket(1)));
        storage.on_changed();
        storage.wait(RevocationRequest(2));
        assert_eq!(storage.order(Instant::ZERO), None, "one order at a time");
        storage.on_stored(Instant::ZERO, first, 1);
        assert_eq!(storage.take_durable(false), [RevocationRequest(1)]);
        // No pause while a caller waits.
        let second = storage.order(Instant::ZERO).unwrap();
        storage.on_failed(Instant::ZERO, second);
        assert_eq!(
            (storage.order(Instant::ZERO), storage.take_durable(false)),
            (None, vec![])
        );
        let retry = storage.deadline().unwrap();
        storage.on_wake(retry);
        let again = storage.order(retry).unwrap();
        storage.on_stored(retry, again, 1);
        assert_eq!(storage.take_durable(false), [RevocationRequest(2)]);
        assert!(storage.is_durable());
    }

    #[test]
    fn orders_without_a_caller_pause_in_proportion_to_the_list() {
        let mut storage = RevocationStorage::default();
        storage.on_changed();
        let first = storage.order(Instant::ZERO).unwrap();
        storage.on_stored(Instant::ZERO, first, 65_536);
        assert_eq!(storage.deadline(), None, "nothing to store");
        storage.on_changed();
        assert_eq!(storage.order(Instant::ZERO), None);
        let end = storage.deadline().unwrap();
        assert_eq!(end, Instant::ZERO + Duration::from_micros(65_536 * 50));
        storage.on_wake(end);
        assert!(storage.order(end).is_some());
        assert_eq!(storage.deadline(), None, "an order is in progress");
    }

    #[test]
    fn the_number_of_waiting_callers_is_bounded() {
        let mut storage = RevocationStorage::default();
        storage.on_changed();
        for number in 0..WAITING_MAX as u64 {
            assert!(storage.wait(RevocationRequest(number)));
        }
        assert!(!storage.has_room() && !storage.wait(RevocationRequest(9)));
    }
}
