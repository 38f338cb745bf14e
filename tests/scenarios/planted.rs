//! The table of planted bugs: the switches, each with the scenario that reveals it and a part of the expectation or
//! invariant that then fails.

use phalanx_core::sabotage::Switch;

/// The way in which a scenario reveals a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reveal {
    /// The scenario is about the mechanism and fails without it, on one of the first seeds.
    Mechanism,
    /// An invariant detects the planted bug, on one of the first seeds.
    Invariant,
    /// A search that starts from the scenario finds a failing variant.
    Search,
}

/// A switch with the scenario that reveals it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlantedBug {
    pub(crate) switch: Switch,
    pub(crate) scenario: &'static str,
    /// A part of the expectation or invariant that fails.
    pub(crate) expectation: &'static str,
    pub(crate) revealed: Reveal,
    /// The broken part of the mesh, for a bug that a search from all scenarios without channels finds, and whose failure
    /// is shrunk to a page.
    pub(crate) part: Option<&'static str>,
}

impl PlantedBug {
    const fn part(self, part: &'static str) -> Self {
        Self {
            part: Some(part),
            ..self
        }
    }
}

const fn mechanism(
    scenario: &'static str,
    switch: Switch,
    expectation: &'static str,
) -> PlantedBug {
    PlantedBug {
        switch,
        scenario,
        expectation,
        revealed: Reveal::Mechanism,
        part: None,
    }
}

const fn invariant(
    scenario: &'static str,
    switch: Switch,
    expectation: &'static str,
) -> PlantedBug {
    PlantedBug {
        revealed: Reveal::Invariant,
        ..mechanism(scenario, switch, expectation)
    }
}

const fn searched(scenario: &'static str, switch: Switch, expectation: &'static str) -> PlantedBug {
    PlantedBug {
        revealed: Reveal::Search,
        ..mechanism(scenario, switch, expectation)
    }
}

