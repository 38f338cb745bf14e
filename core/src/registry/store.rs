//! The port to a region's store.
//!
//! A store keeps the objects, the log and the epochs. It has two operations, which the sequencer orders and whose
//! completion is an input of the sequencer:
//!
//! - *open*: makes a new epoch durable, with a number above all earlier ones, and returns the stored state. From then
//!   on, a commit of an earlier epoch fails as [`StoreFailure::Fenced`], also one that is already under way.
//! - *commit*: makes a group of batches durable, all of them or none, in one transaction that also checks the epoch and
//!   that the first batch follows the stored head. The group also has changes of copies of other regions' objects.

use super::log::{CopyPosition, LogEntry, LogEpoch};
use super::name::{ObjectName, RegionId};
use super::object::Object;
use std::sync::Arc;

/// The stored state at an opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreImage {
    /// The uid of the store: the incarnation of its first epoch. It never changes.
    pub uid: u64,
    /// The epochs, each with the sequence number of its first batch; the last one has just begun.
    pub epochs: Vec<(LogEpoch, u64)>,
    /// The objects of the region and the copies of other regions' objects. The metadata name the owner.
    pub objects: Vec<Arc<Object>>,
    /// The positions of the copies, by the regions that own the objects.
    pub copies: Vec<(RegionId, CopyPosition)>,
    /// The sequence number of the last removed batch.
    pub floor: u64,
    /// The batches after the floor, in order and without gaps.
    pub log: Vec<Arc<LogEntry>>,
}

impl StoreImage {
    /// The sequence number of the latest batch.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.floor + self.log.len() as u64
    }
}

/// Batches to commit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitGroup {
    /// The epoch of the sequencer.
    pub epoch: LogEpoch,
    /// The batches.
    pub entries: Vec<Arc<LogEntry>>,
    /// Batches up to this sequence number may be removed.
    pub floor: u64,
    /// Changes of copies, at most one for each region. A group may have no other content.
    pub copies: Vec<CopyUpdate>,
}

/// Changes of the copies of one region's objects, and the position that they lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyUpdate {
    /// The region that owns the objects.
    pub region: RegionId,
    /// The position after the changes.
    pub position: CopyPosition,
    /// The changed objects, at most one change of each; none removes an object.
    pub changes: Vec<(ObjectName, Option<Arc<Object>>)>,
}

/// Reason why a store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    /// No space is left. Nothing was stored.
    Full,
    /// Another sequencer has opened the store. Nothing was stored.
    Fenced,
    /// The store failed. Whether the group was stored is not known until the store is opened again.
    Failed,
}

impl StoreFailure {
    /// The failure's name in logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Fenced => "fenced",
            Self::Failed => "failed",
        }
    }
}
