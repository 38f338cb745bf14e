//! The state of mesh nodes in a replayed run.

use crate::model::Replay;
use core::time::Duration;
use phalanx_core::gossip::{Gossip, LinkView, MemberView, Phase};
use phalanx_core::node::Node;
use phalanx_core::time::Instant;

/// The state of one node at one instant.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// The host's name.
    pub name: String,
    /// The time since the start of the run.
    pub at: Duration,
    /// The view of the node; none if the node does not run.
    pub view: Option<NodeView>,
}

/// The state of a running node.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// The phase of the node.
    pub phase: Phase,
    /// The hash of its view.
    pub hash: u64,
    /// The members that the node knows.
    pub members: Vec<MemberView>,
    /// The links of the node.
    pub links: Vec<LinkView>,
}

/// The state of a host's mesh node at the present time of a replay.
#[must_use]
pub fn node_state(replay: &Replay<'_>, host: usize) -> NodeState {
    let node = replay.view::<Node>(host);
    NodeState {
        name: replay.scenario().hosts[host].name.clone(),
        at: replay.now(),
        view: node.map(|(node, now)| view(node.mesh(), now)),
    }
}

fn view(mesh: &Gossip, now: Instant) -> NodeView {
    NodeView {
        phase: mesh.phase(),
        hash: mesh.hash(),
        members: mesh.members().collect(),
        links: mesh.links(now).collect(),
    }
}
