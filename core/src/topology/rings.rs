//! Who watches whom: the members on three rings, each ordered by another hash of their ids.
//!
//! On each ring a member watches the first following member that can be dialled. Everybody computes the same
//! rings from the same records, so everybody knows whose silence is evidence about whom. Members that are down
//! stay on the rings; those that left do not.
//!
//! Source: rings of observers as in Rapid (Suresh et al., USENIX ATC 2018).

use super::members::Packed;
use super::{Handle, Topology};
use crate::identity::NodeId;
use crate::paged::Paged;
use crate::random::{hash_bytes, mix};
use crate::size::held;
use std::collections::BTreeSet;

/// The number of rings. Two lose 50 % more time on broadcasts at a thousand nodes, four cost a third more links.
pub const RINGS: usize = 3;

/// A position on a ring, and who stands there.
type Place = (u64, Handle);

/// The rings of one view.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rings {
    /// In order of their places, which their records know.
    rings: [Paged<Packed>; RINGS],
    /// Members that cannot be dialled: they watch, and nobody watches them.
    mute: BTreeSet<Handle>,
    /// Whose view it is, and where it stands on each ring: its surroundings are asked for all the time.
    centre: Option<Handle>,
    at_centre: [Option<usize>; RINGS],
    /// Who comes goes onto the rings with all others that come at once: to make room for one moves half of all.
    gathering: bool,
    /// Who has come, and is on no ring yet.
    coming: Vec<Handle>,
}

/// Where an id stands on each ring.
pub(super) fn places(id: &NodeId) -> [u64; RINGS] {
    let hash = hash_bytes(id.as_str().as_bytes());
    core::array::from_fn(|ring| mix(hash ^ mix(ring as u64 + 1)))
}

/// Those who come, each with where it goes in a list; both are in order.
fn places_among(
    list: &Paged<Packed>,
    coming: &[Place],
    place: impl Fn(Packed) -> Place,
) -> Vec<(usize, Packed)> {
    let stride = (list.len() / coming.len()).max(1);
    let mut from = 0;
    let places = coming.iter().map(|own| {
        let stands_before = |other| place(other) < *own;
        // About as far from the one before as if all stood evenly; else twice as far, and so on.
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

    /// Says whose view it is; before it stands on the rings.
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

    /// Somebody comes who is on no ring.
    pub(super) fn insert(&mut self, handle: Handle, place: impl Fn(Handle, usize) -> Place) {
        self.coming.push(handle);
        if !self.gathering {
            self.take_in(place);
        }
    }

    /// From now on who comes is gathered, until [`Self::settle`]. Nobody may ask about the rings before.
    pub(super) const fn gather(&mut self) {
        self.gathering = true;
    }

    /// Whoever was gathered goes onto the rings.
    pub(super) fn settle(&mut self, place: impl Fn(Handle, usize) -> Place) {
        self.gathering = false;
        self.take_in(place);
    }

    /// A ring, on which everybody stands who shall.
    fn settled(&self, ring: usize) -> &Paged<Packed> {
        debug_assert!(self.coming.is_empty(), "asked for before all are settled");
        &self.rings[ring]
    }

    /// O(n + k log n) for k who come.
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
    fn is_dialable(&self, handle: Handle) -> bool {
        // Nearly always all can.
        self.mute.is_empty() || !self.mute.contains(&handle)
    }

    /// All edges of a ring: each member and whom it watches. O(n).
    pub(super) fn edges(&self, ring: usize) -> impl Iterator<Item = (Handle, Handle)> + '_ {
        let handles = self.settled(ring).iter().map(|place| place.handle());
        let first = handles.clone().find(|handle| self.is_dialable(*handle));
        // From the last place backwards, the next member that can be dialled is known at each place.
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

impl Topology {
    /// The other members of a ring, once round from `handle`; nobody if it has no record.
    fn around(&self, handle: Handle, ring: usize) -> impl DoubleEndedIterator<Item = Handle> + '_ {
        let places = self.rings.settled(ring);
        let centre = self.rings.at_centre[ring].filter(|_| self.rings.centre == Some(handle));
        let (before, after) = match centre {
            Some(at) => (at, at + 1),
            None if self.held(handle).is_none() => (0, places.len()),
            None => {
                let own = self.place(handle, ring);
                match places.binary_search_by(|other| self.place(other.handle(), ring).cmp(&own)) {
                    Ok(at) => (at, at + 1),
                    Err(at) => (at, at),
                }
            }
        };
        let others = (after..places.len()).chain(0..before);
        others.filter_map(|at| places.get(at).map(|place| place.handle()))
    }

    /// The members that follow `handle` on a ring and can be dialled, nearest first.
    pub(crate) fn following(
        &self,
        handle: Handle,
        ring: usize,
    ) -> impl Iterator<Item = Handle> + '_ {
        self.around(handle, ring)
            .filter(|other| self.rings.is_dialable(*other))
    }

    /// Those who watch `handle` on a ring: whoever stands between it and the one before it that can be dialled, and
    /// that one.
    fn watchers(&self, handle: Handle, ring: usize) -> impl Iterator<Item = Handle> + '_ {
        let watched = self.rings.is_dialable(handle);
        let mut found = !watched;
        self.around(handle, ring).rev().take_while(move |before| {
            let goes_on = !found;
            found = self.rings.is_dialable(*before);
            goes_on
        })
    }

    /// Everybody whom `handle` watches, or who watches it, on any ring.
    pub(crate) fn ring_neighbours(&self, handle: Handle) -> BTreeSet<Handle> {
        let around = |ring| {
            let watched = self.following(handle, ring).next();
            watched.into_iter().chain(self.watchers(handle, ring))
        };
        (0..RINGS).flat_map(around).collect()
    }

    /// Whether `one` watches `other` or is watched by it: their silence towards each other is evidence.
    pub(crate) fn is_ring_edge(&self, one: Handle, other: Handle) -> bool {
        (0..RINGS).any(|ring| {
            self.following(one, ring).next() == Some(other)
                || self.watchers(one, ring).any(|watcher| watcher == other)
        })
    }

    /// Whether the rings' edges join everybody: they do if anybody can be dialled.
    pub(super) fn rings_join_all(&self) -> bool {
        self.rings.mute.len() < self.rings.settled(0).len()
    }

    /// Everybody who is on the rings: who is known and does not leave. O(n).
    pub(crate) fn on_rings(&self) -> impl Iterator<Item = Handle> + '_ {
        self.rings.settled(0).iter().map(|place| place.handle())
    }

    /// All edges of a ring. O(n).
    pub(super) fn ring_edges(&self, ring: usize) -> impl Iterator<Item = (Handle, Handle)> + '_ {
        self.rings.edges(ring)
    }
}
