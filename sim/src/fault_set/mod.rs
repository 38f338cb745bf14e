//! Finds a minimal set of faults of a failing run: the run fails with the set, and without any one of its faults at
//! least 18 of 20 seeds pass.
//!
//! All random choices of the seed are written out first, so that each fault has fixed nodes and times, also those that
//! chaos drew. Each fault that can be removed alone (`removable`) is an item of delta debugging, whose test runs the
//! remaining faults with several seeds (`trials`). Of a failure that is rare with all faults, more seeds run. If a
//! fault of the set is not needed in the complete file, another set is sufficient too; such sets are alternatives.
//!
//! An expectation may be about a fault: a node that crashes must be seen as down. Without the fault such an expectation
//! fails as well, so the fault stays in all runs. With planted bugs, these faults are those without which the correct
//! system fails; otherwise, they are the stops of the observed node that last until the failure.

mod paragraph;
mod removable;
#[cfg(test)]
mod tests;
mod trials;
mod words;

pub use trials::{SEEDS, SeedResults};
pub use words::NeededFault;

use crate::scenario::{Action, NodeAction, Scenario, ScenarioError, When};
use crate::search::{SystemUnderTest, run};
use crate::shrink::{ddmin, explicit};
use crate::verdict::Failure;
use core::time::Duration;
use removable::{RemovableFault, removable};
use serde::Serialize;
use std::collections::BTreeMap;
use trials::{FaultIndices, Trials};
use words::describe;

/// Maximum number of alternative sets of faults.
const ALTERNATIVES_MAX: usize = 4;

/// Number of failing seeds with all faults, below which the need for a fault cannot be told from chance.
const MEASURABLE_MIN: usize = 5;

/// Number of seeds with which the correct system shows the faults that an expectation is about.
const SOUND_SEEDS: usize = 3;

/// The result of the analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultNeed {
    /// The run needs the faults of the set.
    Needed,
    /// The run fails without any fault.
    None,
    /// Too few runs with the same faults at the same times fail, so nothing can be measured.
    Unknown,
}

/// A minimal set of faults of a failing run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MinimalFaults {
    /// Whether the run needs faults.
    pub need: FaultNeed,
    /// The seed.
    pub seed: u64,
    /// The earliest failure of the run.
    pub failure: Failure,
    /// Number of failures of the run.
    pub failures: usize,
    /// The faults of all sets, in the order of their beginnings.
    pub faults: Vec<NeededFault>,
    /// The minimal sets, as indices of `faults`. Each of them is sufficient.
    pub sets: Vec<Vec<usize>>,
    /// Number of faults of the file, with those that chaos drew.
    pub of_file: usize,
    /// Whether the file has random faults.
    pub has_chaos: bool,
    /// The results with all faults.
    pub with_all: SeedResults,
    /// The results without any fault.
    pub without_all: SeedResults,
    /// The results with each set alone.
    pub with_set: Vec<SeedResults>,
    /// The results without the faults that are in some of several sets; `None` if there is one set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_alternatives: Option<SeedResults>,
    /// The results with all faults and without the planted bugs; `None` if no bug is planted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_bug: Option<SeedResults>,
    /// Number of runs.
    pub runs: usize,
    /// Whether the first set is minimal; false if the analysis was stopped before.
    pub minimal: bool,
    /// Whether the analysis ended by itself.
    pub complete: bool,
}

/// Finds a minimal set of faults of one run. `go_on` is called with the number of runs before and after each run; when
/// it returns false, the analysis ends with its present result. `known` is called with each intermediate result.
///
/// # Errors
/// Returns an error if the scenario cannot be run with this seed. The result is `None` if the run passes.
pub fn minimal_faults(
    subject: SystemUnderTest<'_>,
    scenario: &Scenario,
    seed: u64,
    go_on: &mut dyn FnMut(usize) -> bool,
    known: &mut dyn FnMut(&MinimalFaults),
) -> Result<Option<MinimalFaults>, ScenarioError> {
    let plan = scenario.plan(seed)?;
    let (failures, _) = run(subject, scenario, seed)?;
    let count = failures.len();
    // The earliest failure is the closest to the cause.
    let Some(target) = failures.into_iter().min_by_key(|failure| failure.at_ms) else {
        return Ok(None);
    };
    let written = explicit(&scenario.clone().alone(), &plan);
    let faults = removable(&written);
    let mut trials = Trials::new(subject, (&written, &faults), &target, seed, go_on);
    let with_all = trials.run_all_faults();
    let mut found = MinimalFaults {
        need: FaultNeed::Unknown,
        seed,
        failure: target.clone(),
        failures: count,
        faults: Vec::new(),
        sets: Vec::new(),
        of_file: grouped(&faults, &trials.all()).len(),
        has_chaos: scenario.chaos.is_some(),
        with_all,
        without_all: SeedResults::default(),
        with_set: Vec::new(),
        without_alternatives: None,
        without_bug: None,
        runs: 0,
        minimal: false,
        complete: false,
    };
    if is_measurable(&with_all) {
        FaultSearch {
            trials: &mut trials,
            subjects: FaultIndices::new(),
            known,
        }
        .fill(&mut found);
    }
    found.runs = trials.runs;
    found.complete = !trials.stopped;
    Ok(Some(found))
}

