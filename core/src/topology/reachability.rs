//! Reachability: the members to which a path of edges leads, in one view.
//!
//! A ring edge counts as up unless either end reports it down. An edge outside the rings counts only if one end reports
//! that it hears the other, and only in the direction from that reporter to the other; otherwise a stale report would
//! hide a death. The cost is O(members + reported edges); reachability is computed only when a report or a member
//! changed.

use super::member_index::MemberIndex;
use super::position::RINGS;
use super::{ReportedEdge, Topology};
use crate::time::Instant;
use std::collections::BTreeMap;

/// The result: the members reached, and the latest last-heard time of those not reached.
#[derive(Clone, Debug)]
pub(crate) struct Reachability {
    /// Union-find parents, then roots, by index.
    roots: Vec<MemberIndex>,
    /// Whether the component of a root is reached, by root.
    reached: Vec<bool>,
    /// The latest time at which any reporter heard a member of an unreached component, by the component's root.
    last_heard: BTreeMap<MemberIndex, Instant>,
}

/// Conditions under which the ring edges of a member do not count, by member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Doubt {
    /// The member is down in this view.
    down: bool,
    /// Neighbours reported the member lost.
    reported: bool,
    /// The member reports an edge as down, or is the peer of an edge reported as down.
    named: bool,
    /// One more than the index of the first accusation between this member and a member with a higher index; 0 if there
    /// is none.
    accusations: u32,
}

impl Reachability {
    /// Whether a path leads to `member`.
    pub(crate) fn is_reached(&self, member: MemberIndex) -> bool {
        self.reached[self.roots[member as usize] as usize]
    }

    /// The latest last-heard time of any member of the unreached component that contains `member`.
    pub(crate) fn last_heard(&self, member: MemberIndex) -> Option<Instant> {
        self.last_heard.get(&self.roots[member as usize]).copied()
    }

    fn root(&mut self, mut member: MemberIndex) -> MemberIndex {
        while self.roots[member as usize] != member {
            let parent = self.roots[member as usize];
            self.roots[member as usize] = self.roots[parent as usize];
            member = parent;
        }
        member
    }

    fn join(&mut self, one: MemberIndex, other: MemberIndex) {
        let (one, other) = (self.root(one), self.root(other));
        if one != other {
            self.roots[one.max(other) as usize] = one.min(other);
        }
    }

    /// Every index below `bound` in a component of its own.
    fn new(bound: usize) -> Self {
        Self {
            roots: (0..MemberIndex::try_from(bound).unwrap_or(MemberIndex::MAX)).collect(),
            reached: vec![false; bound],
            last_heard: BTreeMap::new(),
        }
    }

    /// Marks components as reached along edges reported up, given as (reporter, peer), until nothing changes.
    fn propagate(&mut self, mut reported_up: Vec<(MemberIndex, MemberIndex)>) {
        loop {
            let before = reported_up.len();
            reported_up.retain(|(reporter, peer)| {
                let from = self.roots[*reporter as usize] as usize;
                let to = self.roots[*peer as usize] as usize;
                if self.reached[from] {
                    self.reached[to] = true;
                }
                !self.reached[from]
            });
            if reported_up.len() == before {
                break;
            }
        }
    }
}

