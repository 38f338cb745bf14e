//! The fleet passes its scenarios, and its invariants catch the planted bugs.

use fleet::system::FLEET;
use phalanx_sim::coverage::{OccurrenceKind, RunCoverage};
use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::{Model, RunOptions, Runner};
use std::path::Path;

const SCENARIOS: [&str; 7] = [
    "rollout",
    "nginx-crashes",
    "power-loss",
    "controller-restarts",
    "invalid-release",
    "name-moves",
    "reload-refused",
];

/// The planted bugs: each with its switch, a scenario, and the invariant that detects it in this scenario.
const BUGS: [(&str, &str, &str); 4] = [
    ("served-early", "rollout", "served-is-loaded"),
    ("unsynced-rename", "power-loss", "live-is-valid"),
    ("untested", "invalid-release", "live-is-valid"),
    ("no-read-back", "rollout", "live-is-kept"),
];

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let file = folder.join(format!("{name}.toml"));
    Scenario::load_one(&file, &(FLEET.vocabulary)(), None).unwrap()
}

fn run(name: &str, seed: u64, sabotage: &[&str]) -> Outcome {
    let options = RunOptions {
        sabotage: sabotage.iter().map(ToString::to_string).collect(),
        ..RunOptions::default()
    };
    Model(&FLEET).run(&load(name), seed, options).unwrap()
}

#[test]
fn every_scenario_passes() {
    for name in SCENARIOS {
        for seed in 1..=20 {
            let outcome = run(name, seed, &[]);
            assert_eq!(outcome.failures, [], "{name}, seed {seed}");
            assert_eq!(outcome.vacuous, [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn each_planted_bug_is_caught_by_an_invariant() {
    for (bug, scenario, invariant) in BUGS {
        let failures = run(scenario, 1, &[bug]).failures;
        let wanted = format!("invariant {invariant}");
        let failure = failures.iter().find(|it| it.expectation == wanted);
        let failure = failure.unwrap_or_else(|| panic!("{bug} passes: {failures:?}"));
        assert!(
            failure.reproduce.starts_with("cargo run -- run "),
            "{failure}"
        );
    }
}

#[test]
fn the_bugs_of_the_mesh_are_caught_in_the_fleet_too() {
    // The mesh's invariants check the daemons of the fleet as they do in a mesh alone.
    let failures = (1..=5).flat_map(|seed| run("rollout", seed, &["join-time-reset"]).failures);
    let mut of_invariants =
        failures.filter(|failure| failure.expectation.starts_with("invariant "));
    assert!(of_invariants.next().is_some());
}

#[test]
fn a_command_with_wrong_arguments_is_refused() {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/power-loss.toml"),
    )
    .unwrap();
    let refused = [
        ("with = { }", "`deploy` needs `version`"),
        (
            "with = { version = 5, directives = 1 }",
            "`directives` is a text",
        ),
    ];
    for (with, wanted) in refused {
        let text = text.replace("with = { version = 5 }", with);
        let why = Scenario::parse_with("x.toml", &text, &(FLEET.vocabulary)()).unwrap_err();
        assert!(why.to_string().contains(wanted), "{why}");
    }
}

#[test]
fn all_that_occurs_is_declared() {
    let vocabulary = (FLEET.vocabulary)();
    for name in ["power-loss", "name-moves", "invalid-release"] {
        let mut coverage = RunCoverage::default();
        let options = RunOptions {
            coverage: Some(&mut coverage),
            ..RunOptions::default()
        };
        Model(&FLEET).run(&load(name), 1, options).unwrap();
        for program in ["controller", "agent"] {
            let words = vocabulary.program(program).expect("the program has words");
            let declared = words.declared_occurrences();
            let occurred = coverage.iter().find(|(of, _)| *of == program);
            let (_, occurred) = occurred.expect("the program runs");
            for (occurrence, _) in occurred {
                let is_invariant = occurrence.kind() == OccurrenceKind::Invariant;
                assert!(
                    is_invariant || declared.contains(occurrence),
                    "{program} does not declare {occurrence}"
                );
            }
        }
    }
}
