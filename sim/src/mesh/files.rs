//! Reads scenarios of the mesh.

use super::words::vocabulary;
use crate::scenario::{Scenario, ScenarioError};
use std::path::Path;

impl Scenario {
    /// Reads a scenario of the mesh from a file's text.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and key; or that it has a matrix, which is many scenarios.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::parse_with(file, text, &vocabulary())
    }

    /// Reads a scenario file of the mesh.
    ///
    /// # Errors
    /// When the file cannot be read (line 0), or what is wrong in it; or that it has a matrix, which is many
    /// scenarios.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        Self::load_one(path, &vocabulary(), None)
    }
}
