//! The addresses of one seed name: which of them is dialled next, and which lead to this node itself.
//!
//! ```text
//! unresolved --order--> awaited --answer--> addresses left --each dialled once--> unresolved
//!                          +--failed, or no answer in time--> unresolved
//! ```
//!
//! Addresses are dialled in the order of [`dial_order`]. An address that led to this node is skipped for `retry_max`, and
//! then dialled again, because another node may have taken it. If one address led to a live member
//! and another failed, the name is resolved again after about `retry_max`, for the addresses that lead to no live member.
//! Bound: [`ADDRESSES_MAX`] addresses; further ones are ignored.

use crate::identity::NodeId;
use crate::link::{Ticket, dial_order};
use crate::time::Instant;
use core::net::SocketAddr;
use std::collections::VecDeque;

/// Maximum number of addresses of one name.
pub const ADDRESSES_MAX: usize = 32;

/// The content of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// No address.
    None,
    /// Addresses that led to this node a short time ago.
    OnlyMyself,
    /// Addresses that led to this node, some of them a long time ago.
    PerhapsMyself,
    /// An address of another node, as far as known.
    Others,
}

/// The resolution of one name. Each list is bounded by [`ADDRESSES_MAX`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Resolution {
    /// The order whose answer is awaited.
    awaited: Option<Ticket>,
    /// The addresses that were not dialled since the latest answer.
    left: VecDeque<SocketAddr>,
    /// The number of addresses in the latest answer that are not known to lead to this node.
    others: usize,
    /// The addresses in the latest answer that led to this node, and the time until which they are not dialled.
    myself: Vec<(SocketAddr, Instant)>,
    /// The addresses in the latest answer that led to a member.
    reached: Vec<(SocketAddr, NodeId)>,
    /// The addresses in the latest answer to which a dial failed.
    failed: Vec<SocketAddr>,
    /// The time at which the name is resolved again for the failed addresses.
    retry_at: Option<Instant>,
}

impl Resolution {
    /// A resolution is ordered.
    pub(super) const fn order(&mut self, ticket: Ticket) {
        self.awaited = Some(ticket);
        self.retry_at = None;
    }

    pub(super) const fn awaited(&self) -> Option<Ticket> {
        self.awaited
    }

    /// The awaited answer failed or did not come. Addresses of an earlier answer are not dialled.
    pub(super) fn on_unanswered(&mut self) {
        self.awaited = None;
        self.left.clear();
    }

    /// The name was resolved.
    pub(super) fn on_answered(&mut self, now: Instant, found: Vec<SocketAddr>) -> Addresses {
        self.awaited = None;
        let found = dial_order(found, ADDRESSES_MAX);
        self.myself.retain(|(address, _)| found.contains(address));
        self.reached.retain(|(address, _)| found.contains(address));
        self.failed.clear();
        let empty = found.is_empty();
        let is_other =
            |address: &SocketAddr| self.led_here(*address).is_none_or(|until| until <= now);
        self.left = found.into_iter().filter(is_other).collect();
        self.others = self.left.len();
        let led_here = |address: &SocketAddr| self.led_here(*address).is_some();
        match self.others {
            0 if empty => Addresses::None,
            0 => Addresses::OnlyMyself,
            _ if self.left.iter().all(led_here) => Addresses::PerhapsMyself,
            _ => Addresses::Others,
        }
    }

    /// The time until which an address that led to this node is not dialled.
    fn led_here(&self, address: SocketAddr) -> Option<Instant> {
        let found = self.myself.iter().find(|(led, _)| *led == address);
        found.map(|(_, until)| *until)
    }

    /// Takes the next address to dial.
    pub(super) fn take_next(&mut self) -> Option<SocketAddr> {
        self.left.pop_front()
    }

    /// The addresses that were not dialled since the latest answer.
    pub(super) const fn left(&self) -> &VecDeque<SocketAddr> {
        &self.left
    }

    /// The member to which an address of the latest answer led.
    pub(super) fn reached(&self, address: SocketAddr) -> Option<&NodeId> {
        let found = self.reached.iter().find(|(led, _)| *led == address);
        found.map(|(_, peer)| peer)
    }

