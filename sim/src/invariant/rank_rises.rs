//! What a view holds about a member never becomes older.
//!
//! Reason: merging takes the greater record; a view that goes back would show withdrawn services again and would
//! keep two nodes exchanging the same two values for ever. Source: DESIGN section 4 (merge is monotone).

use super::{Invariant, Seen, Shared, Verdict};

pub(super) struct RankRises;

impl Invariant for RankRises {
    fn name(&self) -> &'static str {
        "rank-rises"
    }

    fn after_step(&mut self, seen: &Seen<'_>, shared: &Shared) -> Verdict {
        let before = &shared.held[seen.host];
        for received in seen.received {
            let Some(before) = before.get(received.id()) else {
                continue;
            };
            let Some(now) = seen.mesh().topology().record(received.id()) else {
                continue;
            };
            if **now < **before {
                let id = received.id();
                return Err(format!(
                    "went back about {id}: from {:?} to {:?}",
                    before.rank(),
                    now.rank()
                ));
            }
        }
        Ok(())
    }
}
