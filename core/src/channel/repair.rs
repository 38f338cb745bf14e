//! Bounds of anti-entropy with one neighbour: the work that its comparisons cause, and the repairs that wait for room.
//!
//! A comparison walks through the state of a channel, so a small packet can cause much work. Each neighbour has a rate of
//! [`ELEMENTS_PER_SECOND`] elements, with a burst of one second (the generic cell rate algorithm). A comparison above the
//! rate is not answered; the caller compares the channel again later.
//!
//! Repairs for which a link has no room wait as names of elements, and are sent as the link drains. Meanwhile the channel
//! is not compared again on this link, because the comparison would find the same elements.
//!
//! Bounds: [`PEERS_MAX`] rates; for each link and channel, the names of the elements of one comparison.

use super::message::ChannelName;
use super::store::ElementKey;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};

/// Rate of compared elements for each neighbour.
const ELEMENTS_PER_SECOND: u64 = 1_000_000;
/// The work of a comparison beside its elements, in elements.
const FIXED_WORK: u64 = 64;
/// Maximum number of neighbours with a rate of their own; further neighbours share one.
const PEERS_MAX: usize = 1_024;

/// Bounds of anti-entropy with all neighbours.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Repair {
    /// The time at which the work of each neighbour conforms to its rate; the key `None` is the shared rate.
    conforms: BTreeMap<Option<NodeId>, Instant>,
    /// The elements that a neighbour lacks and for which its link had no room, in the order of sending.
    unsent: BTreeMap<(LinkId, ChannelName), VecDeque<ElementKey>>,
}

impl Repair {
    /// Whether a comparison of `elements` elements conforms to the rate of a neighbour. A comparison that conforms is
    /// counted.
    pub(super) fn admits(&mut self, now: Instant, peer: &NodeId, elements: usize) -> bool {
        let mut place = Some(peer.clone());
        if self.conforms.len() >= PEERS_MAX && !self.conforms.contains_key(&place) {
            self.conforms.retain(|_, at| *at > now);
            if self.conforms.len() >= PEERS_MAX {
                place = None;
            }
        }
        let at = self.conforms.get(&place).map_or(now, |at| now.max(*at));
        if at - now > Duration::from_secs(1) {
            return false;
        }
        let elements = FIXED_WORK.saturating_add(elements as u64);
        let nanos = elements.saturating_mul(1_000_000_000 / ELEMENTS_PER_SECOND);
        self.conforms
            .insert(place, at + Duration::from_nanos(nanos));
        true
    }

    /// Whether repairs of a channel wait for room on a link.
    pub(super) fn is_under_way(&self, link: LinkId, channel: &ChannelName) -> bool {
        self.unsent.contains_key(&(link, channel.clone()))
    }

    /// Elements wait for room on a link.
    pub(super) fn wait(&mut self, link: LinkId, channel: &ChannelName, rest: VecDeque<ElementKey>) {
        if !rest.is_empty() {
            self.unsent.insert((link, channel.clone()), rest);
        }
    }

    /// Takes the elements that wait for room on a link, with their channel; none if no repair waits.
    pub(super) fn resume(&mut self, link: LinkId) -> Option<(ChannelName, VecDeque<ElementKey>)> {
        let first = self.unsent.keys().find(|(at, _)| *at == link)?.clone();
        let rest = self.unsent.remove(&first)?;
        Some((first.1, rest))
    }

    /// A link is lost.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.unsent.retain(|(at, _), _| *at != link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::{channel, id};
    use std::sync::Arc;

    #[test]
    fn the_work_of_one_neighbour_is_bounded_and_another_neighbour_is_served() {
        let mut repair = Repair::default();
        let now = Instant::from_millis(1_000);
        let admitted = (0..1_600)
            .filter(|_| repair.admits(now, &id("evil"), 40_000))
            .count();
        assert!((25..=27).contains(&admitted), "{admitted} comparisons");
        assert!(repair.admits(now, &id("b"), 40_000));
        let later = now + Duration::from_secs(1);
        assert!(repair.admits(later, &id("evil"), 40_000));
    }

    #[test]
    fn waiting_repairs_are_resumed_in_order_and_end_with_their_link() {
        let mut repair = Repair::default();
        let (link, other) = (LinkId(1), LinkId(2));
        let kv = channel("kv");
        let rest = |key: &str| VecDeque::from([ElementKey::Entry(Arc::from(key))]);
        repair.wait(link, &kv, rest("a"));
        repair.wait(other, &kv, rest("b"));
        repair.wait(other, &channel("empty"), VecDeque::new());
        assert!(repair.is_under_way(link, &kv));
        assert_eq!(repair.resume(link), Some((kv.clone(), rest("a"))));
        assert!(!repair.is_under_way(link, &kv));
        repair.forget(other);
        assert_eq!(repair.resume(other), None);
    }
}
