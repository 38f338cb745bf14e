//! One node's view of the mesh: values and pure functions.
//!
//! Decides which of two values about a node wins ([`Topology::apply_record`], `Topology::apply_report`), which nodes
//! provide a service ([`Topology::providers`]), which member watches which (`rings`), and which members are reachable
//! (`reachability`). Liveness is decided by `gossip`, because it depends on time; `gossip` passes the result to
//! `Topology::set_listed`.
//!
//! Both kinds of value are merged by lexicographic maximum, so views that received the same values are equal whatever
//! the order. A report becomes void once its reporter's record has a later epoch, so a restart removes the report.
//! Values that arrive before the record of a member that they name are kept in a slot without a record (an unknown
//! record).
//!
//! Bounds: at most `members_max` slots; further members are rejected. Values are shared (`Arc`), so that a thousand
//! views in one simulation hold each value once.

pub mod alias;
mod edge_failure;
mod hold;
mod member_index;
mod members;
mod memory;
mod neighbourhood;
mod position;
mod providers;
pub mod publication;
mod reachability;
pub mod record;
mod refused;
mod rings;
pub(crate) mod route;
#[cfg(test)]
mod tests;

pub use edge_failure::{EDGE_FAILURES_MAX, EdgeFailure};
pub(crate) use member_index::MemberIndex;
pub use members::MEMBERS_LIMIT;
pub use position::RINGS;

use crate::identity::NodeId;
use crate::random::{Random, mix};
use crate::sabotage::{Sabotage, Switch};
use crate::time::Instant;
use members::MemberTable;
use providers::Providers;
use publication::{Key, PublicationId, PublicationKind};
use record::{EdgeReport, Record};
use rings::Rings;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Maximum number of edges of one report that lead to members off the rings.
pub(crate) const VOUCHED_MAX: usize = 64;

/// The contents of a view for one id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberSlot<'a> {
    pub(crate) id: &'a NodeId,
    pub(crate) record: Option<&'a Arc<Record>>,
    pub(crate) report: Option<&'a StoredReport>,
    /// The member is forgotten: the slot is kept only so that old updates do not bring the member back.
    pub(crate) retired: bool,
}

/// A report with the data that this view derives from it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredReport {
    pub(crate) report: Arc<EdgeReport>,
    /// The report's hash, cached because it is expensive to compute.
    digest: u64,
    /// The report's edges, in its order.
    pub(crate) edges: Box<[ReportedEdge]>,
}

/// One edge of a report, with this view's indices and this node's clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReportedEdge {
    pub(crate) peer: MemberIndex,
    pub(crate) down: bool,
    /// The reporter's dials of the peer are refused.
    pub(crate) refused: bool,
    /// The time at which the reporter last heard the peer, according to this node's clock.
    pub(crate) last_heard: Option<Instant>,
    /// The reason why the reporter has no link with the peer, if the reporter states one.
    pub(crate) failure: Option<EdgeFailure>,
}

/// The evidence that the reporter of an edge states beside the edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EdgeEvidence {
    /// The time at which the reporter last heard the peer, according to this node's clock.
    pub(crate) last_heard: Option<Instant>,
    /// The reason why the reporter has no link with the peer.
    pub(crate) failure: Option<EdgeFailure>,
}

impl From<Option<Instant>> for EdgeEvidence {
    fn from(last_heard: Option<Instant>) -> Self {
        let failure = None;
        Self {
            last_heard,
            failure,
        }
    }
}

/// The outcome of applying a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Applied {
    /// The view already holds this value.
    Same,
    /// The view holds a newer value, or one that outranks it.
    Older,
    /// The value was stored. The value replaced an older value, or the view held none.
    Newer,
    /// The value was rejected: the view is full.
    Full,
}

/// One node's view: records, reports, and the data derived from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    members: MemberTable,
    /// The current reports. Few members need to publish a report.
    reports: BTreeMap<MemberIndex, StoredReport>,
    /// Forgotten members whose records are kept.
    retired: BTreeSet<MemberIndex>,
    rings: Rings,
    /// Members that are held off the rings.
    off_rings: BTreeSet<MemberIndex>,
    providers: Providers,
    /// Reporters whose report has at least one edge.
    reporting: BTreeSet<MemberIndex>,
    hash: u64,
    count: usize,
    /// Sum of the ring positions (on the first ring) of the known members that are alive.
    alive: u64,
    /// Members that are not alive, whether known or not.
    not_alive: BTreeSet<MemberIndex>,
    revision: u64,
    members_max: usize,
    sabotage: Sabotage,
}

