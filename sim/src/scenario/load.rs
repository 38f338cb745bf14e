//! Reads scenarios from text and from files.

use super::definition::Scenario;
use super::error::ScenarioError;
use super::vocabulary::Vocabulary;
use super::{include, selection};
use std::path::Path;

impl Scenario {
    /// Reads a scenario from a file's text, with the vocabulary of a system.
    ///
    /// # Errors
    /// Returns the first error, with file, line and key, or an error that the file has a matrix and therefore several
    /// scenarios.
    pub fn parse_with(
        file: &str,
        text: &str,
        vocabulary: &Vocabulary,
    ) -> Result<Self, ScenarioError> {
        selection::only(Self::parse_all(file, text, vocabulary)?, None)
    }

    /// Reads every scenario of a file's text: one, or one for each variant of its matrix.
    ///
    /// # Errors
    /// Returns the first error, with file, line and key.
    pub fn parse_all(
        file: &str,
        text: &str,
        vocabulary: &Vocabulary,
    ) -> Result<Vec<Self>, ScenarioError> {
        include::runs_of(file, text, vocabulary)?
            .iter()
            .map(include::Run::read)
            .collect()
    }

    /// Reads the one scenario of a file that a selection (`loss=10%,nodes=30`) matches, with the vocabulary of a
    /// system. A file without a matrix has only one scenario.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read (line 0) or contains an error, or the selection matches no variant
    /// or several variants of the matrix.
    pub fn load_one(
        path: &Path,
        vocabulary: &Vocabulary,
        selection: Option<&str>,
    ) -> Result<Self, ScenarioError> {
        selection::only(Self::load_all(path, vocabulary, None)?, selection)
    }

    /// Reads every scenario of a file that a selection matches: one, or one for each variant of its matrix.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read (line 0) or contains an error, or the selection matches no variant
    /// of the matrix.
    pub fn load_all(
        path: &Path,
        vocabulary: &Vocabulary,
        selection: Option<&str>,
    ) -> Result<Vec<Self>, ScenarioError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => selection::chosen(Self::parse_all(&file, &text, vocabulary)?, selection),
            Err(why) => Err(ScenarioError {
                file,
                line: 0,
                key: String::new(),
                message: format!("cannot be read: {why}"),
            }),
        }
    }
}
