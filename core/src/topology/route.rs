//! Routes to all members, in one view.
//!
//! A pair of members counts as linked if the two are joined by a ring edge that neither end reports down, or if one of
//! the two reports that it hears the other; every other pair is untried. A node knows its own links directly. Routes
//! are shortest paths over linked pairs (breadth-first search); of several shortest paths, the one with the lowest names
//! from the first hop on is chosen, so equal views have equal routes. O(members + reported edges) for all routes of one
//! node, and the sorting of the pairs.

use super::Topology;
use super::member_index::MemberIndex;
use super::position::RINGS;
use std::collections::{BTreeSet, VecDeque};

/// The routes from one node to all others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Routes {
    /// The routes by member index; none if no route leads to the member.
    routes: Vec<Option<MemberRoute>>,
}

/// The route to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberRoute {
    /// The first hop.
    pub(crate) first: MemberIndex,
    /// The last hop before the destination.
    pub(crate) last: MemberIndex,
    /// The number of links.
    pub(crate) hops: u32,
}

/// The linked pairs, each in both directions, by the index of the first and the name of the second member.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LinkedPairs(Vec<(MemberIndex, MemberIndex)>);

impl LinkedPairs {
    /// The members that a member is linked with.
    pub(crate) fn neighbours(&self, member: MemberIndex) -> impl Iterator<Item = MemberIndex> + '_ {
        let from = self.0.partition_point(|(one, _)| *one < member);
        let pairs = self.0[from..].iter();
        pairs
            .take_while(move |(one, _)| *one == member)
            .map(|(_, other)| *other)
    }
}

impl Routes {
    pub(crate) fn to(&self, member: MemberIndex) -> Option<MemberRoute> {
        *self.routes.get(member as usize)?
    }
}

impl Topology {
    /// The pairs of live members that count as linked in this view.
    pub(crate) fn linked_pairs(&self) -> LinkedPairs {
        let live = |member: MemberIndex| self.is_alive(member) && self.is_known(member);
        let mut failed: BTreeSet<(MemberIndex, MemberIndex)> = BTreeSet::new();
        let mut pairs: Vec<(MemberIndex, MemberIndex)> = Vec::new();
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
        let mut ranks = vec![0_u32; self.index_bound()];
        for (rank, member) in (0..).zip(self.indices()) {
            ranks[member as usize] = rank;
        }
        pairs.sort_unstable_by_key(|(one, other)| (*one, ranks[*other as usize]));
        pairs.dedup();
        LinkedPairs(pairs)
    }

    /// Whether a member's report says that its link with another member is down.
    pub(crate) fn reports_down(&self, reporter: MemberIndex, peer: MemberIndex) -> bool {
        let edges = self.reports.get(&reporter);
        edges.is_some_and(|stored| {
            stored
                .edges
                .iter()
                .any(|edge| edge.down && edge.peer == peer)
        })
    }

