//! Only a snapshot carries the whole view.
//!
//! Reason: a mesh in which ordinary messages carry the whole view costs O(n²) bytes for each change; the prototypes of
//! this project did so, at 7 MB per node. Source: DESIGN section 4 (dissemination).

use super::{Program, Seen, mesh_of, node_of};
use crate::invariant::{Invariant, InvariantResult, Steps};
use crate::world::Effect;
use core::time::Duration;
use phalanx_core::gossip;
use phalanx_core::gossip::message::Sync;
use phalanx_core::node::Message;

/// The minimum number of members of a view that the invariant checks. In smaller meshes, a few simultaneous changes
/// already amount to the whole view.
const MEMBERS_MIN: usize = 12;
/// The time after a start during which a node may forward all the records that it has just received.
const JOINING: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct WholeView {
    /// The number of checked messages that carry records outside a snapshot.
    checked: u64,
}

impl Invariant for WholeView {
    fn name(&self) -> &'static str {
        "whole-view"
    }

    fn steps(&self) -> Steps {
        Steps::Busy
    }

    fn after_step(&mut self, seen: &Seen<'_>, system: &dyn Program) -> InvariantResult {
        let members = node_of(seen).mesh().topology().len();
        let age = seen.now - mesh_of(system).shared.started(seen.host);
        if members < MEMBERS_MIN || Duration::from_nanos(age) < JOINING {
            return Ok(());
        }
        for effect in seen.effects {
            let Effect::Send { message, .. } = effect else {
                continue;
            };
            let Some(Message::Mesh(gossip::Message::Frame(frame))) = message.of() else {
                continue;
            };
            let pushed = frame.sync.iter().map(|sync| match sync {
                Sync::Push { records, .. } => records.len(),
                Sync::Sketch(_) | Sync::Larger(_) | Sync::Want(_) | Sync::Snapshot { .. } => 0,
            });
            let records = frame.records.len() + pushed.sum::<usize>();
            self.checked += u64::from(records > 0);
            if records >= members {
                return Err(format!(
                    "sends {records} records outside a snapshot; it knows {members} members"
                ));
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
