//! The outcome of a run.

use crate::scenario::plan::Plan;
use crate::scenario::{
    Action, Engine, NetworkAction, NodeAction, Scenario, ScenarioError, Step, Trigger, Variant,
    When,
};
pub use crate::verdict::{ExpectationResult, Failure, RunVerdict};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// One run, as `phalanx sim run --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// The variant of the scenario's matrix.
    #[serde(skip_serializing_if = "Variant::is_empty")]
    pub variant: Variant,
    /// The engine.
    pub engine: Engine,
    /// The seed.
    pub seed: u64,
    /// Whether all expectations held.
    pub outcome: RunVerdict,
    /// Hash of the run: equal for the same seed, scenario and program; 16 hexadecimal digits.
    pub trace_hash: String,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
    /// Real time, in milliseconds; set by the caller, because the simulator has no clock.
    pub wall_ms: u64,
    /// Number of events that the engine processed.
    pub events: u64,
    /// Number of events in a trace of the run: inputs of processes, and actions of the plan.
    pub trace_events: u64,
    /// Number of messages.
    pub messages: u64,
    /// Encoded bytes of the messages.
    pub bytes: u64,
    /// Estimated overhead of TLS, HTTP/2, gRPC, TCP and IP, in bytes.
    pub overhead_bytes: u64,
    /// Number of machines.
    pub nodes: usize,
    /// Metrics by name.
    pub metrics: BTreeMap<String, u64>,
    /// The failures.
    pub failures: Vec<Failure>,
    /// The result of each expectation, in the order in which the file lists them.
    pub expected: Vec<ExpectationResult>,
    /// The effect of each step, in the order in which the file lists them.
    pub effects: Vec<StepEffect>,
    /// Faults that affected nothing.
    pub vacuous: Vec<Vacuous>,
    /// The final state of a confluent scenario, if the options of the run request it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection: Option<Value>,
    /// Whether the caller ended the run before its verdict. The first failure of such a run is the interrupt; the other
    /// failures were found before it.
    #[serde(skip)]
    pub interrupted: bool,
    /// The command that reproduces the run; each failure contains this command too.
    #[serde(skip)]
    pub reproduce: String,
}

/// The effect of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEffect {
    /// The line of the step.
    pub line: usize,
    /// The name of the step.
    pub step: String,
    /// Number of executed actions, counted per node.
    pub orders: usize,
    /// Number of affected items: bytes dropped, segments lost, links ended, inputs delayed.
    pub affected: u64,
    /// Whether this is the effect of chaos instead of a step.
    #[serde(default)]
    pub chaos: bool,
}

impl StepEffect {
    /// Computes the effects of a scenario's steps, given the number of items that each affected.
    pub(crate) fn of(
        scenario: &Scenario,
        (plan, fired): (&Plan, &BTreeSet<usize>),
        affected: &[u64],
    ) -> Vec<Self> {
        let orders = |index| {
            let triggered = fired
                .iter()
                .flat_map(|trigger| &plan.triggers[*trigger].actions);
            let actions = plan.actions.iter().chain(triggered);
            actions
                .filter(|planned| planned.step == Some(index))
                .count()
        };
        let steps = scenario.steps.iter();
        let steps = steps.map(|step| (step.line, step.action.word().to_owned(), false));
        let line = scenario.chaos.as_ref().map_or(0, |chaos| chaos.line);
        let kinds = scenario.chaos_kinds().into_iter();
        let kinds = kinds.map(|kind| (line, format!("chaos: {}", kind.word()), true));
        let causes = steps.chain(kinds).zip(affected).enumerate();
        causes
            .map(|(index, ((line, step, chaos), affected))| Self {
                line,
                step,
                orders: orders(index),
                affected: *affected,
                chaos,
            })
            // A kind of chaos that was not drawn is omitted.
            .filter(|effect| !effect.chaos || effect.orders > 0)
            .collect()
    }
}

/// Returns the steps that affected nothing.
pub(crate) fn vacuous(
    scenario: &Scenario,
    (plan, fired): (&Plan, &BTreeSet<usize>),
    effects: &[StepEffect],
) -> Vec<Vacuous> {
    let waiting = |step: usize| {
        let mut triggers = plan.triggers.iter().enumerate();
        triggers.any(|(trigger, waiting)| waiting.step == step && !fired.contains(&trigger))
    };
    // Chaos may affect nothing by chance. Its effects follow those of the steps.
    let steps = scenario.steps.iter().zip(effects).enumerate();
    let idle = steps.filter(|(_, (_, effect))| effect.affected == 0);
    let mut found: Vec<Vacuous> = idle
        .map(|(index, (step, effect))| Vacuous {
            line: effect.line,
            step: effect.step.clone(),
            why: match &step.when {
                When::After(trigger) if waiting(index) => never_reported(scenario, trigger),
                When::At(_) | When::Between(..) | When::After(_) => untouched(step, effect),
            },
        })
        .collect();
    // The file itself tells that these change nothing.
    for warning in scenario.warnings() {
        let ScenarioError {
            line,
            key: step,
            message: why,
            ..
        } = warning;
        found.retain(|known| known.line != line);
        found.push(Vacuous { line, step, why });
    }
    found.sort_by_key(|vacuous| vacuous.line);
    found
}

/// The statement that the event of a step was not reported.
fn never_reported(scenario: &Scenario, trigger: &Trigger) -> String {
    let by = trigger.by.show(&scenario.hosts);
    let about = trigger.about.as_ref();
    let about = about.map_or_else(String::new, |about| {
        format!(" about {}", about.show(&scenario.hosts))
    });
    let event = trigger.event;
    let often = match trigger.nth {
        1 => String::new(),
        nth => format!(" {nth} times"),
    };
    format!(
        "it waits for `{event}` of {by}{about}, which was not reported{often} before the faults ended"
    )
}

/// The statement that a step affected nothing.
fn untouched(step: &Step, effect: &StepEffect) -> String {
    if effect.orders == 0 && !matches!(step.action, Action::Network(_)) {
        return "it selected no node".to_owned();
    }
    let why = match &step.action {
        Action::Network(NetworkAction::Heal | NetworkAction::Restore) => {
            "there was nothing to end at that time"
        }
        Action::Nodes(_, NodeAction::Command { refused: true, .. }) => {
            "no running node refused the command"
        }
        Action::Nodes(_, NodeAction::Command { refused: false, .. }) => {
            "no running node obeyed the command; if it is to be refused, add `refused = true`"
        }
        Action::Nodes(_, NodeAction::Move) => {
            "the address changes at the next start of the node, which did not start again"
        }
        Action::Network(_) | Action::Nodes(..) | Action::Clone(_) => {
            "no byte, no link and no input differs because of it"
        }
    };
    why.to_owned()
}

/// A fault that affected nothing, and therefore tests nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vacuous {
    /// The step's line.
    pub line: usize,
    /// The step's name.
    pub step: String,
    /// The reason.
    pub why: String,
}

/// Returns the first difference between two projections: the path of keys, and both values.
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
