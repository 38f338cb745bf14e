//! Members that are held off the rings: members that may not exist. No edge to them is assumed.
//!
//! A path leads to such a member only along an edge that another member reports, at most [`VOUCHED_MAX`] for each reporter.

use super::member_index::MemberIndex;
use super::{Topology, VOUCHED_MAX, place};
use crate::sabotage::Switch;
use std::collections::{BTreeMap, BTreeSet};

impl Topology {
    /// Holds a member off the rings. A member without a record is held off once its record arrives.
    pub(crate) fn hold_off(&mut self, member: MemberIndex) {
        if self.sabotage.has(Switch::UnprovenOnRings) || !self.off_rings.insert(member) {
            return;
        }
        if self.is_known(member) {
            self.revision += 1;
            let members = &self.members;
            self.rings
                .remove(member, |member, ring| place(members, member, ring));
        }
    }

    /// Holds members off the rings. O(members).
    pub(crate) fn hold_all_off(&mut self, members: &[MemberIndex]) {
        if self.sabotage.has(Switch::UnprovenOnRings) {
            return;
        }
        let inserted = members.iter().filter(|it| self.off_rings.insert(**it));
        let inserted: BTreeSet<MemberIndex> = inserted.copied().collect();
        self.revision += inserted.iter().filter(|it| self.is_known(**it)).count() as u64;
        let members = &self.members;
        self.rings
            .remove_all(&inserted, |member, ring| place(members, member, ring));
    }

    /// Puts members on the rings that were held off.
    pub(crate) fn let_on(&mut self, members: &[MemberIndex]) {
        self.rings.begin_batch();
        for member in members {
            if !self.off_rings.remove(member) {
                continue;
            }
            let record = self.known_record(*member);
            let Some(record) = record.filter(|record| !record.rank().leaving) else {
                continue;
            };
            let dialable = record.content().address.is_some();
            let table = &self.members;
            let place = |member, ring| place(table, member, ring);
            self.rings.set_dialable(*member, dialable, place);
            self.rings.insert(*member, place);
            self.revision += 1;
        }
        let table = &self.members;
        self.rings.commit(|member, ring| place(table, member, ring));
    }

    /// Whether a member is held off the rings.
    pub(crate) fn is_held_off(&self, member: MemberIndex) -> bool {
        self.off_rings.contains(&member)
    }

    /// The known members that are held off the rings and do not leave.
    pub(crate) fn held_off(&self) -> impl Iterator<Item = MemberIndex> + '_ {
        let held = self.off_rings.iter().copied();
        held.filter(|member| {
            let record = self.known_record(*member);
            record.is_some_and(|record| !record.rank().leaving)
        })
    }

    /// Drops the edges (reporter, peer), in the order of their reporters, that do not count: those to members off the
    /// rings for whose reporter `vouches` is false, and those beyond [`VOUCHED_MAX`] of one reporter.
    pub(super) fn retain_vouched(
        &self,
        edges: &mut Vec<(MemberIndex, MemberIndex)>,
        vouches: impl Fn(MemberIndex) -> bool,
    ) {
        if self.off_rings.is_empty() {
            return;
        }
        let mut latest = (MemberIndex::MAX, 0);
        edges.retain(|(reporter, peer)| {
            if !self.is_held_off(*peer) {
                return true;
            }
            if latest.0 != *reporter {
                latest = (*reporter, 0);
            }
            latest.1 += 1;
            latest.1 <= VOUCHED_MAX && vouches(*reporter)
        });
    }

    /// The edges that current reports state as up, at most [`VOUCHED_MAX`] of each report: reporter and peer.
    pub(crate) fn edges_up(&self) -> impl Iterator<Item = (MemberIndex, MemberIndex)> + '_ {
        let reporters = self.reporting.iter().copied();
        reporters.flat_map(|reporter| self.edges_up_of(reporter).map(move |peer| (reporter, peer)))
    }

    /// The peers of the edges that a member reports as up, at most [`VOUCHED_MAX`].
    pub(crate) fn edges_up_of(
        &self,
        reporter: MemberIndex,
    ) -> impl Iterator<Item = MemberIndex> + '_ {
        let stored = self.reports.get(&reporter).into_iter();
        let edges = stored.flat_map(|stored| stored.edges.iter());
        let up = edges.filter(|edge| !edge.down).map(|edge| edge.peer);
        up.take(VOUCHED_MAX)
    }

    /// The members to which an edge is reported down, each with the reporters. O(reported edges).
    pub(crate) fn accusers(&self) -> BTreeMap<MemberIndex, BTreeSet<MemberIndex>> {
        let mut accusers = BTreeMap::<MemberIndex, BTreeSet<MemberIndex>>::new();
        for (reporter, edge) in self.reported_edges().filter(|(_, edge)| edge.down) {
            accusers.entry(edge.peer).or_default().insert(reporter);
        }
        accusers
    }

    /// Whether all ring neighbours of a member that are not down are among its `accusers`: they report that they have no
    /// link with it. A path to the member then rests on reports of other members alone.
    pub(crate) fn is_shunned(
        &self,
        member: MemberIndex,
        accusers: &BTreeMap<MemberIndex, BTreeSet<MemberIndex>>,
        is_down: impl Fn(MemberIndex) -> bool,
    ) -> bool {
        let Some(accusers) = accusers.get(&member) else {
            return false;
        };
        let neighbours = self.ring_neighbours(member).into_iter();
        let mut neighbours = neighbours.filter(|neighbour| !is_down(*neighbour));
        neighbours.all(|neighbour| accusers.contains(&neighbour))
    }

    /// The digests of the records of some members.
    pub(crate) fn record_digests(&self, members: &[MemberIndex]) -> Vec<u64> {
        let records = members.iter().filter_map(|it| self.known_record(*it));
        records.map(|record| record.digest()).collect()
    }

    /// The number of slots in use: members, forgotten ones, and ids without a record.
    pub(crate) fn slots(&self) -> usize {
        self.members.len()
    }

    /// The number of ids without a record.
    pub(crate) fn without_record(&self) -> usize {
        self.members.unknown().len()
    }

    /// Whether a sabotage switch is on.
    pub(crate) const fn has(&self, switch: Switch) -> bool {
        self.sabotage.has(switch)
    }
}
