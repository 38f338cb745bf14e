//! A request is executed at most once, however often it is sent, while the log keeps its batch.

use crate::fact::RegistryFact;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct ExecutedOnce {
    /// The sequence numbers of the batches, by request.
    executed: BTreeMap<String, u64>,
}

impl Invariant for ExecutedOnce {
    fn name(&self) -> &'static str {
        "executed-once"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        let entries = match report.event.of() {
            Some(RegistryFact::Committed(entries)) => entries,
            Some(RegistryFact::Serving { log, restored, .. }) => {
                if let Some(head) = restored {
                    self.executed.retain(|_, sequence| *sequence <= *head);
                }
                log
            }
            _ => return Ok(()),
        };
        for entry in entries {
            let Some(request) = &entry.request else {
                continue;
            };
            let sequence = entry.revision.sequence;
            let first = *(self.executed.entry(request.key.id.clone())).or_insert(sequence);
            if first != sequence {
                return Err(format!(
                    "request {} was executed at {first} and at {sequence}",
                    request.key.id
                ));
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.executed.len() as u64)
    }
}
