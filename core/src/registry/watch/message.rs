//! Messages from a watch server to a watcher.

use super::token::ResumeToken;
use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use core::fmt;
use std::sync::Arc;

/// A change of the watched set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchChange {
    /// An object belongs to the set, with this content.
    Current(Arc<Object>),
    /// An object has left the set: it was removed, or does not match the filter.
    Removed(ObjectName),
}

impl WatchChange {
    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &ObjectName {
        match self {
            Self::Current(object) => &object.name,
            Self::Removed(name) => name,
        }
    }
}

/// Reason why a watcher gets a snapshot instead of the changes after its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// The log is compacted beyond the position.
    Compacted,
    /// The position belongs to another history of the region, such as one before a backup was restored.
    OtherHistory,
    /// The token belongs to another scope.
    OtherScope,
}

impl ResetReason {
    /// The reason's name in logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Compacted => "compacted",
            Self::OtherHistory => "other-history",
            Self::OtherScope => "other-scope",
        }
    }
}

/// The end of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotEnd {
    /// The position of the snapshot.
    pub token: ResumeToken,
    /// The number of objects in all parts.
    pub count: u64,
}

/// A message to a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchMessage {
    /// A part of a snapshot, in the order of names. The snapshot replaces the state of the watcher when its end arrives.
    Snapshot {
        /// The objects.
        objects: Vec<Arc<Object>>,
        /// The end; none if more parts follow.
        end: Option<SnapshotEnd>,
    },
    /// Changes of one or more batches. A batch is in one message.
    Changes {
        /// The changes in the order of their revisions.
        changes: Vec<WatchChange>,
        /// The position after the changes.
        token: ResumeToken,
    },
    /// The watcher has all changes up to this position.
    Bookmark {
        /// The position.
        token: ResumeToken,
    },
    /// An unfinished snapshot is dropped, and a snapshot follows.
    Reset {
        /// The reason.
        reason: ResetReason,
    },
}

impl WatchMessage {
    /// The size of the message, in bytes, as flow control counts it.
    #[must_use]
    pub fn weight(&self) -> usize {
        let objects = |objects: &[Arc<Object>]| -> usize {
            objects
                .iter()
                .map(|object| object.encoded_len() + 128)
                .sum()
        };
        let content = match self {
            Self::Snapshot { objects: parts, .. } => objects(parts),
            Self::Changes { changes, .. } => {
                let sizes = changes.iter().map(|change| match change {
                    WatchChange::Current(object) => object.encoded_len() + 128,
                    WatchChange::Removed(name) => name.as_str().len(),
                });
                sizes.sum()
            }
            Self::Bookmark { .. } | Self::Reset { .. } => 0,
        };
        content + 64
    }
}

/// Reason why a watch is not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchRefusal {
    /// The registry does not hold its store: it has not opened it yet, or another registry has taken it.
    Opening,
    /// The registry has the maximum number of watches.
    TooMany,
    /// The token is one of other regions.
    OtherRegion,
    /// The registry does not admit the caller, for this reason.
    Denied(String),
    /// The registry's copy of another region has not reached the position of the token.
    Behind,
}

impl WatchRefusal {
    /// Whether the watcher may try again.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Opening | Self::TooMany | Self::Behind => true,
            Self::OtherRegion | Self::Denied(_) => false,
        }
    }
}

impl fmt::Display for WatchRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => {
                "the registry does not hold its store at present; watch later or elsewhere"
            }
            Self::TooMany => "the registry has too many watches; watch later",
            Self::OtherRegion => "the resume token is one of another region; watch without it",
            Self::Denied(reason) => reason,
            Self::Behind => {
                "the registry's copies have not reached the position of the resume token; watch later or elsewhere"
            }
        })
    }
}

impl core::error::Error for WatchRefusal {}
