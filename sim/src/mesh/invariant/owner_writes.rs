//! Every record that a view holds was published by its owner, exactly so.
//!
//! Reason: only its owner writes a record; relays that lose a field, change one or invent a version make views
//! that no owner can answer for. Source: DESIGN section 4 (records: only its owner writes it).

use super::{Program, Seen, mesh_of};
use crate::invariant::{Invariant, Steps, Verdict};

pub(super) struct OwnerWrites;

impl Invariant for OwnerWrites {
    fn name(&self) -> &'static str {
        "owner-writes"
    }

    fn steps(&self) -> Steps {
        Steps::Messages
    }

    fn after_step(&mut self, _: &Seen<'_>, system: &dyn Program) -> Verdict {
        let received = mesh_of(system).received.iter();
        for held in received.filter_map(|received| received.held.as_ref()) {
            let published = mesh_of(system).shared.published.get(&held.digest());
            if published.is_none_or(|(published, _)| published.rank() != held.rank()) {
                return Err(format!(
                    "holds a record that {} never published: {:?}",
                    held.id(),
                    held.rank()
                ));
            }
        }
        Ok(())
    }
}
