//! A forgotten member returns only with a record that is newer than the forgotten record.
//!
//! Reason: otherwise, when a node returns that was paused during a member's death, outdated records would bring back
//! machines that were switched off long ago. Source: W-19; every gossip system's issue list.

use super::{Program, Seen, mesh_of, node_of};
use crate::invariant::{Invariant, InvariantResult, Steps};
use crate::mesh::Event;
use crate::world::Effect;
use phalanx_core::gossip;
use phalanx_core::identity::NodeId;
use phalanx_core::topology::record::Record;
use std::collections::HashMap;
use std::sync::Arc;

/// The records that one view held of members that are down, left or forgotten.
#[derive(Default)]
struct View {
    /// The record of each member at the time when the view saw it as down or left.
    lost: HashMap<NodeId, Arc<Record>>,
    /// The record of each of these members that the view has forgotten since.
    forgotten: HashMap<NodeId, Arc<Record>>,
}

pub(super) struct NoResurrection {
    views: Vec<View>,
    /// The number of received records of forgotten members.
    checked: u64,
}

impl NoResurrection {
    pub(super) fn new(hosts: usize) -> Self {
        let views = (0..hosts).map(|_| View::default());
        Self {
            views: views.collect(),
            checked: 0,
        }
    }
}

impl Invariant for NoResurrection {
    fn name(&self) -> &'static str {
        "no-resurrection"
    }

    fn on_start(&mut self, host: usize) {
        self.views[host] = View::default();
    }

    fn steps(&self) -> Steps {
        Steps::Busy
    }

    fn after_step(&mut self, seen: &Seen<'_>, system: &dyn Program) -> InvariantResult {
        let view = &mut self.views[seen.host];
        for effect in seen.effects {
            let Effect::Report(notice) = effect else {
                continue;
            };
            let Some(Event::Mesh(event)) = notice.of() else {
                continue;
            };
            if let gossip::Event::PeerDown { id } | gossip::Event::PeerLeft { id } = event
                && let Some(held) = node_of(seen).mesh().topology().record(id)
            {
                view.lost.insert(id.clone(), Arc::clone(held));
            } else if let gossip::Event::PeerForgotten { id } = event
                && let Some(held) = view.lost.remove(id)
            {
                view.forgotten.insert(id.clone(), held);
            }
        }
        if view.forgotten.is_empty() {
            return Ok(());
        }
        for received in &mesh_of(system).received {
            let Some(forgotten) = view.forgotten.get(&received.id) else {
                continue;
            };
            self.checked += 1;
            if received.held.as_ref().is_some_and(|held| held <= forgotten) {
                return Err(format!(
                    "forgot {} and took it back by old news",
                    received.id
                ));
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
