//! Which way leads to whom, in one view.
//!
//! A pair of members is linked if an edge of the rings joins them that neither end reports down, or if one of them
//! vouches that it hears the other; every other pair is untried. What a node's own links are it knows itself. Routes
//! are shortest paths over linked pairs (breadth first), ties by the lowest name of the first hop. O(members +
//! reported edges) for all routes of one node.

use super::{Handle, RINGS, Topology};
use std::collections::{BTreeSet, VecDeque};

/// The ways from one node to all others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Routes {
    /// By handle; none: no way leads there.
    ways: Vec<Option<Way>>,
}

/// The way to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The first member on it.
    pub(crate) first: Handle,
    /// The last before the member itself.
    pub(crate) last: Handle,
    /// The number of links.
    pub(crate) hops: u32,
}

/// The linked pairs, both ways, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pairs(Vec<(Handle, Handle)>);

impl Pairs {
    /// With whom a member is linked.
    pub(crate) fn neighbours(&self, handle: Handle) -> impl Iterator<Item = Handle> + '_ {
        let from = self.0.partition_point(|(one, _)| *one < handle);
        let pairs = self.0[from..].iter();
        pairs
            .take_while(move |(one, _)| *one == handle)
            .map(|(_, other)| *other)
    }
}

impl Routes {
    pub(crate) fn to(&self, handle: Handle) -> Option<Way> {
        *self.ways.get(handle as usize)?
    }
}

impl Topology {
    /// The pairs of live members that count as linked in this view.
    pub(crate) fn linked_pairs(&self) -> Pairs {
        let live = |handle: Handle| self.is_well(handle) && self.is_known(handle);
        let mut failed: BTreeSet<(Handle, Handle)> = BTreeSet::new();
        let mut pairs: Vec<(Handle, Handle)> = Vec::new();
        for (reporter, edge) in self.reported_edges() {
            if edge.down {
                failed.insert((reporter, edge.peer));
            } else if live(reporter) && live(edge.peer) {
                pairs.push((reporter, edge.peer));
                pairs.push((edge.peer, reporter));
            }
        }
        for ring in 0..RINGS {
            for (one, other) in self.ring_edges(ring) {
                if live(one) && live(other) {
                    pairs.push((one, other));
                    pairs.push((other, one));
                }
            }
        }
        pairs.retain(|(one, other)| {
            !failed.contains(&(*one, *other)) && !failed.contains(&(*other, *one))
        });
        pairs.sort_unstable();
        pairs.dedup();
        Pairs(pairs)
    }

    /// The ways from `me`, whose links lead to `neighbours`, around those to be avoided.
    pub(crate) fn routes(
        &self,
        pairs: &Pairs,
        me: Handle,
        neighbours: impl Iterator<Item = Handle>,
        avoid: &[Handle],
    ) -> Routes {
        let mut ways: Vec<Option<Way>> = vec![None; self.handle_bound()];
        let mut first: Vec<Handle> = neighbours
            .filter(|it| *it != me && !avoid.contains(it))
            .collect();
        first.sort_unstable_by(|one, other| self.id_at(*one).cmp(&self.id_at(*other)));
        let mut front: VecDeque<Handle> = VecDeque::new();
        for neighbour in first {
            let way = &mut ways[neighbour as usize];
            if way.is_none() {
                *way = Some(Way {
                    first: neighbour,
                    last: me,
                    hops: 1,
                });
                front.push_back(neighbour);
            }
        }
        while let Some(handle) = front.pop_front() {
            let Some(here) = ways[handle as usize] else {
                continue;
            };
            for next in pairs.neighbours(handle) {
                let way = &mut ways[next as usize];
                if next == me || way.is_some() || avoid.contains(&next) {
                    continue;
                }
                *way = Some(Way {
                    first: here.first,
                    last: handle,
                    hops: here.hops + 1,
                });
                front.push_back(next);
            }
        }
        Routes { ways }
    }
}
