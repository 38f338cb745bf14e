//! The end of a run: builds the outcome from the results of the engine and the judge.

use super::{Judge, Judged};
use crate::outcome::{Outcome, StepEffect, vacuous};
use crate::scenario::Engine;
use crate::scenario::command_line::Reproduction;
use crate::verdict::{Failure, RunVerdict};
use crate::world::{Definition, World};
use core::time::Duration;
use serde_json::Value;
use std::collections::BTreeMap;

/// The expectation that an interrupted run violates.
pub const ENDS_BY_ITSELF: &str = "the run ends by itself";

/// The reason why a run ended before its verdict was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halted {
    /// The caller requested the end, so the run has no verdict.
    Interrupted,
    /// The run would not end by itself, which is a failure.
    Failed {
        /// The expectation that the run violates.
        expectation: &'static str,
        /// The position of the run, and the processes that handle the most events.
        why: String,
    },
}

/// The engine's results at the end of a run.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// The system of the run.
    pub definition: &'a Definition,
    /// The engine.
    pub engine: Engine,
    /// A fault without effect fails the run.
    pub strict: bool,
    /// The names of the planted bugs and disabled mechanisms.
    pub sabotage: &'a [String],
    /// The virtual time at the end.
    pub now: Duration,
    /// The hash of all events of the run.
    pub trace_hash: u64,
    /// The number of processed events.
    pub events: u64,
    /// The number of events in a trace.
    pub trace_events: u64,
    /// The bytes on the wire in addition to encoded messages.
    pub overhead_bytes: u64,
    /// For each step of the scenario, the number of its effects.
    pub affected: &'a [u64],
    /// The failures that the engine found.
    pub broken: Vec<Failure>,
    /// The engine's own figures.
    pub metrics: BTreeMap<String, u64>,
    /// The final state, for confluent scenarios.
    pub projection: Option<Value>,
    /// The reason of an early end. Expectations that are undecided at an early end are not failures.
    pub halted: Option<Halted>,
}

impl Ending<'_> {
    /// Drops the failures of expectations that an early end left undecided, and adds the reason for the early end.
    fn halt(&self, file: &str, failures: &mut Vec<Failure>) {
        let (expectation, why) = match &self.halted {
            None => return,
            Some(Halted::Failed { expectation, why }) => (*expectation, why.as_str()),
            Some(Halted::Interrupted) => (ENDS_BY_ITSELF, "it was interrupted"),
        };
        let now = u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX);
        failures.retain(|failure| failure.at_ms < now);
        failures.insert(0, Failure::new(file, 0, expectation, self.now, why));
    }

    /// The outcome of the run, from the judge's verdict on the final world and the engine's results.
    #[must_use]
    pub fn judged(self, judge: Judge<'_>, world: &dyn World) -> Outcome {
        let (scenario, plan) = (judge.scenario, judge.plan);
        let Judged {
            mut failures,
            mut metrics,
            expected,
            fired,
        } = judge.finish(self.now, world);
        self.halt(&scenario.file, &mut failures);
        metrics.extend(self.metrics);
        failures.extend(self.broken);
        let effects = StepEffect::of(scenario, (plan, &fired), self.affected);
        let vacuous = match self.halted {
            None => vacuous(scenario, (plan, &fired), &effects),
            // The remaining steps may have effects later.
            Some(_) => Vec::new(),
        };
        if self.strict {
            failures.extend(vacuous.iter().map(|fault| {
                let text = format!("the step `{}` does something", fault.step);
                Failure::new(&scenario.file, fault.line, &text, self.now, &fault.why)
            }));
        }
        let reproduce = self.definition.reproduce_command(&Reproduction {
            scenario,
            engine: self.engine.name(),
            seed: plan.seed,
            strict: self.strict,
            sabotage: self.sabotage,
        });
        let failures: Vec<Failure> = failures
            .into_iter()
            .map(|failure| failure.reproduced_by(&reproduce))
            .collect();
        let sent = (0..scenario.hosts.len()).map(|host| world.traffic(host));
        let (messages, bytes) = sent.fold((0, 0), |sum, sent| {
            (sum.0 + sent.messages, sum.1 + sent.bytes)
        });
        Outcome {
            scenario: scenario.name.clone(),
            variant: scenario.variant.clone(),
            engine: self.engine,
            seed: plan.seed,
            outcome: if failures.is_empty() {
                RunVerdict::Pass
            } else {
                RunVerdict::Fail
            },
            trace_hash: format!("{:016x}", self.trace_hash),
            virtual_ms: u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX),
            wall_ms: 0,
            events: self.events,
            trace_events: self.trace_events,
            messages,
            bytes,
            overhead_bytes: self.overhead_bytes,
            nodes: scenario.hosts.len(),
            metrics,
            failures,
            expected,
            effects,
            vacuous,
            projection: self.projection,
            interrupted: self.halted == Some(Halted::Interrupted),
            reproduce,
        }
    }
}
