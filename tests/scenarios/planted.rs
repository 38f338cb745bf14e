//! The switches that must make scenarios fail, each with the expectation or invariant that fails.

use phalanx_core::sabotage::Switch;

/// Each scenario, with the mechanism without which the scenario fails, and a part of the expectation that then fails.
pub(crate) const MECHANISMS: &[(&str, Switch, &str)] = &[
    ("behind-nat", Switch::NoResend, "delivered-percent"),
    ("blocked-pairs", Switch::NoFallback, "false-deaths"),
    (
        "broadcast-to-all",
        Switch::RepeatsMessages,
        "invariant handed-once",
    ),
    (
        "broadcast-under-loss",
        Switch::NoBroadcastGraft,
        "update-p50-ms",
    ),
    ("bulk-on-slow-lines", Switch::NoLanes, "converged = true"),
    ("certificate-expires", Switch::NoDetection, "as = \"down\""),
    (
        "certificates-rotate",
        Switch::NoRenewal,
        "kind = \"link-up\"",
    ),
    ("clock-skew", Switch::NoPauseGuard, "kind = \"paused\""),
    (
        "clone-leaves",
        Switch::NameStaysTaken,
        "phase = { who = \"n4\", is = \"running\" }",
    ),
    ("cloned-name", Switch::NoCloneCheck, "is = \"name-taken\""),
    ("cold-join", Switch::NoRetry, "converged = true"),
    ("crash-and-restart", Switch::NoDetection, "as = \"down\""),
    (
        "counters-at-their-bound",
        Switch::NoCounterBound,
        "of = \"web/1\"",
    ),
    (
        "duplicate-id",
        Switch::BelievesHearsay,
        "kind = \"duplicate-id\"",
    ),
    ("early-crash", Switch::NoDetection, "as = \"down\""),
    ("flapping-link", Switch::NoTieBreak, "invariant bounds"),
    (
        "forged-ids",
        Switch::BelievesHearsay,
        "kind = \"name-taken\"",
    ),
    (
        "forged-records",
        Switch::AdoptsForgery,
        "kind = \"refuted\"",
    ),
    (
        "forgotten-dead",
        Switch::Resurrects,
        "invariant no-resurrection",
    ),
    (
        "graceful-leave",
        Switch::NoLeaveAnnouncement,
        "as = \"left\"",
    ),
    ("hostile-neighbour", Switch::NoRefute, "kind = \"refuted\""),
    ("join-storm", Switch::NoReferral, "invariant bounds"),
    ("large-payloads", Switch::NoResend, "delivered-percent"),
    ("long-pauses", Switch::NoCompare, "channel-agrees"),
    ("lossy-links", Switch::NoAntiEntropy, "converged = true"),
    (
        "lost-disks",
        Switch::EpochReused,
        "all views are right within",
    ),
    (
        "maps-after-a-split",
        Switch::NoConflicts,
        "kind = \"conflict\"",
    ),
    ("mass-restart", Switch::EpochIgnored, "channel-agrees"),
    (
        "newcomer-gets-history",
        Switch::NoCompare,
        "name = \"value\"",
    ),
    ("one-way-cut", Switch::NoDetection, "as = \"down\""),
    ("partition-heals", Switch::NoAntiEntropy, "converged = true"),
    ("pauses-under-loss", Switch::NoResend, "delivered-percent"),
    ("power-loss", Switch::NoDetection, "as = \"down\""),
    ("quiet-updates", Switch::NoCompare, "channel-agrees"),
    ("refused-orders", Switch::OpensTwice, "kind = \"refused\""),
    ("relay-crash", Switch::NoResend, "delivered-percent"),
    ("rolling-restart", Switch::NoTieBreak, "invariant bounds"),
    ("slow-neighbour", Switch::NoBackPressure, "kind = \"full\""),
    ("slow-nodes", Switch::NoPauseGuard, "kind = \"paused\""),
    ("standing-still", Switch::NoPauseGuard, "kind = \"paused\""),
    ("talk-on-bad-links", Switch::NoResend, "delivered-percent"),
    ("three-way-split", Switch::NoAntiEntropy, "as = \"alive\""),
    ("two-nodes", Switch::NoDetection, "as = \"down\""),
    (
        "unicast-blocked-pairs",
        Switch::NoDetour,
        "kind = \"undelivered\"",
    ),
];

/// Each invariant, with its planted bug and a scenario that reveals it.
pub(crate) const PLANTED: &[(&str, Switch, &str)] = &[
    ("answers-true", Switch::AnswersEarly, "refused-orders"),
    ("bounds", Switch::Unbounded, "join-storm"),
    ("handed-once", Switch::RepeatsMessages, "broadcast-to-all"),
    ("joined-stands", Switch::JoinTimeReset, "crash-and-restart"),
    ("merges-converge", Switch::DeltaDropsServices, "two-nodes"),
    ("no-resurrection", Switch::Resurrects, "clock-skew"),
    ("one-link", Switch::NoTieBreak, "crash-and-restart"),
    (
        "owner-writes",
        Switch::DeltaDropsServices,
        "crash-and-restart",
    ),
    ("deadline-in-future", Switch::DeadlineStays, "cold-join"),
    (
        "provider-index",
        Switch::ProviderIndexStale,
        "crash-and-restart",
    ),
    ("rank-rises", Switch::OlderReplaces, "lossy-links"),
    (
        "values-rise",
        Switch::EarlierWriteWins,
        "maps-after-a-split",
    ),
    ("whole-view", Switch::WholeViewAlways, "partition-heals"),
];

/// Returns the word of a switch on the command line.
pub(crate) fn word(switch: Switch) -> String {
    let found = Switch::ALL.iter().find(|(known, _)| *known == switch);
    found.expect("every switch has a name").1.to_owned()
}
