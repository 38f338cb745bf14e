//! An acknowledged write is in the durable history under its revision, and stays there.

use crate::archive::SharedArchive;
use crate::fact::RegistryFact;
use phalanx_core::registry::log::LogEntry;
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::write::WriteOutcome;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;
use std::collections::BTreeMap;
use std::rc::Rc;

pub(super) struct AcknowledgedIsDurable {
    archive: SharedArchive,
    /// The sequence number of the latest acknowledged batch of each region.
    latest: BTreeMap<RegionId, u64>,
    checked: u64,
}

impl AcknowledgedIsDurable {
    pub(super) fn new(archive: &SharedArchive) -> Self {
        Self {
            archive: Rc::clone(archive),
            latest: BTreeMap::new(),
            checked: 0,
        }
    }

    fn check_answer(&mut self, request: &str, outcome: &WriteOutcome) -> InvariantResult {
        let sequence = outcome.revision.sequence;
        let latest = self.latest.entry(outcome.region.clone()).or_default();
        *latest = sequence.max(*latest);
        if outcome.objects.is_empty() {
            return Ok(());
        }
        self.checked += 1;
        let archive = self.archive.borrow();
        let entry = archive.history(&outcome.region);
        let entry = entry.get(sequence as usize - 1);
        let id = |entry: &LogEntry| entry.request.as_ref().map(|it| it.key.id.clone());
        match entry.and_then(|entry| id(entry)) {
            Some(stored) if stored == request => Ok(()),
            Some(stored) => Err(format!(
                "request {request} was acknowledged at {sequence}, where {stored} is durable"
            )),
            None => Err(format!(
                "request {request} was acknowledged at {sequence}, which is not durable"
            )),
        }
    }
}

impl Invariant for AcknowledgedIsDurable {
    fn name(&self) -> &'static str {
        "acknowledged-is-durable"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        match report.event.of() {
            Some(RegistryFact::Acknowledged { request, outcome }) => {
                self.check_answer(request, outcome)
            }
            Some(RegistryFact::Serving {
                region,
                head,
                log,
                restored,
                ..
            }) => {
                // The operator who restores a backup gives up what is not in it.
                let latest = self.latest.entry(region.clone()).or_default();
                *latest = restored.map_or(*latest, |head| head.min(*latest));
                if *head < *latest {
                    return Err(format!(
                        "the registry opened its store at {head}, after {latest} was acknowledged"
                    ));
                }
                let archive = self.archive.borrow();
                let known = |entry: &LogEntry| {
                    let at = entry.revision.sequence as usize - 1;
                    archive.history(region).get(at).map(|it| &**it) == Some(entry)
                };
                match log.iter().find(|entry| !known(entry)) {
                    Some(entry) => Err(format!("another batch is stored at {}", entry.revision)),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