/// The contribution of one value to the order-free set hash.
const fn share(digest: u64) -> u64 {
    mix(digest ^ 0x7068_616c_616e_7821)
}

/// The position of a member with a record on a ring.
fn place(members: &MemberTable, member: MemberIndex, ring: usize) -> (u64, MemberIndex) {
    (
        members
            .record(member)
            .map_or(0, |record| record.places()[ring]),
        member,
    )
}

impl Topology {
    /// An empty view of at most `members_max` ids.
    #[must_use]
    pub const fn new(members_max: usize, sabotage: Sabotage) -> Self {
        Self {
            members: MemberTable::new(),
            reports: BTreeMap::new(),
            retired: BTreeSet::new(),
            rings: Rings::new(),
            off_rings: BTreeSet::new(),
            providers: Providers::new(),
            reporting: BTreeSet::new(),
            hash: 0,
            count: 0,
            alive: 0,
            not_alive: BTreeSet::new(),
            revision: 0,
            members_max,
            sabotage,
        }
    }

    /// Order-free hash of all records and reports in effect: equal views have equal hashes.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Increases whenever a record is added, removed or changed, and whenever a member's liveness in this view changes.
    /// As long as the revision stays equal, the members, their status and the provider index stay equal too.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Order-free hash of the ids that are known and alive in this view.
    #[must_use]
    pub const fn alive(&self) -> u64 {
        self.alive
    }

    /// Order-free hash of the ids that are known in this view.
    pub(crate) fn names(&self) -> u64 {
        let gone = self.not_alive.iter();
        let gone = gone.filter_map(|member| self.known_record(*member));
        gone.fold(self.alive, |sum, record| {
            sum.wrapping_add(record.places()[0])
        })
    }

