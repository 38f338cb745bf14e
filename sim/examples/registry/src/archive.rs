//! The data that the programs of one run share: the bytes of the stored groups, the history of durable batches, and a database
//! that several registries use.

use crate::workload::Workload;
use phalanx_core::registry::log::LogEntry;
use phalanx_core::registry::store::CommitGroup;
use phalanx_core::registry::volatile_store::VolatileStore;
use std::cell::RefCell;
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
    /// The durable batches, as the registry has published them.
    history: Vec<Arc<LogEntry>>,
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

    /// The durable batches: the batch of sequence number 1 is the first one.
    #[must_use]
    pub fn history(&self) -> &[Arc<LogEntry>] {
        &self.history
    }

    /// Adds durable batches. Batches that are known already are skipped.
    pub fn extend<'a>(&mut self, entries: impl IntoIterator<Item = &'a Arc<LogEntry>>) {
        for entry in entries {
            if entry.revision.sequence == self.history.len() as u64 + 1 {
                self.history.push(Arc::clone(entry));
            }
        }
    }

    /// Notes that a backup with this number of batches is in the place of the store.
    pub const fn restore(&mut self, batches: u64) {
        self.restored = Some(batches);
    }

    /// Forgets the batches that a restored backup has not. Returns their end, if a backup was restored.
    pub fn begin_restored(&mut self) -> Option<u64> {
        let head = self.restored.take()?;
        self.history
            .truncate(usize::try_from(head).unwrap_or(usize::MAX));
        Some(head)
    }
}
