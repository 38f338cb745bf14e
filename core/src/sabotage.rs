//! Mechanisms to switch off and bugs to plant; they show that the simulator detects such faults.
//!
//! A shipped daemon cannot turn a switch on, because the set is always empty without the crate feature `test-support`.

/// A mechanism to switch off or a bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Switch {
    /// Mechanism off: views are never compared.
    NoAntiEntropy,
    /// Mechanism off: announced updates that do not arrive are not requested.
    NoGraft,
    /// Mechanism off: silent neighbours are not redialled.
    NoRedial,
    /// Mechanism off: members that are down are not probed.
    NoDownProbe,
    /// Mechanism off: nodes that hear a suspect do not report it reachable.
    NoIndirectConfirmation,
    /// Mechanism off: a node does not refute false claims about itself.
    NoRefute,
    /// Mechanism off: a node that was paused judges silence at once after the pause.
    NoPauseGuard,
    /// Mechanism off: a node whose edges all fall silent accuses all its neighbours.
    NoIsolationGuard,
    /// Mechanism off: failed seed addresses are not dialled again.
    NoRetry,
    /// Mechanism off: a leaving node does not announce its departure.
    NoLeaveAnnouncement,
    /// Mechanism off: clones are not detected.
    NoCloneCheck,
    /// Mechanism off: two connections between the same two nodes both stay.
    NoTieBreak,
    /// Mechanism off: members never become suspect or down.
    NoDetection,
    /// Mechanism off: after a failed dial, the next candidate on the ring is not tried.
    NoFallback,
    /// Mechanism off: a busy node refers dialers to no other members, and the limit on links does not apply.
    NoReferral,
    /// Mechanism off: links are not replaced when certificates change.
    NoRenewal,
    /// Planted bug: the lower record wins.
    MergeLowerWins,
    /// Planted bug: records of equal version with different content are not merged; each view keeps its own.
    MergeIgnoresContent,
    /// Planted bug: a restart reuses the old epoch.
    EpochReused,
    /// Planted bug: the provider index does not remove entries.
    ProviderIndexStale,
    /// Planted bug: relayed updates lose their services.
    DeltaDropsServices,
    /// Planted bug: a node adopts a false claim about itself.
    AdoptsForgery,
    /// Planted bug: each end keeps the connection that it dialled itself.
    TieBreakBySide,
    /// Planted bug: members that are down are forgotten at once and never probed.
    ForgetsDown,
    /// Planted bug: the last-heard time of a relayed report is taken as the current time.
    LastHeardIsNow,
    /// Planted bug: every anti-entropy exchange carries the whole view.
    WholeViewAlways,
    /// Planted bug: old updates bring forgotten members back.
    Resurrects,
    /// Planted bug: the joining time of other members is set to the time of receipt.
    JoinTimeReset,
    /// Planted bug: a collection grows without bound.
    Unbounded,
    /// Planted bug: the next deadline is always the current instant.
    DeadlineStays,
    /// Planted bug: the value received last wins, whether it is older or newer.
    OlderReplaces,
    /// Planted bug: an announced update counts as held if an older update of its origin is held.
    SequenceIgnored,
    /// Mechanism off: the channel data of neighbours is never compared.
    NoCompare,
    /// Mechanism off: announced broadcasts that do not arrive are not requested.
    NoBroadcastGraft,
    /// Mechanism off: unacknowledged messages are not resent.
    NoResend,
    /// Mechanism off: broadcasts and messages are accepted however many are waiting.
    NoBackPressure,
    /// Mechanism off: the messages of a link are sent in the order in which they were queued, whatever their lanes.
    NoLanes,
    /// Mechanism off: a packet takes the shortest route even through hops that it has passed.
    NoDetour,
    /// Mechanism off: writes that lost a conflict are not reported.
    NoConflicts,
    /// Planted bug: duplicates of a message or broadcast are delivered.
    RepeatsMessages,
    /// Planted bug: a message is acknowledged before it is delivered.
    AnswersEarly,
    /// Planted bug: the earlier write of a map wins.
    EarlierWriteWins,
    /// Planted bug: deduplication ignores the epoch, so broadcasts after a restart collide with earlier ones.
    EpochIgnored,
    /// Planted bug: a channel can be opened twice.
    OpensTwice,
    /// Planted bug: a node gives up its id for a record that a neighbour relays.
    BelievesHearsay,
    /// Mechanism off: a node that gave up its id does not resume when the holder of the id is gone.
    NameStaysTaken,
    /// Mechanism off: a forgotten member that opens a link without a restart stays forgotten.
    StaysForgotten,
    /// Mechanism off: counters are bounded by the range of a counter, not by the calendar.
    NoCounterBound,
    /// Mechanism off: neighbours do not compare their revocations.
    NoRevocationExchange,
    /// Planted bug: links to members whose certificates are revoked stay open.
    KeepsRevokedLinks,
    /// Planted bug: a revocation is acknowledged before it is stored.
    AcknowledgesUnstored,
    /// Mechanism off: a node does not keep addresses of members for its next start.
    NoKeptAddresses,
    /// Mechanism off: refused dials are not evidence of death.
    NoRefusals,
    /// Planted bug: the first refused dial is evidence, and leaves no time for objections.
    HastyRefusals,
    /// Planted bug: a refused dial of one node proves a death.
    OneRefusalSuffices,
    /// Planted bug: a connection that is reset counts as refused dials.
    ResetIsRefusal,
    /// Mechanism off: refused dials of a member that never had a link are not evidence of death.
    OnlyBrokenChecked,
    /// Mechanism off: timeouts do not follow measured round trips, and a dial that connects late is given up.
    FixedTimeouts,
    /// Mechanism off: live members without a link, and wrong addresses, are not reported.
    NoPairs,
    /// Mechanism off: members that are lost together are not reported in one event.
    NoJointLosses,
    /// Mechanism off: an application is not told which messages it missed.
    NoMissedNotices,
    /// Planted bug: a message is reported as missed as soon as a later one arrives.
    HastyLosses,
    /// Mechanism off: members that are not proven stay on the rings, however many they are.
    UnprovenOnRings,
    /// Mechanism off: a guarded node believes the records of unknown members.
    HearsayBelieved,
}

