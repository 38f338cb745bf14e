//! Searches for a failing seed: draws seeds and chaos settings.
//!
//! Swarm testing: each trial enables a random part of the faults, at random intensity, because a
//! run in which all faults can happen rarely has many of one kind. Trials are drawn independently
//! of each other. The behaviours of a run are a set of small numbers ([`Behaviours`]), whose growth
//! shows whether further trials still do something new.
//!
//! - [`Hunt`]: draws trials and counts behaviours; start there. It has no thread and no clock.
//! - [`attempt`]: one trial.

mod behaviours;
mod variant;

pub use behaviours::Behaviours;
pub use variant::Trial;

use crate::coverage::RunCoverage;
use crate::model::RunOptions;
use crate::runner::Runner;
use crate::scenario::{Scenario, ScenarioError};
use crate::verdict::Failure;
use core::time::Duration;
use phalanx_core::random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The system under test: its runner, and the planted bugs.
#[derive(Clone, Copy)]
pub struct SystemUnderTest<'a> {
    /// Runs the scenarios.
    pub runner: &'a (dyn Runner + Sync),
    /// The names of planted bugs, from the vocabulary of the system.
    pub sabotage: &'a [String],
}

/// The expectation that a panic of a machine violates.
pub const PANIC: &str = "no machine breaks its own rules";

/// Draws trials over some scenarios.
#[derive(Clone, Debug)]
pub struct Hunt {
    bases: Vec<Scenario>,
    random: Random,
    /// The number of trials with new behaviour.
    kept: usize,
    seen: Behaviours,
    drawn: u64,
}

impl Hunt {
    /// Creates a hunt over `bases`; `seed` makes it reproducible.
    #[must_use]
    pub fn new(bases: Vec<Scenario>, seed: u64) -> Self {
        Self {
            bases,
            random: Random::from_seed(seed).child("search"),
            kept: 0,
            seen: Behaviours::default(),
            drawn: 0,
        }
    }

    /// Draws the next trial: first each scenario unchanged, then variants.
    pub fn draw(&mut self) -> Trial {
        let number = self.drawn;
        self.drawn += 1;
        let mut random = self.random.nth_child("trial", number);
        let bases = self.bases.len().max(1);
        let base = usize::try_from(number).unwrap_or(usize::MAX) % bases;
        let seed = 1 + number / bases as u64;
        if number < bases as u64 || random.chance_ppm(150_000) {
            return Trial::plain(number, base, seed);
        }
        Trial::swarm(number, base, seed, &self.bases[base], &mut random)
    }

    /// Returns the scenario of a trial.
    #[must_use]
    pub fn scenario(&self, trial: &Trial) -> Scenario {
        trial.scenario(&self.bases[trial.base])
    }

    /// Adds the behaviours of a trial; returns the number of new elements.
    pub fn learn(&mut self, did: &Behaviours) -> usize {
        let news = self.seen.merge(did);
        self.kept += usize::from(news > 0);
        news
    }

    /// Draws and runs trials until one is wanted, or until `trials_max` are drawn in all. `wanted` decides by the trial,
    /// its scenario and its failures.
    ///
    /// # Errors
    /// Returns an error if a scenario cannot be run with the seed of its trial.
    pub fn find(
        &mut self,
        subject: SystemUnderTest<'_>,
        trials_max: u64,
        mut wanted: impl FnMut(&Trial, &Scenario, &[Failure]) -> bool,
    ) -> Result<Option<(Trial, Scenario)>, ScenarioError> {
        while self.drawn < trials_max {
            let trial = self.draw();
            let scenario = self.scenario(&trial);
            let (failures, did) = attempt(subject, &scenario, trial.seed)?;
            self.learn(&did);
            if wanted(&trial, &scenario, &failures) {
                return Ok(Some((trial, scenario)));
            }
        }
        Ok(None)
    }

