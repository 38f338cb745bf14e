//! Tests that the same seed gives the same run, in this process and in another process.

use phalanx_sim::mesh::MESH;
use phalanx_sim::record::{Header, Writer};
use phalanx_sim::scenario::{Engine, Scenario};
use phalanx_sim::{RunOptions, run};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Scenarios that use every kind of randomness: start times, draws, loss, halves, pauses.
const SCENARIOS: [&str; 4] = ["cold-join", "join-storm", "clock-skew", "blocked-pairs"];

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    Scenario::load(&folder.join(format!("{name}.toml"))).expect("the file is a valid scenario")
}

fn hashes() -> BTreeMap<String, String> {
    let mut hashes = BTreeMap::new();
    for name in SCENARIOS {
        for seed in 1..=2 {
            let outcome = run(&MESH, &load(name), seed, RunOptions::default())
                .expect("the scenario supports this engine");
            hashes.insert(format!("{name} {seed}"), outcome.trace_hash);
        }
    }
    hashes
}

/// Prints the hashes for the parent process, and checks that different seeds give different runs.
#[test]
#[expect(
    clippy::print_stdout,
    reason = "another process reads what this one prints"
)]
fn another_seed_is_another_run() {
    let hashes = hashes();
    for (run, hash) in &hashes {
        println!("hash {run} {hash}");
    }
    for name in SCENARIOS {
        assert_ne!(
            hashes[&format!("{name} 1")],
            hashes[&format!("{name} 2")],
            "{name}"
        );
    }
}

#[test]
fn two_processes_see_the_same_run() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["another_seed_is_another_run", "--exact", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let there: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once("hash ")?.1.rsplit_once(' '))
        .map(|(run, hash)| (run.to_owned(), hash.to_owned()))
        .collect();
    assert_eq!(there, hashes(), "{text}");
}

#[test]
fn the_trace_is_the_same_line_for_line() {
    let scenario = load("cloned-name");
    let trace = || {
        let mut lines = Vec::new();
        let header = Header::of(&scenario, 3, Engine::Model, &[]);
        let plan = scenario.plan(3).unwrap();
        let mut writer = Writer::new(&mut lines, &scenario, plan, &header);
        let options = RunOptions {
            recorder: Some(&mut writer),
            ..RunOptions::default()
        };
        let hash = run(&MESH, &scenario, 3, options).unwrap().trace_hash;
        writer.finish().unwrap();
        (hash, String::from_utf8(lines).unwrap())
    };
    let (first, second) = (trace(), trace());
    assert!(first.1.lines().count() > 1_000);
    assert_eq!(first.0, second.0);
    let differs = first
        .1
        .lines()
        .zip(second.1.lines())
        .position(|(one, two)| one != two);
    assert_eq!(differs, None);
}
