//! Converts the state of the core machines into replies.

use super::journal::{JournalEntry, Kept};
use crate::identity::{ACCEPTED_SECRETS, Identity, Trust};
use crate::overlay::{OverlayStatus, PathStatus};
use crate::telemetry;
use crate::transport::{Traffic, TrustedSubnets};
use crate::wire::proto::{self, health, node_status};
use crate::wire::{edges, failure_number};
use phalanx_core::gossip::message::{VERSION_MAX, VERSION_MIN};
use phalanx_core::gossip::{
    Gossip, LinkView, MYSELF, MemberView, Phase, Status, UndialableView, UnreachableView,
};
use phalanx_core::identity::NodeId;
use phalanx_core::link::{Address, LinkId};
use phalanx_core::node::Node;
use phalanx_core::time::Instant;
use phalanx_core::topology::alias;
use phalanx_core::topology::record::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Maximum number of members listed as not accepting a secret.
const LACKING_MAX: usize = 16;

/// Converts a duration to whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) const fn phase(phase: Phase) -> proto::Phase {
    match phase {
        Phase::Joining => proto::Phase::Joining,
        Phase::Running => proto::Phase::Running,
        Phase::Isolated => proto::Phase::Isolated,
        Phase::Leaving => proto::Phase::Leaving,
        Phase::Left => proto::Phase::Left,
        Phase::NameTaken => proto::Phase::NameTaken,
    }
}

const fn status(status: Status) -> proto::MemberStatus {
    match status {
        Status::Alive => proto::MemberStatus::Alive,
        Status::Suspect => proto::MemberStatus::Suspect,
        Status::Down => proto::MemberStatus::Down,
        Status::Left => proto::MemberStatus::Left,
    }
}

/// Returns whether a node in this phase can do its work. With `duplicate`, another node that this node cannot reach uses
/// the node's id; `alone`, the node knows no other member.
pub(super) fn health(
    phase: Phase,
    duplicate: bool,
    alone: bool,
    checked: Duration,
) -> proto::Health {
    let (status, message) = match phase {
        Phase::Joining | Phase::Running | Phase::Isolated if duplicate => (
            health::Status::Unhealthy,
            "duplicate-id: another node, which this node cannot reach, uses this node's id; change the id of one of them",
        ),
        Phase::Joining => (health::Status::Unknown, "no seed address was reached yet"),
        Phase::Running if alone => (health::Status::Healthy, "the only member of the mesh"),
        Phase::Running => (health::Status::Healthy, "member of the mesh"),
        Phase::Isolated => (health::Status::Unhealthy, "no neighbour responds"),
        Phase::Leaving => (health::Status::Unhealthy, "leaving the mesh"),
        Phase::Left => (health::Status::Unhealthy, "left the mesh"),
        Phase::NameTaken => (
            health::Status::Unhealthy,
            "another node uses this node's id; this node resumes when that node is gone; change the id of one of them",
        ),
    };
    proto::Health {
        status: status.into(),
        message: message.to_owned(),
        last_checked_ms: millis(checked),
    }
}

pub(super) fn node_info(record: &Record, mesh: &str) -> proto::NodeInfo {
    proto::NodeInfo {
        record: Some(record.into()),
        mesh: mesh.to_owned(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol_min: VERSION_MIN,
        protocol_max: VERSION_MAX,
    }
}

pub(super) fn member((view, short): &(MemberView, Option<u16>)) -> proto::Member {
    proto::Member {
        record: Some(view.record.as_ref().into()),
        status: status(view.status).into(),
        edges: view.report.as_ref().map(edges).unwrap_or_default(),
        digest: view.record.digest(),
        short_id: short.map(u32::from),
        updated_ms: millis(view.updated),
    }
}

/// A consistent copy of one node's view.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) viewer: NodeId,
    pub(super) hash: u64,
    /// Each member with its short id.
    pub(super) members: Vec<(MemberView, Option<u16>)>,
}

impl Copy {
    pub(super) fn of(mesh: &Gossip) -> Self {
        let aliases = mesh.topology().aliases(alias::BITS);
        let numbered = mesh.members().map(|member| {
            let short = aliases.number(member.record.id());
            (member, short)
        });
        Self {
            viewer: mesh.id().clone(),
            hash: mesh.hash(),
            members: numbered.collect(),
        }
    }
}

