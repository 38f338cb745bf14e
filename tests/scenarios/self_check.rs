//! Tests of the simulator itself: each scenario fails when its mechanism is disabled, and each invariant is violated by
//! its planted bug; both use the real machines and the regular runner.

use crate::files::{LARGE, folder, load, names, of_model};
use phalanx_core::sabotage::Switch;
use phalanx_sim::mesh::MESH;
use phalanx_sim::outcome::Failure;
use phalanx_sim::{RunOptions, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// With a lucky seed, a disabled mechanism may go unnoticed, but not with all of these seeds.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

/// Each scenario, with the mechanism without which it fails.
const MECHANISMS: &[(&str, Switch)] = &[
    ("behind-nat", Switch::NoResend),
    ("blocked-pairs", Switch::NoFallback),
    ("broadcast-to-all", Switch::RepeatsMessages),
    ("broadcast-under-loss", Switch::NoBroadcastGraft),
    ("bulk-on-slow-lines", Switch::NoLanes),
    ("certificate-expires", Switch::NoDetection),
    ("certificates-rotate", Switch::NoRenewal),
    ("clock-skew", Switch::NoPauseGuard),
    ("cloned-name", Switch::NoCloneCheck),
    ("cold-join", Switch::NoRetry),
    ("crash-and-restart", Switch::NoDetection),
    ("early-crash", Switch::NoDetection),
    ("flapping-link", Switch::NoTieBreak),
    ("forged-records", Switch::AdoptsForgery),
    ("forgotten-dead", Switch::Resurrects),
    ("graceful-leave", Switch::NoLeaveAnnouncement),
    ("hostile-neighbour", Switch::NoRefute),
    ("join-storm", Switch::NoReferral),
    ("large-payloads", Switch::NoResend),
    ("long-pauses", Switch::NoCompare),
    ("lossy-links", Switch::NoAntiEntropy),
    ("lost-disks", Switch::EpochReused),
    ("maps-after-a-split", Switch::NoConflicts),
    ("mass-restart", Switch::EpochIgnored),
    ("newcomer-gets-history", Switch::NoCompare),
    ("one-way-cut", Switch::NoDetection),
    ("partition-heals", Switch::NoAntiEntropy),
    ("pauses-under-loss", Switch::NoResend),
    ("power-loss", Switch::NoDetection),
    ("quiet-updates", Switch::NoCompare),
    ("refused-orders", Switch::OpensTwice),
    ("relay-crash", Switch::NoResend),
    ("rolling-restart", Switch::NoTieBreak),
    ("slow-neighbour", Switch::NoBackPressure),
    ("slow-nodes", Switch::NoPauseGuard),
    ("standing-still", Switch::NoPauseGuard),
    ("talk-on-bad-links", Switch::NoResend),
    ("three-way-split", Switch::NoAntiEntropy),
    ("two-nodes", Switch::NoDetection),
    ("unicast-blocked-pairs", Switch::NoDetour),
];

/// Each invariant, with its planted bug and a scenario that reveals it.
const PLANTED: &[(&str, Switch, &str)] = &[
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

fn word(switch: Switch) -> String {
    let found = Switch::ALL.iter().find(|(known, _)| *known == switch);
    found.expect("every switch has a name").1.to_owned()
}

/// Returns whether a scenario fails on the wire engine with this seed and switch.
fn fails_on_wire(scenario: &str, switch: Switch, seed: u64) -> bool {
    let output = Command::new(phalanx_tests::binary("phalanx-sim-wire"))
        .arg(folder().join(format!("{scenario}.toml")))
        .args(["--seed", &seed.to_string(), "--sabotage", &word(switch)])
        .output()
        .expect("the engine can be started");
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|why| {
        panic!("{why}: {}", String::from_utf8_lossy(&output.stderr));
    });
    outcome["outcome"] == "fail"
}

/// Returns whether a scenario has a wanted failure with this switch, on any of the seeds.
fn fails_with(scenario: &str, switch: Switch, wanted: impl Fn(&Failure) -> bool) -> bool {
    let scenario = load(scenario);
    SEEDS.into_iter().any(|seed| {
        let options = RunOptions {
            sabotage: vec![word(switch)],
            ..RunOptions::default()
        };
        run(&MESH, &scenario, seed, options)
            .expect("the scenario supports this engine")
            .failures
            .iter()
            .any(&wanted)
    })
}

#[test]
fn each_scenario_fails_without_its_mechanism() {
    let of_model = of_model();
    for (scenario, switch) in MECHANISMS {
        let fails = if of_model.iter().any(|name| name == scenario) {
            fails_with(scenario, *switch, |_| true)
        } else {
            SEEDS
                .into_iter()
                .any(|seed| fails_on_wire(scenario, *switch, seed))
        };
        assert!(fails, "{scenario} passes with {switch:?}");
    }
    let covered: BTreeSet<&str> = MECHANISMS.iter().map(|(scenario, _)| *scenario).collect();
    let missing: Vec<_> = names()
        .into_iter()
        .filter(|name| name != LARGE && !covered.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "these scenarios have no mechanism in MECHANISMS: {missing:?}"
    );
}

#[test]
fn the_thousand_nodes_scenario_fails_without_failure_detection() {
    assert!(fails_with(LARGE, Switch::NoDetection, |_| true));
}

#[test]
fn each_invariant_catches_its_planted_bug() {
    for (invariant, switch, scenario) in PLANTED {
        let text = format!("invariant {invariant}");
        assert!(
            fails_with(scenario, *switch, |failure| failure.expectation == text),
            "{invariant} does not catch {switch:?} in {scenario}"
        );
    }
    let planted: BTreeSet<&str> = PLANTED.iter().map(|(invariant, ..)| *invariant).collect();
    assert_eq!(
        planted,
        phalanx_sim::invariant::names(&MESH, &load("two-nodes")).unwrap()
    );
}

#[test]
fn a_failure_has_its_expectation_place_time_and_a_command_to_reproduce_it() {
    let scenario = load("crash-and-restart");
    let options = RunOptions {
        sabotage: vec![word(Switch::NoDetection)],
        ..RunOptions::default()
    };
    let outcome = run(&MESH, &scenario, 7, options).unwrap();
    let text = outcome.failures[0].to_string();
    assert!(text.contains("crash-and-restart.toml:"), "{text}");
    assert!(text.contains("broken at 14."), "{text}");
    assert!(text.contains("--seed 7 --engine model"), "{text}");
}
