//! Counts the writes without an answer at each end of a registry. It finds no violation.

use crate::archive::SharedArchive;
use phalanx_sim::invariant::{Invariant, Steps};
use std::rc::Rc;

pub(super) struct WorkloadCounts {
    archive: SharedArchive,
    /// The hosts of registries.
    registries: Vec<usize>,
}

impl WorkloadCounts {
    pub(super) fn new(archive: &SharedArchive, registries: &[usize]) -> Self {
        Self {
            archive: Rc::clone(archive),
            registries: registries.to_vec(),
        }
    }
}

impl Invariant for WorkloadCounts {
    fn name(&self) -> &'static str {
        "counts"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_end(&mut self, host: usize) {
        if self.registries.contains(&host) {
            self.archive.borrow_mut().workload.end();
        }
    }
}
