//! The result of a run in any engine: the JSON object that is printed, and the fields that this
//! program reads.

use phalanx_sim::coverage::RunCoverage;
use phalanx_sim::model::{ENDS_IN_TIME, TIME_ADVANCES};
use phalanx_sim::outcome::{ExpectationResult, StepEffect};
use phalanx_sim::report::Seed;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The result of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunRecord {
    /// The object as the engine returned it; `--json` prints it.
    pub(crate) value: Value,
    /// The fields that this program reads.
    pub(crate) read: RunFields,
    /// The reason why the trace of the run could not be written.
    pub(crate) unwritten: Option<String>,
    /// The coverage of the run, if it was collected.
    pub(crate) coverage: Option<RunCoverage>,
    /// Whether the run is stuck in one step.
    pub(crate) is_stuck: bool,
}

/// The fields of a run that this program reads.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RunFields {
    pub(crate) scenario: String,
    pub(crate) engine: String,
    pub(crate) seed: u64,
    pub(crate) outcome: String,
    pub(crate) trace_hash: String,
    pub(crate) virtual_ms: u64,
    pub(crate) wall_ms: u64,
    pub(crate) events: u64,
    #[serde(default)]
    pub(crate) trace_events: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) nodes: u64,
    pub(crate) metrics: BTreeMap<String, u64>,
    pub(crate) failures: Vec<Broken>,
    #[serde(default)]
    pub(crate) expected: Vec<ExpectationResult>,
    #[serde(default)]
    pub(crate) effects: Vec<StepEffect>,
    #[serde(default)]
    pub(crate) vacuous: Vec<Vacuous>,
}

/// An expectation or invariant that failed.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Broken {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) expectation: String,
    pub(crate) at_ms: u64,
    pub(crate) why: String,
    pub(crate) reproduce: String,
    /// The events that led to the failure, as text, the latest last.
    #[serde(default)]
    pub(crate) causes: Vec<String>,
    /// The facts that explain the failure, as text: those that the engine found, and for a recorded run all.
    #[serde(default, rename = "found")]
    pub(crate) explanation: Vec<String>,
}

impl Broken {
    /// Returns the scenario file, and the line if the failure belongs to one.
    pub(crate) fn place(&self) -> String {
        if self.line > 0 {
            format!("{}:{}", self.file, self.line)
        } else {
            self.file.clone()
        }
    }
}

/// A fault that affected nothing.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Vacuous {
    pub(crate) line: usize,
    pub(crate) step: String,
    pub(crate) why: String,
}

impl RunRecord {
    /// Reads the object that an engine returned.
    ///
    /// # Errors
    /// The missing or malformed field.
    pub(crate) fn read(value: Value) -> Result<Self, String> {
        let read = RunFields::deserialize(&value).map_err(|error| error.to_string())?;
        Ok(Self {
            value,
            read,
            unwritten: None,
            coverage: None,
            is_stuck: false,
        })
    }

    /// Returns the part that a report keeps.
    pub(crate) fn seed(&self) -> Seed {
        let read = &self.read;
        let unmet = read.expected.iter().filter(|expected| !expected.met);
        let steps = read.effects.iter().filter(|effect| !effect.chaos);
        let idle = steps.filter(|effect| effect.affected == 0);
        Seed {
            seed: read.seed,
            passed: self.passed(),
            recovery_ms: read.metrics.get("recovery-ms").copied(),
            events: read.events,
            messages: read.messages,
            bytes: read.bytes,
            unmet: unmet.map(|expected| expected.line).collect(),
            idle: idle.map(|effect| effect.line).collect(),
            failure: read.failures.iter().min_by_key(|it| it.at_ms).map(|it| {
                let line = if it.line > 0 {
                    format!("line {}: ", it.line)
                } else {
                    String::new()
                };
                format!("{line}{}", it.why)
            }),
        }
    }

    /// Returns why the run did not end by itself, if it did not.
    pub(crate) fn endless(&self) -> Option<&str> {
        let mut failures = self.read.failures.iter();
        let endless =
            failures.find(|it| [ENDS_IN_TIME, TIME_ADVANCES].contains(&it.expectation.as_str()));
        endless.map(|it| it.why.as_str())
    }

    pub(crate) fn passed(&self) -> bool {
        self.read.outcome == "pass"
    }

    /// Sets a field of the printed object.
    pub(crate) fn note(&mut self, field: &str, value: impl Into<Value>) {
        self.value[field] = value.into();
    }

    /// Adds a failure that this program found; the run then counts as failed.
    pub(crate) fn fail(&mut self, broken: Broken) {
        let Broken {
            file,
            line,
            expectation,
            at_ms,
            why,
            reproduce,
            causes: _,
            explanation: _,
        } = &broken;
        let object = json!({
            "file": file, "line": line, "expectation": expectation, "at_ms": at_ms, "why": why, "reproduce": reproduce
        });
        if let Some(failures) = self.value["failures"].as_array_mut() {
            failures.push(object);
        }
        self.note("outcome", "fail");
        "fail".clone_into(&mut self.read.outcome);
        self.read.failures.push(broken);
    }
}

/// Describes the first difference between two states: its path, and both values.
pub(crate) fn difference(left: &Value, right: &Value) -> Option<String> {
    fn walk(path: &mut Vec<String>, left: &Value, right: &Value) -> Option<String> {
        match (left, right) {
            (Value::Object(one), Value::Object(two)) => {
                one.keys().chain(two.keys()).find_map(|key| {
                    path.push(key.clone());
                    let found = walk(path, &left[key.as_str()], &right[key.as_str()]);
                    path.pop();
                    found
                })
            }
            _ if left == right => None,
            _ => Some(format!(
                "{} is {left} on the first and {right} on the second",
                path.join(".")
            )),
        }
    }
    walk(&mut Vec::new(), left, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_names_its_path() {
        let (left, right) = (
            json!({"n1": {"n2": "alive", "n3": "down"}}),
            json!({"n1": {"n2": "alive"}}),
        );
        assert_eq!(difference(&left, &left), None);
        assert_eq!(
            difference(&left, &right).as_deref(),
            Some("n1.n3 is \"down\" on the first and null on the second")
        );
        assert!(difference(&right, &left).is_some());
    }

    #[test]
    fn an_answer_without_a_required_field_is_rejected() {
        assert!(
            RunRecord::read(json!({"scenario": "x"}))
                .unwrap_err()
                .contains("engine")
        );
    }
}
