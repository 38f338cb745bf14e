//! Every scenario passes, every fault in it bites, and its name is its file's.

use crate::files::{LARGE, load, names};
use phalanx_sim::mesh::Mesh;
use phalanx_sim::outcome::Failure;
use phalanx_sim::scenario::Engine;
use phalanx_sim::{Options, run};

/// Runs a scenario; every expectation comes true, and every fault bites.
fn passes(name: &str) {
    let options = Options {
        strict: true,
        ..Options::default()
    };
    let outcome = run::<Mesh>(&load(name), 1, options).expect("it is for this engine");
    let failures: Vec<String> = outcome.failures.iter().map(Failure::to_string).collect();
    assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
}

#[test]
fn every_scenario_passes_and_every_fault_in_it_bites() {
    for name in names().into_iter().filter(|name| name != LARGE) {
        passes(&name);
    }
}

#[test]
fn a_thousand_nodes_join_lose_fifty_and_recover() {
    passes(LARGE);
}

#[test]
fn every_scenario_is_named_as_its_file_and_can_be_planned() {
    let names = names();
    assert!(names.len() >= 17, "{names:?}");
    for name in names {
        let scenario = load(&name);
        assert_eq!(scenario.name, name);
        assert!(scenario.about.len() > 80, "{name} tells no story");
        assert!(
            scenario.plan(1).is_ok() && scenario.check_engine(Engine::Model).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn what_is_not_for_the_wire_engine_says_so_with_its_place() {
    for name in names() {
        let scenario = load(&name);
        let verdict = scenario.check_engine(Engine::Wire);
        assert_eq!(
            verdict.is_ok(),
            scenario.engines.contains(&Engine::Wire),
            "{name}"
        );
        if let Err(why) = verdict {
            let why = why.to_string();
            assert!(
                why.contains("wire") && why.contains(&format!("{name}.toml:")),
                "{why}"
            );
        }
    }
}

#[test]
fn a_confluent_scenario_ends_in_one_state_whatever_the_seed_of_the_network() {
    let scenario = load("cold-join");
    let end = |seed| {
        run::<Mesh>(&scenario, seed, Options::default())
            .unwrap()
            .projection
            .unwrap()
    };
    let first = end(1);
    assert_eq!(first.nodes.len(), scenario.hosts.len());
    for seed in 2..=5 {
        assert_eq!(first.difference(&end(seed)), None, "seed {seed}");
    }
}