/// Converts a link, with its neighbour's address.
fn link(view: &LinkView, mesh: &Gossip, unencrypted: &BTreeSet<LinkId>) -> proto::Link {
    let address = mesh
        .member(&view.peer)
        .and_then(|member| member.record.content().address);
    proto::Link {
        link: view.link.0,
        peer: view.peer.to_string(),
        dialed: view.dialed,
        eager: view.eager,
        ring: view.ring,
        silent: view.silent,
        quiet_ms: millis(view.quiet),
        session: view.session,
        version: view.version,
        address: address
            .map(|address| address.to_string())
            .unwrap_or_default(),
        unencrypted: unencrypted.contains(&view.link),
        data_path: None,
        round_trip_us: view
            .round_trip
            .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        silent_after_ms: millis(view.silent_after),
    }
}

pub(super) fn links(
    mesh: &Gossip,
    now: Instant,
    unencrypted: &BTreeSet<LinkId>,
) -> Vec<proto::Link> {
    let views = mesh.links(now);
    views.map(|view| link(&view, mesh, unencrypted)).collect()
}

pub(super) fn unreachable(mesh: &Gossip) -> Vec<proto::UnreachablePeer> {
    let pair = |view: UnreachableView| proto::UnreachablePeer {
        peer: view.peer.to_string(),
        address: view
            .address
            .map(|address| address.to_string())
            .unwrap_or_default(),
        own: failure_number(view.own),
        theirs: failure_number(view.theirs),
        last_contact_ms: view.last_contact.map(millis),
        lasted_ms: millis(view.lasted),
        linked: view.linked,
    };
    mesh.unreachable().into_iter().map(pair).collect()
}

fn undialable(view: UndialableView) -> proto::UndialableAddress {
    proto::UndialableAddress {
        address: view.address.to_string(),
        by: view.by.iter().map(ToString::to_string).collect(),
        count: u32::try_from(view.count).unwrap_or(u32::MAX),
        failure: failure_number(Some(view.failure)),
        last_contact_ms: view.last_contact.map(millis),
    }
}

fn entries(map: &BTreeMap<String, String>) -> Vec<proto::Entry> {
    let entry = |(key, value): (&String, &String)| proto::Entry {
        key: key.clone(),
        value: value.clone(),
    };
    map.iter().map(entry).collect()
}

fn data_path(path: &PathStatus) -> proto::DataPath {
    proto::DataPath {
        state: path.state.word().to_owned(),
        reason: path.state.reason().unwrap_or_default().to_owned(),
        connection: path.connection.to_string(),
        features: path
            .offer
            .as_ref()
            .map(|offer| entries(offer.features()))
            .unwrap_or_default(),
        attributes: entries(&path.attributes),
    }
}

/// Adds the data paths to their links.
pub(super) fn with_paths(
    mut links: Vec<proto::Link>,
    overlay: Option<&OverlayStatus>,
) -> Vec<proto::Link> {
    for path in overlay.iter().flat_map(|overlay| &overlay.paths) {
        if let Some(link) = links.iter_mut().find(|link| link.link == path.link.0) {
            link.data_path = Some(data_path(path));
        }
    }
    links
}

fn overlay(status: &OverlayStatus) -> proto::OverlayStatus {
    proto::OverlayStatus {
        name: status.offer.name().to_owned(),
        features: entries(status.offer.features()),
        diagnostics: entries(&status.diagnostics),
    }
}

fn counts(mesh: &Gossip) -> proto::MemberCounts {
    let mut counts = proto::MemberCounts::default();
    for member in mesh.members() {
        match member.status {
            Status::Alive => counts.alive += 1,
            Status::Suspect => counts.suspect += 1,
            Status::Down => counts.down += 1,
            Status::Left => counts.left += 1,
        }
    }
    counts
}

fn accepted(mesh: &Gossip) -> Vec<(NodeId, String)> {
    let live = mesh
        .members()
        .filter(|member| matches!(member.status, Status::Alive | Status::Suspect));
    live.map(|member| {
        let accepted = member.record.content().metadata.get(ACCEPTED_SECRETS);
        (
            member.record.id().clone(),
            accepted.cloned().unwrap_or_default(),
        )
    })
    .collect()
}

/// Returns the node's secrets, each with the members that accept it.
fn secrets(trust: &Trust, accepted: &[(NodeId, String)]) -> Vec<proto::Secret> {
    let Trust::Secrets(fingerprints) = trust else {
        return Vec::new();
    };
    let lacks = |(_, listed): &&(NodeId, String), fingerprint: &str| {
        listed.split(' ').all(|accepted| accepted != fingerprint)
    };
    let secret = |fingerprint: &String| {
        let lacking: Vec<_> = accepted
            .iter()
            .filter(|member| lacks(member, fingerprint))
            .map(|(id, _)| id.to_string())
            .collect();
        proto::Secret {
            fingerprint: fingerprint.clone(),
            accepted_by: u32::try_from(accepted.len() - lacking.len()).unwrap_or(u32::MAX),
            lacking: lacking.into_iter().take(LACKING_MAX).collect(),
        }
    };
    fingerprints.iter().map(secret).collect()
}

