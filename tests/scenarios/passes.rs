//! Tests that every scenario passes, that every fault in it affects something, and that its name equals the name of its
//! file.

use crate::files::{LARGE, load, names, of_model};
use phalanx_sim::mesh::MESH;
use phalanx_sim::outcome::{Failure, difference};
use phalanx_sim::scenario::{Engine, Scenario};
use phalanx_sim::{RunOptions, run};

/// Runs a scenario and checks that every expectation holds and every fault affects something.
fn passes(name: &str) {
    let options = RunOptions {
        strict: true,
        ..RunOptions::default()
    };
    let outcome = run(&MESH, &load(name), 1, options).expect("the scenario supports this engine");
    let failures: Vec<String> = outcome.failures.iter().map(Failure::to_string).collect();
    assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
}

#[test]
fn every_scenario_passes_and_every_fault_affects_something() {
    for name in of_model().into_iter().filter(|name| name != LARGE) {
        passes(&name);
    }
}

/// Seeds that once failed, each with the bug that was found.
const KEPT: &[(&str, u64, &str)] = &[
    (
        "blocked-pairs",
        113,
        "an isolated node did not request the missed updates from the first neighbour it reached",
    ),
    (
        "slow-nodes",
        175,
        "a slow host of the model engine handled its timers before its messages",
    ),
];

#[test]
fn seeds_that_failed_before_pass() {
    for (name, seed, what) in KEPT {
        let outcome = run(&MESH, &load(name), *seed, RunOptions::default());
        let failures = outcome.expect("the scenario supports this engine").failures;
        assert!(
            failures.is_empty(),
            "{name}, seed {seed}, fails as before ({what}): {}",
            failures[0]
        );
    }
}

#[test]
fn a_thousand_nodes_join_lose_fifty_and_recover() {
    passes(LARGE);
}

#[test]
fn every_scenario_has_the_name_of_its_file_and_can_be_planned() {
    let names = names();
    assert!(names.len() >= 17, "{names:?}");
    for name in names {
        let scenario = load(&name);
        assert_eq!(scenario.name, name);
        assert!(scenario.about.len() > 80, "{name} has no description");
        assert!(scenario.plan(1).is_ok(), "{name}");
        assert_eq!(scenario.warnings(), [], "{name}");
        let mut engines = scenario.engines.iter();
        assert!(
            engines.all(|engine| scenario.check_engine(*engine).is_ok()),
            "{name}"
        );
    }
}

#[test]
fn an_unsupported_engine_is_an_error_with_its_place() {
    for (engine, word) in Engine::ALL {
        for name in names() {
            let scenario = load(&name);
            let verdict = scenario.check_engine(*engine);
            assert_eq!(
                verdict.is_ok(),
                scenario.engines.contains(engine),
                "{name} {word}"
            );
            if let Err(why) = verdict {
                let why = why.to_string();
                assert!(
                    why.contains(word) && why.contains(&format!("{name}.toml:")),
                    "{why}"
                );
            }
        }
    }
}

/// Returns a scenario for these engines with a certificate step at a time or after an event.
fn with_certificate(engines: &str, when: &str, is: &str) -> Scenario {
    let text = format!(
        r#"
scenario = 1
name = "made"
about = "The certificate of one of three nodes changes."
engines = [{engines}]
duration = "30s"

[[nodes]]
count = 3

[[at]]
{when}
certificate = {{ who = "n2", is = "{is}" }}

[[expect]]
eventually = {{ converged = true }}
"#
    );
    Scenario::parse("made.toml", &text).expect("the text is a valid scenario")
}

#[test]
fn certificate_steps_need_the_wire_engine_and_other_engines_report_an_error() {
    let at = "time = \"10s\"";
    let after = "after = { event = \"peer-up\", by = \"n1\" }";
    for (when, is) in [(at, "expired"), (at, "rotated"), (after, "rotated")] {
        let scenario = with_certificate("\"wire\"", when, is);
        scenario.check_engine(Engine::Wire).unwrap();
    }
    let refused = |engine: Engine, when, is| {
        let scenario = with_certificate(&format!("\"{engine}\""), when, is);
        let why = scenario.check_engine(engine).unwrap_err().to_string();
        let place =
            format!("made.toml:11: certificate: engine {engine} cannot do the step `certificate`");
        assert!(why.starts_with(&place), "{why}");
        why
    };
    assert!(refused(Engine::Wire, at, "revoked").contains("cannot revoke certificates"));
    assert!(refused(Engine::Wire, after, "expired").contains("give the step a `time`"));
    assert!(refused(Engine::Madsim, at, "rotated").contains("in --engine wire"));
    let scenario = with_certificate("\"model\"", at, "expired");
    let why = run(&MESH, &scenario, 1, RunOptions::default()).unwrap_err();
    let why = why.to_string();
    assert!(
        why.contains("engine model cannot do the step `certificate`"),
        "{why}"
    );
}

#[test]
fn a_confluent_scenario_ends_in_one_state_whatever_the_seed_of_the_network() {
    let scenario = load("cold-join");
    let end = |seed| {
        let options = RunOptions {
            final_state: true,
            ..RunOptions::default()
        };
        run(&MESH, &scenario, seed, options)
            .unwrap()
            .projection
            .unwrap()
    };
    let first = end(1);
    let nodes = first["nodes"].as_object().map(serde_json::Map::len);
    assert_eq!(nodes, Some(scenario.hosts.len()));
    for seed in 2..=5 {
        assert_eq!(difference(&first, &end(seed)), None, "seed {seed}");
    }
}
