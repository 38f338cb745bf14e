//! Runs of a scenario with some of its faults, over several seeds: whether each run fails as the explained run does.

use super::removable::{RemovableFault, with_only};
use crate::scenario::Scenario;
use crate::search::{PANIC, SystemUnderTest, run};
use crate::shrink::{RECOVERY, kind_of};
use crate::verdict::Failure;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Number of seeds with which each set of faults runs.
pub const SEEDS: usize = 20;

/// Maximum number of seeds, for failures that are rare with all faults.
const SEEDS_MAX: usize = 320;

/// Number of failing seeds with all faults, below which more seeds run.
const FAILING_MIN: usize = 10;

/// The result of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunResult {
    /// The run violates the same expectation or invariant.
    Same,
    /// The run violates only other expectations.
    Other,
    /// The run passes.
    Pass,
}

/// The results of one set of faults over several seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SeedResults {
    /// Number of seeds that pass.
    pub passed: usize,
    /// Number of seeds that violate the explained expectation or invariant.
    pub failed: usize,
    /// Number of seeds that violate only other expectations.
    pub failed_otherwise: usize,
    /// Number of seeds.
    pub seeds: usize,
}

impl SeedResults {
    fn add(&mut self, result: RunResult) {
        self.seeds += 1;
        match result {
            RunResult::Same => self.failed += 1,
            RunResult::Other => self.failed_otherwise += 1,
            RunResult::Pass => self.passed += 1,
        }
    }
}

/// The faults that are present in a run, by their index.
pub(super) type FaultIndices = BTreeSet<usize>;

/// Runs sets of faults, and remembers the results.
pub(super) struct Trials<'a> {
    pub(super) subject: SystemUnderTest<'a>,
    /// The scenario without random choices.
    pub(super) scenario: &'a Scenario,
    pub(super) faults: &'a [RemovableFault],
    /// The failure that is explained.
    pub(super) target: &'a Failure,
    /// The seeds, first those that fail with all faults.
    seeds: Vec<u64>,
    /// The largest number of failing seeds of a set of faults that counts as passing.
    tolerated: usize,
    known: BTreeMap<FaultIndices, BTreeMap<u64, RunResult>>,
    pub(super) runs: usize,
    /// Whether another run may begin.
    pub(super) go_on: &'a mut dyn FnMut(usize) -> bool,
    pub(super) stopped: bool,
}

impl<'a> Trials<'a> {
    pub(super) fn new(
        subject: SystemUnderTest<'a>,
        (scenario, faults): (&'a Scenario, &'a [RemovableFault]),
        target: &'a Failure,
        first: u64,
        go_on: &'a mut dyn FnMut(usize) -> bool,
    ) -> Self {
        let others = (1..).filter(|seed| *seed != first);
        Self {
            subject,
            scenario,
            faults,
            target,
            seeds: std::iter::once(first).chain(others).take(SEEDS).collect(),
            tolerated: 0,
            known: BTreeMap::new(),
            runs: 1,
            go_on,
            stopped: false,
        }
    }

    pub(super) fn all(&self) -> FaultIndices {
        (0..self.faults.len()).collect()
    }

    /// Runs all faults with enough seeds to tell a set that causes the failure from one that does not.
    pub(super) fn run_all_faults(&mut self) -> SeedResults {
        let all = self.all();
        loop {
            let results = self.results(&all);
            let is_enough = results.failed >= FAILING_MIN || self.seeds.len() >= SEEDS_MAX;
            if is_enough || self.stopped {
                // At least 18 of 20 seeds pass without a needed fault. Of a failure that is rare with all faults, at
                // most a fifth remains.
                self.tolerated = (self.seeds.len() / 10).min(results.failed / 5);
                let known = self.known.get(&all);
                let fails = |seed: &u64| {
                    known.is_some_and(|known| known.get(seed) == Some(&RunResult::Same))
                };
                self.seeds.sort_by_key(|seed| !fails(seed));
                return results;
            }
            let doubled = self.seeds.len() * 2;
            let seeds = (1..).filter(|seed| !self.seeds.contains(seed));
            let more: Vec<u64> = seeds.take(doubled - self.seeds.len()).collect();
            self.seeds.extend(more);
        }
    }

