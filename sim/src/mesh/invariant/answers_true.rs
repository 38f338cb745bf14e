//! The answer to a sender is true: `delivered` means that the message reached the application, and a failure means that
//! it did not, except for a failure that leaves the outcome open.
//!
//! Reason: a sender acts on the answer. The sender drops a delivered message and sends an undelivered one again.
//! Source: W-06; `channel::DeliveryFailure`.

use super::{Program, Report, mesh_of};
use crate::invariant::{Invariant, InvariantResult, Steps};

pub(super) struct AnswersTrue;

impl Invariant for AnswersTrue {
    fn name(&self) -> &'static str {
        "answers-true"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, _: &Report<'_>, system: &dyn Program) -> InvariantResult {
        mesh_of(system)
            .delivery_log
            .violation
            .clone()
            .map_or(Ok(()), Err)
    }
}
