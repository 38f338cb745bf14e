//! A write that the registry reports as not applied is not in the durable history, then and later.

use crate::archive::SharedArchive;
use crate::fact::RegistryFact;
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
        if let Some(RegistryFact::Refused { request }) = report.event.of() {
            self.refused.insert(request.clone());
        }
        Ok(())
    }

    fn at_rest(&mut self, _: &Scene<'_>) -> InvariantResult {
        let archive = self.archive.borrow();
        let is_refused = |entry: &LogEntry| {
            let request = entry.request.as_ref();
            request.is_some_and(|request| self.refused.contains(&request.key.id))
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
