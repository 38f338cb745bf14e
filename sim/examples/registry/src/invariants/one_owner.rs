//! One registry decides at a time: batches of an epoch come from one host, and no batch of an earlier epoch follows the
//! head at which a later epoch began.

use crate::archive::SharedArchive;
use crate::fact::RegistryFact;
use phalanx_core::registry::name::RegionId;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::{Program, Scene};
use std::collections::BTreeMap;
use std::rc::Rc;

pub(super) struct OneOwner {
    archive: SharedArchive,
    /// The head at which each epoch of a region began.
    begun: BTreeMap<(RegionId, u64), u64>,
    /// The host of each epoch of a region.
    owners: BTreeMap<(RegionId, u64), usize>,
}

impl OneOwner {
    pub(super) fn new(archive: &SharedArchive) -> Self {
        Self {
            archive: Rc::clone(archive),
            begun: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }
}

impl Invariant for OneOwner {
    fn name(&self) -> &'static str {
        "one-owner"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        match report.event.of() {
            Some(RegistryFact::Serving {
                region,
                head,
                epoch,
                restored,
                ..
            }) => {
                if restored.is_some() {
                    // The numbers of the epochs after the backup begin again.
                    self.begun.retain(|it, _| it.0 != *region || it.1 < *epoch);
                    self.owners.retain(|it, _| it.0 != *region || it.1 < *epoch);
                }
                self.begun.insert((region.clone(), *epoch), *head);
                Ok(())
            }
            Some(RegistryFact::Committed { region, entries }) => {
                for entry in entries {
                    let epoch = (region.clone(), entry.revision.epoch);
                    let owner = *self.owners.entry(epoch).or_insert(report.host);
                    if owner != report.host {
                        return Err(format!("{} has two owners", entry.revision));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn at_rest(&mut self, _: &Scene<'_>) -> InvariantResult {
        for (region, entry) in self.archive.borrow().histories() {
            let revision = entry.revision;
            let first = (region.clone(), revision.epoch + 1);
            let mut later = self.begun.range(first..(region.clone(), u64::MAX));
            if let Some(((_, epoch), head)) = later.find(|(_, head)| revision.sequence > **head) {
                return Err(format!(
                    "{revision} follows {head}, where epoch {epoch} began"
                ));
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.owners.len() as u64)
    }
}
