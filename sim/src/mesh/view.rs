//! The views of mesh nodes, and the words of messages, inputs and events in traces.

use super::coverage;
use super::event::{self, Event, mesh_word, word};
use super::projection::text_of;
use super::words::MEMORY;
use crate::coverage::Occurrence;
use crate::world::{self, InputInfo, ProcessView, ReportedEvent};
use phalanx_core::gossip::{self, Phase};
use phalanx_core::identity::NodeId;
use phalanx_core::lane::Placement;
use phalanx_core::node::{self, Message, Node};
use phalanx_core::random::mix;
use phalanx_core::size::Encoded;
use phalanx_core::time::Instant;
use serde_json::{Value, json};

impl ProcessView for Node {
    fn digest(&self) -> u64 {
        let channels = self.channels();
        let hashes = channels
            .known()
            .filter_map(|(name, ..)| channels.hash(name));
        self.mesh().hash() ^ hashes.fold(0, |sum, hash| mix(sum ^ hash))
    }

    fn membership(&self) -> Option<u64> {
        Some(self.mesh().hash())
    }

    fn state(&self) -> Value {
        let mesh = self.mesh();
        let members = mesh.members().map(|member| {
            let rank = member.record.rank();
            let content = member.record.content();
            let services = content.services.iter();
            let state = json!({
                "status": member.status.word(),
                "epoch": rank.epoch,
                "incarnation": rank.incarnation,
                "version": rank.version,
                "services": services
                    .map(|service| format!("{}/{}", service.name, service.version))
                    .collect::<Vec<_>>(),
                "metadata": content.metadata,
            });
            (member.record.id().to_string(), state)
        });
        let links = mesh.links(Instant::ZERO).map(|link| {
            let state = json!({ "session": link.session, "eager": link.eager, "ring": link.ring });
            (link.peer.to_string(), state)
        });
        json!({
            "phase": mesh.phase().word(),
            "hash": format!("{:016x}", mesh.hash()),
            "members": members.collect::<serde_json::Map<_, _>>(),
            "links": links.collect::<serde_json::Map<_, _>>(),
            "channels": channels(self),
            "unreachable": mesh.unreachable().len(),
            "undialable": mesh.undialable().map_or(0, |view| view.count),
        })
    }

    fn participates(&self) -> bool {
        match self.mesh().phase() {
            Phase::Joining | Phase::Running | Phase::Isolated => true,
            Phase::Leaving | Phase::Left | Phase::NameTaken => false,
        }
    }

    fn knows_of(&self, node: &NodeId) -> Option<String> {
        let member = self.mesh().member(node)?;
        let rank = member.record.rank();
        Some(format!(
            "{}, epoch {}, incarnation {}, version {}",
            member.status.word(),
            rank.epoch,
            rank.incarnation,
            rank.version
        ))
    }

    fn gauge(&self, name: &str) -> Option<u64> {
        (name == MEMORY).then(|| self.mesh().memory() as u64)
    }
}

impl world::Message for Message {
    fn encoded_len(&self) -> usize {
        Encoded::encoded_len(self)
    }

    fn kind(&self) -> &'static str {
        word(self)
    }

    fn number(&self) -> u8 {
        number(self)
    }

    fn word(&self) -> &'static str {
        event::content(self)
    }

    fn placement(&self) -> Placement {
        Self::placement(self)
    }
}

/// The number that stands for a message's kind in trace hashes.
const fn number(message: &Message) -> u8 {
    match message {
        Message::Mesh(message) => mesh_number(message),
        Message::Channel(_) => 6,
        Message::Revocation(_) => 7,
    }
}

/// The number that stands for a gossip message's kind in trace hashes.
const fn mesh_number(message: &gossip::Message) -> u8 {
    match message {
        gossip::Message::Hello(_) => 1,
        gossip::Message::Welcome(_) => 2,
        gossip::Message::Refuse(_) => 3,
        gossip::Message::Goodbye(_) => 4,
        gossip::Message::Frame(_) => 5,
    }
}

