//! Tests that search finds planted bugs, starting from the unchanged scenarios, and that shrink
//! reduces each failure to a readable file.

use crate::files::{LARGE, load, of_model};
use crate::hunt::{check, failures_of, find};
use crate::planted::{PLANTED, word};
use phalanx_sim::mesh::{MESH, channels};
use phalanx_sim::outcome::Failure;
use phalanx_sim::runner::Model;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::search::{Hunt, SystemUnderTest, Trial, attempt};
use phalanx_sim::shrink::{Shrunk, shrink};

/// Maximum number of trials; this many trials take seconds of CPU time on one core, far below the two minutes that a
/// search may take.
const TRIALS_MAX: u64 = 300;
const LINES_MAX: usize = 40;

fn needs_every_step(
    what: &str,
    broken: SystemUnderTest<'_>,
    sound: SystemUnderTest<'_>,
    shrunk: &Shrunk,
    text: &str,
) {
    for step in 0..shrunk.scenario.steps.len() {
        let mut without = shrunk.scenario.clone();
        without.steps.remove(step);
        let failures = failures_of(broken, &without, shrunk.seed);
        let same = failures.iter().any(|failure| shrunk.is_same(failure));
        let sound = failures_of(sound, &without, shrunk.seed);
        let without_bug = sound.iter().any(|failure| shrunk.is_same(failure));
        assert!(
            !same || without_bug,
            "{what}: step {step} is unnecessary in\n{text}"
        );
    }
}

#[test]
fn every_planted_bug_is_found_and_shrunk_to_a_page() {
    let names = of_model().into_iter().filter(|name| name != LARGE);
    // The bugs are in the mesh protocol. Scenarios with channels also reveal the bugs, but do not shrink to a page.
    let beneath = |scenario: &Scenario| scenario.hosts.iter().all(|it| channels(it).is_empty());
    let bases = names.map(|name| load(&name)).filter(beneath);
    let bases: Vec<Scenario> = bases.collect();
    let runner = Model(&MESH);
    let sound = SystemUnderTest {
        runner: &runner,
        sabotage: &[],
    };
    let mut found = 0;
    for bug in PLANTED {
        let Some(what) = bug.part else { continue };
        let sabotage = [word(bug.switch)];
        let broken = SystemUnderTest {
            runner: &runner,
            sabotage: &sabotage,
        };
        let systems = (broken, sound);
        let wanted = |failure: &Failure| failure.expectation.contains(bug.expectation);
        let (trial, scenario) = find(&bases, systems, TRIALS_MAX, &wanted).unwrap_or_else(|| {
            panic!(
                "{what} ({}) does not violate `{}` in {TRIALS_MAX} trials",
                sabotage[0], bug.expectation
            )
        });
        let (shrunk, text) = check(what, systems, &trial, &scenario);
        assert!(
            shrunk.minimal,
            "{what}: {} runs were not enough",
            shrunk.runs
        );
        assert!(text.lines().count() < LINES_MAX, "{what}:\n{text}");
        needs_every_step(what, broken, sound, &shrunk, &text);
        found += 1;
    }
    assert_eq!(found, 11);
}

#[test]
fn a_search_with_the_same_seed_draws_the_same_trials() {
    let bases = vec![load("two-nodes"), load("early-crash")];
    let runner = Model(&MESH);
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage: &[],
    };
    let trials = |seed| -> Vec<Trial> {
        let mut hunt = Hunt::new(bases.clone(), seed);
        let mut trials = Vec::new();
        for _ in 0..12 {
            let trial = hunt.draw();
            let (_, did) = attempt(subject, &hunt.scenario(&trial), trial.seed).unwrap();
            hunt.learn(&trial, &did);
            trials.push(trial);
        }
        assert!(hunt.covered() > 200 && hunt.kept() > 1);
        trials
    };
    assert_eq!(trials(1), trials(1));
    assert_ne!(trials(1), trials(2));
}

#[test]
fn a_run_that_does_not_fail_cannot_be_shrunk() {
    let runner = Model(&MESH);
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage: &[],
    };
    let shrunk = shrink(subject, &load("cold-join"), 1, &mut |_| true).unwrap();
    assert!(shrunk.is_none());
}
