//! What one node knows of the mesh: values and pure functions.
//!
//! Decides which of two values about a node wins ([`Topology::apply_record`], `Topology::apply_report`), who
//! serves what ([`Topology::providers`]), who watches whom (`rings`) and to whom a path leads (`reach`). It does
//! not decide who is alive: that needs time, and lives in `gossip`, which tells it by `Topology::set_listed`.
//!
//! Both kinds of value are merged by lexicographic maximum, so that views that heard the same things are equal
//! whatever the order. A report stands only while its reporter's record is not of a later epoch: a restart takes it
//! away. Values that arrive before the record of whom they are about are kept in a slot
//! without record (a placeholder).
//!
//! Bounds: at most `members_max` slots; further members are rejected. Values are shared (`Arc`), so that a
//! thousand views of one simulation hold one body.

mod providers;
mod reach;
pub mod record;
mod rings;
#[cfg(test)]
mod tests;

pub use reach::Reach;
pub use rings::RINGS;

use crate::gossip::message::UpdateId;
use crate::gossip::{Sabotage, Switch};
use crate::identity::NodeId;
use crate::random::mix;
use crate::time::Instant;
use providers::Providers;
use record::{Record, Report};
use rings::Rings;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A member's place in one view; another view numbers otherwise.
pub(crate) type Handle = u32;

/// What a view holds about one id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    pub(crate) id: NodeId,
    pub(crate) record: Option<Arc<Record>>,
    pub(crate) report: Option<Standing>,
    /// Forgotten: kept only so that old news does not bring it back.
    pub(crate) retired: bool,
}

/// A report and what this view made of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) report: Arc<Report>,
    /// The peers of the report's edges, in this view's numbers.
    pub(crate) peers: Vec<Handle>,
    /// For each edge: when the reporter last heard the peer, on this node's clock.
    pub(crate) proofs: Vec<Option<Instant>>,
}

/// What applying a value did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Applied {
    /// It is what the view holds.
    Same,
    /// The view holds something newer, or something that outranks it.
    Older,
    /// It took the place of something older, or of nothing.
    Newer,
    /// It was not taken: the view is full.
    Full,
}

/// One node's view: records, reports, and what is derived from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    index: BTreeMap<NodeId, Handle>,
    slots: Vec<Option<Slot>>,
    free: Vec<Handle>,
    rings: Rings,
    providers: Providers,
    reporting: BTreeSet<Handle>,
    hash: u64,
    count: usize,
    members_max: usize,
    sabotage: Sabotage,
}

/// What one value adds to the order-free set hash.
const fn share(digest: u64) -> u64 {
    mix(digest ^ 0x7068_616c_616e_7821)
}

impl Topology {
    /// An empty view of at most `members_max` ids.
    #[must_use]
    pub const fn new(members_max: usize, sabotage: Sabotage) -> Self {
        Self {
            index: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            rings: Rings::new(),
            providers: Providers::new(),
            reporting: BTreeSet::new(),
            hash: 0,
            count: 0,
            members_max,
            sabotage,
        }
    }

    /// Order-free hash of all records and reports that count: equal on equal views.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The number of ids with a record that are not forgotten.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether nobody is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The record of an id.
    #[must_use]
    pub fn record(&self, id: &NodeId) -> Option<&Arc<Record>> {
        let slot = self.slot(*self.index.get(id)?)?;
        if slot.retired {
            None
        } else {
            slot.record.as_ref()
        }
    }

    /// The report of an id.
    #[must_use]
    pub fn report(&self, id: &NodeId) -> Option<&Arc<Report>> {
        self.slot(*self.index.get(id)?)?
            .report
            .as_ref()
            .map(|standing| &standing.report)
    }

