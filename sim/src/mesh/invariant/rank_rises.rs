//! What a view holds about a member never becomes older.
//!
//! Reason: merging takes the greater record; a view that goes back would show withdrawn services again and would
//! keep two nodes exchanging the same two values for ever. Source: DESIGN section 4 (merge is monotone).

use super::{Program, Seen, mesh_of};
use crate::invariant::{Invariant, Steps, Verdict};

pub(super) struct RankRises;

impl Invariant for RankRises {
    fn name(&self) -> &'static str {
        "rank-rises"
    }

    fn steps(&self) -> Steps {
        Steps::Messages
    }

    fn after_step(&mut self, _: &Seen<'_>, system: &dyn Program) -> Verdict {
        for received in &mesh_of(system).received {
            let (Some(before), Some(now)) = (&received.before, &received.held) else {
                continue;
            };
            if now < before {
                let (id, before, now) = (&received.id, before.rank(), now.rank());
                return Err(format!("went back about {id}: from {before:?} to {now:?}"));
            }
        }
        Ok(())
    }
}
