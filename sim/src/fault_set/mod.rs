//! Finds a minimal set of faults of a failing run: the run fails with the set, and without any one of its faults at
//! least 18 of 20 seeds pass.
//!
//! All random choices of the seed are written out first, so that each fault has fixed nodes and times, also those that
//! chaos drew. Each fault that can be removed alone ([`removable`]) is an item of delta debugging, whose test runs the
//! remaining faults with several seeds ([`trials`]). Of a failure that is rare with all faults, more seeds run. If a
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

use crate::scenario::{Action, NodeAction, Scenario, ScenarioError, When};
use crate::search::{SystemUnderTest, run};
use crate::shrink::{ddmin, explicit};
use crate::verdict::Failure;
use core::time::Duration;
use removable::{RemovableFault, removable};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use trials::{FaultIndices, Trials};
use words::describe;

/// Maximum number of alternative sets of faults.
const ALTERNATIVES_MAX: usize = 4;

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
    /// No run with the faults at the same times fails, so nothing can be measured.
    Unknown,
}

/// A fault of the set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeededFault {
    /// The fault as a clause, with its nodes and times.
    pub text: String,
    /// A short name of the fault.
    pub name: String,
    /// The line of the fault's first step in the file; `None` for a fault that chaos drew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The lines of the fault's other steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_lines: Vec<usize>,
    /// The names of the nodes; empty: all nodes.
    pub nodes: Vec<String>,
    /// The beginning in milliseconds; `None` for a step that waits for an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<u64>,
    /// The end in milliseconds, if the fault ends before the end of all faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<u64>,
    /// Whether the expectation is about the fault: without the fault, the expectation cannot hold.
    pub is_subject: bool,
    /// The results of the file without this fault.
    pub without: SeedResults,
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
    /// The results with the first set alone.
    pub with_set: SeedResults,
    /// The results with all faults and without the planted bugs; `None` if no bug is planted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_bug: Option<SeedResults>,
    /// Number of runs.
    pub runs: usize,
    /// Whether the set is minimal; false if the analysis was stopped.
    pub minimal: bool,
}

/// Finds a minimal set of faults of one run. `go_on` is called with the number of runs before and after each run; when
/// it returns false, the analysis ends with its present result.
///
/// # Errors
/// Returns an error if the scenario cannot be run with this seed. The result is `None` if the run passes.
pub fn minimal_faults(
    subject: SystemUnderTest<'_>,
    scenario: &Scenario,
    seed: u64,
    go_on: &mut dyn FnMut(usize) -> bool,
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
        with_set: SeedResults::default(),
        without_bug: None,
        runs: 0,
        minimal: true,
    };
    if with_all.failed > 0 {
        FaultSearch {
            trials: &mut trials,
            subjects: FaultIndices::new(),
        }
        .fill(&mut found);
    }
    (found.runs, found.minimal) = (trials.runs, !trials.stopped);
    Ok(Some(found))
}

/// The search for the minimal sets.
struct FaultSearch<'a, 'b> {
    trials: &'a mut Trials<'b>,
    /// The faults that the expectation is about.
    subjects: FaultIndices,
}

impl FaultSearch<'_, '_> {
    fn fill(&mut self, found: &mut MinimalFaults) {
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
            vec![subjects.clone()]
        } else {
            self.minimal_sets()
        };
        found.without_all = self.trials.results(&none);
        found.need = match sets.iter().all(BTreeSet::is_empty) {
            true => FaultNeed::None,
            false => FaultNeed::Needed,
        };
        if let Some(first) = sets.first() {
            found.with_set = self.trials.results(first);
        }
        self.report(found, &sets);
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

    /// Finds minimal sets: one, and those that are sufficient without faults of the others.
    fn minimal_sets(&mut self) -> Vec<FaultIndices> {
        let all = self.trials.all();
        let mut sets = vec![self.reduce(&all)];
        let first: Vec<usize> = sets[0].difference(&self.subjects).copied().collect();
        for fault in first {
            let mut rest = all.clone();
            rest.remove(&fault);
            let is_known = sets.iter().any(|set| set.is_subset(&rest));
            if !is_known && sets.len() < ALTERNATIVES_MAX && self.trials.fails(&rest) {
                let set = self.reduce(&rest);
                sets.push(set);
            }
        }
        while (2..ALTERNATIVES_MAX).contains(&sets.len()) {
            let common = in_all(&sets);
            let mut rest = all.clone();
            rest.retain(|fault| {
                common.contains(fault) || !sets.iter().any(|set| set.contains(fault))
            });
            if !self.trials.fails(&rest) {
                break;
            }
            let set = self.reduce(&rest);
            sets.push(set);
        }
        sets
    }

    /// Describes the faults of the sets, and runs the file without each of them.
    fn report(&mut self, found: &mut MinimalFaults, sets: &[FaultIndices]) {
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

/// Formats a time in seconds, rounded to milliseconds: `8 s`, `7.612 s`.
fn moment(time: Duration) -> String {
    let rounded = (time + Duration::from_micros(500)).as_millis();
    let (whole, rest) = (rounded / 1_000, rounded % 1_000);
    if rest == 0 {
        return format!("{whole} s");
    }
    let fraction = format!("{rest:03}");
    format!("{whole}.{} s", fraction.trim_end_matches('0'))
}