    /// The ids that have a record and are not forgotten, with it, in id order. O(n).
    pub fn records(&self) -> impl Iterator<Item = &Arc<Record>> + '_ {
        self.index.values().filter_map(|handle| {
            let slot = self.slot(*handle)?;
            if slot.retired {
                None
            } else {
                slot.record.as_ref()
            }
        })
    }

    /// The nodes that are listed and serve `name` in `version`, or in any version; in id order. A look-up, not a scan.
    #[must_use]
    pub fn providers(&self, name: &str, version: Option<&str>) -> Vec<NodeId> {
        self.providers.of(name, version)
    }

    /// Every service that a listed node serves, with its providers, in order of name and version.
    pub fn services(&self) -> impl Iterator<Item = (&str, &str, &[NodeId])> + '_ {
        self.providers.all()
    }

    pub(crate) fn handle(&self, id: &NodeId) -> Option<Handle> {
        self.index.get(id).copied()
    }

    pub(crate) fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.index.values().copied()
    }

    /// The handles of the ids after one, in id order.
    pub(crate) fn handles_after(&self, id: Option<&NodeId>) -> impl Iterator<Item = Handle> + '_ {
        use core::ops::Bound::{Excluded, Unbounded};
        let from = id.map_or(Unbounded, |id| Excluded(id.clone()));
        self.index
            .range((from, Unbounded))
            .map(|(_, handle)| *handle)
    }

    /// The members that have a record and are not forgotten, in order of their numbers. O(n).
    pub(crate) fn known(&self) -> impl Iterator<Item = Handle> + '_ {
        (0..).zip(&self.slots).filter_map(|(handle, slot)| {
            slot.as_ref()
                .filter(|slot| slot.record.is_some() && !slot.retired)
                .map(|_| handle)
        })
    }

    /// The ids that somebody named and of which neither record nor report is held. O(n), unless there are none.
    pub(crate) fn placeholders(&self) -> Vec<Handle> {
        if self.index.len() == self.count {
            return Vec::new();
        }
        let empty = |handle: &Handle| {
            self.slot(*handle)
                .is_some_and(|slot| slot.record.is_none() && slot.report.is_none())
        };
        self.handles().filter(empty).collect()
    }

    /// Whether a member has a record and is not forgotten.
    pub(crate) fn is_known(&self, handle: Handle) -> bool {
        self.slot(handle)
            .is_some_and(|slot| slot.record.is_some() && !slot.retired)
    }

    /// Whether a standing report names this member.
    pub(crate) fn is_named(&self, handle: Handle) -> bool {
        self.reporting
            .iter()
            .filter_map(|reporter| self.slot(*reporter)?.report.as_ref())
            .any(|standing| standing.peers.contains(&handle))
    }

    /// One above the highest handle ever given.
    pub(crate) fn handle_bound(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn slot(&self, handle: Handle) -> Option<&Slot> {
        self.slots.get(handle as usize)?.as_ref()
    }

    fn slot_mut(&mut self, handle: Handle) -> Option<&mut Slot> {
        self.slots.get_mut(handle as usize)?.as_mut()
    }

    /// The handle of an id, made if the id is new; none when the view is full.
    pub(crate) fn intern(&mut self, id: &NodeId) -> Option<Handle> {
        if let Some(handle) = self.index.get(id) {
            return Some(*handle);
        }
        if self.index.len() >= self.members_max && !self.sabotage.has(Switch::Unbounded) {
            return None;
        }
        let slot = Slot {
            id: id.clone(),
            record: None,
            report: None,
            retired: false,
        };
        let handle = match self.free.pop() {
            Some(handle) => {
                self.slots[handle as usize] = Some(slot);
                handle
            }
            None => {
                self.slots.push(Some(slot));
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        self.index.insert(id.clone(), handle);
        Some(handle)
    }

    /// Merges a record: the greater stays.
    pub fn apply_record(&mut self, record: &Arc<Record>) -> Applied {
        self.intern(record.id())
            .map_or(Applied::Full, |handle| self.apply_record_at(handle, record))
    }

    /// Merges a record into the slot of its id.
    pub(crate) fn apply_record_at(&mut self, handle: Handle, record: &Arc<Record>) -> Applied {
        let lower_wins = self.sabotage.has(Switch::MergeLowerWins);
        let ignores_content = self.sabotage.has(Switch::MergeIgnoresContent);
        let Some(slot) = self.slot(handle) else {
            return Applied::Full;
        };
        if let Some(held) = &slot.record {
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
        self.replace_record(handle, Arc::clone(record));
        Applied::Newer
    }

    fn replace_record(&mut self, handle: Handle, record: Arc<Record>) {
        self.withdraw(handle);
        let rank = record.rank();
        let Some(slot) = self.slot_mut(handle) else {
            return;
        };
        slot.record = Some(record);
        slot.retired = false;
        if slot
            .report
            .as_ref()
            .is_some_and(|standing| outranked(standing.report.epoch, rank))
        {
            self.drop_report(handle);
        }
        self.enter(handle);
    }

    /// Takes a record out of everything derived from it.
    fn withdraw(&mut self, handle: Handle) {
        let Some(slot) = self.slots.get(handle as usize).and_then(Option::as_ref) else {
            return;
        };
        let Some(record) = &slot.record else { return };
        if slot.retired {
            return;
        }
        self.hash = self.hash.wrapping_sub(share(record.digest()));
        self.count -= 1;
        self.rings.remove(&slot.id, handle);
        if !self.sabotage.has(Switch::ProviderIndexStale) {
            self.providers.remove(record);
        }
    }

    /// Puts a record into everything derived from it.
    fn enter(&mut self, handle: Handle) {
        let Some(slot) = self.slots.get(handle as usize).and_then(Option::as_ref) else {
            return;
        };
        let Some(record) = &slot.record else { return };
        self.hash = self.hash.wrapping_add(share(record.digest()));
        self.count += 1;
        if !record.rank().leaving {
            self.rings
                .insert(&slot.id, handle, record.content().address.is_some());
            self.providers.insert(record);
        }
    }

    /// Whether a member is listed among the providers of its services (it is alive or suspect).
    pub(crate) fn set_listed(&mut self, handle: Handle, listed: bool) {
        let Some(slot) = self.slots.get(handle as usize).and_then(Option::as_ref) else {
            return;
        };
        let Some(record) = &slot.record else { return };
        if listed && !record.rank().leaving && !slot.retired {
            self.providers.insert(record);
        } else if !self.sabotage.has(Switch::ProviderIndexStale) {
            self.providers.remove(record);
        }
    }

    /// Merges a report: the greater (epoch, version) stays; one that its reporter's record outranks is old.
    /// `proofs` are the edges' proofs on this node's clock.
    pub(crate) fn apply_report(
        &mut self,
        report: &Arc<Report>,
        proofs: Vec<Option<Instant>>,
    ) -> Applied {
        let Some(handle) = self.intern(&report.reporter) else {
            return Applied::Full;
        };
        let Some(slot) = self.slot(handle) else {
            return Applied::Full;
        };
        // A forgotten reporter's word would be hashed and never sent on.
        let old = slot
            .record
            .as_ref()
            .is_some_and(|record| outranked(report.epoch, record.rank()));
        if old || slot.retired {
            return Applied::Older;
        }
        if let Some(held) = &slot.report {
            match report.cmp(&held.report) {
                core::cmp::Ordering::Less => return Applied::Older,
                core::cmp::Ordering::Equal => return Applied::Same,
                core::cmp::Ordering::Greater => {}
            }
        }
        let mut peers = Vec::with_capacity(report.edges.len());
        for edge in &report.edges {
            match self.intern(&edge.peer) {
                Some(peer) => peers.push(peer),
                None => return Applied::Full,
            }
        }
        self.drop_report(handle);
        self.hash = self.hash.wrapping_add(share(report.digest()));
        if !report.edges.is_empty() {
            self.reporting.insert(handle);
        }
        if let Some(slot) = self.slot_mut(handle) {
            slot.report = Some(Standing {
                report: Arc::clone(report),
                peers,
                proofs,
            });
        }
        Applied::Newer
    }

    fn drop_report(&mut self, handle: Handle) {
        let Some(slot) = self.slot_mut(handle) else {
            return;
        };
        if let Some(standing) = slot.report.take() {
            self.hash = self.hash.wrapping_sub(share(standing.report.digest()));
            self.reporting.remove(&handle);
        }
    }

    /// Whether the view holds this publication or a newer one of the same kind and node.
    pub(crate) fn holds(&self, id: &UpdateId) -> bool {
        let Some(slot) = self.handle(&id.origin).and_then(|handle| self.slot(handle)) else {
            return false;
        };
        if let Some(record) = &slot.record {
            let rank = record.rank();
            if id.report && outranked(id.epoch, rank) {
                return true;
            }
            if !id.report && (rank.epoch, rank.version) >= (id.epoch, id.version) {
                return true;
            }
        }
        id.report
            && slot.report.as_ref().is_some_and(|held| {
                (held.report.epoch, held.report.version) >= (id.epoch, id.version)
            })
    }

    /// Forgets a member: it counts nowhere, but its slot stays so that old news does not bring it back.
    pub(crate) fn retire(&mut self, handle: Handle) {
        self.withdraw(handle);
        self.drop_report(handle);
        if let Some(slot) = self.slot_mut(handle) {
            slot.retired = true;
        }
    }

    /// Frees the slot of a member that was retired long ago.
    pub(crate) fn release(&mut self, handle: Handle) {
        self.withdraw(handle);
        self.drop_report(handle);
        if let Some(slot) = self.slots.get_mut(handle as usize).and_then(Option::take) {
            self.index.remove(&slot.id);
            self.free.push(handle);
        }
    }

    /// The digests of everything the set hash covers, with whose and which kind it is. O(n).
    pub(crate) fn digests(&self) -> impl Iterator<Item = (u64, Handle, bool)> + '_ {
        self.index.values().flat_map(|handle| {
            let slot = self.slot(*handle);
            let record = slot
                .filter(|slot| !slot.retired)
                .and_then(|slot| slot.record.as_ref())
                .map(|record| (record.digest(), *handle, false));
            let report = slot
                .and_then(|slot| slot.report.as_ref())
                .map(|standing| (standing.report.digest(), *handle, true));
            record.into_iter().chain(report)
        })
    }
}

/// Whether a record's rank voids reports of `epoch` by the same node. By epoch alone: that only ever rises, so that
/// the order of arrival does not matter, while a farewell can be outranked by a clone of the same epoch.
const fn outranked(epoch: u64, rank: record::Rank) -> bool {
    epoch < rank.epoch
}
