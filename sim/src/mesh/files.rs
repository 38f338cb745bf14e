//! Reads scenarios of the mesh.

use super::words::vocabulary;
use crate::scenario::{Scenario, ScenarioError};
use std::path::Path;

impl Scenario {
    /// Reads a scenario of the mesh from a file's text.
    ///
    /// # Errors
    /// Returns the first error of the text, with file, line and key; also returns an error if the text has a matrix and
    /// therefore several scenarios.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::parse_with(file, text, &vocabulary())
    }

    /// Reads a scenario file of the mesh.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read (line 0), the first error in the file, or an error if the file has a
    /// matrix and therefore several scenarios.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        Self::load_one(path, &vocabulary(), None)
    }
}
