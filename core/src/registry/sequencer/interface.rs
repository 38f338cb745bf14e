//! Inputs, outputs, settings and events of the sequencer.

use crate::link::Ticket;
use crate::machine::Wake;
use crate::registry::log::{LogEpoch, RequestKey, RequestStamp, Retention};
use crate::registry::members::RegistryMembers;
use crate::registry::name::RegionId;
use crate::registry::replica::{
    FeedMessage, FeedRefusal, FeedRequest, FollowerId, ReplicaEvent, ReplicaInput, ReplicaOutput,
    ReplicaTuning,
};
use crate::registry::sabotage::RegistryBugs;
use crate::registry::store::{CommitGroup, StoreFailure, StoreImage};
use crate::registry::watch::{
    BOOKMARK_INTERVAL, ResetReason, WatchId, WatchMessage, WatchRefusal, WatchRequest,
};
use crate::registry::write::{
    CopiesWanted, RegistryCaller, WriteBatch, WriteOutcome, WriteRefusal,
};
use crate::time::{Duration, Wall};

/// The number of a write, given by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// Settings of a sequencer.
#[derive(Clone, Debug)]
pub struct Config {
    /// The region.
    pub region: RegionId,
    /// The region that owns regions, services and resources.
    pub primary: RegionId,
    /// Seed of uids and of the incarnations of epochs: fresh entropy for each start.
    pub seed: u64,
    /// Limits of writes.
    pub limits: WriteLimits,
    /// Quotas of names, at most [`PREFIXES_MAX`].
    pub prefixes: Vec<PrefixQuota>,
    /// How long the log keeps batches.
    pub retention: Retention,
    /// Longest time between two messages to a watcher, within
    /// [`BOOKMARK_INTERVAL_MIN`](crate::registry::watch::BOOKMARK_INTERVAL_MIN) and
    /// [`BOOKMARK_INTERVAL_MAX`](crate::registry::watch::BOOKMARK_INTERVAL_MAX).
    pub bookmark_interval: Duration,
    /// Settings of copies.
    pub replica: ReplicaTuning,
    /// Whether registries of several processes share the store. One that another has deposed waits as a standby then;
    /// otherwise it serves no more.
    pub shares_store: bool,
    /// Planted bugs.
    pub bugs: RegistryBugs,
}

impl Config {
    /// The default settings of a region that is its own primary region.
    #[must_use]
    pub fn new(region: RegionId, seed: u64) -> Self {
        Self {
            primary: region.clone(),
            region,
            seed,
            limits: WriteLimits::default(),
            prefixes: Vec::new(),
            retention: Retention::default(),
            bookmark_interval: BOOKMARK_INTERVAL,
            replica: ReplicaTuning::default(),
            shares_store: false,
            bugs: RegistryBugs::NONE,
        }
    }
}

/// Limits of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteLimits {
    /// Maximum size of an object, in bytes.
    pub object_bytes: usize,
    /// Maximum size of a batch, in bytes.
    pub batch_bytes: usize,
    /// Maximum number of objects of a service.
    pub objects: usize,
    /// Number of writes that a service may send at once; after that, one each `interval`.
    pub burst: u32,
    /// See `burst`.
    pub interval: Duration,
}

impl Default for WriteLimits {
    fn default() -> Self {
        Self {
            object_bytes: 1024 * 1024,
            batch_bytes: 4 * 1024 * 1024,
            objects: 100_000,
            burst: 2_000,
            interval: Duration::from_micros(500),
        }
    }
}

/// Maximum number of quotas of names.
pub const PREFIXES_MAX: usize = 64;

/// A quota of the objects whose names begin with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixQuota {
    /// The beginning of the names.
    pub prefix: String,
    /// Maximum number of objects.
    pub objects: usize,
    /// Number of writes of services that are accepted at once, and then in a second; none for no limit.
    pub writes: Option<u32>,
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRequest {
    /// The caller's number, for the answer.
    pub write: WriteId,
    /// The authenticated caller.
    pub caller: RegistryCaller,
    /// The id by which the caller may ask for the outcome again; none if the caller does not.
    pub request: Option<String>,
    /// The operations.
    pub batch: WriteBatch,
    /// Calendar time.
    pub time: Wall,
    /// The copies in other regions that the writer waits for; none if the owner's own store is enough.
    pub copies: Option<CopiesWanted>,
    /// Whether the registry of another region has routed the write here. Such a write is not routed again.
    pub is_routed: bool,
}

impl WriteRequest {
    /// The stamp of the request; none if it has no id.
    pub(super) fn stamp(&self) -> Option<RequestStamp> {
        let id = self.request.as_ref()?;
        Some(RequestStamp {
            key: RequestKey {
                caller: self.caller.to_string(),
                id: id.clone(),
            },
            hash: self.batch.hash(),
        })
    }
}

