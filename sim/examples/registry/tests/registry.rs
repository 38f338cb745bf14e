//! The registry passes its scenarios, and each invariant catches its planted bugs.

use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::{Model, RunOptions, Runner};
use registry::system::REGISTRY;
use std::path::Path;

const SCENARIOS: [&str; 4] = [
    "registry-quiet",
    "registry-crash",
    "registry-store-fails",
    "registry-compaction",
];

/// Number of seeds of each scenario.
const SEEDS: u64 = 20;

/// The planted bugs: each with a scenario, and the invariant that detects the bug in it.
const BUGS: [(&str, &str, &str); 9] = [
    ("answers-early", "registry-crash", "acknowledged-is-durable"),
    (
        "commits-unsynced",
        "registry-crash",
        "acknowledged-is-durable",
    ),
    ("lost-update", "registry-quiet", "linearizable"),
    (
        "requests-forgotten",
        "registry-store-fails",
        "executed-once",
    ),
    (
        "unknown-is-failed",
        "registry-store-fails",
        "refused-is-not-applied",
    ),
    ("watch-skips-edge", "registry-crash", "watch-is-exact"),
    ("watch-repeats", "registry-crash", "watch-is-exact"),
    (
        "watch-truncates-batches",
        "registry-quiet",
        "watch-is-exact",
    ),
    (
        "watch-ignores-floor",
        "registry-compaction",
        "watch-is-exact",
    ),
];

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let file = folder.join(format!("{name}.toml"));
    Scenario::load_one(&file, &(REGISTRY.vocabulary)(), None).unwrap()
}

fn run(name: &str, seed: u64, sabotage: &[&str]) -> Outcome {
    let options = RunOptions {
        sabotage: sabotage.iter().map(ToString::to_string).collect(),
        ..RunOptions::default()
    };
    Model(&REGISTRY).run(&load(name), seed, options).unwrap()
}

#[test]
fn every_scenario_passes() {
    for name in SCENARIOS {
        for seed in 1..=SEEDS {
            let outcome = run(name, seed, &[]);
            assert_eq!(outcome.failures, [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn each_planted_bug_is_caught_by_its_invariant() {
    for (bug, scenario, invariant) in BUGS {
        let wanted = format!("invariant {invariant}");
        let is_found = (1..=10).any(|seed| {
            let failures = run(scenario, seed, &[bug]).failures;
            failures.iter().any(|it| it.expectation == wanted)
        });
        assert!(
            is_found,
            "{bug} passes {scenario}, or breaks another invariant first"
        );
    }
}
