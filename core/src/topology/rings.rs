//! Who watches whom: the members on three rings, each ordered by another hash of their ids.
//!
//! On each ring a member watches the first following member that can be dialled. Everybody computes the same
//! rings from the same records, so everybody knows whose silence is evidence about whom. Members that are down
//! stay on the rings; those that left do not.
//!
//! Source: rings of observers as in Rapid (Suresh et al., USENIX ATC 2018).

use super::{Handle, Topology};
use crate::identity::NodeId;
use crate::random::{hash_bytes, mix};
use std::collections::BTreeSet;

/// The number of rings. Two lose 50 % more time on broadcasts at a thousand nodes, four cost a third more links.
pub const RINGS: usize = 3;

/// A position on a ring, and who stands there.
type Place = (u64, Handle);

/// The rings of one view.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rings {
    /// Sorted. Members come and go seldom, and the rings are walked often.
    rings: [Vec<Place>; RINGS],
    /// Members that cannot be dialled: they watch, and nobody watches them.
    mute: BTreeSet<Handle>,
}

fn position(id: &NodeId, ring: usize) -> u64 {
    mix(hash_bytes(id.as_str().as_bytes()) ^ mix(ring as u64 + 1))
}

impl Rings {
    pub(super) const fn new() -> Self {
        Self {
            rings: [const { Vec::new() }; RINGS],
            mute: BTreeSet::new(),
        }
    }

    pub(super) fn insert(&mut self, id: &NodeId, handle: Handle, dialable: bool) {
        for (ring, places) in self.rings.iter_mut().enumerate() {
            let place = (position(id, ring), handle);
            if let Err(at) = places.binary_search(&place) {
                places.insert(at, place);
            }
        }
        if dialable {
            self.mute.remove(&handle);
        } else {
            self.mute.insert(handle);
        }
    }

    pub(super) fn remove(&mut self, id: &NodeId, handle: Handle) {
        for (ring, places) in self.rings.iter_mut().enumerate() {
            if let Ok(at) = places.binary_search(&(position(id, ring), handle)) {
                places.remove(at);
            }
        }
        self.mute.remove(&handle);
    }

    /// The other members of a ring, once round from `id`.
    fn around(
        &self,
        id: &NodeId,
        handle: Handle,
        ring: usize,
    ) -> impl DoubleEndedIterator<Item = Handle> + '_ {
        let place = (position(id, ring), handle);
        let places = &self.rings[ring];
        let before = places.partition_point(|other| *other < place);
        let after = places.partition_point(|other| *other <= place);
        places[after..]
            .iter()
            .chain(&places[..before])
            .map(|(_, other)| *other)
    }

    /// The members that follow `id` on a ring and can be dialled, nearest first, once round.
    fn following(
        &self,
        id: &NodeId,
        handle: Handle,
        ring: usize,
    ) -> impl Iterator<Item = Handle> + '_ {
        self.around(id, handle, ring)
            .filter(|other| !self.mute.contains(other))
    }

    /// All edges of a ring: each member and whom it watches. O(n).
    pub(super) fn edges(&self, ring: usize) -> impl Iterator<Item = (Handle, Handle)> + '_ {
        let places = &self.rings[ring];
        let first = places
            .iter()
            .map(|(_, h)| *h)
            .find(|h| !self.mute.contains(h));
        // From the last place backwards, the next member that can be dialled is known at each place.
        let mut next = first;
        places.iter().rev().filter_map(move |(_, handle)| {
            let edge = next
                .filter(|next| next != handle)
                .map(|next| (*handle, next));
            if !self.mute.contains(handle) {
                next = Some(*handle);
            }
            edge
        })
    }
}

impl Topology {
    /// The members that follow `handle` on a ring and can be dialled, nearest first.
    pub(crate) fn following(
        &self,
        handle: Handle,
        ring: usize,
    ) -> impl Iterator<Item = Handle> + '_ {
        self.slot(handle)
            .into_iter()
            .flat_map(move |slot| self.rings.following(&slot.id, handle, ring))
    }

    /// Everybody whom `handle` watches, or who watches it, on any ring.
    pub(crate) fn ring_neighbours(&self, handle: Handle) -> BTreeSet<Handle> {
        let mut found = BTreeSet::new();
        let Some(slot) = self.slot(handle) else {
            return found;
        };
        let watched = !self.rings.mute.contains(&handle);
        for ring in 0..RINGS {
            found.extend(self.following(handle, ring).next());
            for before in self
                .rings
                .around(&slot.id, handle, ring)
                .rev()
                .filter(|_| watched)
            {
                found.insert(before);
                if !self.rings.mute.contains(&before) {
                    break;
                }
            }
        }
        found
    }

    /// Whether `one` watches `other` or is watched by it: their silence towards each other is evidence.
    pub(crate) fn is_ring_edge(&self, one: Handle, other: Handle) -> bool {
        (0..RINGS).any(|ring| {
            self.following(one, ring).next() == Some(other)
                || self.following(other, ring).next() == Some(one)
        })
    }

    /// Whether the rings' edges join everybody: they do if anybody can be dialled.
    pub(super) fn rings_join_all(&self) -> bool {
        self.rings.mute.len() < self.rings.rings[0].len()
    }

    /// All edges of a ring. O(n).
    pub(super) fn ring_edges(&self, ring: usize) -> impl Iterator<Item = (Handle, Handle)> + '_ {
        self.rings.edges(ring)
    }
}
