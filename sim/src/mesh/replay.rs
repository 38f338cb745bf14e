//! The state of mesh nodes in a replayed run.

use crate::diff::StateFacts;
use crate::replay::Replay;
use core::time::Duration;
use phalanx_core::gossip::{Gossip, LinkView, MemberView, Phase};
use phalanx_core::node::Node;
use phalanx_core::time::Instant;
use std::collections::BTreeMap;

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

/// Returns the state of a mesh node as facts. The time since a link last received a message is left out.
#[must_use]
pub fn facts(state: &NodeState) -> StateFacts {
    let Some(view) = &state.view else {
        return BTreeMap::from([("process".to_owned(), "stopped".to_owned())]);
    };
    let mut facts = BTreeMap::from([
        ("process".to_owned(), "running".to_owned()),
        (
            "phase".to_owned(),
            format!("{:?}", view.phase).to_lowercase(),
        ),
        ("digest".to_owned(), format!("{:016x}", view.hash)),
    ]);
    facts.extend(
        view.members
            .iter()
            .map(|it| (format!("member {}", it.record.id()), member(it))),
    );
    facts.extend(
        view.links
            .iter()
            .map(|it| (format!("link to {}", it.peer), link(it))),
    );
    facts
}

fn member(member: &MemberView) -> String {
    let rank = member.record.rank();
    let mut text = format!(
        "{}, epoch {}, incarnation {}, version {}",
        format!("{:?}", member.status).to_lowercase(),
        rank.epoch,
        rank.incarnation,
        rank.version
    );
    for edge in member.report.iter().flat_map(|aged| &aged.report.edges) {
        let verb = if edge.down {
            "no contact with"
        } else {
            "in contact with"
        };
        text += &format!(", {verb} {}", edge.peer);
    }
    text
}

fn link(link: &LinkView) -> String {
    let way = if link.dialed { "out" } else { "in" };
    let kind = if link.eager { "eager" } else { "lazy" };
    let ring = if link.ring { ", ring" } else { "" };
    let silent = if link.silent { ", silent" } else { "" };
    format!("{way}, {kind}{ring}{silent}, session {}", link.session)
}
