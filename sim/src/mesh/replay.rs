//! Mesh nodes of a run that is replayed.

use crate::model::Replay;
use core::time::Duration;
use phalanx_core::gossip::{Gossip, LinkView, MemberView, Phase};
use phalanx_core::node::Node;
use phalanx_core::time::Instant;

/// One node at one instant.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// The host's name.
    pub name: String,
    /// When, since the start of the run.
    pub at: Duration,
    /// Its view; none if it does not run.
    pub view: Option<NodeView>,
}

/// The state of a running node.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Where it is in its life.
    pub phase: Phase,
    /// The hash of its view.
    pub hash: u64,
    /// Everyone it knows.
    pub members: Vec<MemberView>,
    /// Its links.
    pub links: Vec<LinkView>,
}

/// The mesh node of a host, where a replay stands.
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
