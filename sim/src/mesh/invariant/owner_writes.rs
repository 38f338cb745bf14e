//! Every record in a view was published by its owner, unchanged.
//!
//! Reason: only the owner of a record writes it. A relay that drops a field, changes a field or invents a version
//! creates views that do not match any owner. Source: DESIGN section 4 (records: only its owner writes it).

use super::{Program, Seen, mesh_of};
use crate::invariant::{Invariant, InvariantResult, Steps};

#[derive(Default)]
pub(super) struct OwnerWrites {
    checked: u64,
}

impl Invariant for OwnerWrites {
    fn name(&self) -> &'static str {
        "owner-writes"
    }

    fn steps(&self) -> Steps {
        Steps::Messages
    }

    fn after_step(&mut self, _: &Seen<'_>, system: &dyn Program) -> InvariantResult {
        let received = mesh_of(system).received.iter();
        for held in received.filter_map(|received| received.held.as_ref()) {
            self.checked += 1;
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

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
