//! What came of a run.

use crate::scenario::plan::Plan;
use crate::scenario::{Engine, Scenario, Variant};
pub use crate::verdict::{Expected, Failure, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// One run, as `phalanx sim run --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// Which run of the file's matrix it was.
    #[serde(skip_serializing_if = "Variant::is_empty")]
    pub variant: Variant,
    /// What ran it.
    pub engine: Engine,
    /// The seed.
    pub seed: u64,
    /// Whether everything came true.
    pub outcome: Verdict,
    /// Equal for the same seed, scenario and program; 16 hexadecimal digits.
    pub trace_hash: String,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
    /// Real time, in milliseconds; filled in by the caller, who has a clock.
    pub wall_ms: u64,
    /// Events processed.
    pub events: u64,
    /// Messages sent.
    pub messages: u64,
    /// Their encoded bytes.
    pub bytes: u64,
    /// What TLS, HTTP/2, gRPC, TCP and IP add to them, estimated.
    pub overhead_bytes: u64,
    /// Machines of the scenario.
    pub nodes: usize,
    /// Figures by name.
    pub metrics: BTreeMap<String, u64>,
    /// What failed.
    pub failures: Vec<Failure>,
    /// What came of each expectation, in the order of the file.
    pub expected: Vec<Expected>,
    /// What each step did, in the order of the file.
    pub effects: Vec<Effect>,
    /// Faults that bit nothing.
    pub vacuous: Vec<Vacuous>,
    /// The final state, for confluent scenarios.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection: Option<Value>,
}

/// What a step of the timeline did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Its line.
    pub line: usize,
    /// Its word.
    pub step: String,
    /// How often it was ordered, each node by itself.
    pub orders: usize,
    /// What it touched: bytes swallowed, segments lost, links ended, inputs delayed.
    pub bites: u64,
    /// Whether it is no step but what chaos drew.
    #[serde(default)]
    pub chaos: bool,
}

impl Effect {
    /// What the steps of a scenario did, of which each bit so much.
    pub(crate) fn of(scenario: &Scenario, plan: &Plan, bites: &[u64]) -> Vec<Self> {
        let orders = |index| {
            let orders = plan.orders.iter();
            orders.filter(|planned| planned.step == Some(index)).count()
        };
        let steps = scenario.steps.iter();
        let steps = steps.map(|step| (step.line, step.action.word().to_owned(), false));
        let line = scenario.chaos.as_ref().map_or(0, |chaos| chaos.line);
        let kinds = scenario.chaos_kinds().into_iter();
        let kinds = kinds.map(|kind| (line, format!("chaos: {}", kind.word()), true));
        let causes = steps.chain(kinds).zip(bites).enumerate();
        causes
            .map(|(index, ((line, step, chaos), bites))| Self {
                line,
                step,
                orders: orders(index),
                bites: *bites,
                chaos,
            })
            // What chaos drew nowhere is no part of the run.
            .filter(|effect| !effect.chaos || effect.orders > 0)
            .collect()
    }
}

/// The steps that bit nothing.
pub(crate) fn vacuous(effects: &[Effect]) -> Vec<Vacuous> {
    // That chaos bit nothing once is chance.
    let steps = effects.iter().filter(|effect| !effect.chaos);
    let idle = steps.filter(|effect| effect.bites == 0);
    idle.map(|effect| Vacuous {
        line: effect.line,
        step: effect.step.clone(),
        why: if effect.orders > 0 {
            "it touched nothing: no byte, no link, no input".to_owned()
        } else {
            "it chose nobody".to_owned()
        },
    })
    .collect()
}

/// A fault that bit nothing and so proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vacuous {
    /// The step's line.
    pub line: usize,
    /// The step's word.
    pub step: String,
    /// What it should have touched.
    pub why: String,
}

/// The first difference between two projections: the keys that lead to it, and both values.
#[must_use]
pub fn difference(left: &Value, right: &Value) -> Option<String> {
    if left == right {
        return None;
    }
    if let (Value::Object(one), Value::Object(other)) = (left, right) {
        let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        let value = |map: &Map<String, Value>, key| map.get(key).cloned().unwrap_or_default();
        return keys.into_iter().find_map(|key| {
            let inner = difference(&value(one, key), &value(other, key))?;
            Some(format!("{key}: {inner}"))
        });
    }
    Some(format!("{left} and {right}"))
}
