//! The election passes its scenarios, and the simulator finds the bug that is planted in it.

use election::system::ELECTION;
use phalanx_sim::explanation::explain;
use phalanx_sim::outcome::Outcome;
use phalanx_sim::record::Recording;
use phalanx_sim::record::causes::chain;
use phalanx_sim::report::{self, ShownRun};
use phalanx_sim::scenario::Scenario;
use phalanx_sim::search::{Hunt, SystemUnderTest, attempt};
use phalanx_sim::shrink::shrink;
use phalanx_sim::{Model, RunOptions, Runner};
use std::path::Path;

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let file = folder.join(format!("{name}.toml"));
    Scenario::load_one(&file, &(ELECTION.vocabulary)(), None).unwrap()
}

fn run(scenario: &Scenario, seed: u64, sabotage: &[&str]) -> Outcome {
    let options = RunOptions {
        sabotage: sabotage.iter().map(ToString::to_string).collect(),
        ..RunOptions::default()
    };
    Model(&ELECTION).run(scenario, seed, options).unwrap()
}

#[test]
fn every_scenario_passes() {
    for name in [
        "quiet",
        "power-cuts",
        "blackout",
        "bad-disks",
        "credentials",
    ] {
        let scenario = load(name);
        for seed in 1..=50 {
            let outcome = run(&scenario, seed, &[]);
            assert_eq!(outcome.failures, [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn a_vote_that_is_not_synced_gives_a_term_two_leaders() {
    let scenario = load("blackout");
    let found = (1..=10).find_map(|seed| {
        let failures = run(&scenario, seed, &["vote-unsynced"]).failures;
        failures
            .into_iter()
            .find(|failure| failure.expectation == "invariant one-leader-a-term")
    });
    let failure = found.expect("one of ten seeds shows it");
    assert!(
        failure.reproduce.starts_with("cargo run -- run "),
        "{failure}"
    );
}

// guide: recording
#[test]
fn a_recorded_failure_is_explained_and_drawn() {
    let scenario = load("blackout");
    let sabotage = ["vote-unsynced".to_owned()];
    let seed = 3;
    let mut recording = Recording::new(&scenario, scenario.plan(seed).unwrap());
    let options = RunOptions {
        sabotage: sabotage.to_vec(),
        recorder: Some(&mut recording),
        ..RunOptions::default()
    };
    let outcome = Model(&ELECTION).run(&scenario, seed, options).unwrap();
    let explained = explain(&ELECTION, &recording, &outcome.failures, &sabotage);
    let first = explained.first().expect("the bug breaks the invariant");
    let causes = first.event.map(|event| chain(&recording, event, 8));
    assert!(causes.is_some_and(|causes| !causes.is_empty()));

    let mut page = Vec::new();
    let shown = ShownRun {
        definition: &ELECTION,
        sabotage: &sabotage,
        sources: &[],
        recording: &recording,
        outcome: &outcome,
        explained: &explained,
        seeds: &[],
        coverage: &[],
    };
    report::write(&mut page, &shown).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("invariant one-leader-a-term"));
}
// guide: end

#[test]
fn the_same_seed_is_the_same_run() {
    let scenario = load("bad-disks");
    let hash = |seed| run(&scenario, seed, &[]).trace_hash;
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

#[test]
fn unknown_words_are_refused_with_the_nearest_word() {
    let parse = |expectation: &str| {
        let head =
            "scenario = 1\nname = \"x\"\nabout = \"x\"\nengines = [\"model\"]\nduration = \"1s\"\n";
        let text = format!("{head}[[nodes]]\ncount = 3\n[[expect]]\n{expectation}\n");
        Scenario::parse_with("x.toml", &text, &(ELECTION.vocabulary)())
            .unwrap_err()
            .to_string()
    };
    let event = parse("eventually = { event = { kind = \"electd\" } }");
    assert!(
        event.contains("x.toml:9: kind: `electd` is not an event of the election"),
        "{event}"
    );
    assert!(event.contains("did you mean `elected`?"), "{event}");
    let sees = parse("eventually = { sees = { of = \"n1\", as = \"down\" } }");
    // A condition of the mesh is an unknown key here, and the message lists the known keys.
    assert!(sees.starts_with("x.toml:9: sees: "), "{sees}");
    assert!(
        sees.contains("there is converged, event, state, agree"),
        "{sees}"
    );
    let unknown = RunOptions {
        sabotage: vec!["vote-unsynct".to_owned()],
        ..RunOptions::default()
    };
    let why = Model(&ELECTION)
        .run(&load("quiet"), 1, unknown)
        .unwrap_err()
        .to_string();
    assert!(why.contains("did you mean `vote-unsynced`?"), "{why}");
}

#[test]
fn search_finds_the_bug_and_shrink_makes_a_page_of_it() {
    let sabotage = ["vote-unsynced".to_owned()];
    let runner = Model(&ELECTION);
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage: &sabotage,
    };
    // In this scenario, nodes lose power one at a time, which most votes survive; the search adds chaos to the
    // scenario.
    let mut hunt = Hunt::new(vec![load("power-cuts")], 1);
    let found = hunt.find(subject, 2_000, |_, _, failures| {
        let first = failures.iter().min_by_key(|failure| failure.at_ms);
        first.is_some_and(|failure| failure.expectation == "invariant one-leader-a-term")
    });
    let (trial, scenario) = found.unwrap().expect("2000 runs are enough");
    let seed = trial.seed;
    let small = shrink(subject, &scenario, seed, &mut |_| true)
        .unwrap()
        .expect("it fails");
    assert!(small.minimal);
    let text = small.to_toml("small.toml");
    // The text fits on a page: three lines of heading, eleven of the scenario's own, and the steps, each of which is
    // needed (below).
    assert!(text.lines().count() < 46, "{text}");

    // Read from its text alone, the scenario fails in the same way with the bug, and passes without it.
    let again = Scenario::parse_with("small.toml", &text, &(ELECTION.vocabulary)())
        .unwrap_or_else(|why| panic!("{why}\n{text}"));
    let broken = run(&again, seed, &["vote-unsynced"]).failures;
    assert!(
        broken.iter().any(|failure| small.is_same(failure)),
        "{text}"
    );
    assert_eq!(run(&again, seed, &[]).failures, [], "{text}");

    // Every step of the small scenario is needed.
    for step in 0..again.steps.len() {
        let mut without = again.clone();
        without.steps.remove(step);
        let failures = run(&without, seed, &["vote-unsynced"]).failures;
        assert!(
            !failures.iter().any(|failure| small.is_same(failure)),
            "{text}"
        );
    }
}