/// All planted bugs. A switch may have several entries.
pub(crate) const PLANTED: &[PlantedBug] = &[
    mechanism("away-past-forget", Switch::StaysForgotten, "as = \"alive\""),
    mechanism("behind-nat", Switch::NoResend, "delivered-percent"),
    mechanism("blocked-pairs", Switch::NoFallback, "false-deaths"),
    mechanism("blocked-pairs", Switch::NoPairs, "unreachable"),
    mechanism("split-sides", Switch::NoJointLosses, "peers-down"),
    mechanism("wrong-address", Switch::NoPairs, "address-undialable"),
    mechanism(
        "broadcast-to-all",
        Switch::RepeatsMessages,
        "invariant handed-once",
    ),
    mechanism(
        "broadcast-under-loss",
        Switch::NoBroadcastGraft,
        "update-p50-ms",
    ),
    mechanism("bulk-on-slow-lines", Switch::NoLanes, "converged = true"),
    mechanism("certificate-expires", Switch::NoDetection, "as = \"down\""),
    mechanism(
        "certificates-rotate",
        Switch::NoRenewal,
        "kind = \"link-up\"",
    ),
    mechanism("clock-skew", Switch::NoPauseGuard, "kind = \"paused\"").part("clock jump"),
    mechanism(
        "clone-leaves",
        Switch::NameStaysTaken,
        "phase = { who = \"n4\", is = \"running\" }",
    ),
    mechanism("cloned-name", Switch::NoCloneCheck, "is = \"name-taken\""),
    mechanism("cold-join", Switch::NoRetry, "converged = true"),
    mechanism("crash-and-restart", Switch::NoDetection, "as = \"down\""),
    mechanism(
        "counters-at-their-bound",
        Switch::NoCounterBound,
        "of = \"web/1\"",
    ),
    mechanism(
        "duplicate-id",
        Switch::BelievesHearsay,
        "kind = \"name-taken\"",
    ),
    mechanism("early-crash", Switch::NoDetection, "as = \"down\""),
    mechanism("flapping-link", Switch::NoTieBreak, "invariant bounds").part("tie-break"),
    mechanism(
        "forged-ids",
        Switch::BelievesHearsay,
        "kind = \"name-taken\"",
    ),
    mechanism(
        "forged-records",
        Switch::AdoptsForgery,
        "kind = \"refuted\"",
    ),
    mechanism(
        "forgotten-dead",
        Switch::Resurrects,
        "invariant no-resurrection",
    ),
    mechanism(
        "graceful-leave",
        Switch::NoLeaveAnnouncement,
        "as = \"left\"",
    ),
    mechanism("hostile-neighbour", Switch::NoRefute, "kind = \"refuted\"").part("refutation"),
    mechanism("full-disk", Switch::NoDetection, "providers = {"),
    mechanism("invented-members", Switch::HearsayBelieved, "members = {"),
    mechanism("invented-members", Switch::UnprovenOnRings, "of = \"n8\""),
    mechanism("join-storm", Switch::NoReferral, "invariant bounds"),
    mechanism("hubs-behind-nat", Switch::NoReferral, "invariant bounds"),
    mechanism("links-max", Switch::NoReferral, "invariant bounds"),
    mechanism("dead-behind-nat", Switch::NoDetection, "as = \"down\""),
    mechanism(
        "office-behind-nat",
        Switch::NoTieBreak,
        "invariant one-link",
    ),
    mechanism("site-link-degrades", Switch::NoResend, "delivered-percent"),
    mechanism("large-payloads", Switch::NoResend, "delivered-percent"),
    mechanism("long-pauses", Switch::NoCompare, "channel-agrees"),
    mechanism("lossy-links", Switch::NoAntiEntropy, "converged = true"),
    mechanism(
        "lost-disks",
        Switch::EpochReused,
        "all views are right within",
    ),
    mechanism(
        "restart-without-seeds",
        Switch::NoKeptAddresses,
        "as = \"alive\"",
    ),
    mechanism(
        "maps-after-a-split",
        Switch::NoConflicts,
        "kind = \"conflict\"",
    ),
    mechanism("mass-restart", Switch::EpochIgnored, "channel-agrees"),
    // The absent report fails before the count at the end.
    mechanism(
        "missed-messages",
        Switch::NoMissedNotices,
        "kind = \"messages-missed\"",
    ),
    mechanism("missed-messages", Switch::NoMissedNotices, "untold-misses"),
    mechanism(
        "newcomer-gets-history",
        Switch::NoCompare,
        "name = \"value\"",
    ),
    mechanism("one-way-cut", Switch::NoDetection, "as = \"down\""),
    mechanism("one-way-messages", Switch::NoDetour, "delivered-percent"),
    mechanism("partition-heals", Switch::NoAntiEntropy, "converged = true"),
    mechanism("pauses-under-loss", Switch::NoResend, "delivered-percent"),
    mechanism(
        "one-way-cut",
        Switch::NoIsolationGuard,
        "kind = \"isolated\"",
    ),
    mechanism("power-loss", Switch::NoDetection, "as = \"down\""),
    mechanism("quiet-updates", Switch::NoCompare, "channel-agrees"),
    mechanism("refused-orders", Switch::OpensTwice, "kind = \"refused\""),
    mechanism("killed-at-join", Switch::OnlyBrokenChecked, "as = \"down\""),
    mechanism("killed-process", Switch::NoRefusals, "as = \"down\""),
    mechanism(
        "quick-restart",
        Switch::HastyRefusals,
        "kind = \"peer-down\"",
    ),
    mechanism("resets", Switch::ResetIsRefusal, "false-deaths"),
    mechanism("refused-dials", Switch::OneRefusalSuffices, "false-deaths"),
    mechanism("refusing-restarts", Switch::NoKeptAddresses, "false-deaths"),
    mechanism("resets-and-refusals", Switch::HastyRefusals, "false-deaths"),
    mechanism("relay-crash", Switch::NoResend, "delivered-percent"),
    mechanism("rolling-restart", Switch::NoTieBreak, "invariant bounds"),
    mechanism("slow-neighbour", Switch::NoBackPressure, "kind = \"full\""),
    mechanism("slow-network", Switch::FixedTimeouts, "converged = true"),
    mechanism(
        "slow-lossy-network",
        Switch::FixedTimeouts,
        "converged = true",
    ),
    mechanism("slow-member", Switch::FixedTimeouts, "converged = true"),
    mechanism(
        "link-becomes-slow",
        Switch::FixedTimeouts,
        "converged = true",
    ),
    mechanism("slow-nodes", Switch::NoPauseGuard, "kind = \"paused\""),
    mechanism(
        "stolen-key",
        Switch::NoRevocationExchange,
        "kind = \"certificate-revoked\"",
    ),
    mechanism("standing-still", Switch::NoPauseGuard, "kind = \"paused\""),
    mechanism("talk-on-bad-links", Switch::NoResend, "delivered-percent"),
    mechanism("three-way-split", Switch::NoAntiEntropy, "as = \"alive\""),
    mechanism("two-nodes", Switch::NoDetection, "as = \"down\""),
    mechanism(
        "unicast-blocked-pairs",
        Switch::NoDetour,
        "kind = \"undelivered\"",
    ),
    invariant(
        "refused-orders",
        Switch::AnswersEarly,
        "invariant answers-true",
    ),
    invariant(
        "stolen-key",
        Switch::KeepsRevokedLinks,
        "invariant revoked-stays-out",
    ),
    invariant(
        "stolen-key",
        Switch::AcknowledgesUnstored,
        "invariant revoked-stays-out",
    ),
    invariant("join-storm", Switch::Unbounded, "invariant bounds"),
    invariant(
        "broadcast-to-all",
        Switch::RepeatsMessages,
        "invariant handed-once",
    ),
    invariant(
        "crash-and-restart",
        Switch::JoinTimeReset,
        "invariant joined-stands",
    ),
    invariant(
        "away-past-forget",
        Switch::StaysForgotten,
        "invariant linked-alive",
    ),
    invariant(
        "two-nodes",
        Switch::DeltaDropsServices,
        "invariant merges-converge",
    ),
    invariant(
        "clock-skew",
        Switch::Resurrects,
        "invariant no-resurrection",
    ),
    invariant(
        "crash-and-restart",
        Switch::NoTieBreak,
        "invariant one-link",
    ),
    invariant(
        "crash-and-restart",
        Switch::DeltaDropsServices,
        "invariant owner-writes",
    )
    .part("delta"),
    invariant(
        "cold-join",
        Switch::DeadlineStays,
        "invariant deadline-in-future",
    ),
    invariant(
        "crash-and-restart",
        Switch::ProviderIndexStale,
        "invariant provider-index",
    )
    .part("provider index"),
    invariant(
        "missed-messages",
        Switch::HastyLosses,
        "invariant misses-true",
    ),
    invariant(
        "refused-dials",
        Switch::OneRefusalSuffices,
        "invariant linked-alive",
    ),
    invariant("lossy-links", Switch::OlderReplaces, "invariant rank-rises"),
    invariant(
        "maps-after-a-split",
        Switch::EarlierWriteWins,
        "invariant values-rise",
    ),
    invariant(
        "partition-heals",
        Switch::WholeViewAlways,
        "invariant whole-view",
    ),
    searched("blocked-pairs", Switch::NoDownProbe, "converged = true"),
    searched("clock-skew", Switch::LastHeardIsNow, "as = \"down\"").part("clock"),
    searched("flapping-link", Switch::MergeLowerWins, "providers").part("merge"),
    searched("slow-nodes", Switch::NoGraft, "false-deaths"),
    searched("slow-nodes", Switch::SequenceIgnored, "false-deaths").part("sequence repair"),
    searched(
        "three-way-split",
        Switch::NoIndirectConfirmation,
        "kind = \"peer-down\"",
    )
    .part("indirect confirmation"),
    searched("two-nodes", Switch::ForgetsDown, "as = \"down\"").part("memory of down members"),
    searched(
        "lost-disks",
        Switch::EpochReused,
        "all views are right within",
    )
    .part("refutation of one's own past"),
];