    /// The routes from `me` that pass through none of the members in `avoid`; the links of `me` lead to `neighbours`.
    pub(crate) fn routes(
        &self,
        pairs: &LinkedPairs,
        me: MemberIndex,
        neighbours: impl Iterator<Item = MemberIndex>,
        avoid: &[MemberIndex],
    ) -> Routes {
        let mut routes: Vec<Option<MemberRoute>> = vec![None; self.index_bound()];
        let mut first: Vec<MemberIndex> = neighbours
            .filter(|it| *it != me && !avoid.contains(it))
            .collect();
        first.sort_unstable_by(|one, other| self.id_at(*one).cmp(&self.id_at(*other)));
        let mut front: VecDeque<MemberIndex> = VecDeque::new();
        for neighbour in first {
            let route = &mut routes[neighbour as usize];
            if route.is_none() {
                *route = Some(MemberRoute {
                    first: neighbour,
                    last: me,
                    hops: 1,
                });
                front.push_back(neighbour);
            }
        }
        while let Some(member) = front.pop_front() {
            let Some(here) = routes[member as usize] else {
                continue;
            };
            for next in pairs.neighbours(member) {
                let route = &mut routes[next as usize];
                if next == me || route.is_some() || avoid.contains(&next) {
                    continue;
                }
                *route = Some(MemberRoute {
                    first: here.first,
                    last: member,
                    hops: here.hops + 1,
                });
                front.push_back(next);
            }
        }
        Routes { routes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeId;
    use crate::sabotage::Sabotage;
    use crate::topology::record::{Content, Edge, EdgeReport, Rank, Record};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn id(index: usize) -> NodeId {
        NodeId::new(&format!("n{index:03}")).unwrap()
    }

    /// A view of `count` members with these edges reported down.
    fn view(count: usize, failed: &[(usize, usize)]) -> Topology {
        view_in_order(0..count, failed)
    }

    /// A view of members that were learnt in this order.
    fn view_in_order(order: impl Iterator<Item = usize>, failed: &[(usize, usize)]) -> Topology {
        let mut topology = Topology::new(1_000, Sabotage::NONE);
        let local = topology.intern(&id(0)).unwrap();
        topology.set_local_member(local);
        for index in order {
            let content = Content {
                address: Some("10.0.0.1:1".parse().unwrap()),
                ..Content::default()
            };
            let rank = Rank {
                epoch: 1,
                version: 1,
                ..Rank::default()
            };
            topology.apply_record(&Arc::new(Record::new(id(index), rank, content)));
        }
        let mut by_reporter: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (reporter, peer) in failed {
            by_reporter.entry(*reporter).or_default().push(*peer);
        }
        for (reporter, mut peers) in by_reporter {
            peers.sort_unstable();
            peers.dedup();
            peers.retain(|peer| *peer != reporter);
            let edges: Vec<Edge> = peers
                .iter()
                .map(|peer| Edge {
                    peer: id(*peer),
                    down: true,
                    refused: false,
                })
                .collect();
            let last_heard_times = vec![None; edges.len()];
            let report = EdgeReport {
                epoch: 1,
                version: 2,
                edges,
                reporter: id(reporter),
            };
            topology.apply_report(&Arc::new(report), last_heard_times);
        }
        topology
    }

    /// Distances by repeated relaxation.
    fn distances(
        pairs: &LinkedPairs,
        bound: usize,
        me: MemberIndex,
        first: &[MemberIndex],
    ) -> Vec<Option<u32>> {
        let mut distances = vec![None; bound];
        for neighbour in first {
            distances[*neighbour as usize] = Some(1);
        }
        for _ in 0..bound {
            for (one, other) in &pairs.0 {
                let through = distances[*one as usize].map(|hops: u32| hops + 1);
                let known = &mut distances[*other as usize];
                if let Some(through) = through
                    && *other != me
                    && known.is_none_or(|known| through < known)
                {
                    *known = Some(through);
                }
            }
        }
        distances
    }

    proptest! {
        #[test]
        fn every_route_is_a_shortest_one_and_no_route_is_missing(
            count in 2_usize..40,
            failed in prop::collection::vec((0_usize..40, 0_usize..40), 0..60),
        ) {
            let failed: Vec<_> = failed.into_iter().filter(|(one, other)| *one < count && *other < count).collect();
            let topology = view(count, &failed);
            let pairs = topology.linked_pairs();
            for (one, other) in &failed {
                let one = topology.index_of(&id(*one)).unwrap();
                let other = topology.index_of(&id(*other)).unwrap();
                prop_assert!(pairs.neighbours(one).all(|peer| peer != other));
                prop_assert!(pairs.neighbours(other).all(|peer| peer != one));
            }
            let me = topology.index_of(&id(0)).unwrap();
            let first: Vec<MemberIndex> = pairs.neighbours(me).collect();
            let routes = topology.routes(&pairs, me, first.iter().copied(), &[]);
            let expected = distances(&pairs, topology.index_bound(), me, &first);
            for member in topology.indices().filter(|member| *member != me) {
                let route = routes.to(member);
                prop_assert_eq!(route.map(|route| route.hops), expected[member as usize]);
                if let Some(route) = route {
                    let before = if route.last == me { Some(0) } else { routes.to(route.last).map(|it| it.hops) };
                    prop_assert_eq!(before, Some(route.hops - 1));
                    prop_assert!(first.contains(&route.first));
                    // Among first hops on equally short routes, the one with the lowest name is chosen.
                    let alternatives = first.iter().filter(|hop| {
                        let only = distances(&pairs, topology.index_bound(), me, &[**hop]);
                        only[member as usize] == Some(route.hops)
                    });
                    let lowest = alternatives.map(|hop| topology.id_at(*hop)).min();
                    prop_assert_eq!(lowest, Some(topology.id_at(route.first)));
                }
            }
        }
    }

    #[test]
    fn equal_views_have_equal_routes_in_whatever_order_the_members_were_learnt() {
        let failed = [(3, 9), (9, 12), (0, 14), (5, 6)];
        let tree = |topology: &Topology| -> Vec<_> {
            let pairs = topology.linked_pairs();
            let me = topology.index_of(&id(0)).unwrap();
            let routes = topology.routes(&pairs, me, pairs.neighbours(me), &[]);
            let name = |member| topology.id_at(member).cloned();
            let members = topology.indices().filter_map(|member| {
                let route = routes.to(member)?;
                Some((
                    name(member),
                    name(route.first),
                    name(route.last),
                    route.hops,
                ))
            });
            members.collect()
        };
        let expected = tree(&view(60, &failed));
        assert_eq!(expected.len(), 59);
        assert!(expected.iter().any(|(.., hops)| *hops > 2));
        assert_eq!(tree(&view_in_order((0..60).rev(), &failed)), expected);
        assert_eq!(
            tree(&view_in_order((0..60).map(|at| at * 7 % 60), &failed)),
            expected
        );
    }

    #[test]
    fn a_detour_avoids_the_excluded_hops() {
        let topology = view(20, &[]);
        let pairs = topology.linked_pairs();
        let me = topology.index_of(&id(0)).unwrap();
        let first: Vec<MemberIndex> = pairs.neighbours(me).collect();
        for avoided in &first {
            let around = topology.routes(&pairs, me, first.iter().copied(), &[*avoided]);
            assert_eq!(around.to(*avoided), None);
            for member in topology.indices() {
                assert!(
                    around
                        .to(member)
                        .is_none_or(|route| route.first != *avoided)
                );
            }
        }
    }

    #[test]
    fn no_route_passes_a_member_that_is_down() {
        let mut topology = view(20, &[]);
        let down = topology.index_of(&id(7)).unwrap();
        topology.set_alive(down, false);
        let pairs = topology.linked_pairs();
        assert_eq!(pairs.neighbours(down).count(), 0);
        assert!(
            topology
                .indices()
                .all(|one| pairs.neighbours(one).all(|other| other != down))
        );
    }
}
