//! A copy equals its owner's objects after the batch of its position, whenever it is durable, and its position does not
//! go back.

use crate::archive::SharedArchive;
use crate::fact::RegistryFact;
use phalanx_core::registry::name::{ObjectName, RegionId};
use phalanx_core::registry::object::Object;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// The expected content of a copy.
#[derive(Default)]
struct ExpectedCopy {
    position: u64,
    objects: BTreeMap<ObjectName, Arc<Object>>,
}

pub(super) struct CopiesEqualOwners {
    archive: SharedArchive,
    /// By the host of the copy and the owner.
    copies: BTreeMap<(usize, RegionId), ExpectedCopy>,
    checked: u64,
}

impl CopiesEqualOwners {
    pub(super) fn new(archive: &SharedArchive) -> Self {
        Self {
            archive: Rc::clone(archive),
            copies: BTreeMap::new(),
            checked: 0,
        }
    }
}

impl Invariant for CopiesEqualOwners {
    fn name(&self) -> &'static str {
        "copies-equal-owners"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        let Some(RegistryFact::Copied {
            owner,
            sequence,
            objects,
        }) = report.event.of()
        else {
            return Ok(());
        };
        self.checked += 1;
        let archive = self.archive.borrow();
        let history = archive.history(owner);
        let of = (report.host, owner.clone());
        let expected = self.copies.entry(of).or_default();
        let (from, to) = (expected.position, *sequence);
        if to < from || to > history.len() as u64 {
            return Err(format!("the copy of {owner} went from {from} to {to}"));
        }
        for entry in &history[from as usize..to as usize] {
            for change in &entry.changes {
                match &change.after {
                    Some(after) => {
                        let after = Arc::clone(after);
                        drop(expected.objects.insert(change.name.clone(), after));
                    }
                    None => drop(expected.objects.remove(&change.name)),
                }
            }
        }
        expected.position = to;
        if objects.iter().eq(expected.objects.values()) {
            return Ok(());
        }
        Err(format!(
            "the copy of {owner} at {to} differs from its owner"
        ))
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
