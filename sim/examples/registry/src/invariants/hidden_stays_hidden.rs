//! No watcher hears of an object that its service may not read (the visibility of Goten's `ServicesInfo`).

use crate::fact::RegistryFact;
use phalanx_core::registry::watch::WatchChange;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;

#[derive(Default)]
pub(super) struct HiddenStaysHidden {
    checked: u64,
}

impl Invariant for HiddenStaysHidden {
    fn name(&self) -> &'static str {
        "hidden-stays-hidden"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        let Some(RegistryFact::Delivered { set, delivery }) = report.event.of() else {
            return Ok(());
        };
        for change in &delivery.changes {
            let WatchChange::Current(object) = change else {
                continue;
            };
            self.checked += 1;
            if !set.viewer.sees(object) {
                return Err(format!("{} heard of {}", set.viewer, object.name));
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