pub(super) fn targets(mesh: &Gossip) -> Vec<proto::Target> {
    let alive = |address: &Address| {
        let mut members = mesh.members();
        members.find(|member| {
            let at = member.record.content().address.map(Address::Socket);
            let other = member.record.id() != mesh.id();
            other && member.status == Status::Alive && at.as_ref() == Some(address)
        })
    };
    let target = |(address, peer, failure): (&Address, Option<&NodeId>, Option<&str>)| {
        let myself = peer.is_none() && failure == Some(MYSELF);
        // A member that is alive at the address was found in another way since the failure.
        let found = (peer.is_none() && !myself)
            .then(|| alive(address))
            .flatten();
        let found = found.map(|member| member.record.id().clone());
        let failure = failure.filter(|_| found.is_none()).unwrap_or_default();
        proto::Target {
            address: address.to_string(),
            peer: peer
                .cloned()
                .or(found)
                .map(|id| id.to_string())
                .unwrap_or_default(),
            failure: failure.to_owned(),
            myself,
        }
    };
    mesh.seeds().map(target).collect()
}

/// The part of a status that the machine knows, at one instant.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) record: Arc<Record>,
    pub(super) mesh: String,
    pub(super) phase: Phase,
    /// Whether another node, which this node cannot reach, uses the node's id.
    duplicate: bool,
    /// Whether the node was started without seed addresses.
    bootstrapped: bool,
    /// The node's own short id.
    short_id: Option<u16>,
    /// The number of members without a short id.
    without_short_id: usize,
    pub(super) hash: u64,
    pub(super) uptime: Duration,
    discovery: bool,
    pub(super) links: Vec<proto::Link>,
    unreachable: Vec<proto::UnreachablePeer>,
    undialable: Option<proto::UndialableAddress>,
    targets: Vec<proto::Target>,
    members: proto::MemberCounts,
    channels: u32,
    open_channels: u32,
    /// Live members with the secrets that they accept.
    accepted: Vec<(NodeId, String)>,
    /// Addresses that were reached; earlier failures there are not reported.
    reached: BTreeSet<String>,
}

impl Inside {
    pub(super) fn of(node: &Node, now: Instant, unencrypted: &BTreeSet<LinkId>) -> Self {
        let mesh = node.mesh();
        let known = node.channels().known();
        let (channels, open_channels) = known.fold((0, 0), |(channels, open), (.., opened)| {
            (channels + 1, open + u32::from(opened))
        });
        let (links, targets) = (links(mesh, now, unencrypted), targets(mesh));
        let aliases = mesh.topology().aliases(alias::BITS);
        let found = targets
            .iter()
            .filter(|target| target.failure.is_empty() && !target.peer.is_empty());
        let reached = found
            .map(|target| &target.address)
            .chain(links.iter().map(|link| &link.address));
        Self {
            record: Arc::clone(mesh.record()),
            mesh: mesh.config().mesh.clone(),
            phase: mesh.phase(),
            duplicate: mesh.duplicate_since(now).is_some(),
            bootstrapped: mesh.config().seeds.is_empty(),
            short_id: aliases.number(mesh.id()),
            without_short_id: aliases.without(),
            hash: mesh.hash(),
            uptime: now.since(Instant::ZERO),
            discovery: mesh.discovers(),
            reached: reached.cloned().collect(),
            members: counts(mesh),
            accepted: accepted(mesh),
            links,
            unreachable: unreachable(mesh),
            undialable: mesh.undialable().map(undialable),
            targets,
            channels,
            open_channels,
        }
    }

    /// Whether the node knows no other member.
    fn is_alone(&self) -> bool {
        let proto::MemberCounts {
            alive,
            suspect,
            down,
            left,
        } = self.members;
        alive + suspect + down + left <= 1
    }

