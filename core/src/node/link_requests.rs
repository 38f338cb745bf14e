//! Requests of applications for links, with the number of requests for each member.
//!
//! Several applications may request a link to the same member; the machine receives only the first request and the
//! withdrawal of the last. The caller passes each [`LinkChange`] of [`LinkRequests::outstanding`] to the machine, in
//! order, and confirms it by [`LinkRequests::on_passed`].
//!
//! Bound: [`APPLICATION_LINKS_MAX`] members at one time, as many as the machine grants.

use super::direct_links::{APPLICATION_LINKS_MAX, LinkChange};
use crate::identity::NodeId;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

/// Reasons why a link is not requested. When a request is refused, the existing requests are unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkRefusal {
    /// Links to [`APPLICATION_LINKS_MAX`] other members are already requested.
    TooMany,
    /// The link would lead to the node itself.
    Myself,
}

impl fmt::Display for LinkRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(
                f,
                "links to {APPLICATION_LINKS_MAX} members are requested; drop one first"
            ),
            Self::Myself => {
                f.write_str("a node has no link to itself; request a link to another member")
            }
        }
    }
}

impl core::error::Error for LinkRefusal {}

/// The requests of the applications of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkRequests {
    /// The number of requests for a link to each member, at least one.
    held: BTreeMap<NodeId, usize>,
    /// The members whose requests were passed to the machine and not withdrawn from it.
    passed: BTreeSet<NodeId>,
}

impl LinkRequests {
    /// Counts one more request of the node `own` for a link to a member.
    ///
    /// # Errors
    /// Returns an error if links to too many members are requested, or the member is the node itself.
    pub fn add(&mut self, own: &NodeId, peer: &NodeId) -> Result<(), LinkRefusal> {
        if peer == own {
            return Err(LinkRefusal::Myself);
        }
        if self.held.len() >= APPLICATION_LINKS_MAX && !self.held.contains_key(peer) {
            return Err(LinkRefusal::TooMany);
        }
        *self.held.entry(peer.clone()).or_default() += 1;
        Ok(())
    }

    /// Removes one request. Returns whether the request was the last one for its member.
    pub fn remove(&mut self, peer: &NodeId) -> bool {
        let Some(count) = self.held.get_mut(peer) else {
            return false;
        };
        *count -= 1;
        let last = *count == 0;
        if last {
            self.held.remove(peer);
        }
        last
    }

    /// The changes to pass to the machine: first the withdrawals, because the machine grants no more members than this
    /// bound, and then the request for a link to `peer`. A request is passed each time, because the first request may
    /// have preceded the member's record.
    #[must_use]
    pub fn outstanding(&self, peer: &NodeId) -> Vec<LinkChange> {
        let request = |peer: &NodeId, requested| LinkChange {
            peer: peer.clone(),
            requested,
        };
        let over = self.passed.iter().filter(|it| !self.held.contains_key(*it));
        let mut changes: Vec<_> = over.map(|it| request(it, false)).collect();
        changes.extend(self.held.contains_key(peer).then(|| request(peer, true)));
        changes
    }

    /// A change was passed to the machine.
    pub fn on_passed(&mut self, change: &LinkChange) {
        if change.requested {
            self.passed.insert(change.peer.clone());
        } else {
            self.passed.remove(&change.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn change(peer: &str, requested: bool) -> LinkChange {
        LinkChange {
            peer: id(peer),
            requested,
        }
    }

    fn pass(requests: &mut LinkRequests, peer: &str) -> Vec<LinkChange> {
        let changes = requests.outstanding(&id(peer));
        for change in &changes {
            requests.on_passed(change);
        }
        changes
    }

    #[test]
    fn the_machine_gets_the_first_request_and_the_end_of_the_last() {
        let (own, mut requests) = (id("own"), LinkRequests::default());
        requests.add(&own, &id("a")).unwrap();
        assert_eq!(pass(&mut requests, "a"), [change("a", true)]);
        requests.add(&own, &id("a")).unwrap();
        assert_eq!(pass(&mut requests, "a"), [change("a", true)], "repeated");
        assert!(!requests.remove(&id("a")));
        assert_eq!(pass(&mut requests, "b"), []);
        assert!(requests.remove(&id("a")));
        assert!(!requests.remove(&id("a")));
        assert_eq!(pass(&mut requests, "a"), [change("a", false)]);
        assert_eq!(pass(&mut requests, "a"), []);
    }

    #[test]
    fn ends_of_requests_are_passed_before_a_new_request() {
        let (own, mut requests) = (id("own"), LinkRequests::default());
        for peer in ["b", "c"] {
            requests.add(&own, &id(peer)).unwrap();
            pass(&mut requests, peer);
        }
        for peer in ["b", "c"] {
            requests.remove(&id(peer));
        }
        requests.add(&own, &id("a")).unwrap();
        let (b, c, a) = (change("b", false), change("c", false), change("a", true));
        assert_eq!(
            requests.outstanding(&id("a")),
            [b.clone(), c.clone(), a.clone()]
        );
        // A change that was not completely passed is still outstanding.
        requests.on_passed(&b);
        assert_eq!(requests.outstanding(&id("a")), [c, a]);
    }

    #[test]
    fn requests_are_bounded_by_their_members_and_exclude_the_node_itself() {
        let (own, mut requests) = (id("own"), LinkRequests::default());
        assert_eq!(requests.add(&own, &own), Err(LinkRefusal::Myself));
        for member in 0..APPLICATION_LINKS_MAX {
            for _ in 0..2 {
                requests.add(&own, &id(&format!("n{member}"))).unwrap();
            }
        }
        assert_eq!(requests.add(&own, &id("more")), Err(LinkRefusal::TooMany));
        requests.add(&own, &id("n0")).unwrap();
        for _ in 0..3 {
            requests.remove(&id("n0"));
        }
        requests.add(&own, &id("more")).unwrap();
    }
}
