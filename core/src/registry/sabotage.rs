//! Bugs to plant in the registry; they show that tests and simulations detect such faults.
//!
//! A shipped daemon cannot plant a bug, because the set is always empty without the crate feature `test-support`.

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum RegistryBug {
    /// A write is answered before it is durable.
    AnswersEarly,
    /// Preconditions are checked on the committed state, without the writes that are about to be committed.
    LostUpdate,
    /// A repeated request is executed again.
    RequestsForgotten,
    /// A request that changed nothing is executed when it is repeated.
    UnchangedForgotten,
    /// A request that was refused is executed when it is repeated.
    RefusalsForgotten,
    /// A group whose commit failed with an unknown outcome is answered as if it had not been stored.
    UnknownIsFailed,
    /// A watcher gets no changes that were committed while its snapshot was sent.
    WatchSkipsEdge,
    /// A watcher that resumes gets the last batch before its position again.
    WatchRepeats,
    /// A watcher gets the first change of a batch alone.
    WatchTruncatesBatches,
    /// A watcher that resumes below the floor gets no snapshot.
    WatchIgnoresFloor,
    /// A watcher that has nothing to hear gets no bookmarks at intervals.
    WatchIdlesSilently,
    /// A watcher that resumes goes on although its position belongs to another history.
    WatchIgnoresHistory,
    /// A watcher without credit delays the watchers after it.
    SlowWatcherBlocks,
    /// The watches of a sequencer whose epoch has ended stay open.
    DeposedWatchesStay,
    /// Watchers hear of objects that their callers may not read.
    HiddenIsShown,
    /// A copy is confirmed when a batch arrives, before it is durable.
    CopyConfirmedEarly,
    /// A copy that takes a snapshot keeps the objects that the snapshot does not have.
    CopyKeepsRemoved,
    /// A watcher is not reset when a copy takes a snapshot.
    WatchIgnoresCopySnapshot,
    /// A write for a region that cannot be reached waits for the region, and is not refused.
    RoutesInSilence,
    /// A batch counts as copied when it is sent.
    CountsSentCopies,
    /// One slow follower delays the others.
    SlowFollowerBlocks,
    /// A region leaves a policy, and an object is removed, before other regions have answered.
    EndsUnasked,
    /// The deletion of an object does nothing to the objects that refer to it.
    ReferrersForgotten,
    /// An object is collected when one of its owners is gone.
    OneOwnerCounts,
    /// A process that registers removes the versions of other processes.
    VersionsForgotten,
    /// The audience of a deployment stays when the copy of its service's record changes.
    CopiedAudiencesStay,
}

impl RegistryBug {
    /// Every bug and its name on the command line.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::AnswersEarly, "answers-early"),
        (Self::LostUpdate, "lost-update"),
        (Self::RequestsForgotten, "requests-forgotten"),
        (Self::UnchangedForgotten, "unchanged-forgotten"),
        (Self::RefusalsForgotten, "refusals-forgotten"),
        (Self::UnknownIsFailed, "unknown-is-failed"),
        (Self::WatchSkipsEdge, "watch-skips-edge"),
        (Self::WatchRepeats, "watch-repeats"),
        (Self::WatchTruncatesBatches, "watch-truncates-batches"),
        (Self::WatchIgnoresFloor, "watch-ignores-floor"),
        (Self::WatchIdlesSilently, "watch-idles-silently"),
        (Self::WatchIgnoresHistory, "watch-ignores-history"),
        (Self::SlowWatcherBlocks, "slow-watcher-blocks"),
        (Self::DeposedWatchesStay, "deposed-watches-stay"),
        (Self::HiddenIsShown, "hidden-is-shown"),
        (Self::CopyConfirmedEarly, "copy-confirmed-early"),
        (Self::CopyKeepsRemoved, "copy-keeps-removed"),
        (
            Self::WatchIgnoresCopySnapshot,
            "watch-ignores-copy-snapshot",
        ),
        (Self::RoutesInSilence, "routes-in-silence"),
        (Self::CountsSentCopies, "counts-sent-copies"),
        (Self::SlowFollowerBlocks, "slow-follower-blocks"),
        (Self::EndsUnasked, "ends-unasked"),
        (Self::ReferrersForgotten, "referrers-forgotten"),
        (Self::OneOwnerCounts, "one-owner-counts"),
        (Self::VersionsForgotten, "versions-forgotten"),
        (Self::CopiedAudiencesStay, "copied-audiences-stay"),
    ];
}

/// The set of planted bugs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistryBugs(u32);

impl RegistryBugs {
    /// No bug is planted.
    pub const NONE: Self = Self(0);

    /// This set with one more bug.
    #[cfg(any(test, feature = "test-support"))]
    #[must_use]
    pub const fn with(self, bug: RegistryBug) -> Self {
        Self(self.0 | 1 << bug as u8)
    }

    /// Whether a bug is planted.
    #[must_use]
    pub const fn has(self, bug: RegistryBug) -> bool {
        self.0 & (1 << bug as u8) != 0
    }
}
