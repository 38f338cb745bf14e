//! A member that was forgotten comes back only with something its owner published since.
//!
//! Reason: old news that still circulates would otherwise bring back machines that were switched off long ago, each
//! time a node that slept through their death returns. Source: W-19; every gossip system's issue list.

use super::{Invariant, Seen, Shared, Verdict};
use phalanx_core::gossip::{Event, Output as Order};
use phalanx_core::identity::NodeId;
use phalanx_core::node::Output;
use phalanx_core::topology::record::Record;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) struct NoResurrection {
    /// What each view held of those it forgot.
    forgotten: Vec<HashMap<NodeId, Arc<Record>>>,
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
            if let Output::Mesh(Order::Report(Event::PeerForgotten { id })) = output
                && let Some(record) = shared.held[seen.host].get(id)
            {
                self.forgotten[seen.host].insert(id.clone(), Arc::clone(record));
            }
        }
        let forgotten = &self.forgotten[seen.host];
        if forgotten.is_empty() {
            return Ok(());
        }
        for received in seen.received {
            let Some(before) = forgotten.get(received.id()) else {
                continue;
            };
            let Some(held) = seen.mesh().topology().record(received.id()) else {
                continue;
            };
            if held.rank() <= before.rank() {
                return Err(format!(
                    "forgot {} and took it back by old news",
                    received.id()
                ));
            }
        }
        Ok(())
    }
}
