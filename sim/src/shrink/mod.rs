//! Reduces a failing run to a small scenario that is easy to read, keep and edit.
//!
//! First, all random choices of the seed are written out (`explicit`), provided that the result fails with this seed or
//! with another seed. Then rounds of simplification follow until a round changes nothing: fewer steps, fewer nodes, a
//! shorter run, simpler settings, fewer nodes per step, rounder times. A change is kept if the run still fails in the
//! same way (`likeness`) and for the same cause. The nodes and steps that give the failure its meaning must remain
//! (`essential`). Without the faults or the planted bug, the run must not fail in this way, unless the original also
//! does (`controls`). After a failed recovery, recovery must still be possible. The result is 1-minimal in its steps:
//! if any one step is removed, one of these conditions does not hold.

mod controls;
mod ddmin;
mod essential;
mod explicit;
mod likeness;
mod passes;

pub(crate) use controls::is_fault;
pub use controls::{ControlRun, Controlled};
pub(crate) use ddmin::ddmin;
pub(crate) use explicit::explicit;
pub(crate) use likeness::{RECOVERY, kind_of};

use crate::scenario::Bound;
use crate::scenario::command_line::quoted_path;
use crate::scenario::text::show;
use crate::scenario::{Condition, Expectation, Mode, Scenario, ScenarioError};
use crate::search::{SystemUnderTest, counts, run};
use crate::verdict::Failure;
use core::time::Duration;
use essential::{Essential, windows_remain};
use likeness::is_same;

/// Number of other seeds that are tried with the written-out scenario.
const SEEDS_TRIED: u64 = 100;

/// Number of seeds with which each control run of the result is repeated.
const CONTROL_SEEDS: usize = 20;

/// Progress of the reduction.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Number of runs so far.
    pub runs: usize,
    /// Number of changes that were kept so far.
    pub changes: usize,
    /// The smallest scenario so far.
    pub smallest: &'a Scenario,
    /// The seed with which it fails.
    pub seed: u64,
    /// Its failure.
    pub failure: &'a Failure,
    bound: Option<Bound>,
    unneeded: &'a [ControlRun],
}

impl Progress<'_> {
    /// Returns the result of a reduction that ends here, without control runs.
    #[must_use]
    pub fn so_far(&self) -> Shrunk {
        Shrunk {
            scenario: self.smallest.clone(),
            seed: self.seed,
            failure: self.failure.clone(),
            runs: self.runs,
            minimal: false,
            controls: Vec::new(),
            unneeded: self.unneeded.to_vec(),
            bound: self.bound,
        }
    }
}

/// A small scenario that fails in the same way as the original.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario, which fails with `seed`.
    pub scenario: Scenario,
    /// The seed.
    pub seed: u64,
    /// The failure.
    pub failure: Failure,
    /// Number of runs needed.
    pub runs: usize,
    /// Whether no further part can be removed; false if the reduction was stopped.
    pub minimal: bool,
    /// The results of the scenario without its faults, without the planted bug, and without both. There are fewer
    /// seeds, or no results, if the reduction was stopped.
    pub controls: Vec<Controlled>,
    /// The control runs of the original that failed in the same way, which shows that the failure does not need the
    /// removed parts.
    pub unneeded: Vec<ControlRun>,
    bound: Option<Bound>,
}

