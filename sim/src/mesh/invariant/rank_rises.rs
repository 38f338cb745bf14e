//! The record of a member in a view is replaced only by a newer record.
//!
//! Reason: merging keeps the greater record. A view that returns to an earlier record would show withdrawn services
//! again, and two nodes would exchange the same two values without end. Source: DESIGN section 4 (merge is monotone).

use super::{Program, Seen, mesh_of};
use crate::invariant::{Invariant, InvariantResult, Steps};

#[derive(Default)]
pub(super) struct RankRises {
    checked: u64,
}

impl Invariant for RankRises {
    fn name(&self) -> &'static str {
        "rank-rises"
    }

    fn steps(&self) -> Steps {
        Steps::Messages
    }

    fn after_step(&mut self, _: &Seen<'_>, system: &dyn Program) -> InvariantResult {
        for received in &mesh_of(system).received {
            let (Some(before), Some(now)) = (&received.before, &received.held) else {
                continue;
            };
            self.checked += 1;
            if now < before {
                let (id, before, now) = (&received.id, before.rank(), now.rank());
                return Err(format!("went back about {id}: from {before:?} to {now:?}"));
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
