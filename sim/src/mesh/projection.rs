//! The final state of a run, in a normalised form that is comparable between engines.
//!
//! All normalisation rules:
//! - a life is the number of the start of the host at which the record was published (from 1), and replaces epoch and
//!   instance;
//! - a counter (incarnation, version) is `current` if it equals the counter of the owner's own record, and otherwise
//!   `stale`; if the owner's host does not run at the end, the record is compared with the first observer's record;
//! - an address is the name of the host that listens on it, or `elsewhere`;
//! - the time of joining is in whole seconds since the start of the run.

use crate::world::Scene;
use core::net::SocketAddr;
use phalanx_core::gossip::MemberView;
use phalanx_core::identity::NodeId;
use phalanx_core::node::Node;
use phalanx_core::topology::record::{Rank, Record};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The final state of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Projection {
    /// The view of each running node, by host name.
    pub nodes: BTreeMap<String, View>,
}

/// The view of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The members, by id.
    pub members: BTreeMap<String, ObservedMember>,
    /// The provider index: `name/version` to ids.
    pub providers: BTreeMap<String, Vec<String>>,
    /// The channels that the node knows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<String, ChannelState>,
}

/// The state of one channel on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelState {
    /// `messages`, `map` or `custom`.
    pub kind: &'static str,
    /// Whether an application has the channel open.
    pub open: bool,
    /// The retained messages: the origin, the origin's lifetime, the number of the broadcast, and the length in bytes.
    pub messages: Vec<(String, u32, u64, usize)>,
    /// The values, by key.
    pub values: BTreeMap<String, String>,
}

/// One member in a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedMember {
    /// The number of the host's start that published the record; 0 if the start is unknown.
    pub life: u32,
    /// Whether the record is the owner's newest.
    pub current: bool,
    /// Whether the member is leaving the mesh.
    pub leaving: bool,
    /// `alive`, `suspect`, `down` or `left`.
    pub status: &'static str,
    /// The published nickname.
    pub nickname: String,
    /// The published class.
    pub kind: String,
    /// The host that listens at the published address.
    pub address: Option<String>,
    /// The time of joining, in seconds since the start of the run.
    pub joined: i64,
    /// The published services: `name/version`.
    pub services: Vec<String>,
    /// The published metadata.
    pub metadata: BTreeMap<String, String>,
}

/// The starts and addresses of a run, from which ids and epochs are normalised.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    of: BTreeMap<NodeId, Vec<(u64, u32)>>,
    addresses: BTreeMap<SocketAddr, String>,
    zero: u64,
}

impl Lives {
    /// Creates an empty table of starts and addresses; `zero` is the calendar time at the start of the run, in seconds.
    #[must_use]
    pub const fn new(zero: u64) -> Self {
        Self {
            of: BTreeMap::new(),
            addresses: BTreeMap::new(),
            zero,
        }
    }

    /// Records that a node starts under this id with this epoch and instance.
    pub fn start(&mut self, id: &NodeId, epoch: u64, instance: u32) {
        self.of
            .entry(id.clone())
            .or_default()
            .push((epoch, instance));
    }

    /// Records that a host listens at this address.
    pub fn listens(&mut self, host: &str, address: SocketAddr) {
        self.addresses.insert(address, host.to_owned());
    }

    fn life(&self, id: &NodeId, rank: Rank) -> u32 {
        self.life_of(id, rank.epoch, rank.instance)
    }

    fn life_of(&self, id: &NodeId, epoch: u64, instance: u32) -> u32 {
        let lives = self.of.get(id).map_or(&[][..], Vec::as_slice);
        let found = lives.iter().position(|life| *life == (epoch, instance));
        found.map_or(0, |index| u32::try_from(index + 1).unwrap_or(u32::MAX))
    }
}

impl Projection {
    /// The final state of a world.
    #[must_use]
    pub fn of(scene: &Scene<'_>, lives: &Lives) -> Self {
        let mut newest: BTreeMap<NodeId, Arc<Record>> = BTreeMap::new();
        for (_, node) in scene.of::<Node>() {
            let mesh = node.mesh();
            newest.insert(mesh.id().clone(), Arc::clone(mesh.record()));
        }
        let mut nodes = BTreeMap::new();
        for (host, node) in scene.of::<Node>() {
            let mesh = node.mesh();
            let mut members = BTreeMap::new();
            for member in mesh.members() {
                let id = member.record.id();
                let owners = newest
                    .entry(id.clone())
                    .or_insert_with(|| Arc::clone(&member.record));
                let current = owners.digest() == member.record.digest();
                members.insert(id.to_string(), project(&member, current, lives));
            }
            let providers = mesh
                .services()
                .map(|(name, version, ids)| {
                    (
                        format!("{name}/{version}"),
                        ids.iter().map(NodeId::to_string).collect(),
                    )
                })
                .collect();
            let view = View {
                members,
                providers,
                channels: channels(node, lives),
            };
            nodes.insert(scene.name(host).to_owned(), view);
        }
        Self { nodes }
    }
}

/// A value as readable text.
pub(super) fn text_of(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

fn channels(node: &Node, lives: &Lives) -> BTreeMap<String, ChannelState> {
    let channels = node.channels();
    let known = channels.known().map(|(name, kind, open)| {
        let messages = channels.messages(name).map(|update| {
            let id = &update.id;
            // The epoch of a channel has the node's epoch in its upper 32 bits and the instance in its lower 32 bits.
            let (epoch, instance) = (id.epoch >> 32, id.epoch as u32);
            let life = lives.life_of(&id.origin, epoch, instance);
            (
                id.origin.to_string(),
                life,
                id.sequence,
                update.payload.len(),
            )
        });
        let values = channels.values(name);
        let values = values.filter_map(|(key, held)| {
            let value = held.value.as_ref()?;
            Some((key.to_string(), text_of(value)))
        });
        let channel = ChannelState {
            kind: kind.word(),
            open,
            messages: messages.collect(),
            values: values.collect(),
        };
        (name.to_string(), channel)
    });
    known.collect()
}

fn project(member: &MemberView, current: bool, lives: &Lives) -> ObservedMember {
    let record = &member.record;
    let content = record.content();
    let address = content.address.map(|address| {
        lives
            .addresses
            .get(&address)
            .cloned()
            .unwrap_or_else(|| "elsewhere".to_owned())
    });
    ObservedMember {
        life: lives.life(record.id(), record.rank()),
        current,
        leaving: record.rank().leaving,
        status: member.status.word(),
        nickname: content.nickname.clone(),
        kind: content.kind.clone(),
        address,
        joined: i64::try_from(content.joined.0).unwrap_or(i64::MAX)
            - i64::try_from(lives.zero).unwrap_or(0),
        services: content
            .services
            .iter()
            .map(|s| format!("{}/{}", s.name, s.version))
            .collect(),
        metadata: content.metadata.clone(),
    }
}
