//! The fleet passes its scenarios, and its invariant catches the planted bug.

use fleet::system::FLEET;
use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::{Model, Options, Runner};
use std::path::Path;

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let file = folder.join(format!("{name}.toml"));
    Scenario::load_one(&file, &(FLEET.vocabulary)(), None).unwrap()
}

fn run(name: &str, seed: u64, sabotage: &[&str]) -> Outcome {
    let options = Options {
        sabotage: sabotage.iter().map(ToString::to_string).collect(),
        ..Options::default()
    };
    Model(&FLEET).run(&load(name), seed, options).unwrap()
}

#[test]
fn every_scenario_passes() {
    for name in ["rollout", "nginx-crashes", "power-loss"] {
        for seed in 1..=20 {
            let outcome = run(name, seed, &[]);
            assert_eq!(outcome.failures, [], "{name}, seed {seed}");
            assert_eq!(outcome.vacuous, [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn a_version_that_is_reported_before_nginx_has_loaded_it_is_found() {
    let failures = run("rollout", 1, &["served-early"]).failures;
    let found = |failure: &&_| {
        let failure: &phalanx_sim::outcome::Failure = failure;
        failure.expectation == "invariant served-is-loaded"
    };
    let failure = failures
        .iter()
        .find(found)
        .expect("the invariant catches it");
    assert!(
        failure.reproduce.starts_with("cargo run -- run "),
        "{failure}"
    );
}

#[test]
fn the_bugs_of_the_mesh_are_caught_in_the_fleet_too() {
    // The mesh's invariants watch its daemons in this world as in their own.
    let failures = (1..=5).flat_map(|seed| run("rollout", seed, &["join-time-reset"]).failures);
    let mut of_invariants =
        failures.filter(|failure| failure.expectation.starts_with("invariant "));
    assert!(of_invariants.next().is_some());
}

#[test]
fn a_command_without_its_version_is_refused() {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/power-loss.toml"),
    )
    .unwrap();
    let text = text.replace("with = { version = 5 }", "with = { }");
    let why = Scenario::parse_with("x.toml", &text, &(FLEET.vocabulary)()).unwrap_err();
    assert!(
        why.to_string().contains("`deploy` needs `version`"),
        "{why}"
    );
}
