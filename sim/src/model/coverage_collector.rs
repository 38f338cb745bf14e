//! Collects the coverage of a run from the events, effects and notes of its processes.

use crate::coverage::{Notes, Occurrence, RunCoverage};
use crate::invariant::{Invariants, Seen};
use crate::world::{Effect, Effects, ProcessEvent, Program};

/// The collector of a run's coverage. The engine calls the methods of a step only if the run collects its coverage, so
/// that a step without coverage costs one comparison for each of them.
#[derive(Default)]
pub(super) struct CoverageCollector<'t> {
    run: Option<&'t mut RunCoverage>,
    /// The occurrences of the current step.
    notes: Notes,
}

impl<'t> CoverageCollector<'t> {
    /// Creates a collector that counts into `run`, and makes effects keep notes.
    pub(super) fn new(run: &'t mut RunCoverage, effects: &mut Effects) -> Self {
        *effects.notes() = Notes::keeping();
        Self {
            run: Some(run),
            notes: Notes::keeping(),
        }
    }

    /// Returns whether the run collects its coverage.
    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        self.run.is_some()
    }

    /// Adds a program that hosts of the run have.
    pub(super) fn declare(&mut self, program: &'static str, declared: Vec<Occurrence>) {
        if let Some(run) = &mut self.run {
            run.declare(program, declared);
        }
    }

    /// Notes an event that a process of a host is about to handle.
    pub(super) fn on_event(
        &mut self,
        program: &mut dyn Program,
        host: usize,
        event: &ProcessEvent,
    ) {
        program.note_event(host, event, &mut self.notes);
    }

    /// Takes over what a process noted in its step.
    pub(super) fn take(&mut self, noted: &mut Notes) {
        noted
            .drain()
            .for_each(|occurrence| self.notes.note(occurrence));
    }

    /// Counts the occurrences of a step: its event, its notes and its reports.
    pub(super) fn after_step(&mut self, program: &mut dyn Program, seen: &Seen<'_>) {
        let Some(run) = &mut self.run else {
            return;
        };
        program.note_step(seen, &mut self.notes);
        for effect in seen.effects {
            if let Effect::Report(event) = effect
                && let Some(occurrence) = event.occurrence()
            {
                self.notes.note(occurrence);
            }
        }
        for occurrence in self.notes.drain() {
            run.count(program.name(), occurrence);
        }
    }

    /// Counts an occurrence outside of a step.
    pub(super) fn count(&mut self, program: &'static str, occurrence: Occurrence) {
        if let Some(run) = &mut self.run {
            run.count(program, occurrence);
        }
    }

    /// Counts the checks of a program's invariants at the end of the run.
    pub(super) fn at_end(&mut self, program: &'static str, invariants: &Invariants) {
        if let Some(run) = &mut self.run {
            for (invariant, checks) in invariants.checked() {
                run.checked(program, invariant, checks);
            }
        }
    }
}
