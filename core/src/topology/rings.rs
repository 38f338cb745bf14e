//! The watch relation: three rings of members, each ordered by a different hash of their ids.
//!
//! On each ring a member watches the first following member that can be dialled. All nodes compute the same rings from
//! the same records, so each node knows for which members the silence of a link is evidence. Members that are down stay
//! on the rings; members that left do not.
//!
//! The members of a ring that cannot be dialled are in a list of their own: a neighbour is found in O(log n), however
//! many such members are between.
//!
//! Source: rings of observers as in Rapid (Suresh et al., USENIX ATC 2018).

use super::member_index::{MemberIndex, Packed};
use super::position::RINGS;
use crate::paged::Paged;
use crate::size::held;
use std::collections::BTreeSet;

/// A position on a ring, and the member at it.
type Position = (u64, MemberIndex);

/// Members of one ring in order of their positions, which are stored in the members' records.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RingPlaces {
    members: Paged<Packed>,
    /// The index of the local member, if it is in this list. It is cached, because the local member's neighbours are
    /// queried often.
    local: Option<usize>,
}

/// One ring.
#[derive(Clone, Debug, PartialEq)]
struct Ring {
    dialable: RingPlaces,
    undialable: RingPlaces,
}

/// The rings of one view.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rings {
    rings: [Ring; RINGS],
    /// Members that cannot be dialled; such members watch others but are not watched.
    undialable: BTreeSet<MemberIndex>,
    /// The local member, the owner of the view.
    local: Option<MemberIndex>,
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

