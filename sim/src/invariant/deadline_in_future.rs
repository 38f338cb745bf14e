//! After a wake, the next deadline lies in the future.
//!
//! Reason: a machine that repeatedly requests an immediate wake makes its driver spin at full CPU load and starves all
//! other work. Source: core's machine module; the busy-loop family of bugs in sans-IO libraries.

use super::{Invariant, InvariantResult, Seen};
use crate::world::program::Program;

#[derive(Default)]
pub(super) struct DeadlineInFuture {
    checked: u64,
}

impl Invariant for DeadlineInFuture {
    fn name(&self) -> &'static str {
        "deadline-in-future"
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        self.checked += u64::from(seen.woke && seen.deadline.is_some());
        match seen.deadline {
            Some(at) if seen.woke && at <= seen.local => Err(format!(
                "was woken at {:?} and wants a wake at {at:?}",
                seen.local
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
