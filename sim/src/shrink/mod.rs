//! Reduces a failing run to a small scenario that is easy to read, keep and edit.
//!
//! First all random choices of the seed are written out (`explicit`), if the result fails with this
//! seed or another. Then, in rounds until a round changes nothing: fewer steps, fewer nodes, a
//! shorter run, simpler settings, fewer nodes per step, rounder times. A change is kept if the run
//! still fails in the same way: with the same expectation or invariant, and, for a failed recovery,
//! while recovery is still possible. The result is 1-minimal in its steps: without any one of them
//! the run passes, or recovery is impossible.

mod ddmin;
mod explicit;
mod passes;

use crate::scenario::text::show;
use crate::scenario::{Condition, Expectation, Mode, Scenario, ScenarioError};
use crate::search::{Subject, run};
use crate::verdict::Failure;
use core::time::Duration;

/// The expectation that a failed recovery violates, up to its time.
const RECOVERY: &str = "all views are right within";

/// Number of other seeds that are tried with the written-out scenario.
const SEEDS_TRIED: u64 = 100;

/// Progress of the reduction.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Number of runs so far.
    pub runs: usize,
    /// Number of steps of the smallest scenario so far.
    pub steps: usize,
    /// Number of its nodes.
    pub nodes: usize,
}

/// A small scenario that fails in the same way as the original.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario, which fails with the seed.
    pub scenario: Scenario,
    /// The seed.
    pub seed: u64,
    /// The failure.
    pub failure: Failure,
    /// Number of runs needed.
    pub runs: usize,
    /// Whether no further part can be removed; false if the reduction was stopped.
    pub minimal: bool,
}

/// Reduces a failing run. `go_on` is called before each run; when it returns false, the smallest
/// scenario so far is returned.
///
/// # Errors
/// If the scenario cannot be run with this seed. The result is `None` if the run does not fail.
pub fn shrink(
    subject: Subject<'_>,
    scenario: &Scenario,
    seed: u64,
    go_on: &mut dyn FnMut(Progress) -> bool,
) -> Result<Option<Shrunk>, ScenarioError> {
    let plan = scenario.plan(seed)?;
    let (failures, _) = run(subject, scenario, seed)?;
    // The earliest failure is the closest to the cause.
    let Some(target) = failures.into_iter().min_by_key(|failure| failure.at_ms) else {
        return Ok(None);
    };
    let mut shrinker = Shrinker {
        recoverable: is_recoverable(subject, scenario, seed, &target),
        subject,
        seed,
        best: scenario.clone().alone(),
        failure: target.clone(),
        target,
        runs: 1,
        go_on,
        stopped: false,
    };
    shrinker.write_out(&explicit::explicit(&shrinker.best, &plan));
    shrinker.forget_other_expectations();
    while shrinker.round() {}
    shrinker.finish();
    Ok(Some(Shrunk {
        scenario: shrinker.best,
        seed,
        failure: shrinker.failure,
        runs: shrinker.runs,
        minimal: !shrinker.stopped,
    }))
}

struct Shrinker<'a> {
    subject: Subject<'a>,
    seed: u64,
    /// Whether the failure is a failed recovery that was possible; recovery must then stay
    /// possible.
    recoverable: bool,
    best: Scenario,
    /// The failure of the best scenario so far.
    failure: Failure,
    /// The failure to preserve.
    target: Failure,
    runs: usize,
    go_on: &'a mut dyn FnMut(Progress) -> bool,
    stopped: bool,
}

impl Shrinker<'_> {
    /// Tries a scenario; if it fails in the same way, it becomes the best one.
    fn try_with(&mut self, candidate: Scenario) -> bool {
        if self.stopped {
            return false;
        }
        let progress = Progress {
            runs: self.runs,
            steps: self.best.steps.len(),
            nodes: self.best.hosts.len(),
        };
        if !(self.go_on)(progress) {
            self.stopped = true;
            return false;
        }
        self.runs += 1;
        // A scenario that cannot be planned does not count as failing.
        let Ok((failures, _)) = run(self.subject, &candidate, self.seed) else {
            return false;
        };
        let found = failures
            .into_iter()
            .find(|failure| is_same(failure, &self.target));
        let found = found.filter(|failure| {
            !self.recoverable || is_recoverable(self.subject, &candidate, self.seed, failure)
        });
        match found {
            Some(failure) => {
                self.best = candidate;
                self.failure = failure;
                true
            }
            None => false,
        }
    }

    /// Uses the scenario without random choices, if it fails with this seed or another. The network
    /// draws other values than before for the same seed, so a failure that depends on one message
    /// may need another seed.
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

    /// Applies a change to the best scenario; returns whether it still fails in the same way.
    fn change(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.try_with(candidate)
    }

    /// Returns whether the failure violates an expectation of the file.
    fn is_expectation(&self, expectation: &Expectation) -> bool {
        self.target.line == expectation.line && self.target.expectation == expectation.text
    }

    /// Keeps only the expectation that fails; if an invariant fails, keeps one that is always
    /// checked anyway.
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
fn is_recoverable(subject: Subject<'_>, scenario: &Scenario, seed: u64, failure: &Failure) -> bool {
    let at = Duration::from_millis(failure.at_ms);
    let waited_for = |expectation: &Expectation| {
        expectation.line == failure.line
            && expectation.text == failure.expectation
            && matches!(expectation.mode, Mode::Eventually(_))
    };
    (at >= scenario.duration || scenario.expectations.iter().any(waited_for))
        && subject.runner.recoverable(scenario, seed, at).is_ok()
}

/// Returns whether two runs fail in the same way: with the same expectation or invariant, and for a
/// similar reason.
fn is_same(one: &Failure, other: &Failure) -> bool {
    let recovery = |failure: &Failure| failure.expectation.starts_with(RECOVERY);
    let what = one.line == other.line && one.expectation == other.expectation
        || recovery(one) && recovery(other);
    what && kind(&one.why) == kind(&other.why)
}

/// Returns a reason without numbers, names and lists.
fn kind(why: &str) -> Vec<&str> {
    let words = why.split(|c: char| !c.is_alphanumeric() && c != '-');
    let plain = |word: &&str| {
        let mut letters = word.chars();
        letters.clone().count() > 2 && letters.all(char::is_alphabetic)
    };
    words.filter(plain).collect()
}

impl Shrunk {
    /// Returns whether another run failed in the same way as this one.
    #[must_use]
    pub fn is_same(&self, other: &Failure) -> bool {
        is_same(other, &self.failure)
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
        // A panic has no command. The hash in the command is that of the original file, so it is
        // removed.
        let again = match reproduce.split("  # ").next().unwrap_or_default() {
            "" => format!("seed {} of {path}", self.seed),
            command => command.replace(file.as_str(), path),
        };
        format!(
            "# Fails at {at}: {expectation}\n# {why}\n# {again}\n{}",
            self.scenario.to_toml()
        )
    }
}
