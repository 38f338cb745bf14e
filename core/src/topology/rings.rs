//! The watch relation: three rings of members, each ordered by a different hash of their ids.
//!
//! On each ring a member watches the first following member that can be dialled. All nodes compute the same rings from
//! the same records, so each node knows for which members the silence of a link is evidence. Members that are down stay
//! on the rings; members that left do not.
//!
//! Source: rings of observers as in Rapid (Suresh et al., USENIX ATC 2018).

use super::member_index::{MemberIndex, Packed};
use super::position::RINGS;
use crate::paged::Paged;
use crate::size::held;
use std::collections::BTreeSet;

/// A position on a ring, and the member at it.
type Position = (u64, MemberIndex);

/// The rings of one view.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rings {
    /// Members by ring position; the positions are stored in the members' records.
    rings: [Paged<Packed>; RINGS],
    /// Members that cannot be dialled; such members watch others but are not watched.
    undialable: BTreeSet<MemberIndex>,
    /// The local member, the owner of the view. The local member's index on each ring is cached, because its neighbours
    /// are queried often.
    local: Option<MemberIndex>,
    local_indices: [Option<usize>; RINGS],
    /// Whether a batch is under way. The members of a batch are inserted together, because one insertion moves half of
    /// a ring's entries on average.
    batching: bool,
    /// New members that are not on the rings yet.
    pending: Vec<MemberIndex>,
}

/// The new members, each with its insertion index in a list. Both the list and `pending` are in order.
fn places_among(
    list: &Paged<Packed>,
    pending: &[Position],
    place: impl Fn(Packed) -> Position,
) -> Vec<(usize, Packed)> {
    let stride = (list.len() / pending.len()).max(1);
    let mut from = 0;
    let places = pending.iter().map(|own| {
        let is_before = |other| place(other) < *own;
        // The first step assumes evenly spaced insertions; each further step has twice the length.
        let mut step = stride;
        while list.get(from + step).is_some_and(|other| is_before(*other)) {
            from += step;
            step *= 2;
        }
        let to = (from + step).min(list.len());
        from = list.partition_point(from..to, is_before);
        (from, Packed::of(own.1))
    });
    places.collect()
}

impl Rings {
    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        let places: usize = self.rings.iter().map(Paged::len).sum();
        held::<Packed>(places) + held::<MemberIndex>(self.undialable.len() + self.pending.len())
    }

    pub(super) const fn new() -> Self {
        Self {
            rings: [const { Paged::new() }; RINGS],
            undialable: BTreeSet::new(),
            local: None,
            local_indices: [None; RINGS],
            batching: false,
            pending: Vec::new(),
        }
    }

    /// Sets the local member, before it is on the rings.
    pub(super) const fn set_local_member(&mut self, member: MemberIndex) {
        self.local = Some(member);
    }

    pub(super) fn set_dialable(&mut self, member: MemberIndex, dialable: bool) {
        if dialable {
            self.undialable.remove(&member);
        } else {
            self.undialable.insert(member);
        }
    }

    /// Adds a member that is on no ring.
    pub(super) fn insert(
        &mut self,
        member: MemberIndex,
        place: impl Fn(MemberIndex, usize) -> Position,
    ) {
        self.pending.push(member);
        if !self.batching {
            self.place_pending(place);
        }
    }

    /// Begins a batch: new members are collected until [`Self::commit`]. Ring queries before the commit are not
    /// allowed.
    pub(super) const fn begin_batch(&mut self) {
        self.batching = true;
    }

    /// Ends the batch and places the collected members on the rings.
    pub(super) fn commit(&mut self, place: impl Fn(MemberIndex, usize) -> Position) {
        self.batching = false;
        self.place_pending(place);
    }

    /// A ring with all of its members placed.
    pub(super) fn ring(&self, ring: usize) -> &Paged<Packed> {
        debug_assert!(
            self.pending.is_empty(),
            "queried before all pending members are placed"
        );
        &self.rings[ring]
    }

    /// The cost is O(n + k log n) for k new members.
    fn place_pending(&mut self, place: impl Fn(MemberIndex, usize) -> Position) {
        let pending = core::mem::take(&mut self.pending);
        if pending.is_empty() {
            return;
        }
        for ring in 0..RINGS {
            let list = &mut self.rings[ring];
            let mut new: Vec<Position> =
                pending.iter().map(|member| place(*member, ring)).collect();
            new.sort_unstable();
            let places = places_among(list, &new, |other| place(other.index(), ring));
            debug_assert!(
                places.iter().all(|(at, who)| list.get(*at) != Some(who)),
                "the member is already on the ring"
            );
            list.insert_all(&places);
            let local = &mut self.local_indices[ring];
            if let Some(index) = local {
                *index += places.partition_point(|(at, _)| *at <= *index);
            } else if let Some(own) = self.local {
                let found = places.iter().position(|(_, other)| other.index() == own);
                *local = found.map(|before| before + places[before].0);
            }
        }
    }

    pub(super) fn remove(
        &mut self,
        member: MemberIndex,
        place: impl Fn(MemberIndex, usize) -> Position,
    ) {
        self.place_pending(&place);
        for ring in 0..RINGS {
            let own = place(member, ring);
            let places = &mut self.rings[ring];
            let Ok(at) = places.binary_search_by(|other| place(other.index(), ring).cmp(&own))
            else {
                continue;
            };
            places.remove(at);
            let local = &mut self.local_indices[ring];
            if self.local == Some(member) {
                *local = None;
            } else if let Some(local) = local.as_mut().filter(|local| at < **local) {
                *local -= 1;
            }
        }
        self.undialable.remove(&member);
    }

    /// Whether a member can be dialled.
    pub(super) fn is_dialable(&self, member: MemberIndex) -> bool {
        // Nearly always, all members can be dialled.
        self.undialable.is_empty() || !self.undialable.contains(&member)
    }

    /// The index of a member on a ring, if it is known without a search. Only the local member's index is known.
    pub(super) fn local_index(&self, member: MemberIndex, ring: usize) -> Option<usize> {
        self.local_indices[ring].filter(|_| self.local == Some(member))
    }

    /// Whether some member on the rings can be dialled.
    pub(super) fn has_dialable(&self) -> bool {
        self.undialable.len() < self.ring(0).len()
    }

    /// All edges of a ring: each member and the member it watches. O(n).
    pub(super) fn edges(
        &self,
        ring: usize,
    ) -> impl Iterator<Item = (MemberIndex, MemberIndex)> + '_ {
        let indices = self.ring(ring).iter().map(|place| place.index());
        let first = indices.clone().find(|member| self.is_dialable(*member));
        // Walking backwards from the last index, the next dialable member is known at each index.
        let mut next = first;
        indices.rev().filter_map(move |member| {
            let edge = next
                .filter(|next| *next != member)
                .map(|next| (member, next));
            if self.is_dialable(member) {
                next = Some(member);
            }
            edge
        })
    }
}
