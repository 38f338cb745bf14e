//! Every switch of the model engine is found by the expectation or invariant that its entry names, its failure is shrunk,
//! and the small file needs the switch. The runs are too long for `make test`; `make soak` runs them. `PHALANX_SWITCHES=no-redial,no-graft` chooses
//! switches.

#[path = "away.rs"]
mod away;
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
use planted::{PlantedBug, Reveal, is_not_found, revealed, word};

/// Maximum number of trials for each switch.
const TRIALS_MAX: u64 = 2_000;

/// Returns the entries of a switch that are checked, grouped by scenario: its mechanism in the model engine, with the
/// invariants that the switch violates in the same scenario, or else the planted bug of its invariants; and the entries
/// of searches. One of the expectations of a group must fail.
fn entries(switch: Switch) -> Vec<(&'static str, Vec<&'static str>)> {
    let of_model = of_model();
    let runs = |bug: &&PlantedBug| of_model.iter().any(|name| name == bug.scenario);
    let of_switch = |by| revealed(by).filter(move |bug| bug.switch == switch);
    let alone = |bug: &PlantedBug| (bug.scenario, vec![bug.expectation]);
    let mut entries: Vec<_> = of_switch(Reveal::Search).map(alone).collect();
    let mechanism = of_switch(Reveal::Mechanism).find(runs);
    entries.extend(mechanism.map(|bug| {
        let invariants =
            of_switch(Reveal::Invariant).filter(|other| other.scenario == bug.scenario);
        let named = std::iter::once(bug).chain(invariants);
        (bug.scenario, named.map(|bug| bug.expectation).collect())
    }));
    if entries.is_empty() {
        let planted: Vec<_> = of_switch(Reveal::Invariant).collect();
        let invariants = planted.iter().map(|bug| bug.expectation).collect();
        entries.extend(planted.first().map(|bug| (bug.scenario, invariants)));
    }
    entries
}

#[expect(
    clippy::print_stdout,
    reason = "the sizes of the small files are the result of the run"
)]
fn find_and_shrink(switch: Switch, name: &str, expectations: &[&str]) {
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
    assert!(revealed(Reveal::Mechanism).all(|bug| bug.scenario != LARGE));
    let mut failed = Vec::new();
    let chosen = std::env::var("PHALANX_SWITCHES").ok();
    let is_chosen = |switch| {
        let mut words = chosen.iter().flat_map(|words| words.split(','));
        chosen.is_none() || words.any(|it| it == word(switch))
    };
    for (switch, _) in Switch::ALL {
        // Certificates are renewed in the wire engine, which has no search.
        if matches!(switch, Switch::NoRenewal) || is_not_found(*switch) || !is_chosen(*switch) {
            continue;
        }
        let entries = entries(*switch);
        assert!(!entries.is_empty(), "{switch:?} has no entry");
        for (name, expectations) in entries {
            let find = || find_and_shrink(*switch, name, &expectations);
            if std::panic::catch_unwind(find).is_err() {
                failed.push((*switch, name));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn nodes_that_were_away_for_up_to_ten_times_forget_after_are_members_again() {
    away::assert_all_return(1..=20);
}