    /// Builds the whole status; `outside` contains what the machine does not know.
    pub(super) fn status(self, outside: &Outside<'_>) -> proto::NodeStatus {
        proto::NodeStatus {
            node: Some(node_info(&self.record, &self.mesh)),
            phase: phase(self.phase).into(),
            health: Some(health(
                self.phase,
                self.duplicate,
                self.is_alone(),
                outside.now,
            )),
            listen: outside.listen.clone(),
            encryption: encryption(&outside.trusted),
            discovery: discovery(self.discovery).to_owned(),
            uptime_ms: millis(self.uptime),
            hash: self.hash,
            failed_dials: failed_dials(outside.kept, &self.reached),
            targets: self.targets,
            members: Some(self.members),
            links: with_paths(self.links, outside.overlay),
            ended_links: outside.kept.ended.iter().map(ended_link).collect(),
            certificate: Some(certificate(outside.identity)),
            watchers: outside.watchers,
            traffic: Some(traffic(outside.traffic)),
            connections: u32::try_from(outside.connections).unwrap_or(u32::MAX),
            trust: outside.identity.trust().to_string(),
            channels: self.channels,
            open_channels: self.open_channels,
            secrets: secrets(outside.identity.trust(), &self.accepted),
            outdated_links: u32::try_from(outside.outdated_links).unwrap_or(u32::MAX),
            trusted_subnets: outside.trusted.iter().map(ToString::to_string).collect(),
            overlay: outside.overlay.map(overlay),
            start: start(self.bootstrapped).into(),
            short_id: self.short_id.map(u32::from),
            without_short_id: u32::try_from(self.without_short_id).unwrap_or(u32::MAX),
            unreachable: self.unreachable,
            undialable: self.undialable,
        }
    }
}

const fn start(bootstrapped: bool) -> node_status::Start {
    if bootstrapped {
        node_status::Start::Bootstrap
    } else {
        node_status::Start::Join
    }
}

fn encryption(trusted: &TrustedSubnets) -> String {
    let always = "mutual TLS 1.3".to_owned();
    if trusted.is_empty() {
        return always;
    }
    format!("{always}; unencrypted in {trusted}, where the other end trusts it too")
}

const fn discovery(discovery: bool) -> &'static str {
    if discovery {
        "on: members learnt from other nodes are dialled"
    } else {
        "off: only the seed addresses (targets) are dialled"
    }
}

/// The part of a status that the machine does not know.
pub(super) struct Outside<'a> {
    pub(super) now: Duration,
    pub(super) listen: String,
    pub(super) identity: &'a Identity,
    pub(super) kept: &'a Kept,
    pub(super) watchers: u32,
    pub(super) traffic: Traffic,
    pub(super) connections: usize,
    pub(super) outdated_links: usize,
    pub(super) trusted: TrustedSubnets,
    pub(super) overlay: Option<&'a OverlayStatus>,
}

fn failed_dials(kept: &Kept, reached: &BTreeSet<String>) -> Vec<proto::FailedDial> {
    let failed = kept.failed.iter().map(|(address, dial)| proto::FailedDial {
        address: address.to_string(),
        reason: dial.reason.clone(),
        retry_at_ms: dial.retry_at.map(millis),
        failed_at_ms: millis(dial.at),
    });
    failed
        .filter(|dial| !reached.contains(&dial.address))
        .collect()
}

fn ended_link(link: &super::journal::EndedLink) -> proto::EndedLink {
    proto::EndedLink {
        peer: link.peer.to_string(),
        reason: telemetry::end(link.reason).to_owned(),
        ended_at_ms: millis(link.at),
    }
}

fn certificate(identity: &Identity) -> proto::Certificate {
    let validity = identity.validity();
    proto::Certificate {
        subject: identity.subject().to_string(),
        issuer: identity.facts().issuer.clone(),
        not_before: validity.not_before.0,
        not_after: validity.not_after.0,
    }
}

const fn traffic(traffic: Traffic) -> proto::Traffic {
    proto::Traffic {
        messages_sent: traffic.messages_sent,
        bytes_sent: traffic.bytes_sent,
        messages_received: traffic.messages_received,
        bytes_received: traffic.bytes_received,
    }
}

pub(super) fn event(entry: &JournalEntry) -> proto::WatchEvent {
    let description = &entry.description;
    proto::WatchEvent {
        sequence: entry.sequence,
        at_ms: millis(entry.at),
        kind: description.kind.to_owned(),
        subject: description
            .subject
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        text: description.text.clone(),
        missed: 0,
    }
}

/// Returns the event that tells a slow watcher how many events it missed.
pub(super) fn lagged(missed: u64, now: Duration) -> proto::WatchEvent {
    proto::WatchEvent {
        sequence: 0,
        at_ms: millis(now),
        kind: "lagged".to_owned(),
        subject: String::new(),
        text: format!("{missed} events were missed: this watcher reads too slowly"),
        missed,
    }
}