    /// An address of the latest answer led to this node. It is not dialled before `until`.
    pub(super) fn on_myself(&mut self, now: Instant, address: SocketAddr, until: Instant) {
        if self.led_here(address).is_some_and(|until| until > now) {
            return;
        }
        self.myself.retain(|(led, _)| *led != address);
        if self.myself.len() < ADDRESSES_MAX {
            self.myself.push((address, until));
            self.others = self.others.saturating_sub(1);
        }
    }

    /// Whether every address in the latest answer is the node's own.
    pub(super) const fn is_only_myself(&self) -> bool {
        self.others == 0
    }

    /// A dial to an address of the latest answer failed.
    pub(super) fn on_failed(&mut self, address: SocketAddr) {
        self.forget(address);
        if self.failed.len() < ADDRESSES_MAX {
            self.failed.push(address);
        }
    }

    /// An address of the latest answer led to a member. A pending answer of the resolver is not needed.
    pub(super) fn on_reached(&mut self, address: SocketAddr, peer: NodeId) {
        self.awaited = None;
        self.forget(address);
        if self.reached.len() < ADDRESSES_MAX {
            self.reached.push((address, peer));
        }
    }

    /// A member left or is down: the addresses that led to it count as failed. Returns whether there are any.
    pub(super) fn on_member_gone(&mut self, peer: &NodeId) -> bool {
        let gone: Vec<SocketAddr> = self
            .reached
            .iter()
            .filter(|(_, led)| led == peer)
            .map(|(address, _)| *address)
            .collect();
        for address in &gone {
            self.on_failed(*address);
        }
        !gone.is_empty()
    }

    fn forget(&mut self, address: SocketAddr) {
        self.myself.retain(|(led, _)| *led != address);
        self.reached.retain(|(led, _)| *led != address);
        self.failed.retain(|failed| *failed != address);
    }

    /// The name leads to a live member. A pending answer of the resolver is not needed. Returns the time at which the
    /// name is resolved again if an address failed; `at` gives it at the first call after the latest answer.
    pub(super) fn on_settled(&mut self, at: impl FnOnce() -> Instant) -> Option<Instant> {
        self.awaited = None;
        if self.failed.is_empty() {
            self.retry_at = None;
            return None;
        }
        Some(*self.retry_at.get_or_insert_with(at))
    }

    /// Whether it is time to resolve the name again for its failed addresses.
    pub(super) fn is_retry_due(&self, now: Instant) -> bool {
        !self.failed.is_empty() && self.retry_at.is_some_and(|at| at <= now)
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + (self.left.len() + self.failed.len()) * size_of::<SocketAddr>()
            + self.myself.len() * size_of::<(SocketAddr, Instant)>()
            + self.reached.len() * size_of::<(SocketAddr, NodeId)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1_000);
    const LATER: Instant = Instant::from_millis(31_000);

    fn v4(host: u8) -> SocketAddr {
        ([10, 0, 0, host], 7_000).into()
    }

    fn v6(host: u16) -> SocketAddr {
        ([0xfd00, 0, 0, 0, 0, 0, 0, host], 7_000).into()
    }

    fn rest(resolution: &mut Resolution) -> Vec<SocketAddr> {
        std::iter::from_fn(|| resolution.take_next()).collect()
    }

    #[test]
    fn addresses_are_taken_in_the_resolvers_order_with_alternating_families() {
        let mut resolution = Resolution::default();
        let found = vec![v6(1), v6(2), v4(1), v6(1), v4(2), v4(3)];
        assert_eq!(resolution.on_answered(NOW, found), Addresses::Others);
        assert_eq!(rest(&mut resolution), [v6(1), v4(1), v6(2), v4(2), v4(3)]);
        assert_eq!(resolution.take_next(), None);
    }

    #[test]
    fn addresses_that_led_to_this_node_are_skipped() {
        let mut resolution = Resolution::default();
        let found = vec![v4(1), v4(2), v4(3)];
        resolution.on_answered(NOW, found.clone());
        for own in [v4(1), v4(2)] {
            assert_eq!(resolution.take_next(), Some(own));
            resolution.on_myself(NOW, own, LATER);
            assert!(!resolution.is_only_myself());
        }
        assert_eq!(resolution.on_answered(NOW, found), Addresses::Others);
        assert_eq!(rest(&mut resolution), [v4(3)]);
        let only = vec![v4(2), v4(1)];
        assert_eq!(resolution.on_answered(NOW, only), Addresses::OnlyMyself);
        assert!(resolution.is_only_myself());
    }

