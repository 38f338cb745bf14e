//! A write that is acknowledged with a number of copies is durable in that many other regions.

use crate::archive::SharedArchive;
use crate::fact::RegistryFact;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;
use std::rc::Rc;

pub(super) struct CopiedIsDurable {
    archive: SharedArchive,
    checked: u64,
}

impl CopiedIsDurable {
    pub(super) fn new(archive: &SharedArchive) -> Self {
        Self {
            archive: Rc::clone(archive),
            checked: 0,
        }
    }
}

impl Invariant for CopiedIsDurable {
    fn name(&self) -> &'static str {
        "copied-is-durable"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        let Some(RegistryFact::Acknowledged { request, outcome }) = report.event.of() else {
            return Ok(());
        };
        self.checked += u64::from(outcome.copies > 0);
        let (region, sequence) = (&outcome.region, outcome.revision.sequence);
        let copies = self.archive.borrow().copies(region, sequence);
        if copies < outcome.copies {
            return Err(format!(
                "request {request} was acknowledged with {} copies, and {copies} are durable",
                outcome.copies
            ));
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
