//! Queries about the rings of a view: ring edges, and the members that watch each other.

use super::Topology;
use super::member_index::MemberIndex;
use super::position::RINGS;
use super::rings::RingPlaces;
use std::collections::BTreeSet;

impl Topology {
    /// The other members of a ring that can be dialled, in one full turn that starts after `member`; none if `member` has
    /// no record.
    fn around(
        &self,
        member: MemberIndex,
        ring: usize,
    ) -> impl DoubleEndedIterator<Item = MemberIndex> + '_ {
        let places = self.rings.dialable(ring);
        let (before, after) = if self.held(member).is_none() {
            (0, places.len())
        } else {
            match self.index_among(places, member, ring) {
                Ok(at) => (at, at + 1),
                Err(at) => (at, at),
            }
        };
        let others = (after..places.len()).chain(0..before);
        others.filter_map(|at| places.at(at))
    }

    /// The index of a member with a record in a list of a ring, or the index at which it would be inserted.
    fn index_among(
        &self,
        places: &RingPlaces,
        member: MemberIndex,
        ring: usize,
    ) -> Result<usize, usize> {
        match places.local().filter(|_| self.rings.is_local(member)) {
            Some(at) => Ok(at),
            None => places.find(self.place(member, ring), |other| self.place(other, ring)),
        }
    }

    /// The members that follow `member` on a ring and can be dialled, nearest first.
    pub(crate) fn following(
        &self,
        member: MemberIndex,
        ring: usize,
    ) -> impl Iterator<Item = MemberIndex> + '_ {
        self.around(member, ring)
    }

    /// The dialable member that precedes a dialable member on a ring, if there is another.
    fn preceding(&self, member: MemberIndex, ring: usize) -> Option<MemberIndex> {
        self.around(member, ring).next_back()
    }

    /// The members that watch `member` on a ring: the preceding dialable member, and the undialable members between
    /// them.
    fn watchers(&self, member: MemberIndex, ring: usize) -> impl Iterator<Item = MemberIndex> + '_ {
        let is_watched = self.held(member).is_some() && self.rings.is_dialable(member);
        let preceding = self.preceding(member, ring).filter(|_| is_watched);
        let between = self.rings.undialable(ring);
        let index = |member| match self.index_among(between, member, ring) {
            Ok(at) | Err(at) => at,
        };
        let (first, second) = match preceding {
            _ if !is_watched || between.len() == 0 => (0..0, 0..0),
            None => (0..between.len(), 0..0),
            Some(other) => {
                let (from, to) = (index(other), index(member));
                if self.place(other, ring) < self.place(member, ring) {
                    (from..to, 0..0)
                } else {
                    (from..between.len(), 0..to)
                }
            }
        };
        let between = first.chain(second).filter_map(|at| between.at(at));
        preceding.into_iter().chain(between)
    }

    /// Whether `one` watches `other` on a ring. O(log n).
    fn is_watcher(&self, one: MemberIndex, other: MemberIndex, ring: usize) -> bool {
        if self.held(other).is_none() || !self.rings.is_dialable(other) {
            return false;
        }
        let preceding = self.preceding(other, ring);
        if self.rings.is_dialable(one) {
            return preceding == Some(one);
        }
        let [one, other] = [one, other].map(|member| self.place(member, ring));
        preceding.is_none_or(|preceding| {
            let preceding = self.place(preceding, ring);
            if preceding < other {
                preceding < one && one < other
            } else {
                preceding < one || one < other
            }
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
            self.following(one, ring).next() == Some(other) || self.is_watcher(other, one, ring)
        })
    }

    /// Whether the ring edges connect all members, which is the case if at least one member can be dialled.
    pub(super) fn rings_join_all(&self) -> bool {
        self.rings.has_dialable()
    }

    /// The members on the rings: those that are known and not leaving. O(n).
    pub(crate) fn on_rings(&self) -> impl Iterator<Item = MemberIndex> + '_ {
        self.rings.members()
    }

    /// All edges of a ring. O(n).
    pub(super) fn ring_edges(
        &self,
        ring: usize,
    ) -> impl Iterator<Item = (MemberIndex, MemberIndex)> + '_ {
        self.rings
            .edges(ring, move |member| self.place(member, ring))
    }
}
