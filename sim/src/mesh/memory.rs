//! The memory of all mesh daemons of one run.

use super::applications::Applications;
use super::host_words::channels;
use super::ledger::Ledger;
use super::projection::Lives;
use super::words::sabotage;
use crate::invariant::Seen;
use crate::model::WALL_ZERO;
use crate::scenario::Scenario;
use phalanx_core::gossip::Sabotage;
use phalanx_core::identity::NodeId;
use phalanx_core::node::Node;
use phalanx_core::topology::record::Record;
use std::collections::HashMap;
use std::sync::Arc;

/// The mesh, for one run.
#[derive(Debug)]
pub struct Mesh {
    pub(super) sabotage: Sabotage,
    pub(super) lives: Lives,
    pub(super) ledger: Ledger,
    /// The records in the message that is stepped.
    pub(super) received: Vec<Received>,
    pub(super) shared: Shared,
    /// Of all hosts, in their order.
    pub(super) ids: Arc<[NodeId]>,
}

/// A record in a message, and its effect on the view that received it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) id: NodeId,
    /// The record in the view before the step, and after it.
    pub(super) before: Option<Arc<Record>>,
    pub(super) held: Option<Arc<Record>>,
}

impl Mesh {
    /// A host's process starts, and opens its channels.
    pub(super) fn begins(&mut self, scenario: &Scenario, host: usize) {
        self.shared.starts(host);
        self.ledger.starts(host);
        for channel in channels(&scenario.hosts[host]).keys() {
            self.ledger.opens(host, channel, 0);
        }
    }
}

/// The mesh for one run.
///
/// # Errors
/// The word that names nothing.
pub fn new(scenario: &Scenario, words: &[String]) -> Result<Mesh, String> {
    let mut lives = Lives::new(WALL_ZERO);
    for (index, host) in scenario.hosts.iter().enumerate() {
        lives.listens(&host.name, crate::address::address(index));
    }
    Ok(Mesh {
        sabotage: sabotage(words)?,
        lives,
        ledger: Ledger::new(scenario.hosts.len()),
        received: Vec::new(),
        shared: Shared::new(scenario.hosts.len()),
        ids: Applications::ids(scenario),
    })
}

/// Facts that several invariants need.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Every record that an owner published, by digest, and when.
    pub(super) published: HashMap<u64, (Arc<Record>, u64)>,
    /// The newest that each owner published.
    pub(super) newest: HashMap<NodeId, Arc<Record>>,
    /// The record that each host's node last said of itself.
    pub(super) own: Vec<Option<Arc<Record>>>,
    /// When each host started; none: at its next step.
    pub(super) started: Vec<Option<u64>>,
}

impl Shared {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            own: vec![None; hosts],
            started: vec![None; hosts],
            ..Self::default()
        }
    }

    /// A host's process is about to start.
    pub(super) fn starts(&mut self, host: usize) {
        self.started[host] = None;
    }

    /// When a host's process started.
    pub(super) fn started(&self, host: usize) -> u64 {
        self.started[host].unwrap_or_default()
    }

    /// Remembers what the node says of itself.
    pub(super) fn note(&mut self, seen: &Seen<'_>, node: &Node) {
        self.started[seen.host].get_or_insert(seen.now);
        let own = node.mesh().record();
        let known = &mut self.own[seen.host];
        // Told by the place alone: records are not looked into at every step.
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, own)) {
            return;
        }
        *known = Some(Arc::clone(own));
        let newest = self.newest.get(own.id());
        self.published
            .entry(own.digest())
            .or_insert_with(|| (Arc::clone(own), seen.now));
        if newest.is_none_or(|newest| **newest < **own) {
            self.newest.insert(own.id().clone(), Arc::clone(own));
        }
    }
}
