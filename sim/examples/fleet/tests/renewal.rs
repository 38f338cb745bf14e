//! A fleet of 200 members renews its certificates: without a load spike, after failures, and after changes of its
//! clocks.

use fleet::renewal::system::RENEWAL;
use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::{Model, RunOptions, Runner};
use std::path::Path;

const SCENARIOS: [&str; 3] = ["fleet-renews", "renewals-retried", "clock-set-right"];

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let file = folder.join(format!("{name}.toml"));
    Scenario::load_one(&file, &(RENEWAL.vocabulary)(), None).unwrap()
}

fn run(name: &str, seed: u64, sabotage: &[&str]) -> Outcome {
    let options = RunOptions {
        sabotage: sabotage.iter().map(ToString::to_string).collect(),
        ..RunOptions::default()
    };
    Model(&RENEWAL).run(&load(name), seed, options).unwrap()
}

#[test]
fn every_scenario_passes() {
    for name in SCENARIOS {
        for seed in 1..=10 {
            let outcome = run(name, seed, &[]);
            assert_eq!(outcome.failures, [], "{name}, seed {seed}");
            assert_eq!(outcome.vacuous, [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn members_with_equal_random_choices_renew_at_once() {
    let failures = run("fleet-renews", 1, &["same-seed"]).failures;
    let spike =
        |text: &str| text.starts_with("never = { event = { kind = \"renewed\", min = 60 } }");
    assert!(
        failures.iter().any(|failure| spike(&failure.expectation)),
        "{failures:?}"
    );
}

#[test]
fn a_renewal_that_is_not_retried_is_found() {
    let failures = run("renewals-retried", 1, &["unretried"]).failures;
    let wanted = "invariant certificate-is-valid";
    assert!(
        failures.iter().any(|failure| failure.expectation == wanted),
        "{failures:?}"
    );
}