/// Reduces a failing run. `go_on` is called before each candidate, after each candidate that fails, and before and
/// after each control run of the result; when `go_on` returns false, the smallest scenario so far is returned.
///
/// # Errors
/// Returns an error if the scenario cannot be run with this seed. The result is `None` if the run does not fail.
pub fn shrink(
    subject: SystemUnderTest<'_>,
    scenario: &Scenario,
    seed: u64,
    go_on: &mut dyn FnMut(Progress<'_>) -> bool,
) -> Result<Option<Shrunk>, ScenarioError> {
    let plan = scenario.plan(seed)?;
    let (failures, _) = run(subject, scenario, seed)?;
    // The earliest failure is the closest to the cause.
    let Some(target) = failures.into_iter().min_by_key(|failure| failure.at_ms) else {
        return Ok(None);
    };
    let mut shrinker = Shrinker {
        recoverable: is_recoverable(subject, scenario, seed, &target),
        counts: counts(subject, scenario, seed, &target),
        essential: Essential::of(scenario, &target),
        bound: likeness::bound_of(&scenario.expectations, &target),
        controls: Vec::new(),
        original: scenario,
        subject,
        seed,
        best: scenario.clone().alone(),
        best_seed: seed,
        failure: target.clone(),
        history: vec![],
        target,
        runs: 1,
        changes: 0,
        unneeded: Vec::new(),
        go_on,
        stopped: false,
    };
    let explicit = explicit(&shrinker.best, &plan);
    shrinker.unneeded = shrinker.control_original(&explicit);
    shrinker.write_out(&explicit);
    shrinker.history.clear();
    shrinker.forget_other_expectations();
    let controls = shrinker.reduce();
    let minimal = !shrinker.stopped;
    Ok(Some(Shrunk {
        controls,
        bound: shrinker.bound,
        scenario: shrinker.best,
        seed: shrinker.seed,
        failure: shrinker.failure,
        runs: shrinker.runs,
        minimal,
        unneeded: shrinker.unneeded,
    }))
}

struct Shrinker<'a> {
    subject: SystemUnderTest<'a>,
    seed: u64,
    /// Whether the failure is a failed recovery that was possible; if so, recovery must stay possible.
    recoverable: bool,
    /// Whether a search counts the failure; if so, a search must count the failure of each candidate.
    counts: bool,
    essential: Essential,
    /// The bound of the metric that the failure violates.
    bound: Option<Bound>,
    /// The control runs of a candidate, which must end as those of the original.
    controls: Vec<RequiredControl>,
    original: &'a Scenario,
    best: Scenario,
    /// The seed with which the best scenario fails.
    best_seed: u64,
    /// The failure of the best scenario so far.
    failure: Failure,
    /// The earlier best scenarios since the original was written out, which is the first, with their failures.
    history: Vec<(Scenario, Failure)>,
    /// The failure to preserve.
    target: Failure,
    runs: usize,
    /// Number of changes that were kept.
    changes: usize,
    /// The control runs of the original that fail in the same way.
    unneeded: Vec<ControlRun>,
    go_on: &'a mut dyn FnMut(Progress<'_>) -> bool,
    stopped: bool,
}

/// The result of a control run.
struct Control {
    /// Whether nothing failed.
    passes: bool,
    /// Whether the run failed in the same way as the original.
    fails_alike: bool,
}

/// A control run of a candidate that must not fail in the same way as the original.
#[derive(Clone, Copy)]
struct RequiredControl {
    control: ControlRun,
    /// Its seed; by default the seed of the candidate.
    seed: Option<u64>,
    /// Whether it must not fail in any way, because this control run of the original did not.
    passes: bool,
}

