//! Tests of the simulator itself: each scenario fails when its mechanism is disabled, and each invariant is violated by
//! its planted bug; both use the real machines and the regular runner.

use crate::files::{LARGE, folder, load, names, of_model};
use crate::planted::{Reveal, revealed, word};
use phalanx_core::sabotage::Switch;
use phalanx_sim::mesh::MESH;
use phalanx_sim::outcome::Failure;
use phalanx_sim::{RunOptions, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// With a lucky seed, a disabled mechanism may go unnoticed, but not with all of these seeds.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

/// Returns whether a scenario has a failure of this expectation on the wire engine with this seed and switch.
fn fails_on_wire(scenario: &str, switch: Switch, expectation: &str, seed: u64) -> bool {
    let output = Command::new(phalanx_tests::binary("phalanx-sim-wire"))
        .arg(folder().join(format!("{scenario}.toml")))
        .args(["--seed", &seed.to_string(), "--sabotage", &word(switch)])
        .output()
        .expect("the engine can be started");
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|why| {
        panic!("{why}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let failures = outcome["failures"].as_array().into_iter().flatten();
    failures
        .filter_map(|failure| failure["expectation"].as_str())
        .any(|violated| violated.contains(expectation))
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
    for bug in revealed(Reveal::Mechanism) {
        let (scenario, expectation) = (bug.scenario, bug.expectation);
        let fails = if of_model.iter().any(|name| name == scenario) {
            fails_with(scenario, bug.switch, |failure| {
                failure.expectation.contains(expectation)
            })
        } else {
            SEEDS
                .into_iter()
                .any(|seed| fails_on_wire(scenario, bug.switch, expectation, seed))
        };
        assert!(
            fails,
            "{scenario} meets `{expectation}` with {:?}",
            bug.switch
        );
    }
    let covered = revealed(Reveal::Mechanism).map(|bug| bug.scenario);
    let covered: BTreeSet<&str> = covered.collect();
    let missing: Vec<_> = names()
        .into_iter()
        .filter(|name| name != LARGE && !covered.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "these scenarios have no mechanism in PLANTED: {missing:?}"
    );
}

#[test]
fn the_thousand_nodes_scenario_fails_without_failure_detection() {
    assert!(fails_with(LARGE, Switch::NoDetection, |_| true));
}

#[test]
fn each_invariant_catches_its_planted_bug() {
    let mut planted = BTreeSet::new();
    for bug in revealed(Reveal::Invariant) {
        let (scenario, expectation) = (bug.scenario, bug.expectation);
        assert!(
            fails_with(scenario, bug.switch, |failure| failure.expectation
                == expectation),
            "{expectation} does not catch {:?} in {scenario}",
            bug.switch
        );
        planted.extend(expectation.strip_prefix("invariant "));
    }
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
