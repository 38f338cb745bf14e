//! The addresses of one seed name: which of them is dialled next, and which lead to this node itself.
//!
//! ```text
//! unresolved --order--> awaited --answer--> addresses left --each dialled once--> unresolved
//!                          +--failed, or no answer in time--> unresolved
//! ```
//!
//! Addresses are dialled in the order of [`dial_order`]. The node's own addresses are skipped. Bound: [`ADDRESSES_MAX`]
//! addresses; further ones are ignored.

use crate::link::{Ticket, dial_order};
use core::net::SocketAddr;
use std::collections::VecDeque;

/// Maximum number of addresses of one name.
pub const ADDRESSES_MAX: usize = 32;

/// The content of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// No address.
    None,
    /// No address but the node's own.
    OnlyMyself,
    /// An address of another node, as far as known.
    Others,
}

/// The resolution of one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Resolution {
    /// The order whose answer is awaited.
    awaited: Option<Ticket>,
    /// The addresses that were not dialled since the latest answer.
    left: VecDeque<SocketAddr>,
    /// The number of addresses in the latest answer that are not known to lead to this node.
    others: usize,
    /// The addresses in the latest answer that led to this node.
    myself: Vec<SocketAddr>,
}

impl Resolution {
    /// A resolution is ordered.
    pub(super) const fn order(&mut self, ticket: Ticket) {
        self.awaited = Some(ticket);
    }

    pub(super) const fn awaited(&self) -> Option<Ticket> {
        self.awaited
    }

    /// The awaited answer failed or did not come. Addresses of an earlier answer are dropped.
    pub(super) fn on_unanswered(&mut self) {
        self.awaited = None;
        self.left.clear();
    }

    /// The name was resolved; `own` is the address that the node advertises.
    pub(super) fn on_answered(
        &mut self,
        found: Vec<SocketAddr>,
        own: Option<SocketAddr>,
    ) -> Addresses {
        self.awaited = None;
        let found = dial_order(found, ADDRESSES_MAX);
        self.myself.retain(|address| found.contains(address));
        let is_other =
            |address: &SocketAddr| Some(*address) != own && !self.myself.contains(address);
        let empty = found.is_empty();
        self.left = found.into_iter().filter(is_other).collect();
        self.others = self.left.len();
        match self.others {
            0 if empty => Addresses::None,
            0 => Addresses::OnlyMyself,
            _ => Addresses::Others,
        }
    }

    /// Takes the next address to dial.
    pub(super) fn take_next(&mut self) -> Option<SocketAddr> {
        self.left.pop_front()
    }

    /// The addresses that were not dialled since the latest answer.
    pub(super) const fn left(&self) -> &VecDeque<SocketAddr> {
        &self.left
    }

    /// An address of the latest answer led to this node.
    pub(super) fn on_myself(&mut self, address: SocketAddr) {
        if !self.myself.contains(&address) && self.myself.len() < ADDRESSES_MAX {
            self.myself.push(address);
            self.others = self.others.saturating_sub(1);
        }
    }

    /// Whether every address in the latest answer is the node's own.
    pub(super) const fn is_only_myself(&self) -> bool {
        self.others == 0
    }

    /// A member was found at the name. A pending answer of the resolver is no longer needed.
    pub(super) const fn on_found(&mut self) {
        self.awaited = None;
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + (self.left.len() + self.myself.len()) * size_of::<SocketAddr>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(resolution.on_answered(found, None), Addresses::Others);
        assert_eq!(rest(&mut resolution), [v6(1), v4(1), v6(2), v4(2), v4(3)]);
        assert_eq!(resolution.take_next(), None);
    }

    #[test]
    fn the_own_address_and_those_that_led_to_this_node_are_skipped() {
        let mut resolution = Resolution::default();
        let found = vec![v4(1), v4(2), v4(3)];
        resolution.on_answered(found.clone(), Some(v4(1)));
        assert_eq!(resolution.take_next(), Some(v4(2)));
        resolution.on_myself(v4(2));
        assert!(!resolution.is_only_myself());
        assert_eq!(
            resolution.on_answered(found, Some(v4(1))),
            Addresses::Others
        );
        assert_eq!(rest(&mut resolution), [v4(3)]);
        assert_eq!(
            resolution.on_answered(vec![v4(2), v4(1)], Some(v4(1))),
            Addresses::OnlyMyself
        );
        assert!(resolution.is_only_myself());
    }

    #[test]
    fn an_address_that_left_the_answer_is_forgotten_as_this_nodes_own() {
        let mut resolution = Resolution::default();
        resolution.on_answered(vec![v4(1)], None);
        resolution.take_next();
        resolution.on_myself(v4(1));
        assert!(resolution.is_only_myself());
        assert_eq!(resolution.on_answered(vec![v4(2)], None), Addresses::Others);
        assert_eq!(
            resolution.on_answered(vec![v4(1)], None),
            Addresses::Others,
            "another node may have taken the address"
        );
    }

    #[test]
    fn an_answer_replaces_the_earlier_one_and_a_failure_drops_it() {
        let mut resolution = Resolution::default();
        assert_eq!(resolution.on_answered(vec![], None), Addresses::None);
        resolution.on_answered(vec![v4(1), v4(2)], None);
        resolution.on_answered(vec![v4(3)], None);
        assert_eq!(resolution.left(), &[v4(3)]);
        resolution.order(Ticket(1));
        resolution.on_unanswered();
        assert_eq!((resolution.awaited(), resolution.take_next()), (None, None));
    }
}
