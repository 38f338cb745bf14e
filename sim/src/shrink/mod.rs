//! Makes a small scenario of a failing run: one that a person can read, keep and edit.
//!
//! First every choice of the seed is written out (`explicit`), if it then fails with this seed or another; then, in
//! rounds, until a round changes nothing: fewer steps, fewer nodes, a shorter run, plainer settings, fewer nodes a step,
//! rounder times. A change stays when the run still fails the same way: the same expectation, the same
//! invariant; and what failed to become well must still have been able to. The result is 1-minimal in its steps: without
//! any one of them it passes, or nothing could.

mod ddmin;
mod explicit;
mod passes;

use crate::scenario::text::show;
use crate::scenario::{Condition, Expectation, Mode, Scenario, ScenarioError};
use crate::search::{Subject, run};
use crate::verdict::Failure;
use core::time::Duration;

/// What a failed recovery is called, up to the time it may take.
const RECOVERY: &str = "all views are right within";

/// With how many other seeds the written out scenario is tried.
const SEEDS_TRIED: u64 = 100;

/// How far shrinking has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Runs so far.
    pub runs: usize,
    /// Steps of the smallest scenario so far.
    pub steps: usize,
    /// Its nodes.
    pub nodes: usize,
}

/// A small scenario that fails as the large one did.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario; with the seed it fails.
    pub scenario: Scenario,
    /// The seed.
    pub seed: u64,
    /// How it fails.
    pub failure: Failure,
    /// How many runs it took.
    pub runs: usize,
    /// Whether nothing more can be left out; not if it was stopped.
    pub minimal: bool,
}

/// Shrinks a failing run. `go_on` is asked before each run; when it says no, the smallest so far is given.
///
/// # Errors
/// When the scenario cannot be run for this seed; the outer none: when it does not fail.
pub fn shrink(
    subject: Subject<'_>,
    scenario: &Scenario,
    seed: u64,
    go_on: &mut dyn FnMut(Progress) -> bool,
) -> Result<Option<Shrunk>, ScenarioError> {
    let plan = scenario.plan(seed)?;
    let (failures, _) = run(subject, scenario, seed)?;
    // The earliest is the nearest to the cause.
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
    /// Whether it fails by not being well where it could be: it must go on to be able to.
    recoverable: bool,
    best: Scenario,
    /// How the best fails.
    failure: Failure,
    /// How it must fail.
    target: Failure,
    runs: usize,
    go_on: &'a mut dyn FnMut(Progress) -> bool,
    stopped: bool,
}

impl Shrinker<'_> {
    /// Whether a scenario fails as it must; then it is the best.
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
        // What cannot even be planned fails in no way that counts.
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

    /// Takes the scenario in which nothing is drawn. Without those draws the network draws others for the same seed:
    /// a failure that hangs by one message then shows with another seed.
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

    /// Whether the scenario fails as it must after a change.
    fn change(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.try_with(candidate)
    }

    /// Whether it fails by an expectation of the file.
    fn is_expectation(&self, expectation: &Expectation) -> bool {
        self.target.line == expectation.line && self.target.expectation == expectation.text
    }

    /// Leaves only the expectation that fails; one that says no more than what always holds if none of them does.
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

/// Whether something was not well when the run failed although it could have been.
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

/// Whether one run fails as another did: by the same expectation or invariant, and for a like reason.
fn is_same(one: &Failure, other: &Failure) -> bool {
    let recovery = |failure: &Failure| failure.expectation.starts_with(RECOVERY);
    let what = one.line == other.line && one.expectation == other.expectation
        || recovery(one) && recovery(other);
    what && kind(&one.why) == kind(&other.why)
}

/// A reason without its particulars: numbers, names and lists.
fn kind(why: &str) -> Vec<&str> {
    let words = why.split(|c: char| !c.is_alphanumeric() && c != '-');
    let plain = |word: &&str| {
        let mut letters = word.chars();
        letters.clone().count() > 2 && letters.all(char::is_alphabetic)
    };
    words.filter(plain).collect()
}

impl Shrunk {
    /// Whether another run failed as this one does.
    #[must_use]
    pub fn is_same(&self, other: &Failure) -> bool {
        is_same(other, &self.failure)
    }

    /// The text of its file: what it shows, how to see it, the scenario.
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
        // A machine that panics says no command. The file that is written is not the one that the stamp is of.
        let again = match reproduce.split("  # ").next().unwrap_or_default() {
            "" => format!("seed {} of {path}", self.seed),
            command => command.replace(file.as_str(), path),
        };
        format!(
            "# Broken at {at}: {expectation}\n# {why}\n# {again}\n{}",
            self.scenario.to_toml()
        )
    }
}
