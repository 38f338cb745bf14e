//! A node's replies in the form that `--json` prints, converted from the protocol messages.

use super::unlinked::{UndialableAddress, UnreachablePeer, failure_word};
use phalanx_core::topology::record;
use phalanx_net::wire::{address, proto};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A member as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownMember {
    pub(crate) id: String,
    /// `alive`, `suspect`, `down` or `left`.
    pub(crate) status: String,
    pub(crate) nickname: String,
    pub(crate) kind: String,
    /// A small number that is the same in all equal views; `None` if all numbers are taken.
    #[serde(default)]
    pub(crate) short_id: Option<u32>,
    pub(crate) address: Option<String>,
    pub(crate) epoch: u64,
    /// Random for each start of the node, in hexadecimal digits.
    pub(crate) instance: String,
    pub(crate) incarnation: u64,
    pub(crate) version: u64,
    /// Seconds since 1970-01-01 UTC.
    pub(crate) joined: u64,
    /// The services, each as `name/version`.
    pub(crate) services: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// An edge that a member reports because its state differs from what other nodes assume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edge {
    pub(crate) peer: String,
    pub(crate) down: bool,
    pub(crate) age_ms: Option<u64>,
    /// The reason why the member has no link with the other end, as a word; empty if it states none.
    #[serde(default)]
    pub(crate) reason: String,
}

/// A member with the edges that it reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    #[serde(flatten)]
    pub(crate) peer: KnownMember,
    pub(crate) edges: Vec<Edge>,
    /// Milliseconds since the node last received an update from the member itself.
    #[serde(default)]
    pub(crate) updated_ms: u64,
}

/// A node's whole view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Topology {
    pub(crate) viewer: String,
    /// Hash of the view; equal on two nodes with equal views.
    pub(crate) hash: String,
    pub(crate) members: Vec<Member>,
}

/// An established link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) link: u64,
    pub(crate) peer: String,
    /// Address at which the neighbour can be dialled; empty if the neighbour cannot be dialled.
    pub(crate) address: String,
    /// `out` if this node dialled, `in` if the neighbour dialled.
    pub(crate) direction: String,
    pub(crate) ring: bool,
    pub(crate) eager: bool,
    pub(crate) silent: bool,
    pub(crate) quiet_ms: u64,
    pub(crate) session: u32,
    pub(crate) version: u32,
    /// `encrypted`, or `unencrypted` for a link that is authenticated only.
    pub(crate) encryption: String,
    /// The data path beside the link, if the node has an overlay.
    pub(crate) data_path: Option<DataPath>,
    /// The smoothed round trip of the link, in microseconds, if the node has measured it.
    pub(crate) round_trip_us: Option<u64>,
    /// The silence after which the link counts as silent.
    pub(crate) silent_after_ms: u64,
}

impl Link {
    /// Returns the round trip, in words.
    pub(crate) fn round_trip(&self) -> String {
        self.round_trip_us.map_or_else(String::new, |micros| {
            let (millis, rest) = (micros / 1_000, micros % 1_000);
            if millis >= 10 {
                format!("{millis} ms")
            } else {
                format!("{millis}.{rest:03} ms")
            }
        })
    }

    /// Returns whether the link's traffic is readable on the network.
    pub(crate) fn is_unencrypted(&self) -> bool {
        self.encryption != "encrypted"
    }
}

/// A data path beside a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataPath {
    /// `unfit`, `preparing`, `confirmed`, `established` or `failed`.
    pub(crate) state: String,
    /// The reason why there is no data path; empty if there is one.
    pub(crate) reason: String,
    /// The name of the connection, the same at both ends.
    pub(crate) connection: String,
    /// The features of the overlay at the other end.
    pub(crate) features: BTreeMap<String, String>,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A node's overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OverlayStatus {
    pub(crate) name: String,
    pub(crate) features: BTreeMap<String, String>,
    pub(crate) diagnostics: BTreeMap<String, String>,
}

/// An address that could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailedDial {
    pub(crate) address: String,
    pub(crate) reason: String,
    pub(crate) failed_at_ms: u64,
    pub(crate) retry_at_ms: Option<u64>,
}

/// A seed address of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) address: String,
    /// The member found at the address; empty if the address was not reached yet.
    pub(crate) peer: String,
    /// The last failure at the address; empty if none occurred since the last success.
    pub(crate) failure: String,
    /// Whether the address leads to the node itself, and to no other node.
    #[serde(default)]
    pub(crate) myself: bool,
}

/// Traffic over a node's links since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) messages_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) messages_received: u64,
    pub(crate) bytes_received: u64,
}

/// A link that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndedLink {
    pub(crate) peer: String,
    pub(crate) reason: String,
    pub(crate) ended_at_ms: u64,
}

/// A service and its providers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) providers: Vec<String>,
}

/// Number of members by status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) alive: u32,
    pub(crate) suspect: u32,
    pub(crate) down: u32,
    pub(crate) left: u32,
}