impl Topology {
    /// Computes which members are reachable from `me`.
    ///
    /// `down` lists the members that are down in this view. A ring edge between a down member and one that is not down
    /// is not assumed up: the rings may have changed since the member died, so the edge may never have existed. No ring
    /// edge of a member in `reported` is assumed up: neighbours reported these members lost, and this node has no other
    /// knowledge of them. Edges to members off the rings count only if `vouches` is true for the reporter.
    pub(crate) fn reachability(
        &self,
        me: MemberIndex,
        down: impl Iterator<Item = MemberIndex>,
        reported: &[MemberIndex],
        vouches: impl Fn(MemberIndex) -> bool,
    ) -> Reachability {
        let mut reachability = Reachability::new(self.index_bound());
        let mut doubts = vec![Doubt::default(); self.index_bound()];
        for member in down {
            doubts[member as usize].down = true;
        }
        for member in reported {
            doubts[*member as usize].reported = true;
        }
        // Each accusation holds the higher index, and the position (plus one) of the next accusation with the same
        // lower index.
        let mut accused = Vec::<(MemberIndex, u32)>::with_capacity(4 * self.reporting.len());
        let mut reported_up = Vec::new();
        self.reported_edges().for_each(|(reporter, edge)| {
            if edge.down {
                doubts[reporter as usize].named = true;
                doubts[edge.peer as usize].named = true;
                let (low, high) = (reporter.min(edge.peer), reporter.max(edge.peer));
                let first = &mut doubts[low as usize].accusations;
                accused.push((high, *first));
                *first = u32::try_from(accused.len()).unwrap_or(0);
            } else {
                reported_up.push((reporter, edge.peer));
            }
        });
        self.retain_vouched(&mut reported_up, vouches);
        let is_accused = |mut next: u32, high: MemberIndex| {
            while let Some((other, after)) = accused.get((next as usize).wrapping_sub(1)) {
                if *other == high {
                    return true;
                }
                next = *after;
            }
            false
        };
        for ring in 0..RINGS {
            for (one, other) in self.ring_edges(ring) {
                // Nearly all members already share one root.
                if reachability.roots[one as usize] == reachability.roots[other as usize] {
                    continue;
                }
                let (low, high) = (one.min(other), one.max(other));
                let (left, right) = (doubts[low as usize], doubts[high as usize]);
                let broken = left.down != right.down
                    || left.reported
                    || right.reported
                    || left.named && right.named && is_accused(left.accusations, high);
                if !broken {
                    reachability.join(one, other);
                }
            }
        }
        for member in 0..reachability.roots.len() {
            let root = reachability.root(u32::try_from(member).unwrap_or(0));
            reachability.roots[member] = root;
        }
        reachability.reached[reachability.roots[me as usize] as usize] = true;
        reachability.propagate(reported_up);
        self.reported_edges().for_each(|(_, edge)| {
            let root = reachability.roots[edge.peer as usize];
            if let Some(last_heard) = edge
                .last_heard
                .filter(|_| !reachability.reached[root as usize])
            {
                let latest = reachability.last_heard.entry(root).or_insert(last_heard);
                *latest = last_heard.max(*latest);
            }
        });
        reachability
    }

    /// Every edge of every current report, with its reporter.
    pub(super) fn reported_edges(&self) -> impl Iterator<Item = (MemberIndex, &ReportedEdge)> {
        // If most reports name an edge, all reports are iterated; otherwise the reports that name an edge are looked
        // up.
        let all = self.reports.len() <= 4 * self.reporting.len();
        let (read, looked_up) = if all {
            (Some(self.reports.iter()), None)
        } else {
            let found = self.reporting.iter();
            (
                None,
                Some(found.filter_map(|reporter| self.reports.get_key_value(reporter))),
            )
        };
        let read = read.into_iter().flatten();
        let all = read.chain(looked_up.into_iter().flatten());
        all.flat_map(|(reporter, stored)| stored.edges.iter().map(move |edge| (*reporter, edge)))
    }

    /// The reported edges to a member, each with its reporter. O(reported edges).
    pub(crate) fn edges_to(
        &self,
        peer: MemberIndex,
    ) -> impl Iterator<Item = (MemberIndex, &ReportedEdge)> {
        self.reported_edges()
            .filter(move |(_, edge)| edge.peer == peer)
    }

    /// Whether no edge is reported down, and the ring edges connect all members. O(reported edges).
    pub(crate) fn is_unaccused(&self) -> bool {
        self.off_rings.is_empty()
            && self.rings_join_all()
            && self.reported_edges().all(|(_, edge)| !edge.down)
    }

    /// Whether any reporter says that a ring edge to `peer` is down. O(reported edges).
    pub(crate) fn is_accused(&self, peer: MemberIndex) -> bool {
        self.reported_edges().any(|(reporter, edge)| {
            edge.down && edge.peer == peer && self.is_ring_edge(reporter, peer)
        })
    }
}
