//! Messages between the owner of a log and its copies; inputs, outputs, settings and events of a copy.

use crate::registry::log::{CopyPosition, LogEntry, LogEpoch};
use crate::registry::members::RegistryMember;
use crate::registry::name::RegionId;
use crate::registry::object::Object;
use crate::time::Duration;
use core::fmt;
use std::sync::Arc;

/// The number of a follower, given by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowerId(pub u64);

/// A request of a copy for the batches after its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRequest {
    /// The region that has the copy.
    pub region: RegionId,
    /// The uid of that region's store.
    pub store: u64,
    /// The epoch of that region's sequencer.
    pub epoch: LogEpoch,
    /// The position of the copy; none for a snapshot.
    pub position: Option<CopyPosition>,
    /// Bytes that the owner may send ahead.
    pub window: usize,
    /// The longest time between two messages that the copy asks for.
    pub interval: Duration,
}

/// A batch of a region's log on its way to a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedBatch {
    /// The region that owns the log.
    pub region: RegionId,
    /// The epoch in which the batch was committed.
    pub epoch: LogEpoch,
    /// The batch. A copy ignores its request and the objects before it.
    pub entry: Arc<LogEntry>,
}

/// The end of a snapshot of a region's objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSnapshotEnd {
    /// The position of the snapshot.
    pub position: CopyPosition,
    /// The number of objects in all parts.
    pub count: u64,
}

/// A message of an owner to a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedMessage {
    /// The owner serves the feed: the first message.
    Opened {
        /// The owner.
        region: RegionId,
        /// The uid of the owner's store.
        store: u64,
        /// The sequence number of the latest batch.
        head: u64,
    },
    /// The next batches.
    Batches {
        /// The batches.
        batches: Vec<FeedBatch>,
        /// The sequence number of the latest batch.
        head: u64,
    },
    /// A part of a snapshot of the owner's objects, in the order of names.
    Snapshot {
        /// The objects.
        objects: Vec<Arc<Object>>,
        /// The end; none if more parts follow.
        end: Option<FeedSnapshotEnd>,
    },
    /// The sequence number of the latest batch, sent when there is nothing else.
    Head(u64),
}

impl FeedMessage {
    /// The size of the message, in bytes, as flow control counts it.
    #[must_use]
    pub fn weight(&self) -> usize {
        let content: usize = match self {
            Self::Opened { .. } | Self::Head(_) => 0,
            Self::Batches { batches, .. } => {
                batches.iter().map(|it| it.entry.encoded_len() + 64).sum()
            }
            Self::Snapshot { objects, .. } => objects.iter().map(|it| it.encoded_len() + 128).sum(),
        };
        content + 64
    }
}

/// Reason why an owner does not serve a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedRefusal {
    /// The owner has not opened its store, or another registry has taken it.
    Opening,
    /// The owner has the maximum number of followers.
    TooMany,
    /// The copy claims the owner's own region.
    OwnRegion(RegionId),
    /// Another store has the region of the copy.
    SecondStore {
        /// The region.
        region: RegionId,
    },
    /// The copy is one of another store of the owner's region.
    OtherOwner {
        /// The owner's region.
        region: RegionId,
    },
    /// The copy has heard of a higher epoch of the owner's region.
    LowerEpoch {
        /// The owner's region.
        region: RegionId,
        /// The epoch of the owner.
        own: u64,
        /// The epoch of the copy.
        heard: u64,
    },
    /// The owner refuses, in these words.
    Denied(String),
    /// No connection was made, or it has ended, for this reason.
    Unreachable(String),
    /// The member that was dialled does not prove that it is the registry of the region.
    Unproven {
        /// The region.
        region: RegionId,
        /// The member.
        member: String,
    },
}

impl FeedRefusal {
    /// Whether the refusal is expected to end by itself, as after a restart of the owner.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Opening | Self::Unreachable(_) => true,
            Self::TooMany
            | Self::OwnRegion(_)
            | Self::SecondStore { .. }
            | Self::OtherOwner { .. }
            | Self::LowerEpoch { .. }
            | Self::Denied(_)
            | Self::Unproven { .. } => false,
        }
    }
}