    #[test]
    fn an_address_that_left_the_answer_is_forgotten_as_this_nodes_own() {
        let mut resolution = Resolution::default();
        resolution.on_answered(NOW, vec![v4(1)]);
        resolution.take_next();
        resolution.on_myself(NOW, v4(1), LATER);
        assert!(resolution.is_only_myself());
        assert_eq!(resolution.on_answered(NOW, vec![v4(2)]), Addresses::Others);
        assert_eq!(
            resolution.on_answered(NOW, vec![v4(1)]),
            Addresses::Others,
            "another node may have taken the address"
        );
    }

    #[test]
    fn an_answer_replaces_the_earlier_one_and_a_failure_drops_it() {
        let mut resolution = Resolution::default();
        assert_eq!(resolution.on_answered(NOW, vec![]), Addresses::None);
        resolution.on_answered(NOW, vec![v4(1), v4(2)]);
        resolution.on_answered(NOW, vec![v4(3)]);
        assert_eq!(resolution.left(), &[v4(3)]);
        resolution.order(Ticket(1));
        resolution.on_unanswered();
        assert_eq!((resolution.awaited(), resolution.take_next()), (None, None));
    }

    #[test]
    fn an_address_that_led_to_this_node_is_an_address_again_later() {
        let mut resolution = Resolution::default();
        resolution.on_answered(NOW, vec![v4(1), v4(2)]);
        resolution.on_myself(NOW, v4(1), LATER);
        resolution.on_myself(NOW, v4(1), LATER);
        assert!(!resolution.is_only_myself(), "the second is not known");
        let mut answer = |found| {
            let found = resolution.on_answered(LATER, found);
            (found, rest(&mut resolution))
        };
        assert_eq!(answer(vec![v4(1)]), (Addresses::PerhapsMyself, vec![v4(1)]));
        let both = vec![v4(2), v4(1)];
        assert_eq!(answer(both.clone()), (Addresses::Others, both));
        for only in [v4(2), v4(1)] {
            assert_eq!(answer(vec![only]), (Addresses::Others, vec![only]));
        }
    }

    #[test]
    fn a_failed_address_makes_the_name_due_until_an_answer_lists_it_no_more() {
        let peer = NodeId::new("a").unwrap();
        let mut resolution = Resolution::default();
        resolution.on_answered(NOW, vec![v4(1), v4(2)]);
        rest(&mut resolution);
        resolution.on_reached(v4(2), peer.clone());
        assert_eq!(resolution.on_settled(|| LATER), None);
        resolution.on_failed(v4(1));
        assert_eq!(resolution.on_settled(|| LATER), Some(LATER));
        assert_eq!(resolution.on_settled(|| NOW), Some(LATER), "it is set once");
        assert!(!resolution.is_retry_due(NOW));
        assert!(resolution.is_retry_due(LATER));
        resolution.order(Ticket(1));
        assert!(!resolution.is_retry_due(LATER));
        resolution.on_answered(LATER, vec![v4(2)]);
        assert_eq!(resolution.reached(v4(2)), Some(&peer));
        assert_eq!(resolution.on_settled(|| LATER), None);
        assert!(resolution.on_member_gone(&peer));
        assert!(!resolution.on_member_gone(&peer));
        assert_eq!(resolution.on_settled(|| LATER), Some(LATER));
    }

    #[test]
    fn the_lists_are_bounded() {
        let mut resolution = Resolution::default();
        for host in 0..100 {
            let peer = NodeId::new("a").unwrap();
            resolution.on_reached(v4(host), peer);
            resolution.on_failed(v6(host.into()));
            resolution.on_myself(NOW, v4(100 + host), LATER);
        }
        let full = size_of::<Resolution>()
            + ADDRESSES_MAX
                * (size_of::<(SocketAddr, NodeId)>()
                    + size_of::<SocketAddr>()
                    + size_of::<(SocketAddr, Instant)>());
        assert_eq!(resolution.memory(), full);
    }
}
