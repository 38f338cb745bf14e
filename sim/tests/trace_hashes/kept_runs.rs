//! Compares runs of scenarios with a stored list of their trace hashes, events, messages, bytes and verdicts.

use phalanx_sim::mesh::MESH;
use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::{Engine, Scenario};
use phalanx_sim::{RunOptions, run};
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The scenario with a thousand nodes. The scenario takes half a minute of CPU time, so only `make soak` compares its
/// hash.
pub(crate) const LARGE: &str = "thousand-nodes";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn load(name: &str) -> Scenario {
    let path = repository().join("scenarios").join(format!("{name}.toml"));
    Scenario::load(&path).unwrap_or_else(|why| panic!("{why}"))
}

/// The names of the scenarios of the model engine, in order.
pub(crate) fn names() -> Vec<String> {
    let entries =
        std::fs::read_dir(repository().join("scenarios")).expect("the folder can be read");
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let path = entry.expect("the entry can be read").path();
            let is_scenario = path
                .extension()
                .is_some_and(|extension| extension == "toml");
            is_scenario.then(|| path.file_stem()?.to_str().map(str::to_owned))?
        })
        .filter(|name| load(name).engines.contains(&Engine::Model))
        .collect();
    names.sort();
    names
}

/// One run as one line: scenario, seed, hash, events, messages, bytes, verdict.
fn line(outcome: &Outcome) -> String {
    format!(
        "{} {} {} events {} messages {} bytes {} {:?}",
        outcome.scenario,
        outcome.seed,
        outcome.trace_hash,
        outcome.events,
        outcome.messages,
        outcome.bytes,
        outcome.outcome,
    )
}

/// Runs the scenarios with these seeds and compares each run with its line in `sim/tests/FILE`. `PHALANX_GOLDEN=write`
/// writes the file.
pub(crate) fn check(file: &str, names: &[String], seeds: RangeInclusive<u64>) {
    let mut text = String::new();
    for name in names {
        let scenario = load(name);
        for seed in seeds.clone() {
            let outcome = run(&MESH, &scenario, seed, RunOptions::default())
                .unwrap_or_else(|why| panic!("{name}: {why}"));
            writeln!(text, "{}", line(&outcome)).expect("a string takes text");
        }
    }
    let path = repository().join("sim/tests").join(file);
    if std::env::var("PHALANX_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &text).expect("the file can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let moved: Vec<String> = kept
        .lines()
        .zip(text.lines())
        .filter(|(kept, found)| kept != found)
        .map(|(kept, found)| format!("  kept  {kept}\n  found {found}"))
        .collect();
    assert!(
        moved.is_empty(),
        "{} runs differ from sim/tests/{file}. If that is intended, write the list by `make golden`, in a commit of its own:\n{}",
        moved.len(),
        moved.join("\n")
    );
    assert_eq!(
        kept.lines().count(),
        text.lines().count(),
        "sim/tests/{file} lists other runs; write it by `make golden`"
    );
}
