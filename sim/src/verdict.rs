//! Verdicts: failures, the results of expectations, and whether a run passed.

use crate::finding::FailureFinding;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize, Serializer};

/// Whether all expectations held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunVerdict {
    /// All expectations held.
    Pass,
    /// At least one expectation failed.
    Fail,
}

/// The result of an expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectationResult {
    /// The line of the expectation.
    pub line: usize,
    /// The text of the expectation.
    pub text: String,
    /// Whether the expectation held.
    pub met: bool,
    /// Whether it is sufficient that the expectation holds in one of many runs.
    pub sometimes: bool,
    /// The time at which the result was decided, in virtual milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// The value of the metric, if the expectation concerns a metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<u64>,
}

/// A failed expectation or invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The scenario file.
    pub file: String,
    /// The line of the expectation; 0 for properties that always hold (invariants, recovery).
    pub line: usize,
    /// The property that was expected.
    pub expectation: String,
    /// The time at which the violation was found, in virtual milliseconds.
    pub at_ms: u64,
    /// The reason.
    pub why: String,
    /// The command that reproduces the failure.
    pub reproduce: String,
    /// The value of the metric, if the expectation concerns a metric.
    #[serde(skip)]
    pub figure: Option<u64>,
    /// The nodes and items that the failure is about, as text in JSON.
    #[serde(
        rename = "found",
        serialize_with = "texts",
        skip_serializing_if = "without_text"
    )]
    pub findings: Vec<FailureFinding>,
}

fn texts<S: Serializer>(findings: &[FailureFinding], sink: S) -> Result<S::Ok, S::Error> {
    let texts = findings.iter().map(|finding| finding.text.as_str());
    sink.collect_seq(texts.filter(|text| !text.is_empty()))
}

fn without_text(findings: &[FailureFinding]) -> bool {
    findings.iter().all(|finding| finding.text.is_empty())
}

impl Failure {
    /// Creates a failure; [`Self::reproduced_by`] adds the command.
    #[must_use]
    pub fn new(file: &str, line: usize, expectation: &str, at: Duration, why: &str) -> Self {
        Self {
            file: file.to_owned(),
            line,
            expectation: expectation.to_owned(),
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            why: why.to_owned(),
            reproduce: String::new(),
            figure: None,
            findings: Vec::new(),
        }
    }

    /// Returns the failure with the nodes and items that the failure concerns.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<FailureFinding>) -> Self {
        self.findings = findings;
        self
    }

    /// Returns the failure with the value of the metric that violates its bound.
    #[must_use]
    pub const fn with_figure(mut self, figure: u64) -> Self {
        self.figure = Some(figure);
        self
    }

    /// Returns the failure with the command that reproduces it.
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
