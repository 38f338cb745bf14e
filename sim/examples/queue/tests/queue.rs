//! The queue passes its scenarios, the search finds the bug that is planted in it, and it is as short as the guide says.

use phalanx_sim::scenario::Scenario;
use phalanx_sim::search::{Hunt, SystemUnderTest};
use phalanx_sim::verdict::Failure;
use phalanx_sim::{Model, RunOptions, Runner};
use queue::QUEUE;
use std::path::Path;

const BUG: &str = "confirmed-early";
const INVARIANT: &str = "invariant accepted-is-done";

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let file = folder.join(format!("{name}.toml"));
    Scenario::load_one(&file, &(QUEUE.vocabulary)(), None).unwrap()
}

fn run(scenario: &Scenario, seed: u64, sabotage: &[&str]) -> Vec<Failure> {
    let options = RunOptions {
        sabotage: sabotage.iter().map(ToString::to_string).collect(),
        ..RunOptions::default()
    };
    Model(&QUEUE).run(scenario, seed, options).unwrap().failures
}

#[test]
fn every_scenario_passes() {
    for name in ["quiet", "crashes"] {
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
    assert!(found("crashes"));
    assert!(!found("quiet"));
}

#[test]
fn search_finds_the_planted_bug_with_faults_of_its_own() {
    let sabotage = [BUG.to_owned()];
    let runner = Model(&QUEUE);
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage: &sabotage,
    };
    let mut hunt = Hunt::new(vec![load("quiet")], 1);
    let found = hunt.find(subject, 2_000, |_, _, failures| {
        let mut failures = failures.iter();
        failures.any(|failure| failure.expectation == INVARIANT)
    });
    let (trial, scenario) = found.unwrap().expect("2000 runs are enough");
    assert_eq!(run(&scenario, trial.seed, &[]), [], "the faults alone");
}

#[test]
fn search_finds_nothing_else() {
    let runner = Model(&QUEUE);
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage: &[],
    };
    let mut hunt = Hunt::new(vec![load("quiet"), load("crashes")], 2);
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
