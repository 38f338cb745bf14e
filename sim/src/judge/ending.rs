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
    /// The bytes on the wire in addition to encoded messages.
    pub overhead_bytes: u64,
    /// For each step of the scenario, how much it affected.
    pub affected: &'a [u64],
    /// The failures that the engine found.
    pub broken: Vec<Failure>,
    /// The engine's own figures.
    pub metrics: BTreeMap<String, u64>,
    /// The final state, for confluent scenarios.
    pub projection: Option<Value>,
}

impl Ending<'_> {
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
        failures.extend(self.broken);
        metrics.extend(self.metrics);
        let effects = StepEffect::of(scenario, (plan, &fired), self.affected);
        let vacuous = vacuous(scenario, (plan, &fired), &effects);
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
            reproduce,
        }
    }
}
