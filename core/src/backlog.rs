//! The messages waiting on one link, in the order of their lanes, with an upper bound.
//!
//! A peer that reads too slowly loses its link instead of filling the node's memory: when a message does not fit, the
//! backlog drops all its messages, and the caller closes the link.
//!
//! Bounds: the two limits in [`QueueLimits`].

use crate::lane::{Lanes, Placement};

/// The limits of a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Maximum number of waiting messages.
    pub messages: usize,
    /// Maximum encoded size of the waiting messages, in bytes.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            messages: 2048,
            bytes: 8 * 1024 * 1024,
        }
    }
}

/// A message did not fit, so the backlog is empty. All its messages were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// The messages waiting on one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog<T> {
    limits: QueueLimits,
    lanes: Lanes<(usize, T)>,
    bytes: usize,
}

impl<T> Backlog<T> {
    /// An empty backlog.
    #[must_use]
    pub const fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            lanes: Lanes::new(),
            bytes: 0,
        }
    }

    /// Appends a message with an encoded size of `bytes` bytes.
    ///
    /// # Errors
    /// Returns an error if the message does not fit. All messages are then dropped.
    pub fn push(&mut self, placement: Placement, bytes: usize, message: T) -> Result<(), Overflow> {
        let total = self.bytes.saturating_add(bytes);
        if self.lanes.len() >= self.limits.messages || total > self.limits.bytes {
            self.clear();
            return Err(Overflow);
        }
        self.bytes = total;
        self.lanes.push(placement, (bytes, message));
        Ok(())
    }

    /// Removes the next message to send.
    pub fn pop(&mut self) -> Option<T> {
        let (bytes, message) = self.lanes.pop()?;
        self.bytes -= bytes;
        Some(message)
    }

    /// Drops all messages.
    pub fn clear(&mut self) {
        self.lanes.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Lane;

    const CONTROL: Placement = Placement::of(Lane::Control);
    const BULK: Placement = Placement::of(Lane::Bulk);

    fn backlog(messages: usize, bytes: usize) -> Backlog<u8> {
        Backlog::new(QueueLimits { messages, bytes })
    }

    #[test]
    fn messages_are_sent_in_the_order_of_their_lanes() {
        let mut backlog = backlog(9, 9);
        backlog.push(BULK, 1, 2).unwrap();
        backlog.push(CONTROL, 1, 1).unwrap();
        assert_eq!(
            [backlog.pop(), backlog.pop(), backlog.pop()],
            [Some(1), Some(2), None]
        );
    }

    #[test]
    fn one_message_too_many_drops_all() {
        let mut backlog = backlog(2, 100);
        backlog.push(BULK, 1, 1).unwrap();
        backlog.push(BULK, 1, 2).unwrap();
        assert_eq!(backlog.push(CONTROL, 1, 3), Err(Overflow));
        assert_eq!(backlog.pop(), None);
        backlog.push(BULK, 100, 4).unwrap();
    }

    #[test]
    fn bytes_are_bounded_and_sent_ones_do_not_count() {
        let mut backlog = backlog(100, 10);
        for _ in 0..5 {
            backlog.push(BULK, 10, 1).unwrap();
            assert_eq!(backlog.pop(), Some(1));
        }
        backlog.push(BULK, 6, 1).unwrap();
        assert_eq!(backlog.push(BULK, 5, 2), Err(Overflow));
        assert_eq!(backlog.push(BULK, usize::MAX, 2), Err(Overflow));
    }
}
