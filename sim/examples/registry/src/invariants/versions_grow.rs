//! No registration undoes another one: the versions and regions of a service's record only grow.

use crate::fact::RegistryFact;
use phalanx_core::registry::log::ObjectChange;
use phalanx_core::registry::object::Object;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;
use std::collections::BTreeSet;

#[derive(Default)]
pub(super) struct VersionsGrow {
    checked: u64,
}

fn versions(object: &Object) -> BTreeSet<&str> {
    object.texts("all_versions").collect()
}

impl VersionsGrow {
    fn check(&mut self, change: &ObjectChange) -> InvariantResult {
        let (Some(before), Some(after)) = (&change.before, &change.after) else {
            return Ok(());
        };
        let (before, after) = (versions(before), versions(after));
        self.checked += u64::from(!before.is_empty());
        match before.difference(&after).next() {
            Some(version) => Err(format!("{} has lost version {version}", change.name)),
            None => Ok(()),
        }
    }
}

impl Invariant for VersionsGrow {
    fn name(&self) -> &'static str {
        "versions-grow"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        if let Some(RegistryFact::Committed { entries, .. }) = report.event.of() {
            for change in entries.iter().flat_map(|entry| &entry.changes) {
                self.check(change)?;
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
