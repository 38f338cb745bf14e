//! The answer to a sender is true: `delivered` means that the message reached the application, and a failure means that
//! it did not, except for a failure that leaves the outcome open.
//!
//! Reason: a sender acts on the answer. The sender drops a delivered message and sends an undelivered one again.
//! Source: W-06; `channel::DeliveryFailure`.

use super::{Program, Report, mesh_of};
use crate::invariant::{Invariant, InvariantResult, Steps};
use crate::mesh::{AwaitedAnswer, Event};
use phalanx_core::channel::Delivery;

#[derive(Default)]
pub(super) struct AnswersTrue {
    checked: u64,
}

impl Invariant for AnswersTrue {
    fn name(&self) -> &'static str {
        "answers-true"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, system: &dyn Program) -> InvariantResult {
        let is_about_message = matches!(
            report.event.of(),
            Some(
                Event::Handed(_, Delivery::Message { .. })
                    | Event::Answered(AwaitedAnswer::Send(..), _)
            )
        );
        self.checked += u64::from(is_about_message);
        mesh_of(system)
            .delivery_log
            .violation
            .clone()
            .map_or(Ok(()), Err)
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