/// Whether enough seeds fail to measure what the run needs.
const fn is_measurable(results: &SeedResults) -> bool {
    results.failed >= MEASURABLE_MIN || results.failed == results.seeds
}

/// The search for the minimal sets.
struct FaultSearch<'a, 'b> {
    trials: &'a mut Trials<'b>,
    /// Takes the intermediate results.
    known: &'a mut dyn FnMut(&MinimalFaults),
    /// The faults that the expectation is about.
    subjects: FaultIndices,
}

impl FaultSearch<'_, '_> {
    fn fill(&mut self, found: &mut MinimalFaults) {
        found.runs = self.trials.runs;
        (self.known)(found);
        if !self.trials.subject.sabotage.is_empty() {
            found.without_bug = Some(self.trials.results_without_bug());
            self.find_subjects_of_sound_system();
        }
        let none = FaultIndices::new();
        if self.subjects.is_empty() && self.trials.fails(&none) {
            self.subjects = self.stops_of_observed();
        }
        let subjects = self.subjects.clone();
        let sets = if self.trials.fails(&subjects) {
            vec![subjects]
        } else {
            // A fault after the failure did not cause it.
            let mut candidates = self.before_failure();
            candidates.extend(&subjects);
            if !self.trials.fails(&candidates) {
                candidates = self.trials.all();
            }
            vec![self.reduce(&candidates)]
        };
        found.minimal = !self.trials.stopped;
        found.without_all = self.trials.results(&none);
        found.need = match sets[0].is_empty() {
            true => FaultNeed::None,
            false => FaultNeed::Needed,
        };
        self.report(found, &sets);
        found.runs = self.trials.runs;
        (self.known)(found);
        let sets = self.alternatives(sets);
        self.report(found, &sets);
        if found.sets.len() > 1 {
            let rest = self.without_alternatives(&sets);
            found.without_alternatives = Some(self.trials.results(&rest));
        }
    }

    /// Finds the faults without which the correct system violates the expectation, which it meets with all faults.
    fn find_subjects_of_sound_system(&mut self) {
        let all = self.trials.all();
        let none = FaultIndices::new();
        if self.trials.fails_without_bug(&all, SOUND_SEEDS)
            || !self.trials.fails_without_bug(&none, SOUND_SEEDS)
        {
            return;
        }
        let items: Vec<usize> = all.into_iter().collect();
        let trials = &mut *self.trials;
        let left = ddmin(&items, &mut |some| {
            let some = some.iter().copied().collect();
            !trials.fails_without_bug(&some, SOUND_SEEDS) && !trials.stopped
        });
        self.subjects = left.into_iter().collect();
    }

    /// Returns the faults that begin before the failure, and those that wait for an event.
    fn before_failure(&self) -> FaultIndices {
        let at = Duration::from_millis(self.trials.target.at_ms);
        let steps = &self.trials.scenario.steps;
        let is_before = |fault: &RemovableFault| {
            let first = fault.steps.first().map(|step| &steps[*step]);
            first.is_some_and(|step| step.when.earliest() <= at)
        };
        let faults = self.trials.faults.iter().enumerate();
        let before = faults.filter(|(_, fault)| is_before(fault));
        before.map(|(index, _)| index).collect()
    }

    /// Returns the stops of the observed node that last until the failure.
    fn stops_of_observed(&self) -> FaultIndices {
        let target = self.trials.target;
        let observed = target.findings.iter().find_map(|finding| finding.observed);
        let at = Duration::from_millis(target.at_ms);
        let steps = &self.trials.scenario.steps;
        let is_stop = |fault: &RemovableFault| {
            let mut actions = fault.steps.iter().map(|step| &steps[*step]);
            let stops = actions.next().is_some_and(|step| {
                let is_before = matches!(step.when, When::At(from) if from <= at);
                is_before
                    && matches!(
                        step.action,
                        Action::Nodes(_, NodeAction::Crash | NodeAction::PowerLoss)
                            | Action::Nodes(_, NodeAction::Leave)
                    )
            });
            let starts = actions.any(|step| {
                let is_before = matches!(step.when, When::At(from) if from <= at);
                is_before && matches!(step.action, Action::Nodes(_, NodeAction::Restart(_)))
            });
            stops && !starts
        };
        let faults = self.trials.faults.iter().enumerate();
        let of_observed = faults.filter(|(_, fault)| observed.is_some() && fault.host == observed);
        of_observed
            .filter(|(_, fault)| is_stop(fault))
            .map(|(index, _)| index)
            .collect()
    }

