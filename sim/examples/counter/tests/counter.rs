//! The counter passes its scenarios, the search finds the bug that is planted in it, and it is as short as the guide says.

use counter::COUNTER;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::search::{Hunt, SystemUnderTest};
use phalanx_sim::verdict::Failure;
use phalanx_sim::{Model, RunOptions, Runner};
use std::path::Path;

const BUG: &str = "disk-unread";
const INVARIANT: &str = "invariant nothing-lost";

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let file = folder.join(format!("{name}.toml"));
    Scenario::load_one(&file, &(COUNTER.vocabulary)(), None).unwrap()
}

fn run(scenario: &Scenario, seed: u64, sabotage: &[&str]) -> Vec<Failure> {
    let options = RunOptions {
        sabotage: sabotage.iter().map(ToString::to_string).collect(),
        ..RunOptions::default()
    };
    Model(&COUNTER)
        .run(scenario, seed, options)
        .unwrap()
        .failures
}

#[test]
fn every_scenario_passes() {
    for name in ["split", "restarts", "bad-network"] {
        let scenario = load(name);
        for seed in 1..=100 {
            assert_eq!(run(&scenario, seed, &[]), [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn the_planted_bug_breaks_the_invariant_only_under_faults() {
    let found = |name| {
        let scenario = load(name);
        let mut failures = (1..=10).flat_map(|seed| run(&scenario, seed, &[BUG]));
        failures.any(|failure| failure.expectation == INVARIANT)
    };
    assert!(found("restarts"));
    assert!(!found("split"));
}

#[test]
fn search_finds_the_planted_bug_with_faults_of_its_own() {
    let sabotage = [BUG.to_owned()];
    let runner = Model(&COUNTER);
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage: &sabotage,
    };
    let mut hunt = Hunt::new(vec![load("split")], 1);
    let found = hunt.find(subject, 2_000, |_, _, failures| {
        let mut failures = failures.iter();
        failures.any(|failure| failure.expectation == INVARIANT)
    });
    let (trial, scenario) = found.unwrap().expect("2000 runs are enough");
    assert_eq!(run(&scenario, trial.seed, &[]), [], "the faults alone");
}

#[test]
fn search_finds_nothing_else() {
    let runner = Model(&COUNTER);
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage: &[],
    };
    let mut hunt = Hunt::new(vec![load("split"), load("restarts")], 2);
    let found = hunt.find(subject, 500, |trial, _, failures| {
        assert_eq!(failures, [], "seed {}", trial.seed);
        false
    });
    assert!(found.unwrap().is_none());
}

#[test]
fn the_sources_have_fewer_than_two_hundred_lines() {
    let sources = [
        include_str!("../src/lib.rs"),
        include_str!("../src/main.rs"),
    ];
    let lines: usize = sources.iter().map(|text| text.lines().count()).sum();
    assert!(lines < 200, "{lines} lines");
}
