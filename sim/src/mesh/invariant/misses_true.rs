//! A host that is told that it missed broadcasts was not handed them before, is not told so twice, and is not handed them
//! later in the lifetime of its process.
//!
//! Reason: an application that counts or replays messages adds the missed ones to those that it has. A notice about a
//! message that is only late makes the sum wrong. Source: W-08; `channel::Delivery::Missed`.

use super::{Program, Report, mesh_of};
use crate::invariant::{Invariant, InvariantResult, Steps};
use crate::mesh::Event;
use phalanx_core::channel::Delivery;

#[derive(Default)]
pub(super) struct MissesTrue {
    checked: u64,
}

impl Invariant for MissesTrue {
    fn name(&self) -> &'static str {
        "misses-true"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, system: &dyn Program) -> InvariantResult {
        let is_notice = matches!(
            report.event.of(),
            Some(Event::Handed(_, Delivery::Missed { .. }))
        );
        self.checked += u64::from(is_notice);
        mesh_of(system)
            .delivery_log
            .false_notice
            .clone()
            .map_or(Ok(()), Err)
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