    /// The value of [`Self::alive`] in a view where exactly these ids are alive.
    pub fn alive_if<'i>(ids: impl Iterator<Item = &'i NodeId>) -> u64 {
        ids.fold(0, |sum, id| sum.wrapping_add(position::places(id)[0]))
    }

    /// Whether a member is alive in this view; the member may be unknown.
    pub(crate) fn is_alive(&self, member: MemberIndex) -> bool {
        !self.not_alive.contains(&member)
    }

    /// Sets whether a member is alive in this view.
    pub(crate) fn set_alive(&mut self, member: MemberIndex, alive: bool) {
        self.revision += 1;
        let changed = if alive {
            self.not_alive.remove(&member)
        } else {
            self.not_alive.insert(member)
        };
        if changed && let Some(record) = self.known_record(member) {
            let place = record.places()[0];
            self.alive = if alive {
                self.alive.wrapping_add(place)
            } else {
                self.alive.wrapping_sub(place)
            };
        }
    }

    /// The number of ids with a record that are not forgotten.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether no member is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The record of an id.
    #[must_use]
    pub fn record(&self, id: &NodeId) -> Option<&Arc<Record>> {
        self.known_record(self.members.find(id)?)
    }

    /// The report of an id.
    #[must_use]
    pub fn report(&self, id: &NodeId) -> Option<&Arc<EdgeReport>> {
        let stored = self.reports.get(&self.members.find(id)?)?;
        Some(&stored.report)
    }

    /// The records of the ids that are not forgotten, in id order. O(n).
    pub fn records(&self) -> impl Iterator<Item = &Arc<Record>> + '_ {
        self.members
            .indices()
            .filter_map(|member| self.known_record(member))
    }

    /// The listed nodes that serve `name` in `version`, or in any version, in id order. Uses the provider index,
    /// without a scan of the members.
    #[must_use]
    pub fn providers(&self, name: &str, version: Option<&str>) -> Vec<NodeId> {
        self.providers.of(name, version)
    }

    /// Every service that a listed node serves, with its providers, in order of name and version.
    pub fn services(&self) -> impl Iterator<Item = (&str, &str, &[NodeId])> + '_ {
        self.providers.all()
    }

    pub(crate) fn index_of(&self, id: &NodeId) -> Option<MemberIndex> {
        self.members.find(id)
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = MemberIndex> + '_ {
        self.members.indices()
    }

    /// The indices of the ids after a given id, in id order.
    pub(crate) fn indices_after(
        &self,
        id: Option<&NodeId>,
    ) -> impl Iterator<Item = MemberIndex> + '_ {
        self.members.indices_after(id)
    }

    /// Indices of the ids for which the view holds neither a record nor a report, in id order.
    pub(crate) fn unknown_records(&self) -> Vec<MemberIndex> {
        let unknown = self.members.unknown().iter();
        let mut empty: Vec<(&NodeId, MemberIndex)> = unknown
            .filter(|(member, _)| !self.reports.contains_key(member))
            .map(|(member, id)| (id, *member))
            .collect();
        empty.sort_unstable();
        empty.into_iter().map(|(_, member)| member).collect()
    }

    /// Whether a member has a record and is not forgotten.
    pub(crate) fn is_known(&self, member: MemberIndex) -> bool {
        self.known_record(member).is_some()
    }

    /// Whether a member is forgotten but its record is kept, so that old updates do not bring the member back.
    pub(crate) fn is_retired(&self, member: MemberIndex) -> bool {
        self.retired.contains(&member)
    }

    /// Whether a current report names this member.
    pub(crate) fn is_named(&self, member: MemberIndex) -> bool {
        self.reported_edges().any(|(_, edge)| edge.peer == member)
    }

    /// One above the highest index ever assigned.
    pub(crate) fn index_bound(&self) -> usize {
        self.members.bound()
    }

    /// A member with a record, drawn at random; none if eight draws found no such member.
    pub(crate) fn random_member(&self, random: &mut Random) -> Option<MemberIndex> {
        let bound = self.index_bound() as u64;
        for _ in 0..8 {
            let member = MemberIndex::try_from(random.below(bound)).ok()?;
            if self.is_known(member) {
                return Some(member);
            }
        }
        None
    }

    /// Sets the local member, the owner of this view.
    pub(crate) const fn set_local_member(&mut self, member: MemberIndex) {
        self.rings.set_local_member(member);
    }

    pub(crate) fn slot(&self, member: MemberIndex) -> Option<MemberSlot<'_>> {
        Some(MemberSlot {
            id: self.members.id(member)?,
            record: self.members.record(member),
            report: self.reports.get(&member),
            retired: self.retired.contains(&member),
        })
    }

    /// The record of a member, whether or not the member is forgotten.
    fn held(&self, member: MemberIndex) -> Option<&Arc<Record>> {
        self.members.record(member)
    }

    /// The record of a member that is not forgotten.
    pub(crate) fn known_record(&self, member: MemberIndex) -> Option<&Arc<Record>> {
        self.members
            .record(member)
            .filter(|_| !self.retired.contains(&member))
    }

    /// Whether a member that is not forgotten advertises an address.
    pub(crate) fn is_addressed(&self, member: MemberIndex) -> bool {
        let record = self.known_record(member);
        record.is_some_and(|record| record.content().address.is_some())
    }

    pub(crate) fn id_at(&self, member: MemberIndex) -> Option<&NodeId> {
        self.members.id(member)
    }

    /// The position of a member with a record on a ring.
    fn place(&self, member: MemberIndex, ring: usize) -> (u64, MemberIndex) {
        place(&self.members, member, ring)
    }

    /// The index of an id, assigned if the id is new; none if the view is full.
    pub(crate) fn intern(&mut self, id: &NodeId) -> Option<MemberIndex> {
        let bounded = !self.sabotage.has(Switch::Unbounded);
        let max = if bounded {
            self.members_max
        } else {
            usize::MAX
        };
        self.members.intern(id, max)
    }

    /// Begins a batch of record merges. New members are placed on the rings together, when the batch is dropped,
    /// because one insertion moves half of a ring's entries on average. The batch borrows the view, so ring queries are
    /// not possible while the batch exists.
    pub(crate) const fn batch(&mut self) -> Batch<'_> {
        self.rings.begin_batch();
        Batch { topology: self }
    }

    /// Merges a record: the greater of the two records is kept.
    pub fn apply_record(&mut self, record: &Arc<Record>) -> Applied {
        self.intern(record.id())
            .map_or(Applied::Full, |member| self.apply_record_at(member, record))
    }

    /// Merges a record into the slot of its id.
    pub(crate) fn apply_record_at(&mut self, member: MemberIndex, record: &Arc<Record>) -> Applied {
        let lower_wins = self.sabotage.has(Switch::MergeLowerWins);
        let ignores_content = self.sabotage.has(Switch::MergeIgnoresContent);
        if let Some(held) = self.held(member) {
            let mut order = record.cmp(held);
            if ignores_content {
                order = record.rank().cmp(&held.rank());
            }
            if lower_wins && record.rank().epoch == held.rank().epoch && record.rank().version > 1 {
                order = order.reverse();
            }
            match order {
                core::cmp::Ordering::Less if self.sabotage.has(Switch::OlderReplaces) => {}
                core::cmp::Ordering::Less => return Applied::Older,
                core::cmp::Ordering::Equal => return Applied::Same,
                core::cmp::Ordering::Greater => {}
            }
        }
        self.replace_record(member, Arc::clone(record));
        Applied::Newer
    }

    fn replace_record(&mut self, member: MemberIndex, record: Arc<Record>) {
        let rank = record.rank();
        let stood = self
            .known_record(member)
            .is_some_and(|old| !old.rank().leaving);
        self.withdraw(member, stood && rank.leaving);
        self.members.set_record(member, record);
        self.retired.remove(&member);
        if self
            .reports
            .get(&member)
            .is_some_and(|stored| outranked(stored.report.epoch, rank))
        {
            self.drop_report(member);
        }
        self.enter(member, !stood);
    }

    /// Removes a record from all derived data. The member also leaves the rings, except if its record is about to be
    /// replaced.
    fn withdraw(&mut self, member: MemberIndex, off_rings: bool) {
        self.revision += 1;
        let Some(record) = self.members.record(member) else {
            return;
        };
        if self.retired.contains(&member) {
            return;
        }
        self.hash = self.hash.wrapping_sub(share(record.digest()));
        self.count -= 1;
        if !self.not_alive.contains(&member) {
            self.alive = self.alive.wrapping_sub(record.places()[0]);
        }
        if off_rings {
            self.off_rings.remove(&member);
            let members = &self.members;
            self.rings
                .remove(member, |member, ring| place(members, member, ring));
        }
        if !self.sabotage.has(Switch::ProviderIndexStale) {
            self.providers.remove(record);
        }
    }

    /// Adds a record to all derived data. The member is placed on the rings, except if it is already there.
    fn enter(&mut self, member: MemberIndex, onto_rings: bool) {
        self.revision += 1;
        let Some(record) = self.members.record(member) else {
            return;
        };
        self.hash = self.hash.wrapping_add(share(record.digest()));
        self.count += 1;
        if !self.not_alive.contains(&member) {
            self.alive = self.alive.wrapping_add(record.places()[0]);
        }
        if !record.rank().leaving {
            if !self.off_rings.contains(&member) {
                let (members, dialable) = (&self.members, record.content().address.is_some());
                let place = |member, ring| place(members, member, ring);
                self.rings.set_dialable(member, dialable, place);
                if onto_rings {
                    self.rings.insert(member, place);
                }
            }
            self.providers.insert(record);
        }
    }

    /// Sets whether a member is listed among the providers of its services (it is alive or suspect).
    pub(crate) fn set_listed(&mut self, member: MemberIndex, listed: bool) {
        self.revision += 1;
        let Some(record) = self.members.record(member) else {
            return;
        };
        if listed && !record.rank().leaving && !self.retired.contains(&member) {
            self.providers.insert(record);
        } else if !self.sabotage.has(Switch::ProviderIndexStale) {
            self.providers.remove(record);
        }
    }

    /// Merges a report: the report with the greater (epoch, version) is kept. A report that its reporter's record
    /// outranks counts as old. `evidence` belongs to the edges, in their order.
    pub(crate) fn apply_report(
        &mut self,
        report: &Arc<EdgeReport>,
        evidence: impl IntoIterator<Item = impl Into<EdgeEvidence>>,
    ) -> Applied {
        self.intern(&report.reporter)
            .map_or(Applied::Full, |member| {
                self.apply_report_at(member, report, evidence)
            })
    }

    /// Merges a report into the slot of its reporter.
    pub(crate) fn apply_report_at(
        &mut self,
        member: MemberIndex,
        report: &Arc<EdgeReport>,
        evidence: impl IntoIterator<Item = impl Into<EdgeEvidence>>,
    ) -> Applied {
        // The report of a forgotten reporter would be part of the hash but never be sent on.
        let old = self
            .held(member)
            .is_some_and(|record| outranked(report.epoch, record.rank()));
        if old || self.retired.contains(&member) {
            return Applied::Older;
        }
        if let Some(held) = self.reports.get(&member) {
            match report.cmp(&held.report) {
                core::cmp::Ordering::Less => return Applied::Older,
                core::cmp::Ordering::Equal => return Applied::Same,
                core::cmp::Ordering::Greater => {}
            }
        }
        let mut edges = Vec::with_capacity(report.edges.len());
        for (edge, evidence) in report.edges.iter().zip(evidence) {
            let Some(peer) = self.intern(&edge.peer) else {
                return Applied::Full;
            };
            let EdgeEvidence {
                last_heard,
                failure,
            } = evidence.into();
            edges.push(ReportedEdge {
                peer,
                down: edge.down,
                refused: edge.refused,
                last_heard,
                failure,
            });
        }
        self.drop_report(member);
        let digest = report.digest();
        self.hash = self.hash.wrapping_add(share(digest));
        if !report.edges.is_empty() {
            self.reporting.insert(member);
        }
        let stored = StoredReport {
            report: Arc::clone(report),
            digest,
            edges: edges.into(),
        };
        self.reports.insert(member, stored);
        Applied::Newer
    }

    fn drop_report(&mut self, member: MemberIndex) {
        if let Some(stored) = self.reports.remove(&member) {
            self.hash = self.hash.wrapping_sub(share(stored.digest));
            self.reporting.remove(&member);
        }
    }

    /// Whether the view holds this publication or a newer one of the same kind and origin.
    pub(crate) fn holds(&self, id: &PublicationId) -> bool {
        self.index_of(&id.origin)
            .is_some_and(|member| self.holds_at(member, id))
    }

    /// Like [`Self::holds`], for a publication of this member.
    pub(crate) fn holds_at(&self, member: MemberIndex, id: &PublicationId) -> bool {
        let reports = id.kind == PublicationKind::EdgeReport;
        if let Some(record) = self.held(member) {
            let rank = record.rank();
            if reports && outranked(id.epoch, rank) {
                return true;
            }
            if !reports && (rank.epoch, rank.version) >= (id.epoch, id.version) {
                return true;
            }
        }
        reports
            && self.reports.get(&member).is_some_and(|held| {
                (held.report.epoch, held.report.version) >= (id.epoch, id.version)
            })
    }

    /// Forgets a member: removes it from the hash, the rings and the provider index, and drops its report. The member's
    /// slot is kept so that old updates do not bring the member back.
    pub(crate) fn retire(&mut self, member: MemberIndex) {
        self.withdraw(member, true);
        self.drop_report(member);
        if self.held(member).is_some() {
            self.retired.insert(member);
        }
    }

    /// Takes a forgotten member back with the record that its slot kept. Returns whether the member was forgotten.
    pub(crate) fn reinstate(&mut self, member: MemberIndex) -> bool {
        let forgotten = self.retired.remove(&member);
        if forgotten {
            self.enter(member, true);
        }
        forgotten
    }

    /// Frees the slot of a retired member.
    pub(crate) fn release(&mut self, member: MemberIndex) {
        self.withdraw(member, true);
        self.drop_report(member);
        self.retired.remove(&member);
        self.members.release(member);
    }

    /// The digest and the key of each publication that the set hash covers. O(n).
    pub(crate) fn digests(&self) -> impl Iterator<Item = (u64, Key)> + '_ {
        self.indices().flat_map(|member| {
            let record = self
                .known_record(member)
                .map(|record| (record.digest(), Key::Record(member)));
            let report = self
                .reports
                .get(&member)
                .map(|stored| (stored.digest, Key::EdgeReport(member)));
            record.into_iter().chain(report)
        })
    }
}

