//! The checks of a run: invariants, errors that no process handles, reports for the judge, and the triggers that fired.

use super::clock::ns;
use super::context::Context;
use super::event::ScheduledEvent;
use crate::invariant::{Invariants, Report, Seen};
use crate::scenario::Scenario;
use crate::scenario::plan::Reporter;
use crate::verdict::Failure;
use crate::world::{Effect, Program, ReportedEvent, Scene};
use core::time::Duration;
use std::collections::BTreeMap;

/// The rule that a process violates by an error that it does not handle.
const UNHANDLED: &str = "a process handles the errors that it meets";

/// The checks of one run.
#[derive(Default)]
pub(super) struct Checks {
    /// The invariants of each program.
    invariants: Vec<Invariants>,
    /// The reported events that the judge has not received yet.
    reports: Vec<(Reporter, Box<dyn ReportedEvent>)>,
    /// Errors of programs that no process handles, with their instants in nanoseconds.
    errors: Vec<(u64, String)>,
    /// The number of reports that each trigger of the plan has counted.
    reported: BTreeMap<usize, u32>,
}

impl Checks {
    pub(super) fn new(scenario: &Scenario, programs: &[Box<dyn Program>]) -> Self {
        let invariants = programs.iter();
        let invariants = invariants.map(|program| Invariants::new(scenario, &**program));
        Self {
            invariants: invariants.collect(),
            ..Self::default()
        }
    }

    /// Notes that a process of a host is about to start. `program` is the index of its program.
    pub(super) fn on_start(&mut self, program: usize, host: usize) {
        self.invariants[program].on_start(host);
    }

    /// Notes that a process of a host has ended. `program` is the index of its program.
    pub(super) fn on_end(&mut self, program: usize, host: usize) {
        self.invariants[program].on_end(host);
    }

    /// Checks the step of a process, and the events that it reports. `index` is the index of the program.
    pub(super) fn after_step(
        &mut self,
        index: usize,
        seen: &Seen<'_>,
        program: &mut dyn Program,
        name: &str,
    ) {
        let invariants = &mut self.invariants[index];
        invariants.after_step(seen, program, name);
        for effect in seen.effects {
            if let Effect::Report(event) = effect {
                let report = Report {
                    now: seen.now,
                    host: seen.host,
                    event: &**event,
                };
                invariants.on_report(&report, program, name);
            }
        }
    }

    /// Checks invariants on the whole world.
    pub(super) fn check(
        &mut self,
        look: impl Fn(&mut Invariants, u64, &Scene<'_>),
        now: u64,
        scene: &Scene<'_>,
    ) {
        for of in &mut self.invariants {
            look(of, now, scene);
        }
    }

    /// Handles a reported event: schedules the actions that the event triggers, and keeps it for the judge.
    pub(super) fn report(
        &mut self,
        context: &mut Context<'_, '_>,
        by: Reporter,
        event: Box<dyn ReportedEvent>,
    ) {
        self.fire(context, by, &*event);
        self.reports.push((by, event));
    }

    /// Schedules the actions that a reported event triggers.
    fn fire(&mut self, context: &mut Context<'_, '_>, by: Reporter, event: &dyn ReportedEvent) {
        let (plan, now) = (context.plan(), context.now());
        let faults_end = ns(plan.faults_end);
        if plan.triggers.is_empty() || now >= faults_end {
            return;
        }
        let (word, about) = event.described();
        for (trigger, waiting) in plan.triggers.iter().enumerate() {
            let fits = waiting.fits(&context.scenario().hosts, by, word, about);
            let reports = self.reported.entry(trigger).or_default();
            if !fits || !waiting.counts(Duration::from_nanos(now), reports) {
                continue;
            }
            for (action, planned) in waiting.actions.iter().enumerate() {
                // An action that lifts a fault is due at the latest when all faults are lifted.
                let at = (now + ns(planned.at)).min(faults_end);
                context.schedule(at, ScheduledEvent::Triggered { trigger, action });
            }
        }
    }

    /// Removes and returns the reported events that the judge has not received yet.
    pub(super) fn take_reports(&mut self) -> Vec<(Reporter, Box<dyn ReportedEvent>)> {
        std::mem::take(&mut self.reports)
    }

    /// Returns the invariants of the program with this index.
    pub(super) fn invariants_of(&self, program: usize) -> &Invariants {
        &self.invariants[program]
    }

    /// Fails the run because of an error that no process handles.
    pub(super) fn fail(&mut self, now: u64, why: String) {
        self.errors.push((now, why));
    }

    /// Returns the broken invariants and the unhandled errors.
    pub(super) fn failures(&self, file: &str) -> Vec<Failure> {
        let broken = self.invariants.iter().flat_map(|of| of.failures(file));
        let errors = self.errors.iter().map(|(at, why)| {
            let at = Duration::from_nanos(*at);
            Failure::new(file, 0, UNHANDLED, at, why)
        });
        broken.chain(errors).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unhandled_error_is_a_failure() {
        let mut checks = Checks::default();
        assert_eq!(checks.failures("x.toml"), []);
        checks.fail(2_000_000_000, "the port is taken".to_owned());
        let at = Duration::from_secs(2);
        let failure = Failure::new("x.toml", 0, UNHANDLED, at, "the port is taken");
        assert_eq!(checks.failures("x.toml"), [failure]);
    }
}
