//! Runs of a scenario, whatever its system: what search, shrinking and sweeps are built on.

use crate::model::{self, Options};
use crate::outcome::Outcome;
use crate::scenario::{Scenario, ScenarioError, Vocabulary};
use crate::world::Definition;
use core::time::Duration;
use std::path::Path;

/// Something that runs scenarios of one system.
pub trait Runner {
    /// Runs one seed of a scenario.
    ///
    /// # Errors
    /// When the scenario cannot be run, as [`model::run`] says.
    fn run(
        &self,
        scenario: &Scenario,
        seed: u64,
        options: Options<'_>,
    ) -> Result<Outcome, ScenarioError>;

    /// Whether the system could be well at `at` in spite of all that one seed of a scenario does to it.
    ///
    /// # Errors
    /// What stands against it.
    fn recoverable(&self, scenario: &Scenario, seed: u64, at: Duration) -> Result<(), String>;

    /// The words of the system.
    fn vocabulary(&self) -> Vocabulary;

    /// Reads a scenario file, checked against the words of the system: one scenario, or one for each run of its
    /// matrix.
    ///
    /// # Errors
    /// When the file cannot be read, or what is wrong in it.
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
        options: Options<'_>,
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
