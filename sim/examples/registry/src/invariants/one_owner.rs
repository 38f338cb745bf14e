//! One registry decides at a time: batches of an epoch come from one host, and no batch of an earlier epoch follows the
//! head at which a later epoch began.

use crate::archive::SharedArchive;
use crate::fact::RegistryFact;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::{Program, Scene};
use std::collections::BTreeMap;
use std::rc::Rc;

pub(super) struct OneOwner {
    archive: SharedArchive,
    /// The head at which each epoch began.
    begun: BTreeMap<u64, u64>,
    /// The host of each epoch.
    owners: BTreeMap<u64, usize>,
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
                head,
                epoch,
                restored,
                ..
            }) => {
                if restored.is_some() {
                    // The numbers of the epochs after the backup begin again.
                    self.begun.retain(|number, _| number < epoch);
                    self.owners.retain(|number, _| number < epoch);
                }
                self.begun.insert(*epoch, *head);
                Ok(())
            }
            Some(RegistryFact::Committed(entries)) => {
                for entry in entries {
                    let epoch = entry.revision.epoch;
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
        for entry in self.archive.borrow().history() {
            let revision = entry.revision;
            let mut later = self.begun.range(revision.epoch + 1..);
            if let Some((epoch, head)) = later.find(|(_, head)| revision.sequence > **head) {
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
