//! The registry passes its scenarios, and each invariant catches its planted bugs.

use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::{Model, RunOptions, Runner};
use registry::system::REGISTRY;
use std::path::Path;

const SCENARIOS: [&str; 14] = [
    "registry-quiet",
    "registry-crash",
    "registry-store-fails",
    "registry-compaction",
    "registry-slow-watcher",
    "registry-restored",
    "registry-successor",
    "registry-pods",
    "registry-region-isolated",
    "registry-region-crash",
    "registry-region-pods",
    "registry-slow-follower",
    "registry-slow-store",
    "registry-region-closing",
];

/// Number of seeds of each scenario, unless the variable `REGISTRY_SEEDS` has another number.
const SEEDS: u64 = 5;

/// The planted bugs: each with a scenario, and the invariant or expectation that detects the bug in it.
const BUGS: [(&str, &str, &str); 29] = [
    (
        "answers-early",
        "registry-crash",
        "invariant acknowledged-is-durable",
    ),
    (
        "commits-unsynced",
        "registry-crash",
        "invariant acknowledged-is-durable",
    ),
    ("lost-update", "registry-quiet", "invariant linearizable"),
    (
        "requests-forgotten",
        "registry-store-fails",
        "invariant executed-once",
    ),
    (
        "requests-forgotten",
        "registry-slow-store",
        "invariant executed-once",
    ),
    (
        "unchanged-forgotten",
        "registry-slow-store",
        "invariant linearizable",
    ),
    (
        "refusals-forgotten",
        "registry-slow-store",
        "invariant refused-is-not-applied",
    ),
    (
        "unknown-is-failed",
        "registry-store-fails",
        "invariant refused-is-not-applied",
    ),
    (
        "watch-skips-edge",
        "registry-crash",
        "invariant watch-is-exact",
    ),
    (
        "watch-repeats",
        "registry-crash",
        "invariant watch-is-exact",
    ),
    (
        "watch-truncates-batches",
        "registry-quiet",
        "invariant watch-is-exact",
    ),
    (
        "watch-ignores-floor",
        "registry-compaction",
        "invariant watch-is-exact",
    ),
    (
        "watch-ignores-history",
        "registry-restored",
        "all views are right",
    ),
    ("watch-idles-silently", "registry-quiet", "timed-out"),
    (
        "slow-watcher-blocks",
        "registry-slow-watcher",
        "watch-delay-ms",
    ),
    ("deposed-watches-stay", "registry-successor", "deposed"),
    (
        "epochs-ignored",
        "registry-successor",
        "invariant one-owner",
    ),
    ("lost-update", "registry-pods", "invariant watch-is-exact"),
    (
        "hidden-is-shown",
        "registry-pods",
        "invariant hidden-stays-hidden",
    ),
    (
        "copy-confirmed-early",
        "registry-region-crash",
        "invariant copied-is-durable",
    ),
    (
        "counts-sent-copies",
        "registry-region-crash",
        "invariant copied-is-durable",
    ),
    (
        "copy-keeps-removed",
        "registry-slow-follower",
        "invariant copies-equal-owners",
    ),
    (
        "watch-ignores-copy-snapshot",
        "registry-slow-follower",
        "invariant watch-is-exact",
    ),
    (
        "routes-in-silence",
        "registry-region-isolated",
        "unreachable",
    ),
    (
        "slow-follower-blocks",
        "registry-slow-follower",
        "copy-delay-ms",
    ),
    (
        "versions-forgotten",
        "registry-pods",
        "invariant versions-grow",
    ),
    (
        "ends-unasked",
        "registry-region-closing",
        "invariant needed-stays",
    ),
    (
        "referrers-forgotten",
        "registry-region-closing",
        "invariant needed-stays",
    ),
    (
        "copied-audiences-stay",
        "registry-region-closing",
        "all views are right",
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

/// The number of seeds.
fn seeds() -> u64 {
    let wanted = std::env::var("REGISTRY_SEEDS").ok();
    wanted.map_or(SEEDS, |it| it.parse().expect("REGISTRY_SEEDS is a number"))
}

/// The figures of a run: what the workload has tried.
fn figures(outcome: &Outcome) -> String {
    let figures = outcome.expected.iter().filter_map(|it| {
        let figure = it.figure?;
        Some(format!("{}: {figure}", it.text))
    });
    figures.collect::<Vec<_>>().join("; ")
}

#[test]
fn every_scenario_passes() {
    let mut failed = Vec::new();
    for name in SCENARIOS {
        for seed in 1..=seeds() {
            let outcome = run(name, seed, &[]);
            println!("{name}, seed {seed}: {}", figures(&outcome));
            let failures = outcome.failures.into_iter();
            failed.extend(failures.map(|it| format!("{name}, seed {seed}: {it:?}")));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn each_planted_bug_is_caught() {
    for (bug, scenario, wanted) in BUGS {
        let mut found = Vec::new();
        for seed in 1..=10 {
            let failures = run(scenario, seed, &[bug]).failures;
            found.extend(failures.into_iter().map(|it| it.expectation));
            if found.iter().any(|it| it.contains(wanted)) {
                break;
            }
        }
        assert!(
            found.iter().any(|it| it.contains(wanted)),
            "{bug} in {scenario}: found {found:?}"
        );
    }
}
