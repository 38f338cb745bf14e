//! Mechanisms switched off and bugs planted, so that the simulator can prove that it would notice.
//!
//! A shipped daemon cannot switch anything: without the crate feature `test-support` the set is always empty.

/// One thing that can be broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Switch {
    /// Mechanism off: views are never compared.
    NoAntiEntropy,
    /// Mechanism off: announced updates that stay away are not asked for.
    NoGraft,
    /// Mechanism off: silent neighbours are not redialled.
    NoRedial,
    /// Mechanism off: members that are down are not probed.
    NoLimboProbe,
    /// Mechanism off: nobody vouches for a suspect it hears.
    NoVouch,
    /// Mechanism off: lies about oneself are not refuted.
    NoRefute,
    /// Mechanism off: a node that was paused judges at once.
    NoPauseGuard,
    /// Mechanism off: a node whose edges all fall silent accuses everyone.
    NoIsolationGuard,
    /// Mechanism off: failed targets are not dialled again.
    NoRetry,
    /// Mechanism off: a node that leaves says nothing.
    NoFarewell,
    /// Mechanism off: a clone is not noticed.
    NoCloneCheck,
    /// Mechanism off: two connections between one pair both stay.
    NoTieBreak,
    /// Mechanism off: members never become suspect or down.
    NoDetection,
    /// Mechanism off: dials that fail are not passed over; the next on the ring is not tried.
    NoFallback,
    /// Mechanism off: a busy node names no other members, and looks no further at its number of links.
    NoReferral,
    /// Mechanism off: links get no successors when certificates change.
    NoRenewal,
    /// Planted bug: the lower record wins.
    MergeLowerWins,
    /// Planted bug: equal versions with different content are both kept as they are.
    MergeIgnoresContent,
    /// Planted bug: a restart keeps its old epoch.
    EpochStands,
    /// Planted bug: the provider index forgets to remove.
    ProviderIndexStale,
    /// Planted bug: relayed updates lose their services.
    DeltaDropsServices,
    /// Planted bug: a lie about oneself is adopted.
    AdoptsLie,
    /// Planted bug: each end keeps the connection it dialled itself.
    TieBreakBySide,
    /// Planted bug: members that are down are forgotten at once and never probed.
    LimboForgets,
    /// Planted bug: the time of proof of a relayed report is taken as now.
    ProofIsNow,
    /// Planted bug: every anti-entropy exchange carries the whole view.
    WholeViewAlways,
    /// Planted bug: forgotten members come back with old news.
    Resurrects,
    /// Planted bug: the joining time of others is set to the time of hearing.
    JoinTimeReset,
    /// Planted bug: a collection grows without bound.
    Unbounded,
    /// Planted bug: the next deadline is always this very instant.
    DeadlineStays,
    /// Planted bug: whatever comes last wins, older or newer.
    OlderReplaces,
    /// Planted bug: an announced update is taken for held when an older one of its origin is.
    SequenceIgnored,
    /// Mechanism off: what neighbours hold of channels is never compared.
    NoCompare,
    /// Mechanism off: announced broadcasts that stay away are not asked for.
    NoBroadcastGraft,
    /// Mechanism off: messages that are not answered are not sent again.
    NoResend,
    /// Mechanism off: a broadcast or message is taken whatever waits already.
    NoBackPressure,
    /// Mechanism off: a parcel goes on by the shortest way even where it was.
    NoDetour,
    /// Mechanism off: writes that lost against others are not told.
    NoConflicts,
    /// Planted bug: copies of a message or broadcast are handed over again.
    RepeatsMessages,
    /// Planted bug: a message is answered before it is handed over.
    AnswersEarly,
    /// Planted bug: the earlier write of a map wins.
    EarlierWriteWins,
    /// Planted bug: broadcasts of a new life have the numbers of the last one.
    LifeIgnored,
    /// Planted bug: a channel opens a second time.
    OpensTwice,
}

impl Switch {
    /// Every switch and its name in scenario files and on the command line.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::NoAntiEntropy, "no-anti-entropy"),
        (Self::NoGraft, "no-graft"),
        (Self::NoRedial, "no-redial"),
        (Self::NoLimboProbe, "no-limbo-probe"),
        (Self::NoVouch, "no-vouch"),
        (Self::NoRefute, "no-refute"),
        (Self::NoPauseGuard, "no-pause-guard"),
        (Self::NoIsolationGuard, "no-isolation-guard"),
        (Self::NoRetry, "no-retry"),
        (Self::NoFarewell, "no-farewell"),
        (Self::NoCloneCheck, "no-clone-check"),
        (Self::NoTieBreak, "no-tie-break"),
        (Self::NoDetection, "no-detection"),
        (Self::NoFallback, "no-fallback"),
        (Self::NoReferral, "no-referral"),
        (Self::NoRenewal, "no-renewal"),
        (Self::MergeLowerWins, "merge-lower-wins"),
        (Self::MergeIgnoresContent, "merge-ignores-content"),
        (Self::EpochStands, "epoch-stands"),
        (Self::ProviderIndexStale, "provider-index-stale"),
        (Self::DeltaDropsServices, "delta-drops-services"),
        (Self::AdoptsLie, "adopts-lie"),
        (Self::TieBreakBySide, "tie-break-by-side"),
        (Self::LimboForgets, "limbo-forgets"),
        (Self::ProofIsNow, "proof-is-now"),
        (Self::WholeViewAlways, "whole-view-always"),
        (Self::Resurrects, "resurrects"),
        (Self::JoinTimeReset, "join-time-reset"),
        (Self::Unbounded, "unbounded"),
        (Self::DeadlineStays, "deadline-stays"),
        (Self::OlderReplaces, "older-replaces"),
        (Self::SequenceIgnored, "sequence-ignored"),
        (Self::NoCompare, "no-compare"),
        (Self::NoBroadcastGraft, "no-broadcast-graft"),
        (Self::NoResend, "no-resend"),
        (Self::NoBackPressure, "no-back-pressure"),
        (Self::NoDetour, "no-detour"),
        (Self::NoConflicts, "no-conflicts"),
        (Self::RepeatsMessages, "repeats-messages"),
        (Self::AnswersEarly, "answers-early"),
        (Self::EarlierWriteWins, "earlier-write-wins"),
        (Self::LifeIgnored, "life-ignored"),
        (Self::OpensTwice, "opens-twice"),
    ];
}

/// The set of switches that are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sabotage(u64);

impl Sabotage {
    /// Nothing broken.
    pub const NONE: Self = Self(0);

    /// This set with one more switch on.
    #[cfg(feature = "test-support")]
    #[must_use]
    pub const fn with(self, switch: Switch) -> Self {
        Self(self.0 | 1 << switch as u8)
    }

    /// Whether a switch is on.
    #[must_use]
    pub const fn has(self, switch: Switch) -> bool {
        self.0 & (1 << switch as u8) != 0
    }

    /// Whether none is on.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}