impl fmt::Display for FeedRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str("the registry does not hold its store at present"),
            Self::TooMany => f.write_str("the registry has too many followers"),
            Self::OwnRegion(region) => {
                write!(f, "two registries claim region {region}: stop one of them")
            }
            Self::SecondStore { region } => write!(
                f,
                "another store has region {region}; stop the registry of one of the two stores, or remove field `uid` of \
                 regions/{region} to give the region to the other store"
            ),
            Self::OtherOwner { region } => write!(
                f,
                "the copy of region {region} is one of another store of that region; two registries claim the region, or \
                 its store was replaced"
            ),
            Self::LowerEpoch { region, own, heard } => write!(
                f,
                "region {region} was heard of in epoch {heard}, and its registry is in epoch {own}: another registry \
                 claims the region, or its store was replaced by an older copy"
            ),
            Self::Denied(text) => f.write_str(text),
            Self::Unreachable(text) => write!(f, "cannot be reached: {text}"),
            Self::Unproven { region, member } => write!(
                f,
                "{member} announces the registry of region {region}, and its certificate does not name it; issue the \
                 certificate with --registry {region} (phalanx ca issue)"
            ),
        }
    }
}

impl core::error::Error for FeedRefusal {}

/// Settings of copies and of their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaTuning {
    /// Bytes that an owner may send ahead.
    pub window: usize,
    /// Time without a message of an owner after which a copy connects again. It holds for the attempt to connect as well.
    pub idle_timeout: Duration,
    /// The first back-off after a failure; it doubles up to `retry_max`.
    pub retry_min: Duration,
    /// See `retry_min`.
    pub retry_max: Duration,
    /// Time for which the position of a follower that is not connected keeps the log from being compacted.
    pub hold: Duration,
}

impl Default for ReplicaTuning {
    fn default() -> Self {
        Self {
            window: 1024 * 1024,
            idle_timeout: Duration::from_secs(15),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(15),
            hold: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// An event on the link from a copy to an owner.
#[derive(Clone, Debug)]
pub enum ReplicaInput {
    /// The connection is made: completes [`ReplicaOutput::Connect`].
    Connected,
    /// The connection could not be made, or has ended.
    Disconnected,
    /// The owner does not serve the copy.
    Refused(FeedRefusal),
    /// A message of the owner.
    Receive(FeedMessage),
}

/// An order about the link from a copy to an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaOutput {
    /// Connect to the registry of the region; answer with `Connected`, `Disconnected` or `Refused`.
    Connect {
        /// The number of the attempt. Inputs of its connection have this number.
        attempt: u64,
        /// The member to dial; none if no member is known that announces the registry.
        member: Option<RegistryMember>,
    },
    /// Ask for the feed on the connection. A second request on a connection takes the place of the first.
    Follow(FeedRequest),
    /// Tell the owner the sequence number up to which the copy is durable, and let it send more bytes.
    Confirm {
        /// The sequence number.
        sequence: u64,
        /// The number of bytes.
        bytes: usize,
    },
    /// Close the connection, or give up the attempt to connect. Its later inputs are ignored.
    Disconnect,
}

/// A fact about a copy, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaEvent {
    /// The copy follows its owner.
    Following,
    /// The copy has ceased to follow its owner.
    Lost,
    /// A batch is missing; the copy asks for it again.
    Gap {
        /// The sequence number that was expected.
        expected: u64,
        /// The sequence number that arrived.
        arrived: u64,
    },
    /// A batch does not follow the copy's last one although its number does; the copy asks for a snapshot.
    Diverged {
        /// The sequence number of the batch.
        sequence: u64,
    },
    /// The copy has taken a snapshot.
    TookSnapshot {
        /// The sequence number of the snapshot.
        sequence: u64,
        /// The number of objects that differed.
        changes: usize,
    },
    /// The owner refuses to serve the copy.
    Refused(FeedRefusal),
    /// The owner broke a promise; the copy takes nothing of the connection.
    Violation(&'static str),
}

impl ReplicaEvent {
    /// The event's name in logs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Following => "registry-copy-following",
            Self::Lost => "registry-copy-lost",
            Self::Gap { .. } => "registry-copy-gap",
            Self::Diverged { .. } => "registry-copy-diverged",
            Self::TookSnapshot { .. } => "registry-copy-snapshot",
            Self::Refused(_) => "registry-copy-refused",
            Self::Violation(_) => "registry-copy-violation",
        }
    }
}
