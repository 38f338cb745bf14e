//! Every switch of the model engine is found by the expectation or invariant that its entry names, its failure is shrunk,
//! and the small file needs the switch. The runs are too long for `make test`; `make soak` runs them.

#[path = "files.rs"]
mod files;
#[path = "hunt.rs"]
mod hunt;
#[path = "planted.rs"]
mod planted;

use files::{LARGE, load, of_model};
use phalanx_core::sabotage::Switch;
use phalanx_sim::mesh::MESH;
use phalanx_sim::outcome::Failure;
use phalanx_sim::runner::Model;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::search::SystemUnderTest;
use planted::{MECHANISMS, PLANTED, word};

/// Maximum number of trials for each switch.
const TRIALS_MAX: u64 = 2_000;

/// The remaining switches, each with a scenario in which a search finds the switch, and a part of the expectation that
/// then fails.
const FOUND_BY_SEARCH: &[(&str, Switch, &str)] = &[
    ("blocked-pairs", Switch::NoDownProbe, "converged = true"),
    ("clock-skew", Switch::LastHeardIsNow, "as = \"down\""),
    ("flapping-link", Switch::MergeLowerWins, "providers"),
    ("slow-nodes", Switch::NoGraft, "false-deaths"),
    ("slow-nodes", Switch::SequenceIgnored, "false-deaths"),
    (
        "three-way-split",
        Switch::NoIndirectConfirmation,
        "kind = \"peer-down\"",
    ),
    ("two-nodes", Switch::ForgetsDown, "as = \"down\""),
];

/// Switches that no scenario and no search of a minute reveals: a second mechanism has the same effect, or the random
/// faults do not produce the situation.
const NOT_FOUND: &[Switch] = &[
    Switch::MergeIgnoresContent,
    Switch::NoIsolationGuard,
    Switch::NoRedial,
    Switch::TieBreakBySide,
];

/// Returns the scenario that a search for a switch starts from, and parts of the expectations of which one must fail.
fn entry(switch: Switch) -> Option<(&'static str, Vec<String>)> {
    let of_model = of_model();
    let runs = |scenario: &str| of_model.iter().any(|name| name == scenario);
    let mechanism = MECHANISMS
        .iter()
        .find(|it| it.1 == switch && runs(it.0))
        .or_else(|| FOUND_BY_SEARCH.iter().find(|it| it.1 == switch));
    if let Some((scenario, _, expectation)) = mechanism {
        return Some((scenario, vec![(*expectation).to_owned()]));
    }
    let planted: Vec<_> = PLANTED.iter().filter(|it| it.1 == switch).collect();
    let invariants = planted.iter().map(|it| format!("invariant {}", it.0));
    Some((planted.first()?.2, invariants.collect()))
}

#[expect(
    clippy::print_stdout,
    reason = "the sizes of the small files are the result of the run"
)]
fn find_and_shrink(switch: Switch) {
    let Some((name, expectations)) = entry(switch) else {
        panic!("{switch:?} has no entry");
    };
    let bases: Vec<Scenario> = vec![load(name)];
    let runner = Model(&MESH);
    let sabotage = [word(switch)];
    let system = |sabotage| SystemUnderTest {
        runner: &runner,
        sabotage,
    };
    let systems = (system(&sabotage[..]), system(&[]));
    let wanted = |failure: &Failure| {
        let mut expectations = expectations.iter();
        expectations.any(|it| failure.expectation.contains(it))
    };
    let (trial, scenario) = hunt::find(&bases, systems, TRIALS_MAX, &wanted)
        .unwrap_or_else(|| panic!("{switch:?} is not found by {expectations:?} in {name}"));
    let (shrunk, text) = hunt::check(&word(switch), systems, &trial, &scenario);
    println!(
        "{}: trial {}, {} runs, {} nodes, {} steps, {} lines",
        word(switch),
        trial.seed,
        shrunk.runs,
        shrunk.scenario.hosts.len(),
        shrunk.scenario.steps.len(),
        text.lines().count()
    );
    assert!(
        hunt::failures_of(systems.1, &shrunk.scenario, shrunk.seed).is_empty(),
        "{text}"
    );
}

#[test]
fn every_switch_is_found_shrunk_and_needed() {
    assert!(!of_model().contains(&LARGE.to_owned()) || MECHANISMS.iter().all(|it| it.0 != LARGE));
    let mut failed = Vec::new();
    for (switch, _) in Switch::ALL {
        // Certificates are renewed in the wire engine, which has no search.
        if matches!(switch, Switch::NoRenewal) || NOT_FOUND.contains(switch) {
            continue;
        }
        let result = std::panic::catch_unwind(|| find_and_shrink(*switch));
        if result.is_err() {
            failed.push(*switch);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