    /// Returns the number of trials drawn.
    #[must_use]
    pub const fn drawn(&self) -> u64 {
        self.drawn
    }

    /// Returns the number of trials with new behaviour.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.kept
    }

    /// Returns the number of behaviours of all trials.
    #[must_use]
    pub fn covered(&self) -> usize {
        self.seen.len()
    }
}

/// The result of one run.
#[derive(Debug)]
pub struct Attempt {
    /// The failures.
    pub failures: Vec<Failure>,
    /// The behaviours.
    pub behaviours: Behaviours,
    /// The number of events; 0 after a panic.
    pub events: u64,
    /// The virtual time in milliseconds; 0 after a panic.
    pub virtual_ms: u64,
}

/// Runs one seed; returns its failures and its behaviours. A panic of a machine is a failure. A failed recovery is not a
/// failure if the system could not recover from the faults.
///
/// # Errors
/// Returns an error if the scenario cannot be run with this seed.
pub fn attempt(
    subject: SystemUnderTest<'_>,
    scenario: &Scenario,
    seed: u64,
) -> Result<(Vec<Failure>, Behaviours), ScenarioError> {
    let done = attempt_covered(subject, scenario, seed, None)?;
    Ok((done.failures, done.behaviours))
}

/// Does the same as [`attempt`], and counts into `coverage` what occurs in the run, if it is given.
///
/// # Errors
/// Returns an error if the scenario cannot be run with this seed.
pub fn attempt_covered(
    subject: SystemUnderTest<'_>,
    scenario: &Scenario,
    seed: u64,
    coverage: Option<&mut RunCoverage>,
) -> Result<Attempt, ScenarioError> {
    let mut done = run_covered(subject, scenario, seed, coverage)?;
    done.failures
        .retain(|failure| counts(subject, scenario, seed, failure));
    Ok(done)
}

/// Returns whether a search counts a failure: the failure is before the end of the faults, or recovery is possible.
pub(crate) fn counts(
    subject: SystemUnderTest<'_>,
    scenario: &Scenario,
    seed: u64,
    failure: &Failure,
) -> bool {
    let at = Duration::from_millis(failure.at_ms);
    at < scenario.duration || subject.runner.recoverable(scenario, seed, at).is_ok()
}

/// Runs one seed; returns all its failures and its behaviours.
pub(crate) fn run(
    subject: SystemUnderTest<'_>,
    scenario: &Scenario,
    seed: u64,
) -> Result<(Vec<Failure>, Behaviours), ScenarioError> {
    let done = run_covered(subject, scenario, seed, None)?;
    Ok((done.failures, done.behaviours))
}

/// Runs one seed; all its failures count, also those of a recovery that was not possible.
///
/// # Errors
/// Returns an error if the scenario cannot be run with this seed.
pub fn run_covered(
    subject: SystemUnderTest<'_>,
    scenario: &Scenario,
    seed: u64,
    coverage: Option<&mut RunCoverage>,
) -> Result<Attempt, ScenarioError> {
    let mut behaviours = Behaviours::default();
    let done = catch_unwind(AssertUnwindSafe(|| {
        let options = RunOptions {
            sabotage: subject.sabotage.to_vec(),
            recorder: Some(&mut behaviours),
            coverage,
            ..RunOptions::default()
        };
        subject.runner.run(scenario, seed, options)
    }));
    match done {
        Ok(outcome) => {
            let outcome = outcome?;
            Ok(Attempt {
                failures: outcome.failures,
                behaviours,
                events: outcome.events,
                virtual_ms: outcome.virtual_ms,
            })
        }
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(ToString::to_string);
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            let why = said.unwrap_or_else(|| "the panic has no message".to_owned());
            let failure = Failure::new(&scenario.file, 0, PANIC, Duration::ZERO, &why);
            Ok(Attempt {
                failures: vec![failure],
                behaviours,
                events: 0,
                virtual_ms: 0,
            })
        }
    }
}