impl Shrinker<'_> {
    /// Tries a scenario, which becomes the best one if it fails in the same way.
    fn try_with(&mut self, candidate: Scenario) -> bool {
        if self.stopped
            || !self.essential.remain_in(&candidate)
            || !windows_remain(&candidate, self.original, &self.target)
            || candidate.check_usages().is_err()
            || candidate.check_expectations().is_err()
        {
            return false;
        }
        if !self.may_go_on() {
            self.stopped = true;
            return false;
        }
        self.runs += 1;
        // A scenario that cannot be planned does not count as failing.
        let found = self.same_failure(self.subject, &candidate, self.seed);
        let found = found.ok().flatten().filter(|failure| {
            (!self.recoverable || is_recoverable(self.subject, &candidate, self.seed, failure))
                && (!self.counts || counts(self.subject, &candidate, self.seed, failure))
        });
        let found = found.filter(|_| self.needs_its_cause(&candidate));
        // Interrupted runs decide nothing.
        self.stopped = found.is_some() && !self.may_go_on();
        match found {
            Some(_) if self.stopped => false,
            Some(failure) => {
                let best = core::mem::replace(&mut self.best, candidate);
                let failure = core::mem::replace(&mut self.failure, failure);
                self.history.push((best, failure));
                self.best_seed = self.seed;
                self.changes += 1;
                true
            }
            None => false,
        }
    }

    fn may_go_on(&mut self) -> bool {
        (self.go_on)(Progress {
            runs: self.runs,
            changes: self.changes,
            smallest: &self.best,
            seed: self.best_seed,
            failure: &self.failure,
            bound: self.bound,
            unneeded: &self.unneeded,
        })
    }

    /// Runs a scenario; returns its failure, if the scenario fails in the same way.
    ///
    /// # Errors
    /// Returns an error if the scenario cannot be run with this seed.
    fn same_failure(
        &self,
        subject: SystemUnderTest<'_>,
        scenario: &Scenario,
        seed: u64,
    ) -> Result<Option<Failure>, ScenarioError> {
        let (failures, _) = run(subject, scenario, seed)?;
        let mut failures = failures.into_iter();
        Ok(failures.find(|failure| is_same(failure, &self.target, self.bound)))
    }

    /// Performs a control run of a scenario; returns `None` if it cannot be planned.
    fn control(&mut self, control: ControlRun, scenario: &Scenario, seed: u64) -> Option<Control> {
        self.runs += 1;
        let subject = if control.keeps_bug() {
            self.subject
        } else {
            SystemUnderTest {
                sabotage: &[],
                ..self.subject
            }
        };
        let (failures, _) = run(subject, &control.scenario(scenario), seed).ok()?;
        let mut failures = failures.iter().peekable();
        let passes = failures.peek().is_none();
        Some(Control {
            passes,
            fails_alike: failures.any(|failure| is_same(failure, &self.target, self.bound)),
        })
    }

    /// Performs the control runs of the original with its random choices written out, so that its nodes stay the same
    /// even without the steps that chose them. Returns the control runs that fail in the same way. A candidate must not
    /// fail in this way in the other control runs; it may fail without faults if a planted bug is its cause.
    fn control_original(&mut self, explicit: &Scenario) -> Vec<ControlRun> {
        let planted = !self.subject.sabotage.is_empty();
        let mut unneeded = Vec::new();
        for control in ControlRun::of(explicit, self.subject.sabotage) {
            match self.control(control, explicit, self.seed) {
                Some(result) if result.fails_alike => unneeded.push(control),
                Some(result) if !(planted && control.keeps_bug()) => {
                    self.controls.push(RequiredControl {
                        control,
                        seed: None,
                        passes: result.passes,
                    });
                }
                Some(_) | None => {}
            }
        }
        unneeded
    }

    /// Returns whether the required control runs of a candidate end as those of the original.
    fn needs_its_cause(&mut self, candidate: &Scenario) -> bool {
        let controls = self.controls.clone();
        controls.into_iter().all(|required| {
            let seed = required.seed.unwrap_or(self.seed);
            let result = self.control(required.control, candidate, seed);
            result.is_none_or(|it| it.passes || !(required.passes || it.fails_alike))
        })
    }

    /// Performs the control runs of the result, with several seeds.
    fn control_result(&mut self) -> Vec<Controlled> {
        let best = self.best.clone();
        let mut results = Vec::new();
        let controls = ControlRun::of(&best, self.subject.sabotage);
        for control in controls.into_iter().filter(|it| *it != ControlRun::Both) {
            let (mut failing, mut runs) = (Vec::new(), 0);
            let first = self.seed;
            let others = (1..).filter(|seed| *seed != first);
            let seeds = std::iter::once(first).chain(others);
            for seed in seeds.take(CONTROL_SEEDS) {
                if !self.may_go_on() {
                    break;
                }
                let result = self.control(control, &best, seed);
                if let Some(result) = result.filter(|_| self.may_go_on()) {
                    runs += 1;
                    failing.extend(result.fails_alike.then_some(seed));
                }
            }
            if runs > 0 {
                results.push(Controlled {
                    control,
                    failing,
                    runs,
                });
            }
        }
        results
    }

    /// Reduces the scenario, and repeats the reduction if the result fails by chance in a required control run with
    /// another seed, although the original does not: this seed is then required as well, and the reduction goes on from
    /// the smallest scenario that passes. Returns the control runs of the result.
    fn reduce(&mut self) -> Vec<Controlled> {
        loop {
            while self.round() {}
            self.finish();
            let results = self.control_result();
            if self.stopped || !self.may_go_on() {
                return results;
            }
            let known = self.controls.len();
            for result in &results {
                self.require(result);
            }
            if self.controls.len() == known {
                return results;
            }
            while !self.needs_its_cause(&self.best.clone())
                && let Some((scenario, failure)) = self.history.pop()
            {
                (self.best, self.failure) = (scenario, failure);
            }
        }
    }

    /// Requires the control runs with the seeds that fail, except where the written-out original fails as well.
    fn require(&mut self, result: &Controlled) {
        let control = result.control;
        if self.controls.iter().all(|it| it.control != control) {
            return;
        }
        let Some((original, _)) = self.history.first().cloned() else {
            return;
        };
        for seed in &result.failing {
            let required = self.controls.iter();
            let mut required = required.filter(|it| it.control == control);
            if required.any(|it| it.seed == Some(*seed)) {
                continue;
            }
            let of_original = self.control(control, &original, *seed);
            if let Some(it) = of_original.filter(|it| !it.fails_alike) {
                self.controls.push(RequiredControl {
                    control,
                    seed: Some(*seed),
                    passes: it.passes,
                });
            }
        }
    }

    /// Uses the scenario without random choices, if it fails with this seed or with another seed. For the same seed,
    /// the network now draws other values, so a failure that depends on one message may need another seed.
    fn write_out(&mut self, explicit: &Scenario) {
        let first = self.seed;
        for seed in std::iter::once(first).chain(1..=SEEDS_TRIED) {
            self.seed = seed;
            if self.try_with(explicit.clone()) {
                return;
            }
        }
        self.seed = first;
    }

    /// Applies a change to the best scenario; returns whether the changed scenario still fails in the same way.
    fn change(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.try_with(candidate)
    }

    /// Returns whether the failure violates an expectation of the file.
    fn is_expectation(&self, expectation: &Expectation) -> bool {
        self.target.line == expectation.line && self.target.expectation == expectation.text
    }

    /// Keeps only the expectation that fails; if an invariant fails, keeps only an expectation that is checked in any
    /// case.
    fn forget_other_expectations(&mut self) {
        let kept = self
            .best
            .expectations
            .iter()
            .find(|expectation| self.is_expectation(expectation));
        let kept = kept.cloned().unwrap_or_else(|| Expectation {
            file: self.best.file.clone(),
            line: 0,
            text: String::new(),
            mode: Mode::Eventually(Condition::Converged),
            from: Duration::ZERO,
            to: None,
        });
        self.change(|scenario| scenario.expectations = vec![kept]);
    }
}