impl RingPlaces {
    const fn new() -> Self {
        Self {
            members: Paged::new(),
            local: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn at(&self, index: usize) -> Option<MemberIndex> {
        #[cfg(test)]
        reads::count();
        self.members.get(index).map(|member| member.index())
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = MemberIndex> + Clone + '_ {
        self.members.iter().map(|member| member.index())
    }

    /// The index of the local member, if it is in this list.
    pub(super) const fn local(&self) -> Option<usize> {
        self.local
    }

    /// The index of a position, or the index at which it would be inserted.
    pub(super) fn find(
        &self,
        own: Position,
        place: impl Fn(MemberIndex) -> Position,
    ) -> Result<usize, usize> {
        self.members.binary_search_by(|other| {
            #[cfg(test)]
            reads::count();
            place(other.index()).cmp(&own)
        })
    }

    /// Inserts members. The cost is O(n + k log n) for k members.
    fn insert_all(
        &mut self,
        new: &mut [Position],
        local: Option<MemberIndex>,
        place: impl Fn(MemberIndex) -> Position,
    ) {
        if new.is_empty() {
            return;
        }
        new.sort_unstable();
        let places = places_among(&self.members, new, |other| place(other.index()));
        debug_assert!(
            places
                .iter()
                .all(|(at, who)| self.members.get(*at) != Some(who)),
            "the member is already on the ring"
        );
        self.members.insert_all(&places);
        if let Some(index) = &mut self.local {
            *index += places.partition_point(|(at, _)| *at <= *index);
        } else if let Some(own) = local {
            let found = places.iter().position(|(_, other)| other.index() == own);
            self.local = found.map(|before| before + places[before].0);
        }
    }

    /// Removes the member at a position. Returns false if it is not in this list.
    fn remove(&mut self, own: Position, place: impl Fn(MemberIndex) -> Position) -> bool {
        let Ok(at) = self.find(own, place) else {
            return false;
        };
        self.members.remove(at);
        self.local = match self.local {
            Some(local) if local == at => None,
            Some(local) if at < local => Some(local - 1),
            other => other,
        };
        true
    }

    /// Removes the members for which `is_removed` is true. O(n).
    fn remove_all(&mut self, local: Option<MemberIndex>, is_removed: impl Fn(MemberIndex) -> bool) {
        let mut kept = Paged::new();
        for member in self.members.iter() {
            if !is_removed(member.index()) {
                kept.push(*member);
            }
        }
        self.members = kept;
        self.local = self
            .local
            .and_then(|_| self.iter().position(|member| Some(member) == local));
    }
}

impl Ring {
    const fn new() -> Self {
        Self {
            dialable: RingPlaces::new(),
            undialable: RingPlaces::new(),
        }
    }

    const fn list(&mut self, dialable: bool) -> &mut RingPlaces {
        if dialable {
            &mut self.dialable
        } else {
            &mut self.undialable
        }
    }
}

/// Changes.
impl Rings {
    pub(super) const fn new() -> Self {
        Self {
            rings: [const { Ring::new() }; RINGS],
            undialable: BTreeSet::new(),
            local: None,
            batching: false,
            pending: Vec::new(),
        }
    }

    /// Sets the local member, before it is on the rings.
    pub(super) const fn set_local_member(&mut self, member: MemberIndex) {
        self.local = Some(member);
    }

    /// Sets whether a member can be dialled, before or while it is on the rings.
    pub(super) fn set_dialable(
        &mut self,
        member: MemberIndex,
        dialable: bool,
        place: impl Fn(MemberIndex, usize) -> Position,
    ) {
        let changed = if dialable {
            self.undialable.remove(&member)
        } else {
            self.undialable.insert(member)
        };
        if !changed {
            return;
        }
        for (number, ring) in self.rings.iter_mut().enumerate() {
            let (own, place) = (place(member, number), |other| place(other, number));
            if ring.list(!dialable).remove(own, place) {
                let list = ring.list(dialable);
                list.insert_all(&mut [own], self.local, place);
            }
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

    /// The cost is O(n + k log n) for k new members.
    fn place_pending(&mut self, place: impl Fn(MemberIndex, usize) -> Position) {
        let pending = core::mem::take(&mut self.pending);
        if pending.is_empty() {
            return;
        }
        for (number, ring) in self.rings.iter_mut().enumerate() {
            let positions = pending.iter().map(|member| place(*member, number));
            let (mut undialable, mut dialable): (Vec<Position>, Vec<Position>) = positions
                .partition(|(_, member)| {
                    !self.undialable.is_empty() && self.undialable.contains(member)
                });
            let place = |other| place(other, number);
            ring.dialable.insert_all(&mut dialable, self.local, place);
            ring.undialable
                .insert_all(&mut undialable, self.local, place);
        }
    }

    pub(super) fn remove(
        &mut self,
        member: MemberIndex,
        place: impl Fn(MemberIndex, usize) -> Position,
    ) {
        self.place_pending(&place);
        let dialable = !self.undialable.remove(&member);
        for (number, ring) in self.rings.iter_mut().enumerate() {
            let own = place(member, number);
            // Whether it is on the ring does not matter: afterwards it is not.
            let _on_ring = ring
                .list(dialable)
                .remove(own, |other| place(other, number));
        }
    }

    /// Removes several members. O(n).
    pub(super) fn remove_all(
        &mut self,
        members: &BTreeSet<MemberIndex>,
        place: impl Fn(MemberIndex, usize) -> Position,
    ) {
        self.place_pending(&place);
        for ring in &mut self.rings {
            for list in [&mut ring.dialable, &mut ring.undialable] {
                list.remove_all(self.local, |member| members.contains(&member));
            }
        }
        self.undialable.retain(|member| !members.contains(member));
    }
}

/// Queries.
impl Rings {
    /// The members of a ring that can be dialled, all of them placed.
    pub(super) fn dialable(&self, ring: usize) -> &RingPlaces {
        debug_assert!(
            self.pending.is_empty(),
            "queried before all pending members are placed"
        );
        &self.rings[ring].dialable
    }

    /// The members of a ring that cannot be dialled, all of them placed.
    pub(super) fn undialable(&self, ring: usize) -> &RingPlaces {
        debug_assert!(
            self.pending.is_empty(),
            "queried before all pending members are placed"
        );
        &self.rings[ring].undialable
    }

    pub(super) fn is_local(&self, member: MemberIndex) -> bool {
        self.local == Some(member)
    }

    /// Whether a member can be dialled. A member that is on no ring counts as one that can.
    pub(super) fn is_dialable(&self, member: MemberIndex) -> bool {
        // Nearly always, all members can be dialled.
        self.undialable.is_empty() || !self.undialable.contains(&member)
    }

    /// Whether some member on the rings can be dialled.
    pub(super) fn has_dialable(&self) -> bool {
        self.dialable(0).len() > 0
    }

    /// The members on the rings: those that can be dialled first. O(n).
    pub(super) fn members(&self) -> impl Iterator<Item = MemberIndex> + '_ {
        self.dialable(0).iter().chain(self.undialable(0).iter())
    }

    /// All edges of a ring: each member and the member it watches. O(n).
    pub(super) fn edges(
        &self,
        ring: usize,
        place: impl Fn(MemberIndex) -> Position,
    ) -> impl Iterator<Item = (MemberIndex, MemberIndex)> + '_ {
        let (dialable, undialable) = (self.dialable(ring), self.undialable(ring));
        let first = dialable.at(0);
        let next = dialable.iter().skip(1).chain(first);
        let among = dialable.iter().zip(next);
        let among = among.filter(|(member, watched)| member != watched);
        let mut following = 0;
        let watching: Vec<(MemberIndex, MemberIndex)> = undialable
            .iter()
            .filter_map(|member| {
                let own = place(member);
                while dialable
                    .at(following)
                    .is_some_and(|other| place(other) < own)
                {
                    following += 1;
                }
                Some((member, dialable.at(following).or(first)?))
            })
            .collect();
        among.chain(watching)
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        let places = self.rings.iter();
        let places: usize = places
            .map(|ring| ring.dialable.len() + ring.undialable.len())
            .sum();
        held::<Packed>(places) + held::<MemberIndex>(self.undialable.len() + self.pending.len())
    }
}

/// The number of positions that tests read.
#[cfg(test)]
pub(super) mod reads {
    use core::cell::Cell;

    std::thread_local! {
        static READS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        READS.set(READS.get() + 1);
    }

    /// The number of positions that a call reads.
    pub(crate) fn of<T>(call: impl FnOnce() -> T) -> usize {
        let before = READS.get();
        drop(call());
        READS.get() - before
    }
}
