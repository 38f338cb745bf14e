//! Members whose processes are gone according to the reports of their ring neighbours.
//!
//! A reporter marks an edge as refused if its link to the peer ended without a goodbye and the peer's host then refused
//! dials for some time. One such report is not evidence: one path may refuse, or the reporter may be wrong or lie. All
//! ring neighbours of the member must agree, at least [`OBSERVERS_MIN`] of them if it has so many.

use super::member_index::MemberIndex;
use super::reachability::Reachability;
use super::{MemberSlot, Topology};
use crate::sabotage::Switch;
use std::collections::{BTreeMap, BTreeSet};

/// The least number of ring neighbours that must report a member refused, if it has as many.
const OBSERVERS_MIN: usize = 2;

impl Topology {
    /// The unreached members of which each ring neighbour reports that dials are refused. A ring neighbour is passed
    /// over if it is down, or if it is itself one of these members, because several processes may end at once. The
    /// result is the greatest set with these properties. O(reported edges) unless an edge is reported refused.
    pub(crate) fn refused(
        &self,
        reachability: &Reachability,
        is_down: impl Fn(MemberIndex) -> bool,
    ) -> BTreeSet<MemberIndex> {
        let mut claims = BTreeMap::<MemberIndex, BTreeSet<MemberIndex>>::new();
        if self.sabotage.has(Switch::OneRefusalSuffices) {
            let refused = self.reported_edges().filter(|(_, edge)| edge.refused);
            return refused.map(|(_, edge)| edge.peer).collect();
        }
        for (reporter, edge) in self.reported_edges() {
            let counts = edge.down && edge.refused && !reachability.is_reached(edge.peer);
            if counts && reachability.is_reached(reporter) {
                claims.entry(edge.peer).or_default().insert(reporter);
            }
        }
        loop {
            let members: BTreeSet<MemberIndex> = claims.keys().copied().collect();
            claims.retain(|member, reporters| {
                let neighbours = self.ring_neighbours(*member).into_iter();
                let neighbours = neighbours.filter(|neighbour| !is_down(*neighbour));
                let (agree, others): (Vec<_>, Vec<_>) =
                    neighbours.partition(|neighbour| reporters.contains(neighbour));
                let least = OBSERVERS_MIN.min(agree.len() + others.len()).max(1);
                agree.len() >= least && others.iter().all(|other| members.contains(other))
            });
            if claims.len() == members.len() {
                return members;
            }
        }
    }

    /// Whether the current report of a member says that dials are refused.
    pub(crate) fn reports_refusals(&self, reporter: MemberIndex) -> bool {
        let stored = self
            .slot(reporter)
            .and_then(|slot: MemberSlot<'_>| slot.report);
        stored.is_some_and(|stored| stored.edges.iter().any(|edge| edge.refused))
    }
}