/// Contents of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

/// A secret of the mesh, and the members that accept it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret {
    pub(crate) fingerprint: String,
    pub(crate) accepted_by: u32,
    /// Live members that do not accept the secret.
    pub(crate) lacking: Vec<String>,
}

/// The status of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusReply {
    pub(crate) node: KnownMember,
    pub(crate) mesh: String,
    pub(crate) program_version: String,
    pub(crate) protocol_min: u32,
    pub(crate) protocol_max: u32,
    pub(crate) phase: String,
    /// `bootstrap` if the node was started without targets, otherwise `join`.
    pub(crate) start: String,
    pub(crate) health: String,
    pub(crate) message: String,
    pub(crate) listen: String,
    pub(crate) encryption: String,
    /// Subnets in which links are unencrypted if the other end lists the subnet too.
    pub(crate) trusted_subnets: Vec<String>,
    /// The proof of membership: an authority, or secrets.
    pub(crate) trust: String,
    /// The secrets that the node accepts; the node mints certificates from the first one.
    pub(crate) secrets: Vec<Secret>,
    /// Number of links that were made before the node's certificate was replaced.
    pub(crate) outdated_links: u32,
    pub(crate) discovery: String,
    pub(crate) uptime_ms: u64,
    pub(crate) hash: String,
    pub(crate) targets: Vec<Target>,
    pub(crate) members: Counts,
    pub(crate) links: Vec<Link>,
    pub(crate) failed_dials: Vec<FailedDial>,
    pub(crate) ended_links: Vec<EndedLink>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) watchers: u32,
    pub(crate) connections: u32,
    pub(crate) traffic: Traffic,
    /// Number of channels that the node knows; `open_channels` of these are open on the node.
    pub(crate) channels: u32,
    pub(crate) open_channels: u32,
    /// The embedder's overlay beside the links; daemons have none.
    pub(crate) overlay: Option<OverlayStatus>,
    /// Number of members without a short id, because all short ids are taken.
    pub(crate) without_short_id: u32,
    /// Live members that the node should have a link with and has none.
    #[serde(default)]
    pub(crate) unreachable: Vec<UnreachablePeer>,
    /// The members that cannot reach the address that the node advertises.
    #[serde(default)]
    pub(crate) undialable: Option<UndialableAddress>,
}

/// An event of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    pub(crate) at_ms: u64,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    /// Number of events that were missed, for the kind `lagged`.
    pub(crate) missed: u64,
}

fn hash(value: u64) -> String {
    format!("{value:016x}")
}

/// Converts the name of a protocol enum value: without the prefix, in lower case.
fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix)
        .unwrap_or(name)
        .to_lowercase()
        .replace('_', "-")
}

impl KnownMember {
    /// Returns whether `who` is the member's id, nickname or short id.
    pub(crate) fn is_called(&self, who: &str) -> bool {
        self.id == who || self.nickname == who || self.short().is_some_and(|short| short == who)
    }

    /// Formats the short id: `#1a2`.
    pub(crate) fn short(&self) -> Option<String> {
        self.short_id.map(|number| format!("#{number:03x}"))
    }

    fn new(record: proto::Record, status: &str) -> Self {
        let address = address("record.address", &record.address)
            .ok()
            .map(|address| address.to_string());
        Self {
            id: record.id,
            status: status.to_owned(),
            nickname: record.nickname,
            kind: record::class(&record.kind).to_owned(),
            short_id: None,
            address,
            epoch: record.epoch,
            instance: format!("{:08x}", record.instance),
            incarnation: record.incarnation,
            version: record.version,
            joined: record.joined,
            services: record
                .services
                .into_iter()
                .map(|it| {
                    let (name, version) = (it.name, it.version);
                    record::Service { name, version }.to_string()
                })
                .collect(),
            metadata: entries(record.metadata),
        }
    }
}

impl From<proto::Member> for Member {
    fn from(member: proto::Member) -> Self {
        let status = word(member.status().as_str_name(), "MEMBER_STATUS_");
        let edges = member.edges.into_iter().map(|edge| Edge {
            peer: edge.peer,
            down: edge.down,
            age_ms: edge.age_ms,
            reason: failure_word(edge.failure),
        });
        Self {
            edges: edges.collect(),
            updated_ms: member.updated_ms,
            peer: KnownMember {
                short_id: member.short_id,
                ..KnownMember::new(member.record.unwrap_or_default(), &status)
            },
        }
    }
}

