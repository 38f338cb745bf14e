//! The capacity for links: which open link is closed in favour of another one once a node has `links_max` links.
//!
//! A link makes room only for a link of a higher value. A node without any link ranks above the ring neighbours of a
//! full node, because a ring neighbour has other links. Accepted links are kept for [`PROTECTED_FOR`], so that a
//! newcomer receives the view before its first link makes room.

use super::context::Context;
use super::dialer::DialPurpose;
use super::overlay::{Neighbourhood, Overlay};
use crate::link::LinkId;
use crate::time::Duration;
use crate::topology::MemberIndex;

/// Time for which an accepted link does not make room for another one.
const PROTECTED_FOR: Duration = Duration::from_secs(2);

/// The value of a link to this node, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LinkValue {
    /// Neither the rings nor an application need the link.
    Surplus,
    /// An application needs the link.
    Requested,
    /// The link leads to a ring neighbour.
    Ring,
    /// The link connects a node, or a part of the mesh, that has no other link to this one.
    Only,
    /// This node reports that it hears the member, so the link may be the member's only path.
    Confirmed,
}

impl LinkValue {
    /// The value of a link that this node dials.
    pub(super) const fn of_dial(purpose: DialPurpose) -> Self {
        match purpose {
            DialPurpose::RandomLink | DialPurpose::AddressCheck => Self::Surplus,
            DialPurpose::Requested => Self::Requested,
            DialPurpose::Ring | DialPurpose::Redial | DialPurpose::Renewal => Self::Ring,
            DialPurpose::Seed(_)
            | DialPurpose::Kept(_)
            | DialPurpose::Referral
            | DialPurpose::Probe
            | DialPurpose::Claim
            | DialPurpose::Inquiry => Self::Only,
        }
    }
}

/// The room for one more link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// The node has fewer links than it may have.
    Free,
    /// The node closes this link.
    InsteadOf(LinkId),
    /// All links are worth more.
    None,
}

/// The room for a link of this value to `member`, if the member is known. An open link to the same member is replaced
/// and takes no room. `confirmed` returns whether this node reports that it hears a member.
pub(super) fn room(
    context: &Context,
    (near, overlay): (&Neighbourhood<'_>, &Overlay),
    member: Option<MemberIndex>,
    value: LinkValue,
    confirmed: impl Fn(MemberIndex) -> bool,
) -> Room {
    let max = context.tuning().links_max;
    if near.links.open_count() < max {
        return Room::Free;
    }
    let others = || {
        let open = near.links.iter_open();
        open.filter(|(_, link)| Some(link.member()) != member)
    };
    if others().count() < max {
        return Room::Free;
    }
    let valued = others().filter_map(|(id, link)| {
        let held = if confirmed(link.member()) {
            LinkValue::Confirmed
        } else if context.topology.is_ring_edge(context.me, link.member()) {
            LinkValue::Ring
        } else if overlay.is_requested(link.member()) {
            LinkValue::Requested
        } else {
            LinkValue::Surplus
        };
        let protected = !link.is_dialed() && context.now - link.opened() < PROTECTED_FOR;
        (held < value && !protected).then_some((held, link.opened(), id))
    });
    match valued.min() {
        Some((_, _, link)) => Room::InsteadOf(link),
        None => Room::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::bench::Bench;

    impl Bench {
        /// A node that knows twelve members and has links to the first `links` of them, the most that it may have.
        fn linked(links: u32) -> Self {
            let mut bench = Self::of(12);
            bench.context.config.tuning.links_max = links as usize;
            for member in 1..=links {
                bench.link(member, member.is_multiple_of(2));
                bench.context.now += Duration::from_millis(1);
            }
            bench
        }

        fn room(&self, member: MemberIndex, value: LinkValue) -> Room {
            self.room_unless(member, value, |_| false)
        }

        fn room_unless(
            &self,
            member: MemberIndex,
            value: LinkValue,
            confirmed: impl Fn(MemberIndex) -> bool,
        ) -> Room {
            let near = self.near();
            let near = (&near, &self.overlay);
            room(&self.context, near, Some(member), value, confirmed)
        }

        fn is_ring(&self, member: MemberIndex) -> bool {
            self.context.topology.is_ring_edge(self.context.me, member)
        }
    }

    #[test]
    fn a_new_link_to_a_neighbour_takes_no_room() {
        let mut bench = Bench::linked(8);
        assert_eq!(bench.room(3, LinkValue::Surplus), Room::Free);
        assert_eq!(bench.room(9, LinkValue::Surplus), Room::None);
        bench.context.config.tuning.links_max = 9;
        assert_eq!(bench.room(9, LinkValue::Surplus), Room::Free);
    }

    #[test]
    fn the_oldest_link_of_the_lowest_value_makes_room_for_one_of_a_higher_value() {
        let mut bench = Bench::linked(12);
        let surplus = |bench: &Bench, from: u32| {
            (from..=12).find(|it| it.is_multiple_of(2) && !bench.is_ring(*it))
        };
        let first = surplus(&bench, 1).unwrap();
        let instead_of = |member: MemberIndex| Room::InsteadOf(LinkId(member.into()));
        assert_eq!(bench.room(20, LinkValue::Ring), instead_of(first));
        bench.context.now += PROTECTED_FOR;
        let first = (1..=12).find(|it| !bench.is_ring(*it)).unwrap();
        assert_eq!(bench.room(20, LinkValue::Ring), instead_of(first));
        assert_eq!(bench.room(20, LinkValue::Surplus), Room::None);
        assert!(bench.overlay.request(&bench.context, first, true));
        let next = (first + 1..=12).find(|it| !bench.is_ring(*it)).unwrap();
        assert_eq!(bench.room(20, LinkValue::Ring), instead_of(next));
    }

    #[test]
    fn a_ring_link_makes_room_for_an_only_link_unless_this_node_confirms_the_member() {
        let mut bench = Bench::linked(12);
        let ring: Vec<MemberIndex> = (1..=12).filter(|it| bench.is_ring(*it)).collect();
        for member in (1..=12).filter(|it| !ring.contains(it)) {
            bench.links.remove(LinkId(member.into()));
        }
        bench.context.config.tuning.links_max = ring.len();
        bench.context.now += PROTECTED_FOR;
        assert_eq!(bench.room(20, LinkValue::Ring), Room::None);
        let found = bench.room_unless(20, LinkValue::Only, |member| member == ring[0]);
        assert_eq!(found, Room::InsteadOf(LinkId(ring[1].into())));
        let found = bench.room_unless(20, LinkValue::Only, |_| true);
        assert_eq!(found, Room::None);
    }
}
