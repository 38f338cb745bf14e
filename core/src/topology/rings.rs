//! The watch relation: three rings of members, each ordered by a different hash of their ids.
//!
//! On each ring a member watches the first following member that can be dialled. All nodes compute the same rings from
//! the same records, so each node knows which members' silence is evidence about which others. Members that are down
//! stay on the rings; members that left do not.
//!
//! Source: rings of observers as in Rapid (Suresh et al., USENIX ATC 2018).

use super::handle::{Handle, Packed};
use super::position::RINGS;
use crate::paged::Paged;
use crate::size::held;
use std::collections::BTreeSet;

/// A position on a ring, and the member at it.
type Place = (u64, Handle);

/// The rings of one view.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rings {
    /// Members by ring position; their records hold the positions.
    rings: [Paged<Packed>; RINGS],
    /// Members that cannot be dialled: they watch others and are not watched.
    mute: BTreeSet<Handle>,
    /// The local member, the owner of the view. Its index on each ring is cached, because its neighbours are queried
    /// often.
    centre: Option<Handle>,
    at_centre: [Option<usize>; RINGS],
    /// Whether a batch is under way. Its members are inserted together, because one insertion moves half of a ring's
    /// entries on average.
    gathering: bool,
    /// New members that are not on the rings yet.
    coming: Vec<Handle>,
}

/// The new members, each with its insertion index in a list. Both the list and `coming` are in order.
fn places_among(
    list: &Paged<Packed>,
    coming: &[Place],
    place: impl Fn(Packed) -> Place,
) -> Vec<(usize, Packed)> {
    let stride = (list.len() / coming.len()).max(1);
    let mut from = 0;
    let places = coming.iter().map(|own| {
        let stands_before = |other| place(other) < *own;
        // The first step assumes evenly spaced insertions; each further step is twice as long.
        let mut step = stride;
        while list
            .get(from + step)
            .is_some_and(|other| stands_before(*other))
        {
            from += step;
            step *= 2;
        }
        let to = (from + step).min(list.len());
        from = list.partition_point(from..to, stands_before);
        (from, Packed::of(own.1))
    });
    places.collect()
}

impl Rings {
    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        let places: usize = self.rings.iter().map(Paged::len).sum();
        held::<Packed>(places) + held::<Handle>(self.mute.len() + self.coming.len())
    }

    pub(super) const fn new() -> Self {
        Self {
            rings: [const { Paged::new() }; RINGS],
            mute: BTreeSet::new(),
            centre: None,
            at_centre: [None; RINGS],
            gathering: false,
            coming: Vec::new(),
        }
    }

    /// Sets the local member, before it is on the rings.
    pub(super) const fn set_centre(&mut self, handle: Handle) {
        self.centre = Some(handle);
    }

    pub(super) fn set_dialable(&mut self, handle: Handle, dialable: bool) {
        if dialable {
            self.mute.remove(&handle);
        } else {
            self.mute.insert(handle);
        }
    }

    /// Adds a member that is on no ring.
    pub(super) fn insert(&mut self, handle: Handle, place: impl Fn(Handle, usize) -> Place) {
        self.coming.push(handle);
        if !self.gathering {
            self.take_in(place);
        }
    }

    /// Begins a batch: new members are collected until [`Self::settle`]. Ring queries before that are not allowed.
    pub(super) const fn gather(&mut self) {
        self.gathering = true;
    }

    /// Ends the batch and places the collected members on the rings.
    pub(super) fn settle(&mut self, place: impl Fn(Handle, usize) -> Place) {
        self.gathering = false;
        self.take_in(place);
    }

    /// A ring with all of its members placed.
    pub(super) fn settled(&self, ring: usize) -> &Paged<Packed> {
        debug_assert!(self.coming.is_empty(), "asked for before all are settled");
        &self.rings[ring]
    }

    /// O(n + k log n) for k new members.
    fn take_in(&mut self, place: impl Fn(Handle, usize) -> Place) {
        let coming = core::mem::take(&mut self.coming);
        if coming.is_empty() {
            return;
        }
        for ring in 0..RINGS {
            let list = &mut self.rings[ring];
            let mut new: Vec<Place> = coming.iter().map(|handle| place(*handle, ring)).collect();
            new.sort_unstable();
            let places = places_among(list, &new, |other| place(other.handle(), ring));
            debug_assert!(
                places.iter().all(|(at, who)| list.get(*at) != Some(who)),
                "it stands there already"
            );
            list.insert_all(&places);
            let centre = &mut self.at_centre[ring];
            if let Some(stands) = centre {
                *stands += places.partition_point(|(at, _)| *at <= *stands);
            } else if let Some(own) = self.centre {
                let found = places.iter().position(|(_, other)| other.handle() == own);
                *centre = found.map(|before| before + places[before].0);
            }
        }
    }

    pub(super) fn remove(&mut self, handle: Handle, place: impl Fn(Handle, usize) -> Place) {
        self.take_in(&place);
        for ring in 0..RINGS {
            let own = place(handle, ring);
            let places = &mut self.rings[ring];
            let Ok(at) = places.binary_search_by(|other| place(other.handle(), ring).cmp(&own))
            else {
                continue;
            };
            places.remove(at);
            let centre = &mut self.at_centre[ring];
            if self.centre == Some(handle) {
                *centre = None;
            } else if let Some(centre) = centre.as_mut().filter(|centre| at < **centre) {
                *centre -= 1;
            }
        }
        self.mute.remove(&handle);
    }

    /// Whether a member can be dialled.
    pub(super) fn is_dialable(&self, handle: Handle) -> bool {
        // Nearly always all members can be dialled.
        self.mute.is_empty() || !self.mute.contains(&handle)
    }

    /// The index of a member on a ring, if it is known without a search. It is known for the local member only.
    pub(super) fn known_place(&self, handle: Handle, ring: usize) -> Option<usize> {
        self.at_centre[ring].filter(|_| self.centre == Some(handle))
    }

    /// Whether some member on the rings can be dialled.
    pub(super) fn has_dialable(&self) -> bool {
        self.mute.len() < self.settled(0).len()
    }

    /// All edges of a ring: each member and the member it watches. O(n).
    pub(super) fn edges(&self, ring: usize) -> impl Iterator<Item = (Handle, Handle)> + '_ {
        let handles = self.settled(ring).iter().map(|place| place.handle());
        let first = handles.clone().find(|handle| self.is_dialable(*handle));
        // Walking backwards from the last index, the next dialable member is known at each index.
        let mut next = first;
        handles.rev().filter_map(move |handle| {
            let edge = next
                .filter(|next| *next != handle)
                .map(|next| (handle, next));
            if self.is_dialable(handle) {
                next = Some(handle);
            }
            edge
        })
    }
}
