//! The coverage of runs of the mesh: it changes no run, is the same for the same seed, and all that occurs is declared.

use phalanx_sim::coverage::{
    CoverageTable, Occurrence, OccurrenceKind, ProgramCoverage, RunCoverage,
};
use phalanx_sim::mesh::{MESH, PROGRAM, words};
use phalanx_sim::scenario::Scenario;
use phalanx_sim::{Model, RunOptions, Runner};
use std::collections::BTreeSet;
use std::path::Path;

/// Scenarios with channels, restarts, cuts, forged records, refused requests, departures and revocations.
const SCENARIOS: [&str; 8] = [
    "cloned-name",
    "crash-and-restart",
    "forged-records",
    "graceful-leave",
    "hostile-neighbour",
    "maps-after-a-split",
    "refused-orders",
    "stolen-key",
];

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let file = folder.join(format!("{name}.toml"));
    let scenarios = Scenario::load_all(&file, &(MESH.vocabulary)(), None);
    scenarios.expect("the scenario is valid").remove(0)
}

/// Runs one seed; returns its trace hash and its coverage.
fn run(scenario: &Scenario, seed: u64) -> (String, RunCoverage) {
    let mut coverage = RunCoverage::default();
    let options = RunOptions {
        coverage: Some(&mut coverage),
        ..RunOptions::default()
    };
    let outcome = Model(&MESH).run(scenario, seed, options);
    (outcome.expect("the scenario runs").trace_hash, coverage)
}

fn table(runs: &[RunCoverage]) -> ProgramCoverage {
    let mut table = CoverageTable::default();
    runs.iter().for_each(|run| table.add(run));
    table.programs().remove(0)
}

#[test]
fn all_that_occurs_is_declared_and_most_of_it_occurs() {
    let declared: BTreeSet<Occurrence> = words().declared_occurrences().into_iter().collect();
    let mut seen = BTreeSet::new();
    for name in SCENARIOS {
        let (_, coverage) = run(&load(name), 1);
        for (program, occurrences) in coverage.iter() {
            assert_eq!(program, PROGRAM);
            for (occurrence, number) in occurrences {
                let is_invariant = occurrence.kind() == OccurrenceKind::Invariant;
                assert!(
                    is_invariant || declared.contains(occurrence),
                    "{name}: {occurrence} is not declared"
                );
                if number > 0 && !is_invariant {
                    seen.insert(occurrence.clone());
                }
            }
        }
    }
    assert!(
        2 * seen.len() > declared.len(),
        "{} of {} occurred",
        seen.len(),
        declared.len()
    );
    let refusal = Occurrence::refusal("refused").with("not-open");
    let lost = Occurrence::transition("link-down").with("lost");
    assert!(seen.contains(&refusal) && seen.contains(&lost), "{seen:#?}");
}

#[test]
fn the_collection_changes_no_run_and_a_seed_has_one_coverage() {
    let scenario = load("maps-after-a-split");
    let plain = Model(&MESH).run(&scenario, 3, RunOptions::default());
    let plain = plain.expect("the scenario runs").trace_hash;
    let (hash, coverage) = run(&scenario, 3);
    assert_eq!(hash, plain);
    assert_eq!(run(&scenario, 3), (hash, coverage));
}

#[test]
fn a_declared_variant_that_never_occurs_is_among_the_first_rows() {
    let two_nodes = load("two-nodes");
    let runs = [1, 2].map(|seed| run(&two_nodes, seed).1);
    let mesh = table(&runs);
    let (never, occurred) = mesh.rows.split_at(mesh.never);
    assert!(
        never
            .iter()
            .all(|row| row.tally.count == 0 && row.tally.runs == 0)
    );
    assert!(
        occurred
            .iter()
            .all(|row| row.tally.runs > 0 && row.tally.runs <= 2)
    );
    let is_never = |kind, word: &str, detail: &str| {
        let mut rows = never.iter();
        rows.any(|row| (row.kind, row.word, row.detail.as_str()) == (kind, word, detail))
    };
    // No scenario without channels sends a message, and no simulated transport finds a malformed message.
    assert!(is_never(OccurrenceKind::Input, "packet", "message"));
    assert!(is_never(OccurrenceKind::Input, "closed", "malformed"));
    assert!(is_never(
        OccurrenceKind::Refusal,
        "refuse-link",
        "wrong-mesh"
    ));
    assert!(is_never(OccurrenceKind::Invariant, "answers-true", ""));
    let wakes = occurred.iter().find(|row| row.word == "wake");
    assert!(wakes.is_some_and(|row| row.tally.runs == 2 && row.tally.count > 100));
}

#[test]
fn the_checks_of_every_invariant_of_the_mesh_are_counted() {
    let runs: Vec<RunCoverage> = SCENARIOS
        .iter()
        .chain(&[
            "away-past-forget",
            "forgotten-dead",
            "missed-messages",
            "partition-heals",
        ])
        .map(|name| run(&load(name), 1).1)
        .collect();
    let mesh = table(&runs);
    assert_eq!(mesh.uncounted, [] as [&str; 0]);
    let names = phalanx_sim::invariant::names(&MESH, &load("two-nodes"));
    for name in names.expect("the mesh has invariants") {
        let row = mesh.rows.iter().find(|row| row.word == name);
        let count = row.map_or(0, |row| row.tally.count);
        assert!(count > 0, "{name} had nothing to check in any run");
    }
}
