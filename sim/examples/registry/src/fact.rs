//! Facts that the programs report, for invariants and expectations.

use crate::viewed_set::ViewedSet;
use phalanx_core::identity::NodeId;
use phalanx_core::registry::log::LogEntry;
use phalanx_core::registry::metadata::Uid;
use phalanx_core::registry::name::{ObjectName, RegionId};
use phalanx_core::registry::object::Object;
use phalanx_core::registry::watch::WatchDelivery;
use phalanx_core::registry::write::WriteOutcome;
use phalanx_sim::world::ReportedEvent;
use std::sync::Arc;

/// An operation on one object, as the check of linearizability sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Reads the object.
    Read,
    /// Changes the object, or creates it.
    Put,
    /// Changes the object if it has this generation.
    Swap(u64),
    /// Deletes the object, if it exists.
    Delete,
}

/// The outcome of an operation on one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationOutcome {
    /// The object has this uid and generation, after a write or at a read; none if there is no object.
    Is(Option<(Uid, u64)>),
    /// The deletion removed the object.
    Removed,
    /// The generation was another one; none if there was no object.
    Conflict(Option<u64>),
}

/// A fact.
#[derive(Debug)]
pub enum RegistryFact {
    /// The registry opened its store.
    Serving {
        /// The region.
        region: RegionId,
        /// The sequence number of the latest batch.
        head: u64,
        /// The number of the epoch.
        epoch: u64,
        /// The batches in the log.
        log: Vec<Arc<LogEntry>>,
        /// The sequence number of the latest batch in the backup that was restored, if one was since the last start.
        restored: Option<u64>,
    },
    /// A group became durable.
    Committed {
        /// The region.
        region: RegionId,
        /// The batches.
        entries: Vec<Arc<LogEntry>>,
    },
    /// A copy of another region's objects became durable.
    Copied {
        /// The region that owns the objects.
        owner: RegionId,
        /// The position of the copy.
        sequence: u64,
        /// The objects.
        objects: Vec<Arc<Object>>,
    },
    /// A copy has taken a snapshot.
    TookSnapshot,
    /// A copy follows its owner.
    Following,
    /// A copy has ceased to follow its owner.
    LostOwner,
    /// A registry refuses to serve the registry of another region.
    FollowerRefused,
    /// Another store has the region of the registry.
    RegionTaken,
    /// A commit failed.
    CommitFailed,
    /// Another registry has opened the store.
    Deposed,
    /// A watcher gets a snapshot in place of changes.
    Reset,
    /// A client began an operation.
    Called {
        /// The request.
        request: String,
        /// The objects, and what is done to each of them.
        operations: Vec<(ObjectName, OperationKind)>,
    },
    /// A write was acknowledged.
    Acknowledged {
        /// The request.
        request: String,
        /// The outcome.
        outcome: WriteOutcome,
    },
    /// An operation ended.
    Returned {
        /// The request.
        request: String,
        /// The outcomes, in the order of the operations.
        outcomes: Vec<OperationOutcome>,
    },
    /// A write was refused and not applied; the client gives it up.
    Refused {
        /// The request.
        request: String,
    },
    /// A write for another region was refused, because the region cannot be reached.
    Unreachable {
        /// The region.
        owner: RegionId,
    },
    /// A client that starts has forgotten its copy and its operation.
    Forgot,
    /// A watcher got changes.
    Delivered {
        /// The watched objects.
        set: Box<ViewedSet>,
        /// The changes.
        delivery: WatchDelivery,
    },
    /// The records of a pod stand, and it has a copy of the registry.
    Ready,
    /// A watcher follows the registry.
    InSync,
    /// A watcher has ceased to follow the registry.
    LostSync,
    /// A watcher has heard nothing for its idle timeout.
    TimedOut,
    /// The registry broke a promise to a watcher.
    Violation(&'static str),
}

impl ReportedEvent for RegistryFact {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        let word = match self {
            Self::Serving { .. } => "serving",
            Self::Committed { .. } => "committed",
            Self::Copied { .. } => "copied",
            Self::TookSnapshot => "took-snapshot",
            Self::Following => "following",
            Self::LostOwner => "lost-owner",
            Self::FollowerRefused => "follower-refused",
            Self::RegionTaken => "region-taken",
            Self::Unreachable { .. } => "unreachable",
            Self::CommitFailed => "commit-failed",
            Self::Deposed => "deposed",
            Self::Reset => "reset",
            Self::Called { .. } => "called",
            Self::Acknowledged { .. } => "acknowledged",
            Self::Returned { .. } => "returned",
            Self::Refused { .. } => "refused",
            Self::Forgot => "forgot",
            Self::Delivered { .. } => "delivered",
            Self::Ready => "ready",
            Self::InSync => "in-sync",
            Self::LostSync => "lost-sync",
            Self::TimedOut => "timed-out",
            Self::Violation(_) => "violation",
        };
        (word, None)
    }
}

/// The names of all facts.
pub const FACTS: [&str; 23] = [
    "copied",
    "took-snapshot",
    "following",
    "lost-owner",
    "follower-refused",
    "region-taken",
    "unreachable",
    "serving",
    "committed",
    "commit-failed",
    "deposed",
    "reset",
    "called",
    "acknowledged",
    "returned",
    "refused",
    "forgot",
    "delivered",
    "ready",
    "in-sync",
    "lost-sync",
    "timed-out",
    "violation",
];
