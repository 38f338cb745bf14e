//! Queries about the rings of a view: ring edges, and the members that watch each other.

use super::Topology;
use super::member_index::MemberIndex;
use super::position::RINGS;
use std::collections::BTreeSet;

impl Topology {
    /// The other members of a ring, in one full turn that starts after `member`; none if `member` has no record.
    fn around(
        &self,
        member: MemberIndex,
        ring: usize,
    ) -> impl DoubleEndedIterator<Item = MemberIndex> + '_ {
        let places = self.rings.ring(ring);
        let index = self.rings.local_index(member, ring);
        let (before, after) = match index {
            Some(at) => (at, at + 1),
            None if self.held(member).is_none() => (0, places.len()),
            None => {
                let own = self.place(member, ring);
                match places.binary_search_by(|other| self.place(other.index(), ring).cmp(&own)) {
                    Ok(at) => (at, at + 1),
                    Err(at) => (at, at),
                }
            }
        };
        let others = (after..places.len()).chain(0..before);
        others.filter_map(|at| places.get(at).map(|place| place.index()))
    }

    /// The members that follow `member` on a ring and can be dialled, nearest first.
    pub(crate) fn following(
        &self,
        member: MemberIndex,
        ring: usize,
    ) -> impl Iterator<Item = MemberIndex> + '_ {
        self.around(member, ring)
            .filter(|other| self.rings.is_dialable(*other))
    }

    /// The members that watch `member` on a ring: the preceding dialable member, and the undialable members between
    /// them.
    fn watchers(&self, member: MemberIndex, ring: usize) -> impl Iterator<Item = MemberIndex> + '_ {
        let watched = self.rings.is_dialable(member);
        let mut found = !watched;
        self.around(member, ring).rev().take_while(move |before| {
            let goes_on = !found;
            found = self.rings.is_dialable(*before);
            goes_on
        })
    }

    /// The members that `member` watches, or that watch it, on any ring.
    pub(crate) fn ring_neighbours(&self, member: MemberIndex) -> BTreeSet<MemberIndex> {
        let around = |ring| {
            let watched = self.following(member, ring).next();
            watched.into_iter().chain(self.watchers(member, ring))
        };
        (0..RINGS).flat_map(around).collect()
    }

    /// Whether `one` watches `other` or is watched by it, so that silence between them is evidence.
    pub(crate) fn is_ring_edge(&self, one: MemberIndex, other: MemberIndex) -> bool {
        (0..RINGS).any(|ring| {
            self.following(one, ring).next() == Some(other)
                || self.watchers(one, ring).any(|watcher| watcher == other)
        })
    }

    /// Whether the ring edges connect all members, which is the case if at least one member can be dialled.
    pub(super) fn rings_join_all(&self) -> bool {
        self.rings.has_dialable()
    }

    /// The members on the rings: those that are known and not leaving. O(n).
    pub(crate) fn on_rings(&self) -> impl Iterator<Item = MemberIndex> + '_ {
        self.rings.ring(0).iter().map(|place| place.index())
    }

    /// All edges of a ring. O(n).
    pub(super) fn ring_edges(
        &self,
        ring: usize,
    ) -> impl Iterator<Item = (MemberIndex, MemberIndex)> + '_ {
        self.rings.edges(ring)
    }
}
