//! All views hold the same time of joining for one lifetime of a node.
//!
//! Reason: operators see the time of joining, and members are ordered by age according to this time. A view that
//! replaces the time of joining with the time of reception shows the operator a wrong age. Source: DESIGN section 4
//! (join times survive synchronisation).

use super::{Program, Seen, mesh_of};
use crate::invariant::{Invariant, InvariantResult, Steps};
use phalanx_core::identity::NodeId;
use phalanx_core::time::Wall;
use std::collections::{HashMap, HashSet};

#[derive(Default)]
pub(super) struct JoinedStands {
    joined: HashMap<(NodeId, u64, u32), Wall>,
    /// The digests of the records checked so far.
    looked_at: HashSet<u64>,
    checked: u64,
}

impl Invariant for JoinedStands {
    fn name(&self) -> &'static str {
        "joined-stands"
    }

    fn steps(&self) -> Steps {
        Steps::Messages
    }

    fn after_step(&mut self, _: &Seen<'_>, system: &dyn Program) -> InvariantResult {
        let received = mesh_of(system).received.iter();
        for held in received.filter_map(|received| received.held.as_ref()) {
            if !self.looked_at.insert(held.digest()) {
                continue;
            }
            let life = (held.id().clone(), held.rank().epoch, held.rank().instance);
            let joined = held.content().joined;
            let Some(known) = self.joined.get(&life) else {
                self.joined.insert(life, joined);
                continue;
            };
            self.checked += 1;
            if *known != joined {
                return Err(format!(
                    "holds that {} joined at {}; another view holds {}",
                    held.id(),
                    joined.0,
                    known.0
                ));
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