/// Switches that no scenario and no search reveals, each with the reason.
pub(crate) const NOT_FOUND: &[(Switch, &str)] = &[
    (
        Switch::NoRedial,
        "the ring dials a silent neighbour too, and a dial that connects late is used, so that there is a link again \
         before the verdict; a redial only begins earlier",
    ),
    (
        Switch::MergeIgnoresContent,
        "two records of one rank and different content need two lives with one epoch and one instance; every start \
         stores a new epoch and draws a new instance, and each forgery changes the rank",
    ),
    (
        Switch::TieBreakBySide,
        "two nodes that dial each other at once and keep different connections end with none, and dial again after \
         different random delays, so that one connection stays",
    ),
];

/// Returns whether a switch has a reason for not being found.
pub(crate) fn is_not_found(switch: Switch) -> bool {
    NOT_FOUND.iter().any(|(known, _)| *known == switch)
}

/// Returns the planted bugs that are revealed in one way.
pub(crate) fn revealed(by: Reveal) -> impl Iterator<Item = &'static PlantedBug> {
    PLANTED.iter().filter(move |bug| bug.revealed == by)
}

/// Returns the word of a switch on the command line.
pub(crate) fn word(switch: Switch) -> String {
    let found = Switch::ALL.iter().find(|(known, _)| *known == switch);
    found.expect("every switch has a name").1.to_owned()
}

#[test]
fn each_switch_is_documented() {
    let page =
        std::fs::read_to_string(phalanx_tests::repository().join("docs/simulation.md")).unwrap();
    for (_, word) in Switch::ALL {
        assert!(page.contains(&format!("\n| `{word}` | ")), "{word}");
    }
}

#[test]
fn each_switch_has_an_entry_or_is_not_found_and_no_part_is_named_twice() {
    for (switch, word) in Switch::ALL {
        let has_entry = PLANTED.iter().any(|bug| bug.switch == *switch);
        assert_ne!(has_entry, is_not_found(*switch), "{word}");
    }
    let mut parts: Vec<&str> = PLANTED.iter().filter_map(|bug| bug.part).collect();
    let count = parts.len();
    parts.sort_unstable();
    parts.dedup();
    assert_eq!(parts.len(), count, "{parts:?}");
}