impl ReportedEvent for Event {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        Self::described(self)
    }

    fn refuses(&self) -> bool {
        matches!(self.described().0, "refused" | "full")
    }

    fn occurrence(&self) -> Option<Occurrence> {
        coverage::of_event(self)
    }
}

/// The description of a node's input in traces; `bytes` is the size of its message.
pub(super) fn node_input_info(input: &node::Input, bytes: usize) -> InputInfo {
    match input {
        node::Input::Mesh(input) => gossip_input_info(input),
        node::Input::Receive { message, .. } => {
            InputInfo::message(number(message), event::content(message), bytes)
        }
        node::Input::Channel(_) => InputInfo::of(1, "channel"),
        node::Input::LoadRevocations(_) => InputInfo::of(22, "load-revocations"),
        node::Input::Presented { .. } => InputInfo::of(23, "presented"),
        node::Input::Revoke { .. } => InputInfo::of(24, "revoke"),
        node::Input::RevocationsStored { .. } => InputInfo::of(25, "revocations-stored"),
        node::Input::RevocationsNotStored { .. } => InputInfo::of(26, "revocations-not-stored"),
        node::Input::Calendar(_) => InputInfo::of(21, "calendar"),
        node::Input::WatchRoutes(_) => InputInfo::of(2, "watch-routes"),
        node::Input::Wake => InputInfo::of(3, "wake"),
    }
}

/// The description of a gossip machine's input in traces.
fn gossip_input_info(input: &gossip::Input) -> InputInfo {
    match input {
        gossip::Input::Start => InputInfo::of(4, "start"),
        gossip::Input::Accepted { .. } => InputInfo::of(5, "accepted"),
        gossip::Input::Dialed { .. } => InputInfo::of(6, "dialed"),
        gossip::Input::DialFailed { .. } => InputInfo::of(7, "dial-failed"),
        gossip::Input::Resolved { .. } => InputInfo::of(20, "resolved"),
        gossip::Input::Receive { message, .. } => {
            InputInfo::message(mesh_number(message), mesh_word(message), 0)
        }
        gossip::Input::Heard { .. } => InputInfo::of(8, "heard"),
        gossip::Input::Exchanging { .. } => InputInfo::of(28, "exchanging"),
        gossip::Input::Closed { .. } => InputInfo::of(9, "closed"),
        gossip::Input::Stored { .. } => InputInfo::of(10, "stored"),
        gossip::Input::StoreFailed { .. } => InputInfo::of(11, "store-failed"),
        gossip::Input::Announce(_) => InputInfo::of(12, "announce"),
        gossip::Input::Seeds { .. } => InputInfo::of(13, "seeds"),
        gossip::Input::EditSeeds { .. } => InputInfo::of(14, "edit-seeds"),
        gossip::Input::Discover(_) => InputInfo::of(15, "discover"),
        gossip::Input::RequestLink { .. } => InputInfo::of(16, "request-link"),
        gossip::Input::Forget { .. } => InputInfo::of(27, "forget"),
        gossip::Input::Renew { .. } => InputInfo::of(17, "renew"),
        gossip::Input::Calendar(_) => InputInfo::of(21, "calendar"),
        gossip::Input::Leave => InputInfo::of(18, "leave"),
        gossip::Input::Wake => InputInfo::of(19, "wake"),
    }
}

/// The state of the channels that a node knows, by name.
fn channels(node: &Node) -> serde_json::Map<String, Value> {
    let channels = node.channels();
    let known = channels.known().map(|(name, kind, open)| {
        let values = channels.values(name).filter_map(|(key, held)| {
            let value = text_of(held.value.as_ref()?);
            Some((key.to_string(), value.into()))
        });
        let state = json!({
            "kind": kind.word(),
            "open": open,
            "hash": channels.hash(name).map(|hash| format!("{hash:016x}")),
            "messages": channels.messages(name).count(),
            "values": values.collect::<serde_json::Map<_, _>>(),
        });
        (name.to_string(), state)
    });
    known.collect()
}