/// An input of the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// The process has started.
    Start,
    /// The store is open: completes [`Output::OpenStore`].
    Opened(Box<StoreImage>),
    /// The store could not be opened: completes [`Output::OpenStore`]. The order is repeated after a second.
    OpenFailed(StoreFailure),
    /// Another process holds the store: completes [`Output::OpenStore`]. The order is repeated after a second.
    StoreHeld {
        /// The name of the process.
        holder: String,
    },
    /// The store has found, between two orders, that another process has begun an epoch.
    StoreFenced,
    /// A program writes; answered by [`Output::Answer`].
    Write(Box<WriteRequest>),
    /// A group is durable: completes [`Output::Commit`].
    Committed {
        /// The ticket of the order.
        ticket: Ticket,
    },
    /// A group could not be committed: completes [`Output::Commit`].
    CommitFailed {
        /// The ticket of the order.
        ticket: Ticket,
        /// The reason.
        failure: StoreFailure,
    },
    /// A program opens a watch; answered by [`Output::WatchOpened`].
    OpenWatch {
        /// The caller's number.
        watch: WatchId,
        /// The authenticated caller.
        caller: RegistryCaller,
        /// The objects, the position and the interval.
        request: Box<WatchRequest>,
    },
    /// A watcher takes more bytes.
    GrantWatch {
        /// The watch.
        watch: WatchId,
        /// The number of bytes.
        bytes: usize,
    },
    /// A watch has ended.
    CloseWatch {
        /// The watch.
        watch: WatchId,
    },
    /// The registry of another region asks for the batches of this one. The next request of a follower takes the place
    /// of the one before.
    OpenFeed {
        /// The caller's number. The caller has checked that the follower is the registry of the region in the request.
        follower: FollowerId,
        /// The position of the copy.
        request: Box<FeedRequest>,
    },
    /// A follower has confirmed batches, and takes more bytes.
    ConfirmFeed {
        /// The follower.
        follower: FollowerId,
        /// The sequence number up to which the copy is durable.
        sequence: u64,
        /// The number of bytes.
        bytes: usize,
    },
    /// A follower is gone.
    CloseFeed {
        /// The follower.
        follower: FollowerId,
    },
    /// These members of the mesh announce registries.
    Registries(RegistryMembers),
    /// Something happened on the link to the registry of another region.
    Link {
        /// The region.
        region: RegionId,
        /// The number of the attempt to connect: that of [`ReplicaOutput::Connect`].
        attempt: u64,
        /// The event.
        input: Box<ReplicaInput>,
    },
    /// The owner has answered a write: completes [`Output::Route`].
    Routed {
        /// The write.
        write: WriteId,
        /// The outcome.
        result: Result<WriteOutcome, WriteRefusal>,
    },
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// An order to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open the store in a new epoch of this incarnation; answer with `Opened` or `OpenFailed`.
    OpenStore {
        /// The incarnation.
        incarnation: u64,
    },
    /// Commit a group; answer with `Committed` or `CommitFailed`. There is one such order at a time.
    Commit {
        /// The ticket for the answer.
        ticket: Ticket,
        /// The group.
        group: CommitGroup,
    },
    /// The answer to a write.
    Answer {
        /// The caller's number.
        write: WriteId,
        /// The outcome.
        result: Result<WriteOutcome, WriteRefusal>,
    },
    /// The answer to `OpenWatch`; a second one, with a refusal, ends an open watch. After a refusal, the watch does not
    /// exist.
    WatchOpened {
        /// The watch.
        watch: WatchId,
        /// The outcome.
        result: Result<(), WatchRefusal>,
    },
    /// Send a message to a watcher.
    Watch {
        /// The watch.
        watch: WatchId,
        /// The message.
        message: WatchMessage,
    },
    /// Send a message to a follower.
    Feed {
        /// The follower.
        follower: FollowerId,
        /// The message.
        message: FeedMessage,
    },
    /// A follower is not served, or not any more. It does not exist after that.
    FeedEnded {
        /// The follower.
        follower: FollowerId,
        /// The reason.
        refusal: FeedRefusal,
    },
    /// An order about the link to the registry of another region.
    Link {
        /// The region.
        region: RegionId,
        /// The order.
        order: ReplicaOutput,
    },
    /// Send a write to the registry of the region that owns its objects, on the link to it; answer with `Routed`, unless
    /// the link is lost.
    Route {
        /// The owner.
        owner: RegionId,
        /// The write. Its number is that of this registry.
        write: Box<WriteRequest>,
    },
    /// Report an event.
    Report(Event),
}

/// A fact about the registry, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The store is open, and the registry serves.
    Serving {
        /// The epoch.
        epoch: LogEpoch,
        /// The sequence number of the latest batch.
        head: u64,
    },
    /// The store could not be opened.
    OpenFailed(StoreFailure),
    /// A group could not be committed.
    CommitFailed {
        /// The reason.
        failure: StoreFailure,
        /// The number of writes that were refused or whose outcome is unknown.
        writes: usize,
    },
    /// Another sequencer has opened the store; this one takes no more writes.
    Deposed,
    /// Another process holds the store; this registry waits as its standby.
    Standby {
        /// The name of the process.
        holder: String,
    },
    /// The store has lost batches that were committed: an older copy of it was put in its place.
    HistoryLost {
        /// The sequence number of the latest batch that is known to be committed.
        head: u64,
        /// The sequence number of the latest batch in the store.
        stored: u64,
    },
    /// A watcher gets a snapshot instead of changes.
    WatchReset {
        /// The watch.
        watch: WatchId,
        /// The reason.
        reason: ResetReason,
    },
    /// An event of a copy of another region.
    Copy {
        /// The region that owns the objects.
        region: RegionId,
        /// The event.
        event: ReplicaEvent,
    },
    /// A follower is not served.
    FollowerRefused {
        /// The region that it claims.
        region: RegionId,
        /// The reason.
        refusal: FeedRefusal,
    },
    /// Another store has this region; this one takes no writes.
    RegionTaken,
}

impl Event {
    /// The event's name in logs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Serving { .. } => "registry-serving",
            Self::OpenFailed(_) => "registry-open-failed",
            Self::CommitFailed { .. } => "registry-commit-failed",
            Self::Deposed => "registry-deposed",
            Self::Standby { .. } => "registry-standby",
            Self::HistoryLost { .. } => "registry-history-lost",
            Self::WatchReset { .. } => "registry-watch-reset",
            Self::Copy { event, .. } => event.word(),
            Self::FollowerRefused { .. } => "registry-follower-refused",
            Self::RegionTaken => "registry-region-taken",
        }
    }
}
