//! Established links: the connections on which both ends completed the handshake.
//!
//! ```text
//!   handshake ──► Open ──connection broke, ring neighbour──► Broken ──dialled again──► (replaced)
//!                  └──closed, by either end──► (removed)     └──silent for long──► (removed)
//! ```
//!
//! A broken link is kept because its silence is evidence. At most one link to a member is current; a new link replaces
//! it. A node has few links, so a short list in order of their numbers is faster to search than a tree. The other
//! components keep their state of each link in lists of the same order.

use crate::identity::NodeId;
use crate::link::LinkId;
use crate::size::held;
use crate::sorted::SortedMap;
use crate::time::Instant;
use crate::topology::MemberIndex;
use core::cmp::Reverse;
use std::collections::BTreeMap;

/// One established link.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Link {
    peer: NodeId,
    member: MemberIndex,
    /// Whether this node dialled the link.
    dialed: bool,
    broken: bool,
    session: u32,
    version: u32,
    /// Distinguishes the peer's starts.
    instance: u32,
    opened: Instant,
}

/// Orders two connections between the same two nodes, equally on both ends: the higher session wins, then the
/// connection whose dialer has the lower id.
pub(super) type Precedence<'a> = (u32, Reverse<&'a NodeId>);

impl Link {
    /// A link that opens in this step.
    pub(super) const fn new(
        peer: NodeId,
        member: MemberIndex,
        dialed: bool,
        (session, version): (u32, u32),
        instance: u32,
        opened: Instant,
    ) -> Self {
        Self {
            peer,
            member,
            dialed,
            broken: false,
            session,
            version,
            instance,
            opened,
        }
    }

    pub(super) const fn peer(&self) -> &NodeId {
        &self.peer
    }

    pub(super) const fn member(&self) -> MemberIndex {
        self.member
    }

    pub(super) const fn is_dialed(&self) -> bool {
        self.dialed
    }

    pub(super) const fn is_open(&self) -> bool {
        !self.broken
    }

    pub(super) const fn session(&self) -> u32 {
        self.session
    }

    /// The protocol version that both ends speak.
    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    /// The start of the peer that opened the link with this node.
    pub(super) const fn instance(&self) -> u32 {
        self.instance
    }

    pub(super) const fn opened(&self) -> Instant {
        self.opened
    }

    /// The link's precedence; `me` is this node's id.
    pub(super) const fn precedence<'a>(&'a self, me: &'a NodeId) -> Precedence<'a> {
        (
            self.session,
            Reverse(if self.dialed { me } else { &self.peer }),
        )
    }
}

/// The established links of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Links {
    links: SortedMap<LinkId, Link>,
    /// The current link to each neighbour.
    by_member: BTreeMap<MemberIndex, LinkId>,
    /// The number of open links.
    open: usize,
}

impl Links {
    /// Adds a link that opens in this step. The link becomes the current link to its member.
    pub(super) fn insert(&mut self, id: LinkId, link: Link) {
        self.by_member.insert(link.member, id);
        self.open += 1;
        self.links.insert(id, link);
    }

    /// The connection of a link broke.
    pub(super) fn set_broken(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id)
            && !core::mem::replace(&mut link.broken, true)
        {
            self.open -= 1;
        }
    }

    /// Removes a link. Returns the link, and whether it was the current link to its member.
    pub(super) fn remove(&mut self, id: LinkId) -> Option<(Link, bool)> {
        let link = self.links.remove(&id)?;
        self.open -= usize::from(link.is_open());
        let current = self.by_member.get(&link.member) == Some(&id);
        if current {
            self.by_member.remove(&link.member);
        }
        Some((link, current))
    }

    pub(super) const fn len(&self) -> usize {
        self.links.len()
    }

    /// The number of open links.
    pub(super) const fn open_count(&self) -> usize {
        self.open
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        self.links.get(&id)
    }

    pub(super) fn is_open(&self, id: LinkId) -> bool {
        self.get(id).is_some_and(Link::is_open)
    }

    /// The current link to a member, open or broken.
    pub(super) fn current(&self, member: MemberIndex) -> Option<LinkId> {
        self.by_member.get(&member).copied()
    }

    pub(super) fn is_neighbour(&self, member: MemberIndex) -> bool {
        self.by_member.contains_key(&member)
    }

    /// The open link to a member.
    pub(super) fn open_to(&self, member: MemberIndex) -> Option<(LinkId, &Link)> {
        let id = self.current(member)?;
        let link = self.get(id).filter(|link| link.is_open())?;
        Some((id, link))
    }

    /// All links, in order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.links.iter().map(|(id, link)| (*id, link))
    }

    /// The open links, in order of their numbers.
    pub(super) fn iter_open(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.iter().filter(|(_, link)| link.is_open())
    }

    /// The open link after a given link in order of their numbers; after the last link, the first one.
    pub(super) fn next_open(&self, after: LinkId) -> Option<LinkId> {
        let mut round = self.links.after(&after);
        round.find(|(_, link)| link.is_open()).map(|(id, _)| *id)
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<(LinkId, Link)>(self.links.len())
            + held::<(MemberIndex, LinkId)>(self.by_member.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::id;

    fn link(member: MemberIndex, session: u32) -> Link {
        Link::new(
            id(member as usize),
            member,
            true,
            (session, 1),
            1,
            Instant::ZERO,
        )
    }

    #[test]
    fn a_new_link_to_a_member_is_its_current_one() {
        let mut links = Links::default();
        links.insert(LinkId(1), link(7, 1));
        links.insert(LinkId(2), link(7, 2));
        assert_eq!((links.current(7), links.open_count()), (Some(LinkId(2)), 2));
        assert_eq!(
            links.remove(LinkId(1)).map(|(_, current)| current),
            Some(false)
        );
        assert_eq!(links.current(7), Some(LinkId(2)));
        assert_eq!(
            links.remove(LinkId(2)).map(|(_, current)| current),
            Some(true)
        );
        assert!(!links.is_neighbour(7));
    }

    #[test]
    fn a_broken_link_stays_current_and_is_passed_over_by_turns() {
        let mut links = Links::default();
        for number in 1..=3 {
            links.insert(LinkId(number), link(number as MemberIndex, 1));
        }
        links.set_broken(LinkId(2));
        links.set_broken(LinkId(2));
        assert_eq!(links.open_count(), 2);
        assert_eq!(links.open_to(2), None);
        assert!(links.is_neighbour(2));
        assert_eq!(links.next_open(LinkId(1)), Some(LinkId(3)));
        assert_eq!(links.next_open(LinkId(3)), Some(LinkId(1)));
        links.remove(LinkId(2));
        assert_eq!(links.open_count(), 2);
    }

    #[test]
    fn the_higher_session_wins_and_then_the_lower_dialer() {
        let (low, high) = (id(1), id(2));
        let dialed = |peer: &NodeId, dialed, session| {
            Link::new(peer.clone(), 1, dialed, (session, 1), 1, Instant::ZERO)
        };
        let (one, other) = (dialed(&high, true, 3), dialed(&high, false, 4));
        assert!(one.precedence(&low) < other.precedence(&low));
        let same = dialed(&high, false, 3);
        assert!(
            one.precedence(&low) > same.precedence(&low),
            "dialled by the lower id"
        );
    }
}