    /// Reduces a set of faults that fails to a minimal one, which contains the subjects.
    fn reduce(&mut self, from: &FaultIndices) -> FaultIndices {
        let items: Vec<usize> = from.difference(&self.subjects).copied().collect();
        let (trials, subjects) = (&mut *self.trials, &self.subjects);
        let left = ddmin(&items, &mut |some| {
            let mut some: FaultIndices = some.iter().copied().collect();
            some.extend(subjects);
            trials.fails(&some)
        });
        left.into_iter().chain(subjects.iter().copied()).collect()
    }

    /// Adds the minimal sets that are sufficient without a fault of the first one.
    fn alternatives(&mut self, mut sets: Vec<FaultIndices>) -> Vec<FaultIndices> {
        let all = self.trials.all();
        let first: Vec<usize> = sets[0].difference(&self.subjects).copied().collect();
        for fault in first {
            let mut rest = all.clone();
            rest.remove(&fault);
            let is_known = sets.iter().any(|set| set.is_subset(&rest));
            if !is_known && sets.len() < ALTERNATIVES_MAX && self.trials.fails(&rest) {
                self.add_reduced(&mut sets, &rest);
            }
        }
        while (2..ALTERNATIVES_MAX).contains(&sets.len()) && !self.trials.stopped {
            let rest = self.without_alternatives(&sets);
            if !self.trials.fails(&rest) {
                break;
            }
            self.add_reduced(&mut sets, &rest);
        }
        sets
    }

    /// Adds the minimal set of faults that fail, unless the analysis is stopped before the set is minimal.
    fn add_reduced(&mut self, sets: &mut Vec<FaultIndices>, from: &FaultIndices) {
        let set = self.reduce(from);
        if !self.trials.stopped {
            sets.push(set);
        }
    }

    /// Returns all faults but those that are in some of the sets and not in all of them.
    fn without_alternatives(&self, sets: &[FaultIndices]) -> FaultIndices {
        let common = in_all(sets);
        let mut rest = self.trials.all();
        rest.retain(|fault| common.contains(fault) || !sets.iter().any(|set| set.contains(fault)));
        rest
    }

    /// Describes the faults of the sets, and runs the file without each of them.
    fn report(&mut self, found: &mut MinimalFaults, sets: &[FaultIndices]) {
        found.faults.clear();
        found.sets.clear();
        found.with_set.clear();
        let named: FaultIndices = sets.iter().flatten().copied().collect();
        let groups = grouped(self.trials.faults, &named);
        for group in &groups {
            let mut rest = self.trials.all();
            rest.retain(|fault| !group.contains(fault));
            let without = self.trials.results(&rest);
            let is_subject = group.iter().all(|fault| self.subjects.contains(fault));
            let members: Vec<&RemovableFault> = group
                .iter()
                .map(|fault| &self.trials.faults[*fault])
                .collect();
            let described = describe(self.trials.scenario, &members);
            found.faults.push(NeededFault {
                is_subject,
                without,
                ..described
            });
        }
        for set in sets {
            let holds = |(_, group): &(usize, &Vec<usize>)| group.iter().any(|it| set.contains(it));
            let places = groups.iter().enumerate().filter(holds);
            let places: Vec<usize> = places.map(|(place, _)| place).collect();
            if !places.is_empty() && !found.sets.contains(&places) {
                found.sets.push(places);
                found.with_set.push(self.trials.results(set));
            }
        }
    }
}

/// Returns the faults that are in all sets.
fn in_all(sets: &[FaultIndices]) -> FaultIndices {
    let mut sets_left = sets.iter();
    let mut common = sets_left.next().cloned().unwrap_or_default();
    for set in sets_left {
        common.retain(|fault| set.contains(fault));
    }
    common
}

/// Groups the faults that the same steps cause at several nodes.
fn grouped(faults: &[RemovableFault], chosen: &FaultIndices) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&[usize], Vec<usize>> = BTreeMap::new();
    for fault in chosen {
        let steps = faults[*fault].steps.as_slice();
        groups.entry(steps).or_default().push(*fault);
    }
    groups.into_values().collect()
}