impl From<proto::Topology> for Topology {
    fn from(topology: proto::Topology) -> Self {
        Self {
            viewer: topology.viewer,
            hash: hash(topology.hash),
            members: topology.members.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<proto::Target> for Target {
    fn from(target: proto::Target) -> Self {
        Self {
            address: target.address,
            peer: target.peer,
            failure: target.failure,
            myself: target.myself,
        }
    }
}

fn entries(entries: Vec<proto::Entry>) -> BTreeMap<String, String> {
    let entries = entries.into_iter();
    entries.map(|entry| (entry.key, entry.value)).collect()
}

impl From<proto::DataPath> for DataPath {
    fn from(path: proto::DataPath) -> Self {
        Self {
            state: path.state,
            reason: path.reason,
            connection: path.connection,
            features: entries(path.features),
            attributes: entries(path.attributes),
        }
    }
}

impl From<proto::OverlayStatus> for OverlayStatus {
    fn from(overlay: proto::OverlayStatus) -> Self {
        Self {
            name: overlay.name,
            features: entries(overlay.features),
            diagnostics: entries(overlay.diagnostics),
        }
    }
}

impl From<proto::Link> for Link {
    fn from(link: proto::Link) -> Self {
        Self {
            link: link.link,
            peer: link.peer,
            address: link.address,
            direction: if link.dialed { "out" } else { "in" }.to_owned(),
            ring: link.ring,
            eager: link.eager,
            silent: link.silent,
            quiet_ms: link.quiet_ms,
            session: link.session,
            version: link.version,
            encryption: if link.unencrypted {
                "unencrypted"
            } else {
                "encrypted"
            }
            .to_owned(),
            data_path: link.data_path.map(Into::into),
            round_trip_us: link.round_trip_us,
            silent_after_ms: link.silent_after_ms,
        }
    }
}

impl From<proto::Traffic> for Traffic {
    fn from(traffic: proto::Traffic) -> Self {
        Self {
            messages_sent: traffic.messages_sent,
            bytes_sent: traffic.bytes_sent,
            messages_received: traffic.messages_received,
            bytes_received: traffic.bytes_received,
        }
    }
}

impl From<proto::ServiceProviders> for Service {
    fn from(service: proto::ServiceProviders) -> Self {
        Self {
            name: service.name,
            version: service.version,
            providers: service.providers,
        }
    }
}

impl From<proto::WatchEvent> for Event {
    fn from(event: proto::WatchEvent) -> Self {
        Self {
            sequence: event.sequence,
            at_ms: event.at_ms,
            kind: event.kind,
            subject: event.subject,
            text: event.text,
            missed: event.missed,
        }
    }
}

impl From<proto::MemberCounts> for Counts {
    fn from(counts: proto::MemberCounts) -> Self {
        Self {
            alive: counts.alive,
            suspect: counts.suspect,
            down: counts.down,
            left: counts.left,
        }
    }
}

impl From<proto::EndedLink> for EndedLink {
    fn from(link: proto::EndedLink) -> Self {
        Self {
            peer: link.peer,
            reason: link.reason,
            ended_at_ms: link.ended_at_ms,
        }
    }
}

impl From<proto::NodeStatus> for StatusReply {
    fn from(status: proto::NodeStatus) -> Self {
        let phase = word(status.phase().as_str_name(), "PHASE_");
        let start = word(status.start().as_str_name(), "");
        let node = status.node.unwrap_or_default();
        let health = status.health.unwrap_or_default();
        Self {
            node: KnownMember {
                short_id: status.short_id,
                ..KnownMember::new(node.record.unwrap_or_default(), "alive")
            },
            without_short_id: status.without_short_id,
            unreachable: status.unreachable.into_iter().map(Into::into).collect(),
            undialable: status.undialable.map(Into::into),
            mesh: node.mesh,
            program_version: node.program_version,
            protocol_min: node.protocol_min,
            protocol_max: node.protocol_max,
            phase,
            start,
            health: word(health.status().as_str_name(), ""),
            message: health.message,
            listen: status.listen,
            encryption: status.encryption,
            trusted_subnets: status.trusted_subnets,
            trust: status.trust,
            secrets: status
                .secrets
                .into_iter()
                .map(|it| Secret {
                    fingerprint: it.fingerprint,
                    accepted_by: it.accepted_by,
                    lacking: it.lacking,
                })
                .collect(),
            outdated_links: status.outdated_links,
            discovery: status.discovery,
            channels: status.channels,
            open_channels: status.open_channels,
            overlay: status.overlay.map(Into::into),
            uptime_ms: status.uptime_ms,
            hash: hash(status.hash),
            targets: status.targets.into_iter().map(Into::into).collect(),
            members: status.members.unwrap_or_default().into(),
            links: status.links.into_iter().map(Into::into).collect(),
            failed_dials: status
                .failed_dials
                .into_iter()
                .map(|it| FailedDial {
                    address: it.address,
                    reason: it.reason,
                    failed_at_ms: it.failed_at_ms,
                    retry_at_ms: it.retry_at_ms,
                })
                .collect(),
            ended_links: status.ended_links.into_iter().map(Into::into).collect(),
            certificate: status.certificate.map(|it| Certificate {
                subject: it.subject,
                issuer: it.issuer,
                not_before: it.not_before,
                not_after: it.not_after,
            }),
            watchers: status.watchers,
            connections: status.connections,
            traffic: status.traffic.map(Into::into).unwrap_or_default(),
        }
    }
}
