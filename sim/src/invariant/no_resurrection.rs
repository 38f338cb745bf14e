//! A member that was forgotten comes back only with something its owner published since.
//!
//! Reason: old news that still circulates would otherwise bring back machines that were switched off long ago, each
//! time a node that slept through their death returns. Source: W-19; every gossip system's issue list.

use super::{Invariant, Seen, Shared, Verdict};
use phalanx_core::gossip::{Event, Output as Order};
use phalanx_core::identity::NodeId;
use phalanx_core::node::Output;
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

impl Invariant for NoResurrection {
    fn name(&self) -> &'static str {
        "no-resurrection"
    }

    fn on_start(&mut self, host: usize) {
        self.forgotten[host].clear();
    }

    fn after_step(&mut self, seen: &Seen<'_>, shared: &Shared) -> Verdict {
        for output in seen.outputs {
            if let Output::Mesh(Order::Report(Event::PeerForgotten { id })) = output {
                self.forgotten[seen.host].insert(id.clone(), seen.now);
            }
        }
        let forgotten = &self.forgotten[seen.host];
        if forgotten.is_empty() {
            return Ok(());
        }
        for received in seen.received {
            let Some(forgotten) = forgotten.get(received.id()) else {
                continue;
            };
            let Some(held) = seen.mesh().topology().record(received.id()) else {
                continue;
            };
            let published = shared.published.get(&held.digest());
            if published.is_some_and(|(_, at)| at <= forgotten) {
                return Err(format!(
                    "forgot {} and took it back by old news",
                    received.id()
                ));
            }
        }
        Ok(())
    }
}
