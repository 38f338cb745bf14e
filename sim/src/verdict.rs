//! Verdicts: failures, the results of expectations, and whether a run passed.

use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Whether everything came true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It did.
    Pass,
    /// It did not.
    Fail,
}

/// The result of an expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Its line.
    pub line: usize,
    /// The demand.
    pub text: String,
    /// Whether it was.
    pub met: bool,
    /// Whether it is enough if it is so in one of many runs.
    pub sometimes: bool,
    /// When that was decided, in virtual milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// The figure, of a metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<u64>,
}

/// Something that had to be true and was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The scenario file.
    pub file: String,
    /// The line of the expectation; 0 for what always holds (invariants, recovery).
    pub line: usize,
    /// The demand.
    pub expectation: String,
    /// When it was found broken, in virtual milliseconds.
    pub at_ms: u64,
    /// The reason.
    pub why: String,
    /// The command that shows it again.
    pub reproduce: String,
}

impl Failure {
    /// A failure; [`Self::reproduced_by`] adds the command.
    #[must_use]
    pub fn new(file: &str, line: usize, expectation: &str, at: Duration, why: &str) -> Self {
        Self {
            file: file.to_owned(),
            line,
            expectation: expectation.to_owned(),
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            why: why.to_owned(),
            reproduce: String::new(),
        }
    }

    /// The same with the command that shows it again.
    #[must_use]
    pub fn reproduced_by(mut self, command: &str) -> Self {
        command.clone_into(&mut self.reproduce);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        let (seconds, millis) = (self.at_ms / 1_000, self.at_ms % 1_000);
        writeln!(f, ": {}", self.expectation)?;
        writeln!(f, "  broken at {seconds}.{millis:03}s: {}", self.why)?;
        write!(f, "  again: {}", self.reproduce)
    }
}
