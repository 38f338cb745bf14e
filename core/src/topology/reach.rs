//! To whom a path leads, in one view.
//!
//! An edge of the rings counts unless either end reports it down. An edge that is no edge of the rings counts
//! only where an end vouches for it, and then only from the one who vouches to the one it hears: a stale vouch
//! must not hide a death. O(members + reported edges), and computed only when a report or a member changed.

use super::{Handle, RINGS, Topology};
use crate::time::Instant;
use std::collections::BTreeSet;

/// A reporter and the peer it reports about.
type Pair = (Handle, Handle);

/// The result: who is reached, and the latest proof of life of those who are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Union-find parents, then roots, by handle.
    roots: Vec<Handle>,
    /// Whether the component of a root is reached, by root.
    reached: Vec<bool>,
    /// The latest proof that somebody heard a member of the component of a root, by root.
    proofs: Vec<Option<Instant>>,
}

impl Reach {
    /// Whether a path leads to `handle`.
    pub(crate) fn is_reached(&self, handle: Handle) -> bool {
        self.reached[self.roots[handle as usize] as usize]
    }

    /// The latest proof of life of anybody in the unreached part that `handle` is in.
    pub(crate) fn proof(&self, handle: Handle) -> Option<Instant> {
        self.proofs[self.roots[handle as usize] as usize]
    }

    fn root(&mut self, mut handle: Handle) -> Handle {
        while self.roots[handle as usize] != handle {
            let parent = self.roots[handle as usize];
            self.roots[handle as usize] = self.roots[parent as usize];
            handle = parent;
        }
        handle
    }

    fn join(&mut self, one: Handle, other: Handle) {
        let (one, other) = (self.root(one), self.root(other));
        if one != other {
            self.roots[one.max(other) as usize] = one.min(other);
        }
    }
}

impl Topology {
    /// Computes to whom paths lead from `me`; `reach` only lends its memory.
    ///
    /// `is_down` tells whom this view holds for down: an edge of the rings between such a member and another is not
    /// presumed up. The rings may have changed since it died, and the edge may never have been.
    pub(crate) fn reach(&self, me: Handle, is_down: impl Fn(Handle) -> bool, reach: &mut Reach) {
        let bound = self.handle_bound();
        reach.roots.clear();
        reach
            .roots
            .extend(0..u32::try_from(bound).unwrap_or(u32::MAX));
        let (down, vouches) = self.reported_edges();
        // Most edges have an end that nobody accuses and that accuses nobody: they are not looked up.
        let mut named = vec![false; bound];
        for (reporter, peer) in &down {
            named[*reporter as usize] = true;
            named[*peer as usize] = true;
        }
        for ring in 0..RINGS {
            for (one, other) in self.ring_edges(ring) {
                if is_down(one) != is_down(other) {
                    continue;
                }
                let both_named = named[one as usize] && named[other as usize];
                if !both_named || !down.contains(&(one, other)) && !down.contains(&(other, one)) {
                    reach.join(one, other);
                }
            }
        }
        for handle in 0..reach.roots.len() {
            let root = reach.root(u32::try_from(handle).unwrap_or(0));
            reach.roots[handle] = root;
        }
        reach.reached.clear();
        reach.reached.resize(bound, false);
        reach.reached[reach.roots[me as usize] as usize] = true;
        spread(reach, vouches);
        reach.proofs.clear();
        reach.proofs.resize(bound, None);
        for reporter in &self.reporting {
            let Some(standing) = self.slot(*reporter).and_then(|slot| slot.report.as_ref()) else {
                continue;
            };
            for (peer, proof) in standing.peers.iter().zip(&standing.proofs) {
                let latest = &mut reach.proofs[reach.roots[*peer as usize] as usize];
                *latest = (*latest).max(*proof);
            }
        }
    }

    /// The edges reported down, and those vouched for, as (reporter, peer).
    fn reported_edges(&self) -> (BTreeSet<Pair>, Vec<Pair>) {
        let mut down = BTreeSet::new();
        let mut vouches = Vec::new();
        for reporter in &self.reporting {
            let Some(standing) = self.slot(*reporter).and_then(|slot| slot.report.as_ref()) else {
                continue;
            };
            for (edge, peer) in standing.report.edges.iter().zip(&standing.peers) {
                if edge.down {
                    down.insert((*reporter, *peer));
                } else {
                    vouches.push((*reporter, *peer));
                }
            }
        }
        (down, vouches)
    }

    /// Whether no edge is reported down and the rings join everybody. O(reported edges).
    pub(crate) fn is_unaccused(&self) -> bool {
        let standing =
            |reporter: &Handle| self.slot(*reporter).and_then(|slot| slot.report.as_ref());
        self.rings_join_all()
            && self
                .reporting
                .iter()
                .filter_map(standing)
                .all(|standing| standing.report.edges.iter().all(|edge| !edge.down))
    }

    /// Whether any reporter says that an edge to `peer` is down. O(reported edges).
    pub(crate) fn is_accused(&self, peer: Handle) -> bool {
        self.reporting.iter().any(|reporter| {
            self.slot(*reporter)
                .and_then(|slot| slot.report.as_ref())
                .is_some_and(|standing| {
                    standing
                        .report
                        .edges
                        .iter()
                        .zip(&standing.peers)
                        .any(|(edge, at)| edge.down && *at == peer)
                })
        })
    }
}

/// Follows vouches from what is reached until nothing more is.
fn spread(reach: &mut Reach, mut vouches: Vec<(Handle, Handle)>) {
    loop {
        let before = vouches.len();
        vouches.retain(|(reporter, peer)| {
            let from = reach.roots[*reporter as usize] as usize;
            let to = reach.roots[*peer as usize] as usize;
            if reach.reached[from] {
                reach.reached[to] = true;
            }
            !reach.reached[from]
        });
        if vouches.len() == before {
            return;
        }
    }
}
