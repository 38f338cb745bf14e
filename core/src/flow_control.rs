//! Credit-based flow control of one direction of a link.
//!
//! The sender may have sent at most `window` bytes that the receiver has not consumed. The receiver returns credit when
//! it has consumed a quarter of the window, or with the next message. Each end of a link holds one [`FlowControl`],
//! which counts what this end sends and what it consumes.
//!
//! The window is checked before a message is sent, so one message may exceed it.

/// The flow control of one link, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowControl {
    window: u32,
    /// Bytes sent that the peer has not consumed.
    in_flight: u32,
    /// Bytes consumed by this end for which no credit was returned.
    owed: u32,
}

impl FlowControl {
    /// Flow control with a window of `window` bytes.
    #[must_use]
    pub const fn new(window: u32) -> Self {
        Self {
            window,
            in_flight: 0,
            owed: 0,
        }
    }

    /// Whether the window is open.
    #[must_use]
    pub const fn may_send(&self) -> bool {
        self.in_flight < self.window
    }

    /// Bytes sent that the peer has not consumed.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Notes that a message of `bytes` bytes was sent.
    pub const fn note_sent(&mut self, bytes: u32) {
        self.in_flight = self.in_flight.saturating_add(bytes);
    }

    /// Notes that the peer consumed `bytes` bytes.
    pub const fn add_credit(&mut self, bytes: u32) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// Notes that a message of `bytes` bytes was received and consumed.
    pub const fn note_consumed(&mut self, bytes: u32) {
        self.owed = self.owed.saturating_add(bytes);
    }

    /// Whether credit is returned even if nothing else is sent.
    #[must_use]
    pub const fn owes_credit(&self) -> bool {
        self.owed >= self.window / 4
    }

    /// Takes the credit to return to the peer.
    pub const fn take_credit(&mut self) -> u32 {
        core::mem::replace(&mut self.owed, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_window_holds_back_until_credit_comes() {
        let mut flow = FlowControl::new(100);
        flow.note_sent(99);
        assert!(flow.may_send());
        flow.note_sent(50);
        assert!(!flow.may_send());
        flow.add_credit(50);
        assert!(flow.may_send());
        assert_eq!(flow.in_flight(), 99);
    }

    #[test]
    fn credit_is_owed_from_a_quarter_of_the_window() {
        let mut flow = FlowControl::new(100);
        flow.note_consumed(24);
        assert!(!flow.owes_credit());
        flow.note_consumed(1);
        assert!(flow.owes_credit());
        assert_eq!(flow.take_credit(), 25);
        assert!(!flow.owes_credit());
    }

    #[test]
    fn a_peer_that_returns_too_much_credit_gains_no_larger_window() {
        let mut flow = FlowControl::new(100);
        flow.note_sent(10);
        flow.add_credit(u32::MAX);
        assert_eq!(flow.in_flight(), 0);
    }

    proptest! {
        /// Two ends that return credit as they consume never stall, and never have more than the window and one message
        /// in flight.
        #[test]
        fn a_receiver_that_consumes_never_stalls_the_sender(
            messages in prop::collection::vec(1_u32..60, 0..200),
        ) {
            let (mut sender, mut receiver) = (FlowControl::new(100), FlowControl::new(100));
            let mut link = std::collections::VecDeque::new();
            for bytes in messages {
                while !sender.may_send() {
                    let arrived: Option<u32> = link.pop_front();
                    prop_assert!(arrived.is_some(), "stalled with nothing under way");
                    receiver.note_consumed(arrived.unwrap_or(0));
                    if receiver.owes_credit() {
                        sender.add_credit(receiver.take_credit());
                    }
                }
                sender.note_sent(bytes);
                link.push_back(bytes);
                prop_assert!(sender.in_flight() < 100 + 60);
            }
        }
    }
}