/// Returns whether a failure is a failed recovery that was possible.
fn is_recoverable(
    subject: SystemUnderTest<'_>,
    scenario: &Scenario,
    seed: u64,
    failure: &Failure,
) -> bool {
    let at = Duration::from_millis(failure.at_ms);
    let waited_for = |expectation: &Expectation| {
        expectation.line == failure.line
            && expectation.text == failure.expectation
            && matches!(expectation.mode, Mode::Eventually(_))
    };
    (at >= scenario.duration || scenario.expectations.iter().any(waited_for))
        && subject.runner.recoverable(scenario, seed, at).is_ok()
}

impl Shrunk {
    /// Returns whether another run failed in the same way as this run.
    #[must_use]
    pub fn is_same(&self, other: &Failure) -> bool {
        is_same(other, &self.failure, self.bound)
    }

    /// Returns the text of the file: the failure, the command that reproduces it, and the scenario.
    #[must_use]
    pub fn to_toml(&self, path: &str) -> String {
        let Failure {
            file,
            expectation,
            why,
            at_ms,
            reproduce,
            ..
        } = &self.failure;
        let at = show(Duration::from_millis(*at_ms));
        // A failure by panic has no command. The hash in the command is that of the original file, so it is removed.
        let again = match reproduce.split("  # ").next().unwrap_or_default() {
            "" => format!("seed {} of {path}", self.seed),
            command => command.replace(&quoted_path(file), &quoted_path(path)),
        };
        let needs: String = self.needs().iter().map(|it| format!("# {it}\n")).collect();
        format!(
            "# Fails at {at}: {expectation}\n# {why}\n# {again}\n{needs}{}",
            self.scenario.to_toml()
        )
    }

    /// Returns the parts that the failure needs, one line for each control run.
    #[must_use]
    pub fn needs(&self) -> Vec<String> {
        let unneeded = self.unneeded.iter().filter(|it| **it != ControlRun::Both);
        let unneeded =
            unneeded.map(|control| format!("the original fails in the same way {control}"));
        let controls = self.controls.iter().map(ToString::to_string);
        unneeded.chain(controls).collect()
    }
}
