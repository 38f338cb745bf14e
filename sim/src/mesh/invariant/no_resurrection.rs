//! A member that was forgotten comes back only with something its owner published since.
//!
//! Reason: old news that still circulates would otherwise bring back machines that were switched off long ago, each
//! time a node that slept through their death returns. Source: W-19; every gossip system's issue list.

use super::{Mesh, Seen};
use crate::invariant::{Invariant, Verdict};
use crate::system::Effect;
use phalanx_core::gossip::Event;
use phalanx_core::identity::NodeId;
use std::collections::HashMap;

pub(super) struct NoResurrection {
    /// When each view forgot whom.
    forgotten: Vec<HashMap<NodeId, u64>>,
}

impl NoResurrection {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            forgotten: vec![HashMap::new(); hosts],
        }
    }
}

impl Invariant<Mesh> for NoResurrection {
    fn name(&self) -> &'static str {
        "no-resurrection"
    }

    fn on_start(&mut self, host: usize) {
        self.forgotten[host].clear();
    }

    fn after_step(&mut self, seen: &Seen<'_>, system: &Mesh) -> Verdict {
        for effect in seen.effects {
            if let Effect::Report(Event::PeerForgotten { id }) = effect {
                self.forgotten[seen.host].insert(id.clone(), seen.now);
            }
        }
        let forgotten = &self.forgotten[seen.host];
        if forgotten.is_empty() {
            return Ok(());
        }
        for received in &system.received {
            let (Some(forgotten), Some(held)) = (forgotten.get(&received.id), &received.held)
            else {
                continue;
            };
            let published = system.shared.published.get(&held.digest());
            if published.is_some_and(|(_, at)| at <= forgotten) {
                return Err(format!(
                    "forgot {} and took it back by old news",
                    received.id
                ));
            }
        }
        Ok(())
    }
}
