//! Reads scenarios of the mesh.

use super::words::vocabulary;
use crate::scenario::{Scenario, ScenarioError};
use std::path::Path;

impl Scenario {
    /// Reads a scenario of the mesh from a file's text.
    ///
    /// # Errors
    /// The text is invalid (returns the first error, with file, line and key), or has a matrix and therefore several
    /// scenarios.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::parse_with(file, text, &vocabulary())
    }

    /// Reads a scenario file of the mesh.
    ///
    /// # Errors
    /// The file cannot be read (line 0), is invalid (returns the first error), or has a matrix and therefore several
    /// scenarios.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        Self::load_one(path, &vocabulary(), None)
    }
}
