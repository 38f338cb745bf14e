//! The interface to runs of a scenario, for any system; search, shrinking and sweeps use this interface.

use crate::judge::ending::ENDS_BY_ITSELF;
use crate::model::{self, RunOptions, Supervisor};
use crate::outcome::Outcome;
use crate::record::Recorder;
use crate::scenario::{Scenario, ScenarioError, Vocabulary};
use crate::world::Definition;
use core::time::Duration;
use std::path::Path;

/// Runs the scenarios of one system.
pub trait Runner {
    /// Runs one seed of a scenario.
    ///
    /// # Errors
    /// Returns an error if the scenario cannot be run; see [`model::run`].
    fn run(
        &self,
        scenario: &Scenario,
        seed: u64,
        options: RunOptions<'_>,
    ) -> Result<Outcome, ScenarioError>;

    /// Checks whether the system could have recovered by `at` from all faults that one seed of a scenario causes.
    ///
    /// # Errors
    /// The error is the reason why the system could not recover.
    fn recoverable(&self, scenario: &Scenario, seed: u64, at: Duration) -> Result<(), String>;

    /// Returns the vocabulary of the system.
    fn vocabulary(&self) -> Vocabulary;

    /// Reads a scenario file and checks it against the vocabulary of the system. Returns one
    /// scenario, or one for each variant of its matrix.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or else the first error in the file.
    fn load(&self, path: &Path) -> Result<Vec<Scenario>, ScenarioError> {
        Scenario::load_all(path, &self.vocabulary(), None)
    }
}

/// The model engine for one system.
#[derive(Clone, Copy, Debug)]
pub struct Model(pub &'static Definition);

impl Runner for Model {
    fn run(
        &self,
        scenario: &Scenario,
        seed: u64,
        options: RunOptions<'_>,
    ) -> Result<Outcome, ScenarioError> {
        model::run(self.0, scenario, seed, options)
    }

    fn recoverable(&self, scenario: &Scenario, seed: u64, at: Duration) -> Result<(), String> {
        let plan = scenario.plan(seed).map_err(|why| why.to_string())?;
        (self.0.recoverable)(scenario, &plan, at)
    }

    fn vocabulary(&self) -> Vocabulary {
        (self.0.vocabulary)()
    }
}

/// The model engine for one system, with runs that a supervisor can end early. An interrupted run returns an error,
/// unless the run failed before the interrupt.
#[derive(Clone, Copy, Debug)]
pub struct SupervisedModel<'a> {
    /// The engine.
    pub model: Model,
    /// The supervisor of the model's runs.
    pub supervisor: &'a Supervisor,
}

impl Runner for SupervisedModel<'_> {
    fn run(
        &self,
        scenario: &Scenario,
        seed: u64,
        options: RunOptions<'_>,
    ) -> Result<Outcome, ScenarioError> {
        let options = RunOptions {
            sabotage: options.sabotage,
            strict: options.strict,
            final_state: options.final_state,
            recorder: options.recorder.map(|it| it as &mut dyn Recorder),
            coverage: options.coverage,
            supervisor: Some(self.supervisor),
        };
        let mut outcome = self.model.run(scenario, seed, options)?;
        let failures = &mut outcome.failures;
        failures.retain(|failure| failure.expectation != ENDS_BY_ITSELF);
        if outcome.interrupted && failures.is_empty() {
            return Err(ScenarioError {
                file: scenario.file.clone(),
                line: 0,
                key: String::new(),
                message: format!("seed {seed} was interrupted"),
            });
        }
        Ok(outcome)
    }

    fn recoverable(&self, scenario: &Scenario, seed: u64, at: Duration) -> Result<(), String> {
        self.model.recoverable(scenario, seed, at)
    }

    fn vocabulary(&self) -> Vocabulary {
        self.model.vocabulary()
    }
}
