//! The parts find no broken promise of each other: positions of a watch increase, the sizes of snapshots are right, valid
//! writes are accepted.

use crate::fact::RegistryFact;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;

pub(super) struct PromisesKept;

impl Invariant for PromisesKept {
    fn name(&self) -> &'static str {
        "promises-kept"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        match report.event.of() {
            Some(RegistryFact::Violation(what)) => Err((*what).to_owned()),
            _ => Ok(()),
        }
    }
}
