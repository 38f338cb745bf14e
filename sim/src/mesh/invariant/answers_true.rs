//! What a sender is told of its message is so: `delivered` means handed over, and a failure means not, unless it says
//! that it may have been.
//!
//! Reason: a sender acts on the answer: it forgets what was delivered and sends again what was not. Source: W-06;
//! `channel::Failure`.

use super::{Program, Report, mesh_of};
use crate::invariant::{Invariant, Steps, Verdict};

pub(super) struct AnswersTrue;

impl Invariant for AnswersTrue {
    fn name(&self) -> &'static str {
        "answers-true"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, _: &Report<'_>, system: &dyn Program) -> Verdict {
        mesh_of(system).ledger.lie.clone().map_or(Ok(()), Err)
    }
}
