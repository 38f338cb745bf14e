//! The index and the record of each id in one view.
//!
//! The table takes fifteen bytes per member: indices in the order of the ids, and pointers to the shared records by
//! index. An id without a record is kept separately until its record arrives.

use super::member_index::{MemberIndex, Packed};
use super::record::Record;
use crate::identity::NodeId;
use crate::paged::Paged;
use crate::size::held;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of ids in one view, whatever its configured bound.
pub const MEMBERS_LIMIT: usize = 1 << 24;

/// An entry of the id order. The id's prefix decides most comparisons without access to the record.
#[derive(Clone, Copy, Debug, PartialEq)]
struct IdEntry {
    prefix: [u8; 4],
    number: Packed,
}

impl IdEntry {
    const fn new(prefix: u32, member: MemberIndex) -> Self {
        Self {
            prefix: prefix.to_le_bytes(),
            number: Packed::of(member),
        }
    }

    const fn prefix(self) -> u32 {
        u32::from_le_bytes(self.prefix)
    }
}

/// Ids, their indices and their records.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct MemberTable {
    /// The indices, in order of their ids.
    index: Paged<IdEntry>,
    records: Paged<Option<Arc<Record>>>,
    /// The ids without a record.
    unknown: BTreeMap<MemberIndex, NodeId>,
    free: Vec<MemberIndex>,
}

impl MemberTable {
    pub(super) const fn new() -> Self {
        Self {
            index: Paged::new(),
            records: Paged::new(),
            unknown: BTreeMap::new(),
            free: Vec::new(),
        }
    }

    /// The number of ids.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// One above the highest index ever assigned.
    pub(super) fn bound(&self) -> usize {
        self.records.len()
    }

    /// Bytes in memory, without the records.
    pub(super) fn memory(&self) -> usize {
        let unknown = self.unknown.values();
        held::<IdEntry>(self.index.len())
            + held::<Option<Arc<Record>>>(self.records.len())
            + held::<(MemberIndex, NodeId)>(self.unknown.len())
            + unknown.map(|id| id.as_str().len()).sum::<usize>()
            + held::<MemberIndex>(self.free.len())
    }

    pub(super) fn record(&self, member: MemberIndex) -> Option<&Arc<Record>> {
        self.records.get(member as usize)?.as_ref()
    }

    pub(super) fn id(&self, member: MemberIndex) -> Option<&NodeId> {
        match self.record(member) {
            Some(record) => Some(record.id()),
            None => self.unknown.get(&member),
        }
    }

    /// The ids without a record, by index.
    pub(super) const fn unknown(&self) -> &BTreeMap<MemberIndex, NodeId> {
        &self.unknown
    }

    /// The index of an id, or the index at which it would be inserted.
    fn entry_of(&self, id: &NodeId) -> Result<usize, usize> {
        let prefix = id.prefix();
        if id.is_its_prefix() {
            return self
                .index
                .binary_search_by(|entry| entry.prefix().cmp(&prefix));
        }
        self.index.binary_search_by(|entry| {
            let by_prefix = entry.prefix().cmp(&prefix);
            by_prefix.then_with(|| self.id(entry.number.index()).cmp(&Some(id)))
        })
    }

    fn number_at(&self, at: usize) -> Option<MemberIndex> {
        self.index.get(at).map(|entry| entry.number.index())
    }

    pub(super) fn find(&self, id: &NodeId) -> Option<MemberIndex> {
        let at = self.entry_of(id).ok()?;
        self.number_at(at)
    }

    /// The indices in order of their ids.
    pub(super) fn indices(&self) -> impl Iterator<Item = MemberIndex> + '_ {
        self.index.iter().map(|entry| entry.number.index())
    }

    /// The indices of the ids after a given id, in order of the ids.
    pub(super) fn indices_after(
        &self,
        id: Option<&NodeId>,
    ) -> impl Iterator<Item = MemberIndex> + '_ {
        let from = id.map_or(0, |id| match self.entry_of(id) {
            Ok(at) => at + 1,
            Err(at) => at,
        });
        self.index.iter_from(from).map(|entry| entry.number.index())
    }

    /// The index of an id, which is assigned if the id is new; none if the id is new and the view already holds `max`
    /// ids.
    pub(super) fn intern(&mut self, id: &NodeId, max: usize) -> Option<MemberIndex> {
        let at = match self.entry_of(id) {
            Ok(at) => return self.number_at(at),
            Err(_) if self.len() >= max.min(MEMBERS_LIMIT) => return None,
            Err(at) => at,
        };
        let member = match self.free.pop() {
            Some(member) => member,
            None => {
                let member = MemberIndex::try_from(self.records.len()).ok()?;
                self.records.push(None);
                member
            }
        };
        self.unknown.insert(member, id.clone());
        self.index.insert(at, IdEntry::new(id.prefix(), member));
        Some(member)
    }

    pub(super) fn set_record(&mut self, member: MemberIndex, record: Arc<Record>) {
        if let Some(slot) = self.records.get_mut(member as usize) {
            *slot = Some(record);
            self.unknown.remove(&member);
        }
    }

    /// Removes an id with its record. The index of the id may be reused.
    pub(super) fn release(&mut self, member: MemberIndex) {
        let Some(id) = self.id(member).cloned() else {
            return;
        };
        if let Ok(at) = self.entry_of(&id) {
            self.index.remove(at);
        }
        if let Some(slot) = self.records.get_mut(member as usize) {
            *slot = None;
        }
        self.unknown.remove(&member);
        self.free.push(member);
    }
}
