//! Direct links: the members to which this node requests links, in addition to those of the overlay.
//!
//! Messages to a member that is not a neighbour pass through other nodes. When this node sends much to a member, it
//! requests a link to that member in the background; after [`DIRECT_IDLE`] without a message, it gives the link up. An
//! application may request a link, regardless of traffic, until it withdraws the request; the member need not be known
//! yet.
//!
//! Bounds: [`DIRECT_MAX`] links because of traffic, [`APPLICATION_LINKS_MAX`] links for applications, and
//! [`COUNTED_MAX`] members whose traffic is counted; further members wait for a later window.

use crate::gossip::Input;
use crate::identity::NodeId;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// Traffic is counted in windows of this length.
const WINDOW: Duration = Duration::from_secs(10);
/// Bytes sent to one member within a window that justify a link.
pub const DIRECT_BYTES: usize = 256 * 1024;
/// Messages sent to one member within a window that justify a link.
pub const DIRECT_MESSAGES: u32 = 200;
/// A link is given up after this time without a message to its member.
pub const DIRECT_IDLE: Duration = Duration::from_secs(60);
/// Maximum number of links that are requested at one time because of traffic.
pub const DIRECT_MAX: usize = 8;
/// Maximum number of members to which applications request links; further requests are refused.
pub const APPLICATION_LINKS_MAX: usize = 8;
/// Maximum number of members whose traffic is counted at one time.
const COUNTED_MAX: usize = 256;

/// Traffic to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Traffic {
    bytes: usize,
    messages: u32,
    last: Instant,
    /// Whether a link is requested because of the traffic.
    requested: bool,
}

/// A change of the requested links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChange {
    /// The member.
    pub peer: NodeId,
    /// Whether a link to the member is needed.
    pub requested: bool,
}

impl From<LinkChange> for Input {
    fn from(request: LinkChange) -> Self {
        let LinkChange { peer, requested } = request;
        Self::RequestLink { peer, requested }
    }
}

/// The requested links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DirectLinks {
    traffic: BTreeMap<NodeId, Traffic>,
    /// Members to which applications request links.
    applications: BTreeSet<NodeId>,
    /// The end of the window.
    due: Option<Instant>,
}

impl DirectLinks {
    /// Counts a message of this node to a member. Returns whether a link to the member is requested from now on.
    pub(super) fn note_sent(&mut self, now: Instant, to: &NodeId, bytes: usize) -> bool {
        let requested = self.traffic.values().filter(|it| it.requested).count();
        if self.traffic.len() >= COUNTED_MAX && !self.traffic.contains_key(to) {
            return false;
        }
        self.due.get_or_insert(now + WINDOW);
        let traffic = self.traffic.entry(to.clone()).or_insert(Traffic {
            bytes: 0,
            messages: 0,
            last: now,
            requested: false,
        });
        traffic.bytes += bytes;
        traffic.messages += 1;
        traffic.last = now;
        let enough = traffic.bytes >= DIRECT_BYTES || traffic.messages >= DIRECT_MESSAGES;
        if !enough || traffic.requested || requested >= DIRECT_MAX {
            return false;
        }
        traffic.requested = true;
        true
    }

    /// An application requests a link to a member, or withdraws the request. Returns whether a link to the member is
    /// requested from now on, for applications or because of traffic.
    pub(super) fn set_request(&mut self, now: Instant, peer: &NodeId, requested: bool) -> bool {
        if !requested {
            self.applications.remove(peer);
        } else if self.applications.len() < APPLICATION_LINKS_MAX {
            self.due.get_or_insert(now + WINDOW);
            self.applications.insert(peer.clone());
        }
        self.applications.contains(peer) || self.traffic.get(peer).is_some_and(|it| it.requested)
    }

    /// Begins a new window if the last one has ended. Returns the requests of applications, because their members may
    /// have become known, and the links to give up.
    pub(super) fn begin_window(&mut self, now: Instant) -> Vec<LinkChange> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let change = |peer: &NodeId, requested| LinkChange {
            peer: peer.clone(),
            requested,
        };
        let applications = self.applications.iter();
        let mut changes: Vec<_> = applications.map(|peer| change(peer, true)).collect();
        self.traffic.retain(|peer, traffic| {
            (traffic.bytes, traffic.messages) = (0, 0);
            if traffic.requested && now - traffic.last >= DIRECT_IDLE {
                traffic.requested = false;
                if !self.applications.contains(peer) {
                    changes.push(change(peer, false));
                }
            }
            traffic.requested
        });
        let counts = !self.traffic.is_empty() || !self.applications.is_empty();
        self.due = counts.then(|| now + WINDOW);
        changes
    }

    /// The end of the window.
    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(peer: &str, requested: bool) -> LinkChange {
        LinkChange {
            peer: id(peer),
            requested,
        }
    }

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    #[test]
    fn traffic_is_worth_a_link_until_it_stops() {
        let mut direct = DirectLinks::default();
        let start = Instant::from_millis(5_000);
        assert!(!direct.note_sent(start, &id("b"), DIRECT_BYTES - 1));
        assert!(direct.note_sent(start, &id("b"), 1));
        assert!(!direct.note_sent(start, &id("b"), DIRECT_BYTES));
        let mut now = start;
        let mut given_up = Vec::new();
        while let Some(due) = direct.next_deadline() {
            now = due;
            given_up.extend(direct.begin_window(now));
        }
        assert_eq!(given_up, [change("b", false)]);
        assert_eq!(now, start + DIRECT_IDLE);
    }

    #[test]
    fn a_request_is_repeated_in_every_window_and_keeps_an_idle_link_until_it_is_withdrawn() {
        let mut direct = DirectLinks::default();
        let mut now = Instant::from_millis(5_000);
        assert!(direct.set_request(now, &id("b"), true));
        assert!(direct.note_sent(now, &id("b"), DIRECT_BYTES));
        for _ in 0..10 {
            now = direct.next_deadline().unwrap();
            assert_eq!(direct.begin_window(now), [change("b", true)]);
        }
        assert!(
            !direct.set_request(now, &id("b"), false),
            "the link was idle"
        );
        now = direct.next_deadline().unwrap();
        assert!(direct.begin_window(now).is_empty());
        assert_eq!(direct.next_deadline(), None);
        // The traffic justifies a link that no application requests.
        assert!(direct.note_sent(now, &id("c"), DIRECT_BYTES));
        assert!(direct.set_request(now, &id("c"), true));
        assert!(direct.set_request(now, &id("c"), false));
    }

    #[test]
    fn requests_of_applications_are_bounded() {
        let mut direct = DirectLinks::default();
        let now = Instant::ZERO;
        let granted = (0..20).filter(|n| direct.set_request(now, &id(&format!("n{n}")), true));
        assert_eq!(granted.count(), APPLICATION_LINKS_MAX);
    }

    #[test]
    fn little_traffic_in_each_window_is_not_worth_a_link() {
        let mut direct = DirectLinks::default();
        for window in 0..10 {
            let now = Instant::from_millis(window * 11_000);
            assert!(direct.begin_window(now).is_empty());
            assert!(!direct.note_sent(now, &id("b"), DIRECT_BYTES / 2));
        }
    }

    #[test]
    fn many_small_messages_count_and_links_are_bounded() {
        let mut direct = DirectLinks::default();
        let now = Instant::ZERO;
        let mut asked = 0;
        for member in 0..20 {
            for _ in 0..DIRECT_MESSAGES {
                asked += usize::from(direct.note_sent(now, &id(&format!("n{member}")), 1));
            }
        }
        assert_eq!(asked, DIRECT_MAX);
    }
}
