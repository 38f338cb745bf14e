//! What the programs of one run share: the bytes of the stored groups, and the history of durable batches.

use phalanx_core::registry::log::LogEntry;
use phalanx_core::registry::store::CommitGroup;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// The archive of one run.
pub type SharedArchive = Rc<RefCell<Archive>>;

/// The archive.
#[derive(Debug, Default)]
pub struct Archive {
    /// Each group that was ever handed to the store. A record on the disk holds the index of its group, in place of the
    /// group's bytes: whether the record is whole decides whether the group is stored.
    groups: Vec<CommitGroup>,
    /// The durable batches, as the registry has published them.
    history: Vec<Arc<LogEntry>>,
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
}
