//! The result of a run in any engine: the JSON object that is printed, and the fields that this
//! program reads.

use phalanx_sim::outcome::{Effect, Expected};
use phalanx_sim::report::Seed;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The result of a run.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// The object as the engine returned it; `--json` prints it.
    pub(super) value: Value,
    /// The fields that this program reads.
    pub(super) read: Parts,
}

/// The fields of a run that this program reads.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Parts {
    pub(super) scenario: String,
    pub(super) engine: String,
    pub(super) seed: u64,
    pub(super) outcome: String,
    pub(super) trace_hash: String,
    pub(super) virtual_ms: u64,
    pub(super) wall_ms: u64,
    pub(super) events: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) nodes: u64,
    pub(super) metrics: BTreeMap<String, u64>,
    pub(super) failures: Vec<Broken>,
    #[serde(default)]
    pub(super) expected: Vec<Expected>,
    #[serde(default)]
    pub(super) effects: Vec<Effect>,
    #[serde(default)]
    pub(super) vacuous: Vec<Vacuous>,
}

/// An expectation or invariant that failed.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Broken {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) expectation: String,
    pub(super) at_ms: u64,
    pub(super) why: String,
    pub(super) reproduce: String,
    /// The events that led to the failure, as text, the latest last.
    #[serde(default)]
    pub(super) causes: Vec<String>,
}

impl Broken {
    /// Returns the scenario file, and the line if the failure belongs to one.
    pub(super) fn place(&self) -> String {
        if self.line > 0 {
            format!("{}:{}", self.file, self.line)
        } else {
            self.file.clone()
        }
    }
}

/// A fault that affected nothing.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Vacuous {
    pub(super) line: usize,
    pub(super) step: String,
    pub(super) why: String,
}

/// Inserts flags into a command that reproduces a run, before the trailing `#` comment.
pub(super) fn with_flags(command: &str, flags: &str) -> String {
    match command.split_once("  #") {
        Some((command, stamp)) => format!("{command}{flags}  #{stamp}"),
        None => format!("{command}{flags}"),
    }
}

impl Record {
    /// Adds flags to the commands that reproduce the failures.
    pub(super) fn reproduced_with(mut self, flags: &str) -> Self {
        if flags.is_empty() {
            return self;
        }
        let values = self.value["failures"].as_array_mut().into_iter().flatten();
        for (broken, value) in self.read.failures.iter_mut().zip(values) {
            broken.reproduce = with_flags(&broken.reproduce, flags);
            value["reproduce"] = json!(broken.reproduce);
        }
        self
    }

    /// Reads the object that an engine returned.
    ///
    /// # Errors
    /// The missing or malformed field.
    pub(super) fn read(value: Value) -> Result<Self, String> {
        let read = Parts::deserialize(&value).map_err(|error| error.to_string())?;
        Ok(Self { value, read })
    }

    /// Returns the part that a report keeps.
    pub(super) fn seed(&self) -> Seed {
        let read = &self.read;
        let unmet = read.expected.iter().filter(|expected| !expected.met);
        let steps = read.effects.iter().filter(|effect| !effect.chaos);
        let idle = steps.filter(|effect| effect.bites == 0);
        Seed {
            seed: read.seed,
            passed: self.passed(),
            recovery_ms: read.metrics.get("recovery-ms").copied(),
            events: read.events,
            messages: read.messages,
            bytes: read.bytes,
            unmet: unmet.map(|expected| expected.line).collect(),
            idle: idle.map(|effect| effect.line).collect(),
        }
    }

    pub(super) fn passed(&self) -> bool {
        self.read.outcome == "pass"
    }

    /// Sets a field of the printed object.
    pub(super) fn note(&mut self, field: &str, value: impl Into<Value>) {
        self.value[field] = value.into();
    }

    /// Adds a failure that this program found; the run then counts as failed.
    pub(super) fn fail(&mut self, broken: Broken) {
        let Broken {
            file,
            line,
            expectation,
            at_ms,
            why,
            reproduce,
            causes: _,
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
pub(super) fn difference(left: &Value, right: &Value) -> Option<String> {
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
            Record::read(json!({"scenario": "x"}))
                .unwrap_err()
                .contains("engine")
        );
    }
}
