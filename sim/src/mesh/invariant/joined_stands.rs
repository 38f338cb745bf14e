//! When a node joined is the same in every view for a life of that node.
//!
//! Reason: the time of joining is shown to people and orders members by age; a view that sets it to the time of
//! hearing tells each operator another story. Source: DESIGN section 4 (join times survive synchronisation).

use super::{Program, Seen, mesh_of};
use crate::invariant::{Invariant, Steps, Verdict};
use phalanx_core::identity::NodeId;
use phalanx_core::time::Wall;
use std::collections::{HashMap, HashSet};

#[derive(Default)]
pub(super) struct JoinedStands {
    joined: HashMap<(NodeId, u64, u32), Wall>,
    /// The digests of the records that were looked at.
    looked_at: HashSet<u64>,
}

impl Invariant for JoinedStands {
    fn name(&self) -> &'static str {
        "joined-stands"
    }

    fn steps(&self) -> Steps {
        Steps::Messages
    }

    fn after_step(&mut self, _: &Seen<'_>, system: &dyn Program) -> Verdict {
        let received = mesh_of(system).received.iter();
        for held in received.filter_map(|received| received.held.as_ref()) {
            if !self.looked_at.insert(held.digest()) {
                continue;
            }
            let life = (held.id().clone(), held.rank().epoch, held.rank().instance);
            let joined = held.content().joined;
            let known = *self.joined.entry(life).or_insert(joined);
            if known != joined {
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
}
