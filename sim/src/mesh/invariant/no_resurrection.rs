//! A forgotten member returns only with a record that is newer than the forgotten record, or with one that its owner
//! stated itself, in a handshake, after the view forgot the member. Once the view may have freed the member's slot,
//! `forget_after` later, the record may come from any neighbour, if it is the owner's newest and the owner has sent
//! messages since the view forgot it.
//!
//! Reason: otherwise, when a node returns that was paused during a member's death, outdated records would bring back
//! machines that were switched off long ago. Source: W-19; every gossip system's issue list.

use super::{Program, Seen, mesh_of, node_of};
use crate::invariant::{Invariant, InvariantResult, Steps};
use crate::mesh::Event;
use crate::world::Effect;
use core::time::Duration;
use phalanx_core::gossip::{self, Tuning};
use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use phalanx_core::topology::record::Record;
use std::collections::HashMap;
use std::sync::Arc;

/// A member that one view has forgotten.
struct Forgotten {
    record: Arc<Record>,
    /// The time of forgetting, in nanoseconds.
    at: u64,
    /// The same time by the clock of the process.
    local: Instant,
}

/// The records that one view held of members that are down, left or forgotten.
#[derive(Default)]
struct View {
    /// The record of each member at the time when the view saw it as down or left.
    lost: HashMap<NodeId, Arc<Record>>,
    /// Those of these members that the view has forgotten since.
    forgotten: HashMap<NodeId, Forgotten>,
}

pub(super) struct NoResurrection {
    views: Vec<View>,
    forget_after: Duration,
    /// The number of received records of forgotten members.
    checked: u64,
}

impl NoResurrection {
    pub(super) fn new(hosts: usize, tuning: &Tuning) -> Self {
        let views = (0..hosts).map(|_| View::default());
        Self {
            views: views.collect(),
            forget_after: tuning.forget_after,
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
            if let gossip::Event::PeerDown { id, .. } | gossip::Event::PeerLeft { id } = event
                && let Some(held) = node_of(seen).mesh().topology().record(id)
            {
                view.lost.insert(id.clone(), Arc::clone(held));
            } else if let gossip::Event::PeerForgotten { id } = event
                && let Some(held) = view.lost.remove(id)
            {
                let forgotten = Forgotten {
                    record: held,
                    at: seen.now,
                    local: seen.local,
                };
                view.forgotten.insert(id.clone(), forgotten);
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
            let Some(held) = received
                .held
                .as_ref()
                .filter(|held| **held <= forgotten.record)
            else {
                continue;
            };
            let mesh = mesh_of(system);
            let stated = mesh.shared.stated.get(&held.digest());
            let is_stated = stated.is_some_and(|stated| *stated > forgotten.at);
            let may_be_free = seen.local - forgotten.local >= self.forget_after;
            let lives = mesh.shared.newest.get(&received.id) == Some(held)
                && mesh
                    .shared
                    .spoke_after(&mesh.ids, &received.id, forgotten.at);
            if !(is_stated || may_be_free && lives) {
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
