//! The simulator's knowledge of all mesh daemons of one run.

use super::applications::HostApplications;
use super::coverage::MeshCoverage;
use super::delivery_log::DeliveryLog;
use super::failed_dials::FailedDials;
use super::host_words::channels;
use super::projection::Lives;
use super::words::sabotage;
use crate::invariant::Seen;
use crate::model::WALL_ZERO;
use crate::scenario::Scenario;
use phalanx_core::identity::NodeId;
use phalanx_core::node::Node;
use phalanx_core::sabotage::Sabotage;
use phalanx_core::topology::record::Record;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The simulator's knowledge of the mesh in one run.
#[derive(Debug)]
pub struct Mesh {
    pub(super) sabotage: Sabotage,
    pub(super) lives: Lives,
    pub(super) delivery_log: DeliveryLog,
    pub(super) failed_dials: FailedDials,
    /// The records in the message of the current step.
    pub(super) received: Vec<RecordReceipt>,
    pub(super) shared: SharedFacts,
    pub(super) coverage: MeshCoverage,
    /// The nodes whose revocation each host acknowledged since its disk was new.
    pub(super) acknowledged_revocations: BTreeMap<usize, BTreeSet<NodeId>>,
    /// The ids of all hosts, by host index.
    pub(super) ids: Arc<[NodeId]>,
}

/// A record in a message, and its effect on the view of the receiver.
#[derive(Debug)]
pub(super) struct RecordReceipt {
    pub(super) id: NodeId,
    /// The digest of the record, if its owner states it itself.
    pub(super) stated: Option<u64>,
    /// The record in the view before the step. `held` is the record after the step.
    pub(super) before: Option<Arc<Record>>,
    pub(super) held: Option<Arc<Record>>,
}

impl Mesh {
    /// Records that a host's process starts and opens its channels.
    pub(super) fn begins(&mut self, scenario: &Scenario, host: usize) {
        self.shared.starts(host);
        self.delivery_log.starts(host);
        for channel in channels(&scenario.hosts[host]).keys() {
            self.delivery_log.opens_at_start(host, channel);
        }
    }
}

/// Creates the knowledge of one run, without observations.
///
/// # Errors
/// The error names the first unknown word.
pub fn new(scenario: &Scenario, words: &[String]) -> Result<Mesh, String> {
    let mut lives = Lives::new(WALL_ZERO);
    for (index, host) in scenario.hosts.iter().enumerate() {
        lives.listens(&host.name, crate::address::address(index));
    }
    Ok(Mesh {
        sabotage: sabotage(words)?,
        lives,
        delivery_log: DeliveryLog::new(scenario.hosts.len()),
        failed_dials: FailedDials::default(),
        received: Vec::new(),
        shared: SharedFacts::new(scenario.hosts.len()),
        coverage: MeshCoverage::default(),
        acknowledged_revocations: BTreeMap::new(),
        ids: HostApplications::ids(scenario),
    })
}

/// Facts that several invariants need.
#[derive(Debug, Default)]
pub(super) struct SharedFacts {
    /// Every record that an owner published, by digest, with the time of its publication in nanoseconds.
    pub(super) published: HashMap<u64, (Arc<Record>, u64)>,
    /// The newest record of each owner.
    pub(super) newest: HashMap<NodeId, Arc<Record>>,
    /// The latest time in nanoseconds at which an owner stated its record itself, in a handshake, by digest of the record.
    pub(super) stated: HashMap<u64, u64>,
    /// The latest time in nanoseconds at which each host's node sent a message.
    pub(super) spoke: Vec<u64>,
    /// The latest own record of each host's node.
    pub(super) own: Vec<Option<Arc<Record>>>,
    /// The start time of each host's process in nanoseconds; none until its first step.
    pub(super) started: Vec<Option<u64>>,
}

impl SharedFacts {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            own: vec![None; hosts],
            spoke: vec![0; hosts],
            started: vec![None; hosts],
            ..Self::default()
        }
    }

    /// Records that a host's process is about to start.
    pub(super) fn starts(&mut self, host: usize) {
        self.started[host] = None;
    }

    /// The start time of a host's process, in nanoseconds.
    pub(super) fn started(&self, host: usize) -> u64 {
        self.started[host].unwrap_or_default()
    }

    /// Whether a node with this id sent a message after a time in nanoseconds; `ids` are the ids of the hosts.
    pub(super) fn spoke_after(&self, ids: &[NodeId], id: &NodeId, time: u64) -> bool {
        let mut nodes = ids.iter().zip(&self.spoke);
        nodes.any(|(of, spoke)| of == id && *spoke > time)
    }

    /// Records the node's own record, and whether the node sends messages.
    pub(super) fn note(&mut self, seen: &Seen<'_>, node: &Node) {
        self.started[seen.host].get_or_insert(seen.now);
        if seen.sizes.iter().any(|bytes| *bytes > 0) {
            self.spoke[seen.host] = seen.now;
        }
        let own = node.mesh().record();
        let known = &mut self.own[seen.host];
        // The comparison is by pointer only, so that steps without a new record stay cheap.
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
