//! A write that the registry reports as not applied, or as in conflict with its condition, has changed nothing in the
//! durable history, then and later.

use crate::archive::SharedArchive;
use crate::fact::{OperationOutcome, RegistryFact};
use phalanx_core::registry::log::LogEntry;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::{Program, Scene};
use std::collections::BTreeSet;
use std::rc::Rc;

pub(super) struct RefusedIsNotApplied {
    archive: SharedArchive,
    refused: BTreeSet<String>,
}

impl RefusedIsNotApplied {
    pub(super) fn new(archive: &SharedArchive) -> Self {
        Self {
            archive: Rc::clone(archive),
            refused: BTreeSet::new(),
        }
    }
}

impl Invariant for RefusedIsNotApplied {
    fn name(&self) -> &'static str {
        "refused-is-not-applied"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        let is_conflict = |it: &OperationOutcome| matches!(it, OperationOutcome::Conflict(_));
        match report.event.of() {
            Some(RegistryFact::Refused { request }) => drop(self.refused.insert(request.clone())),
            Some(RegistryFact::Returned { request, outcomes })
                if outcomes.iter().any(is_conflict) =>
            {
                self.refused.insert(request.clone());
            }
            _ => {}
        }
        Ok(())
    }

    fn at_rest(&mut self, _: &Scene<'_>) -> InvariantResult {
        let archive = self.archive.borrow();
        let is_refused = |entry: &LogEntry| {
            let request = entry.request.as_ref();
            let is_refused = |id: &String| self.refused.contains(id);
            !entry.changes.is_empty() && request.is_some_and(|it| is_refused(&it.key.id))
        };
        match archive.histories().find(|(_, entry)| is_refused(entry)) {
            Some((_, entry)) => Err(format!("a refused write is durable at {}", entry.revision)),
            None => Ok(()),
        }
    }

    fn checked(&self) -> Option<u64> {
        Some(self.refused.len() as u64)
    }
}
