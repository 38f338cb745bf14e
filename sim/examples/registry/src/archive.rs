//! The data that the programs of one run share: the bytes of the stored groups, the history of durable batches, and a database
//! that several registries use.

use crate::workload::Workload;
use phalanx_core::registry::log::LogEntry;
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::store::CommitGroup;
use phalanx_core::registry::volatile_store::VolatileStore;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// The archive of one run.
pub type SharedArchive = Rc<RefCell<Archive>>;

/// The archive.
#[derive(Debug, Default)]
pub struct Archive {
    /// The database of the registries, if there are several.
    pub database: VolatileStore,
    /// The counts of the workload.
    pub workload: Workload,
    /// Each group that was ever handed to the store. A record on the disk holds the index of its group, in place of the
    /// group's bytes: whether the record is whole decides whether the group is stored.
    groups: Vec<CommitGroup>,
    /// The durable batches of each region, as its registry has published them.
    histories: BTreeMap<RegionId, Vec<Arc<LogEntry>>>,
    /// The durable position of each copy: the region that has it, the owner, and the sequence number.
    copied: BTreeMap<(RegionId, RegionId), u64>,
    /// The number of batches in the backup that was put in the place of the store, until the registry serves it.
    restored: Option<u64>,
}

impl Archive {
    /// Keeps a group, and returns its index.
    pub fn keep(&mut self, group: CommitGroup) -> usize {
        self.groups.push(group);
        self.groups.len() - 1
    }

    /// The group of an index.
    #[must_use]
    pub fn group(&self, index: usize) -> Option<&CommitGroup> {
        self.groups.get(index)
    }

    /// The durable batches of a region: the batch of sequence number 1 is the first one.
    #[must_use]
    pub fn history(&self, region: &RegionId) -> &[Arc<LogEntry>] {
        self.histories.get(region).map_or(&[], Vec::as_slice)
    }

    /// The durable batches of all regions, region by region.
    pub fn histories(&self) -> impl Iterator<Item = (&RegionId, &Arc<LogEntry>)> {
        let regions = self.histories.iter();
        regions.flat_map(|(region, entries)| entries.iter().map(move |it| (region, it)))
    }

    /// Adds durable batches of a region. Batches that are known already are skipped.
    pub fn extend<'a>(
        &mut self,
        region: &RegionId,
        entries: impl IntoIterator<Item = &'a Arc<LogEntry>>,
    ) {
        let history = self.histories.entry(region.clone()).or_default();
        for entry in entries {
            if entry.revision.sequence == history.len() as u64 + 1 {
                history.push(Arc::clone(entry));
            }
        }
    }

    /// Notes that the copy of a region is durable.
    pub fn copy(&mut self, region: &RegionId, owner: &RegionId, sequence: u64) {
        let of = (region.clone(), owner.clone());
        self.copied.insert(of, sequence);
    }

    /// The number of copies of an owner's objects that are durable up to a batch.
    #[must_use]
    pub fn copies(&self, owner: &RegionId, sequence: u64) -> usize {
        let copied = self.copied.iter();
        let copied = copied.filter(|((_, of), at)| of == owner && **at >= sequence);
        copied.count()
    }

    /// Notes that a backup with this number of batches is in the place of the store.
    pub const fn restore(&mut self, batches: u64) {
        self.restored = Some(batches);
    }

    /// Forgets the batches of a region that a restored backup has not. Returns their end, if a backup was restored.
    pub fn begin_restored(&mut self, region: &RegionId) -> Option<u64> {
        let head = self.restored.take()?;
        let history = self.histories.entry(region.clone()).or_default();
        history.truncate(usize::try_from(head).unwrap_or(usize::MAX));
        Some(head)
    }
}
