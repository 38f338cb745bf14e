//! The part of an owner's log that has arrived and is not yet durable: batches in order, or a snapshot.
//!
//! Bounds: batches are bounded by the credit, which is granted again when they are durable; a snapshot, by the owner's
//! quotas.

use super::message::{FeedBatch, FeedSnapshotEnd};
use crate::registry::log::{CopyPosition, LogPosition};
use crate::registry::name::{ObjectName, RegionId};
use crate::registry::object::Object;
use crate::registry::placement::owner_by_name;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Objects by name.
pub(super) type ObjectsByRegion = BTreeMap<ObjectName, Arc<Object>>;

/// The fate of a batch that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchArrival {
    /// The batch follows the last one.
    Taken,
    /// The batch arrived before.
    Known,
    /// A batch before it is missing; the number is that of the missing one.
    Gap(u64),
    /// Its number follows, and its hash does not.
    Diverged,
    /// The owner may not send it.
    Violation(&'static str),
}

/// The parts that wait to be committed.
#[derive(Clone, Debug)]
pub(super) enum InboxContent {
    /// The next batches.
    Batches(Vec<FeedBatch>),
    /// All objects of the owner.
    Snapshot(ObjectsByRegion),
}

/// The parts that have arrived.
#[derive(Clone, Debug)]
pub(super) struct ReplicaInbox {
    region: RegionId,
    primary: RegionId,
    /// The position after everything in the inbox; none while a snapshot is awaited.
    end: Option<CopyPosition>,
    batches: Vec<FeedBatch>,
    /// The parts of a snapshot.
    arriving: ObjectsByRegion,
    snapshot: Option<(ObjectsByRegion, CopyPosition)>,
    /// The size of the messages with the batches.
    bytes: usize,
    /// The position at which the owner has told of later batches and sent none.
    stalled: Option<u64>,
}

impl ReplicaInbox {
    pub(super) const fn new(region: RegionId, primary: RegionId) -> Self {
        Self {
            region,
            primary,
            end: None,
            batches: Vec::new(),
            arriving: BTreeMap::new(),
            snapshot: None,
            bytes: 0,
            stalled: None,
        }
    }

    /// The position after everything that has arrived.
    pub(super) const fn end(&self) -> Option<CopyPosition> {
        self.end
    }

    /// Drops everything; the next batch is the one after a position.
    pub(super) fn restart(&mut self, position: Option<CopyPosition>) {
        self.end = position;
        self.batches.clear();
        self.arriving.clear();
        self.snapshot = None;
        self.bytes = 0;
        self.stalled = None;
    }

    /// The owner, which may send, tells of its head and has nothing to send. Returns the number of a missing batch: the
    /// owner has told of it before, without a batch since. A single time, the confirmation may be on its way.
    pub(super) fn missing(&mut self, head: u64) -> Option<u64> {
        let end = self.end?.at.sequence;
        let is_stalled = head > end && !self.has_content();
        let was_stalled = self.stalled == Some(end);
        self.stalled = is_stalled.then_some(end);
        (is_stalled && was_stalled).then_some(end + 1)
    }

    /// Counts the bytes of a message with batches.
    pub(super) const fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    fn owns(&self, name: &ObjectName) -> bool {
        let owner = owner_by_name(name, &self.primary);
        owner.is_none_or(|owner| owner == self.region)
    }

    fn is_valid(&self, object: &Object) -> bool {
        object.metadata.owning_region == self.region && self.owns(&object.name)
    }

    /// Takes a batch if it follows.
    pub(super) fn take(&mut self, batch: FeedBatch) -> BatchArrival {
        let Some(end) = self.end else {
            return BatchArrival::Violation("batches before the end of a snapshot");
        };
        let (entry, sequence) = (&batch.entry, batch.entry.revision.sequence);
        let next = end.at.sequence + 1;
        if batch.region != self.region {
            return BatchArrival::Violation("a batch of another region");
        }
        if batch.epoch.number < end.at.epoch.number {
            return BatchArrival::Violation("a batch of a lower epoch");
        }
        if batch.epoch.number != entry.revision.epoch {
            return BatchArrival::Violation("a batch of two epochs");
        }
        if sequence < next {
            return BatchArrival::Known;
        }
        if sequence > next {
            return BatchArrival::Gap(next);
        }
        if entry.previous != end.hash || entry.hash != entry.computed_hash() {
            return BatchArrival::Diverged;
        }
        let mut changes = entry.changes.iter();
        let is_valid = changes.all(|change| match &change.after {
            Some(after) => self.is_valid(after) && after.name == change.name,
            None => self.owns(&change.name),
        });
        if !is_valid {
            return BatchArrival::Violation("an object that another region owns");
        }
        self.end = Some(CopyPosition {
            at: LogPosition {
                epoch: batch.epoch,
                sequence,
            },
            hash: entry.hash,
            ..end
        });
        self.batches.push(batch);
        BatchArrival::Taken
    }

    /// Takes a part of a snapshot. Returns whether the snapshot is complete.
    ///
    /// # Errors
    /// Returns the promise that the owner broke.
    pub(super) fn take_part(
        &mut self,
        objects: Vec<Arc<Object>>,
        end: Option<FeedSnapshotEnd>,
    ) -> Result<bool, &'static str> {
        for object in objects {
            if !self.is_valid(&object) {
                return Err("an object that another region owns");
            }
            self.arriving.insert(object.name.clone(), object);
        }
        let Some(FeedSnapshotEnd { position, count }) = end else {
            return Ok(false);
        };
        let arrived = std::mem::take(&mut self.arriving);
        if arrived.len() as u64 != count {
            return Err("the size of a snapshot");
        }
        self.batches.clear();
        self.bytes = 0;
        self.snapshot = Some((arrived, position));
        self.end = Some(position);
        Ok(true)
    }

    /// Takes out what can be committed next, with the position after it and the bytes to grant then.
    pub(super) fn take_content(&mut self) -> Option<(InboxContent, CopyPosition, usize)> {
        if let Some((objects, position)) = self.snapshot.take() {
            return Some((InboxContent::Snapshot(objects), position, 0));
        }
        let position = self.end.filter(|_| !self.batches.is_empty())?;
        let batches = std::mem::take(&mut self.batches);
        let bytes = std::mem::take(&mut self.bytes);
        Some((InboxContent::Batches(batches), position, bytes))
    }

    /// Whether something can be committed.
    pub(super) const fn has_content(&self) -> bool {
        self.snapshot.is_some() || !self.batches.is_empty()
    }
}
