//! Errors of filters.

use core::fmt;

/// Reason why a text is not a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// The character at which the text is wrong, from 1 on.
    pub column: usize,
    /// The reason.
    pub problem: String,
}

impl FilterError {
    pub(super) fn new(text: &str, at: usize, problem: &str) -> Self {
        let before = text
            .char_indices()
            .take_while(|(index, _)| *index < at)
            .count();
        Self {
            column: before + 1,
            problem: problem.to_owned(),
        }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter, column {}: {}", self.column, self.problem)
    }
}

impl core::error::Error for FilterError {}