    /// Returns whether more seeds than tolerated fail with a set of faults; false after a stop.
    pub(super) fn fails(&mut self, faults: &FaultIndices) -> bool {
        let (mut failed, count) = (0, self.seeds.len());
        for index in 0..count {
            let left = count - index;
            if failed + left <= self.tolerated {
                return false;
            }
            match self.result(faults, self.seeds[index]) {
                Some(RunResult::Same) => failed += 1,
                Some(RunResult::Other | RunResult::Pass) => {}
                None => return false,
            }
            if failed > self.tolerated {
                return true;
            }
        }
        false
    }

    /// Runs a set of faults with all seeds.
    pub(super) fn results(&mut self, faults: &FaultIndices) -> SeedResults {
        let mut results = SeedResults::default();
        for index in 0..self.seeds.len() {
            if let Some(result) = self.result(faults, self.seeds[index]) {
                results.add(result);
            }
        }
        results
    }

    /// Runs all faults without the planted bugs.
    pub(super) fn results_without_bug(&mut self) -> SeedResults {
        let mut results = SeedResults::default();
        let all = self.all();
        for seed in self.seeds.clone().into_iter().take(SEEDS) {
            if let Some(result) = self.sound(&all, seed) {
                results.add(result);
            }
        }
        results
    }

    /// Returns whether a set of faults violates the expectation without the planted bugs, with the first seeds.
    pub(super) fn fails_without_bug(&mut self, faults: &FaultIndices, seeds: usize) -> bool {
        let seeds = self.seeds.clone().into_iter().take(seeds);
        let mut results = seeds.map(|seed| self.sound(faults, seed));
        results.any(|result| result == Some(RunResult::Same))
    }

    fn sound(&mut self, faults: &FaultIndices, seed: u64) -> Option<RunResult> {
        let sound = SystemUnderTest {
            sabotage: &[],
            ..self.subject
        };
        self.run(sound, faults, seed)
    }

    /// Returns the result of one run; `None` after a stop.
    fn result(&mut self, faults: &FaultIndices, seed: u64) -> Option<RunResult> {
        let known = self.known.get(faults).and_then(|known| known.get(&seed));
        if let Some(result) = known {
            return Some(*result);
        }
        let result = self.run(self.subject, faults, seed)?;
        let known = self.known.entry(faults.clone()).or_default();
        known.insert(seed, result);
        Some(result)
    }

    fn run(
        &mut self,
        subject: SystemUnderTest<'_>,
        faults: &FaultIndices,
        seed: u64,
    ) -> Option<RunResult> {
        self.stopped = self.stopped || !(self.go_on)(self.runs);
        if self.stopped {
            return None;
        }
        self.runs += 1;
        let scenario = with_only(self.scenario, self.faults, faults);
        let failures = run(subject, &scenario, seed);
        // An interrupted run decides nothing.
        self.stopped = !(self.go_on)(self.runs);
        if self.stopped {
            return None;
        }
        // A scenario that cannot be planned does not fail.
        let failures = failures.map_or_else(|_| Vec::new(), |(failures, _)| failures);
        let same = failures.iter().any(|it| is_same(it, self.target));
        Some(match (same, failures.is_empty()) {
            (true, _) => RunResult::Same,
            (false, true) => RunResult::Pass,
            (false, false) => RunResult::Other,
        })
    }
}

/// Returns whether a failure violates the same expectation or invariant. A metric without a sample is another failure
/// than a metric out of its bound, and panics differ by their messages.
fn is_same(failure: &Failure, target: &Failure) -> bool {
    let recovery = |failure: &Failure| failure.expectation.starts_with(RECOVERY);
    let same = failure.line == target.line && failure.expectation == target.expectation
        || recovery(failure) && recovery(target);
    let same_panic = target.expectation != PANIC || kind_of(&failure.why) == kind_of(&target.why);
    same && same_panic && failure.figure.is_some() == target.figure.is_some()
}
