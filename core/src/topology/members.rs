//! The handle and the record of each id in one view.
//!
//! Takes fifteen bytes a member: handles in order of their ids, and pointers to the shared records by handle. An id
//! that was only named is kept separately until its record arrives.

use super::handle::{Handle, Packed};
use super::record::Record;
use crate::identity::NodeId;
use crate::paged::Paged;
use crate::size::held;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of ids in one view, whatever its configured bound.
pub const MEMBERS_LIMIT: usize = 1 << 24;

/// An entry of the id order. The id's prefix decides most comparisons without a look at the record.
#[derive(Clone, Copy, Debug, PartialEq)]
struct IdEntry {
    prefix: [u8; 4],
    number: Packed,
}

impl IdEntry {
    const fn new(prefix: u32, handle: Handle) -> Self {
        Self {
            prefix: prefix.to_le_bytes(),
            number: Packed::of(handle),
        }
    }

    const fn prefix(self) -> u32 {
        u32::from_le_bytes(self.prefix)
    }
}

/// Ids, their handles and their records.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Members {
    /// The handles, in order of their ids.
    index: Paged<IdEntry>,
    records: Paged<Option<Arc<Record>>>,
    /// The ids without a record.
    unknown: BTreeMap<Handle, NodeId>,
    free: Vec<Handle>,
}

impl Members {
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

    /// One above the highest handle ever assigned.
    pub(super) fn bound(&self) -> usize {
        self.records.len()
    }

    /// Bytes in memory, without the records.
    pub(super) fn memory(&self) -> usize {
        let unknown = self.unknown.values();
        held::<IdEntry>(self.index.len())
            + held::<Option<Arc<Record>>>(self.records.len())
            + held::<(Handle, NodeId)>(self.unknown.len())
            + unknown.map(|id| id.as_str().len()).sum::<usize>()
            + held::<Handle>(self.free.len())
    }

    pub(super) fn record(&self, handle: Handle) -> Option<&Arc<Record>> {
        self.records.get(handle as usize)?.as_ref()
    }

    pub(super) fn id(&self, handle: Handle) -> Option<&NodeId> {
        match self.record(handle) {
            Some(record) => Some(record.id()),
            None => self.unknown.get(&handle),
        }
    }

    /// The ids without a record, by handle.
    pub(super) const fn unknown(&self) -> &BTreeMap<Handle, NodeId> {
        &self.unknown
    }

    /// The index of an id, or the index at which it would be inserted.
    fn index_of(&self, id: &NodeId) -> Result<usize, usize> {
        let prefix = id.prefix();
        if id.is_its_prefix() {
            return self
                .index
                .binary_search_by(|entry| entry.prefix().cmp(&prefix));
        }
        self.index.binary_search_by(|entry| {
            let by_prefix = entry.prefix().cmp(&prefix);
            by_prefix.then_with(|| self.id(entry.number.handle()).cmp(&Some(id)))
        })
    }

    fn number_at(&self, at: usize) -> Option<Handle> {
        self.index.get(at).map(|entry| entry.number.handle())
    }

    pub(super) fn find(&self, id: &NodeId) -> Option<Handle> {
        let at = self.index_of(id).ok()?;
        self.number_at(at)
    }

    /// The handles in order of their ids.
    pub(super) fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.index.iter().map(|entry| entry.number.handle())
    }

    /// The handles of the ids after one, in order of the ids.
    pub(super) fn handles_after(&self, id: Option<&NodeId>) -> impl Iterator<Item = Handle> + '_ {
        let from = id.map_or(0, |id| match self.index_of(id) {
            Ok(at) => at + 1,
            Err(at) => at,
        });
        self.index
            .iter_from(from)
            .map(|entry| entry.number.handle())
    }

    /// The handle of an id, assigned if the id is new; none if it is new and the view holds `max` ids already.
    pub(super) fn intern(&mut self, id: &NodeId, max: usize) -> Option<Handle> {
        let at = match self.index_of(id) {
            Ok(at) => return self.number_at(at),
            Err(_) if self.len() >= max.min(MEMBERS_LIMIT) => return None,
            Err(at) => at,
        };
        let handle = match self.free.pop() {
            Some(handle) => handle,
            None => {
                let handle = Handle::try_from(self.records.len()).ok()?;
                self.records.push(None);
                handle
            }
        };
        self.unknown.insert(handle, id.clone());
        self.index.insert(at, IdEntry::new(id.prefix(), handle));
        Some(handle)
    }

    pub(super) fn set_record(&mut self, handle: Handle, record: Arc<Record>) {
        if let Some(slot) = self.records.get_mut(handle as usize) {
            *slot = Some(record);
            self.unknown.remove(&handle);
        }
    }

    /// Removes an id with its record. Its handle may be reused.
    pub(super) fn release(&mut self, handle: Handle) {
        let Some(id) = self.id(handle).cloned() else {
            return;
        };
        if let Ok(at) = self.index_of(&id) {
            self.index.remove(at);
        }
        if let Some(slot) = self.records.get_mut(handle as usize) {
            *slot = None;
        }
        self.unknown.remove(&handle);
        self.free.push(handle);
    }
}
