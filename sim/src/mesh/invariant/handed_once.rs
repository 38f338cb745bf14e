//! A message or broadcast is delivered to an application at most once in one lifetime of its process.
//!
//! Reason: an application that counts, pays or commands must not repeat an action because a copy of the message took
//! another route, a broadcast arrived over two links, or the sender lost the answer. Source: W-06, W-08; DESIGN section
//! 4 (channels).

use super::{Program, Report, mesh_of};
use crate::invariant::{Invariant, InvariantResult, Steps};

pub(super) struct HandedOnce;

impl Invariant for HandedOnce {
    fn name(&self) -> &'static str {
        "handed-once"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, _: &Report<'_>, system: &dyn Program) -> InvariantResult {
        mesh_of(system)
            .delivery_log
            .twice
            .clone()
            .map_or(Ok(()), Err)
    }
}
