//! Packets waiting to be sent on one link.
//!
//! Bound: [`WAITING_BYTES_MAX`] bytes and one payload more, above which packets are refused.

use super::cost::{WAITING_BYTES_MAX, cost};
use crate::channel::message::Packet;
use crate::identity::NodeId;
use std::collections::VecDeque;
use std::sync::Arc;

/// Waiting packets, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PacketQueue {
    packets: VecDeque<Arc<Packet>>,
    bytes: usize,
}

impl PacketQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether a payload of more than `bytes` bytes waits that another node than `me` made.
    pub(super) fn relays_above(&self, bytes: usize, me: &NodeId) -> bool {
        let above = |packet: &Packet| packet.payload.len() > bytes && packet.from != *me;
        self.bytes > bytes && self.packets.iter().any(|packet| above(packet))
    }

    /// Adds a packet. Returns false if there is no room.
    pub(super) fn push(&mut self, packet: &Arc<Packet>) -> bool {
        if self.bytes >= WAITING_BYTES_MAX {
            return false;
        }
        self.bytes += cost(&packet.payload);
        self.packets.push_back(Arc::clone(packet));
        true
    }

    /// The oldest packet.
    pub(super) fn front(&self) -> Option<&Packet> {
        self.packets.front().map(Arc::as_ref)
    }

    /// Removes and returns the oldest packet.
    pub(super) fn pop(&mut self) -> Option<Arc<Packet>> {
        let packet = self.packets.pop_front()?;
        self.bytes -= cost(&packet.payload);
        Some(packet)
    }

    /// The link is lost: removes and returns all packets.
    pub(super) fn take_all(&mut self) -> VecDeque<Arc<Packet>> {
        self.bytes = 0;
        core::mem::take(&mut self.packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample;

    fn packet(number: u64, bytes: usize) -> Arc<Packet> {
        Arc::new(sample::packet("b", &["a"], number, bytes))
    }

    #[test]
    fn a_full_queue_refuses_packets_until_one_was_sent() {
        let mut queue = PacketQueue::default();
        assert!(queue.push(&packet(1, WAITING_BYTES_MAX - 65)));
        assert!(queue.push(&packet(2, 10)), "one more payload always fits");
        assert!(!queue.push(&packet(3, 0)));
        assert_eq!(queue.pop().map(|packet| packet.number), Some(1));
        assert!(queue.push(&packet(3, 0)));
        assert_eq!(queue.front().map(|packet| packet.number), Some(2));
    }

    #[test]
    fn a_lost_link_gives_all_packets_back_in_order() {
        let mut queue = PacketQueue::default();
        queue.push(&packet(1, 1));
        queue.push(&packet(2, WAITING_BYTES_MAX));
        let numbers: Vec<u64> = queue
            .take_all()
            .iter()
            .map(|packet| packet.number)
            .collect();
        assert_eq!(numbers, [1, 2]);
        assert!(queue.is_empty() && queue.push(&packet(3, 1)));
    }
}
