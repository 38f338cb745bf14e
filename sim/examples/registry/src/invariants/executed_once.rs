//! A request is executed at most once, however often it is sent, while the log keeps its batch: also a request that was
//! answered as one that changed nothing.

use crate::fact::RegistryFact;
use phalanx_core::registry::name::RegionId;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct ExecutedOnce {
    /// The regions and sequence numbers of the batches, by request.
    executed: BTreeMap<String, (RegionId, u64)>,
}

impl Invariant for ExecutedOnce {
    fn name(&self) -> &'static str {
        "executed-once"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        let (region, entries) = match report.event.of() {
            Some(RegistryFact::Acknowledged { request, outcome }) => {
                let at = (outcome.region.clone(), outcome.revision.sequence);
                self.executed.entry(request.clone()).or_insert(at);
                return Ok(());
            }
            Some(RegistryFact::Committed { region, entries }) => (region, entries),
            Some(RegistryFact::Serving {
                region,
                log,
                restored,
                ..
            }) => {
                if let Some(head) = restored {
                    let stays = |of: &RegionId, at: u64| of != region || at <= *head;
                    self.executed.retain(|_, (of, at)| stays(of, *at));
                }
                (region, log)
            }
            _ => return Ok(()),
        };
        for entry in entries {
            let Some(request) = &entry.request else {
                continue;
            };
            let at = (region.clone(), entry.revision.sequence);
            let first = self.executed.entry(request.key.id.clone());
            let first = &*first.or_insert_with(|| at.clone());
            if *first != at {
                return Err(format!(
                    "request {} was executed at {first:?} and at {at:?}",
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