/// A batch of record merges into a view.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    topology: &'a mut Topology,
}

impl Batch<'_> {
    /// The set hash of the view.
    pub(crate) const fn hash(&self) -> u64 {
        self.topology.hash
    }

    /// Whether the view has a record of an id that is not forgotten.
    pub(crate) fn is_known(&self, id: &NodeId) -> bool {
        self.topology.record(id).is_some()
    }

    /// The view. Ring queries are not possible.
    pub(crate) const fn view(&self) -> &Topology {
        self.topology
    }

    /// Merges a record: the greater of the two records is kept. Returns the owner's index, the record held before, and
    /// the outcome; none if the view is full. A new member is held off the rings if `off_rings` is true.
    pub(crate) fn merge(
        &mut self,
        record: &Arc<Record>,
        off_rings: bool,
    ) -> Option<(MemberIndex, Option<Arc<Record>>, Applied)> {
        let member = self.topology.intern(record.id())?;
        if off_rings {
            self.topology.hold_off(member);
        }
        let held = self.topology.known_record(member).cloned();
        let applied = self.topology.apply_record_at(member, record);
        Some((member, held, applied))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let members = &self.topology.members;
        self.topology
            .rings
            .commit(|member, ring| place(members, member, ring));
    }
}

/// Whether a record's rank makes reports of `epoch` by the same node void. Only the epoch counts: it never decreases,
/// so the order of arrival does not matter. The leaving flag does not count, because a leaving record can be outranked
/// by a clone's record with the same epoch.
const fn outranked(epoch: u64, rank: record::Rank) -> bool {
    epoch < rank.epoch
}
