//! A message or broadcast is delivered to an application at most once in one lifetime of its process.
//!
//! Reason: an application that counts, pays or commands must not repeat an action because a copy of the message took
//! another route, a broadcast arrived over two links, or the sender lost the answer. Source: W-06, W-08; DESIGN section
//! 4 (channels).

use super::{Program, Report, mesh_of};
use crate::invariant::{Invariant, InvariantResult, Steps};
use crate::mesh::Event;
use phalanx_core::channel::Delivery;

#[derive(Default)]
pub(super) struct HandedOnce {
    checked: u64,
}

impl Invariant for HandedOnce {
    fn name(&self) -> &'static str {
        "handed-once"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, system: &dyn Program) -> InvariantResult {
        let is_delivery = matches!(
            report.event.of(),
            Some(Event::Handed(
                _,
                Delivery::Message { .. } | Delivery::Broadcast { .. }
            ))
        );
        self.checked += u64::from(is_delivery);
        mesh_of(system)
            .delivery_log
            .twice
            .clone()
            .map_or(Ok(()), Err)
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
