//! Flow control of control messages on one link, in both directions.
//!
//! Of the control messages that one end sent, at most [`WINDOW`] are not yet consumed by the other end's data path. The
//! receiver passes its data path one message at a time, and returns credit for consumed messages at half a window, or
//! earlier when no message waits.

use super::interface::SendError;

use super::signal::{CONTROL_BYTES_MAX, Control, WINDOW};
use super::violation::Violation;
use std::collections::VecDeque;

/// Number of consumed messages at which credit is returned even if more messages wait.
const CREDIT_AT: u32 = WINDOW / 2;

/// The control messages of one link that are in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Messages of the local data path that are not sent yet.
    outgoing: VecDeque<Control>,
    /// Messages of the local data path for which no credit came back, including those in `outgoing`.
    in_flight: u32,
    /// Received messages that are not yet passed to the local data path.
    incoming: VecDeque<Control>,
    /// Whether the local data path is handling a message.
    delivering: bool,
    /// Messages that were consumed but not yet credited to the sender.
    consumed: u32,
    /// Whether sending and delivery have ended.
    closed: bool,
}

impl Window {
    /// Whether the local data path may send a message of this length.
    pub(super) const fn admits(&self, bytes: usize) -> Result<(), SendError> {
        if bytes > CONTROL_BYTES_MAX {
            return Err(SendError::TooLong { bytes });
        }
        if self.closed {
            return Err(SendError::Over);
        }
        if self.has_room() {
            Ok(())
        } else {
            Err(SendError::Full)
        }
    }

    /// Whether one more message fits into the window.
    pub(super) const fn has_room(&self) -> bool {
        self.in_flight < WINDOW
    }

    /// Queues a message of the local data path, which [`Self::admits`] allowed.
    pub(super) fn push(&mut self, control: Control) {
        self.in_flight += 1;
        self.outgoing.push_back(control);
    }

    /// The next message to send.
    pub(super) fn next_outgoing(&mut self) -> Option<Control> {
        self.outgoing.pop_front()
    }

    /// The peer consumed this many messages.
    pub(super) fn on_credit(&mut self, count: u32) -> Result<(), Violation> {
        let sent = self.in_flight - length(&self.outgoing);
        if count == 0 || count > sent {
            return Err(Violation::Credit);
        }
        self.in_flight -= count;
        Ok(())
    }

    /// The peer sent a message.
    pub(super) fn on_control(&mut self, control: Control) -> Result<(), Violation> {
        let held = length(&self.incoming) + u32::from(self.delivering);
        if self.consumed + held >= WINDOW {
            return Err(Violation::Overrun);
        }
        if self.closed {
            // The message crossed with the end of the data path. The message still counts, so that an overrun is
            // detected.
            self.consumed += 1;
        } else {
            self.incoming.push_back(control);
        }
        Ok(())
    }

    /// The next message for the local data path; none while the data path is handling a message.
    pub(super) fn next_delivery(&mut self) -> Option<Control> {
        if self.delivering {
            return None;
        }
        let control = self.incoming.pop_front()?;
        self.delivering = true;
        Some(control)
    }

    /// The local data path finished handling a message.
    pub(super) const fn on_delivered(&mut self) {
        if self.delivering {
            self.delivering = false;
            self.consumed += 1;
        }
    }

    /// The credit to return to the peer, if it is due.
    pub(super) fn take_credit(&mut self) -> Option<u32> {
        let idle = self.incoming.is_empty() && !self.delivering;
        let due = !self.closed && self.consumed > 0 && (idle || self.consumed >= CREDIT_AT);
        due.then(|| std::mem::take(&mut self.consumed))
    }

    /// The data path ended: drops all queued messages.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.outgoing.clear();
        // The dropped messages stay counted, like messages that cross with the end of the data path.
        self.consumed += length(&self.incoming);
        self.incoming.clear();
    }
}

fn length(queue: &VecDeque<Control>) -> u32 {
    u32::try_from(queue.len()).unwrap_or(u32::MAX)
}