impl Switch {
    /// Every switch and its name in scenario files and on the command line.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::NoAntiEntropy, "no-anti-entropy"),
        (Self::NoGraft, "no-graft"),
        (Self::NoRedial, "no-redial"),
        (Self::NoDownProbe, "no-down-probe"),
        (Self::NoIndirectConfirmation, "no-indirect-confirmation"),
        (Self::NoRefute, "no-refute"),
        (Self::NoPauseGuard, "no-pause-guard"),
        (Self::NoIsolationGuard, "no-isolation-guard"),
        (Self::NoRetry, "no-retry"),
        (Self::NoLeaveAnnouncement, "no-leave-announcement"),
        (Self::NoCloneCheck, "no-clone-check"),
        (Self::NoTieBreak, "no-tie-break"),
        (Self::NoDetection, "no-detection"),
        (Self::NoFallback, "no-fallback"),
        (Self::NoReferral, "no-referral"),
        (Self::NoRenewal, "no-renewal"),
        (Self::MergeLowerWins, "merge-lower-wins"),
        (Self::MergeIgnoresContent, "merge-ignores-content"),
        (Self::EpochReused, "epoch-reused"),
        (Self::ProviderIndexStale, "provider-index-stale"),
        (Self::DeltaDropsServices, "delta-drops-services"),
        (Self::AdoptsForgery, "adopts-forgery"),
        (Self::TieBreakBySide, "tie-break-by-side"),
        (Self::ForgetsDown, "forgets-down"),
        (Self::LastHeardIsNow, "last-heard-is-now"),
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
        (Self::NoLanes, "no-lanes"),
        (Self::NoDetour, "no-detour"),
        (Self::NoConflicts, "no-conflicts"),
        (Self::RepeatsMessages, "repeats-messages"),
        (Self::AnswersEarly, "answers-early"),
        (Self::EarlierWriteWins, "earlier-write-wins"),
        (Self::EpochIgnored, "epoch-ignored"),
        (Self::OpensTwice, "opens-twice"),
        (Self::BelievesHearsay, "believes-hearsay"),
        (Self::NameStaysTaken, "name-stays-taken"),
        (Self::StaysForgotten, "stays-forgotten"),
        (Self::NoCounterBound, "no-counter-bound"),
        (Self::NoRevocationExchange, "no-revocation-exchange"),
        (Self::KeepsRevokedLinks, "keeps-revoked-links"),
        (Self::AcknowledgesUnstored, "acknowledges-unstored"),
        (Self::NoKeptAddresses, "no-kept-addresses"),
        (Self::NoRefusals, "no-refusals"),
        (Self::HastyRefusals, "hasty-refusals"),
        (Self::OneRefusalSuffices, "one-refusal-suffices"),
        (Self::ResetIsRefusal, "reset-is-refusal"),
        (Self::OnlyBrokenChecked, "only-broken-checked"),
        (Self::FixedTimeouts, "fixed-timeouts"),
        (Self::NoPairs, "no-pairs"),
        (Self::NoJointLosses, "no-joint-losses"),
        (Self::NoMissedNotices, "no-missed-notices"),
        (Self::HastyLosses, "hasty-losses"),
        (Self::UnprovenOnRings, "unproven-on-rings"),
        (Self::HearsayBelieved, "hearsay-believed"),
    ];
}

/// The set of switches that are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sabotage(u128);

impl Sabotage {
    /// No switch is on.
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

    /// Whether no switch is on.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}
