//! The records and edge reports that nodes publish.
//!
//! A [`Record`] has one writer, its owner, and a [`EdgeReport`] has one writer, its reporter. Records and reports are
//! merged by lexicographic maximum, so merging is commutative, associative and idempotent, whatever the relays and the
//! order. This holds even if two machines claim one id (clones) or a relay invents a value (a byzantine node).

use super::position::{self, RINGS};
use crate::identity::{NameError, NodeId, check_name, only_shows};
use crate::random::{hash_bytes, mix};
use crate::size::{self, Encoded};
use crate::time::Wall;
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

/// The class of a node that publishes no class.
const GENERIC: &str = "generic";
/// Maximum number of services in a record.
pub const SERVICES_MAX: usize = 64;
/// Maximum number of metadata entries in a record.
pub const METADATA_MAX: usize = 64;
/// Maximum encoded size of a record's content, in bytes.
pub const CONTENT_BYTES_MAX: usize = 8 * 1024;
/// Maximum number of edges in a report.
pub const EDGES_MAX: usize = 1_024;
/// Maximum encoded size of a report, so that the report fits in one message.
pub const REPORT_BYTES_MAX: usize = 14 * 1024;
/// Maximum encoded size of one edge that is not refused, without the peer's id: three tags, the id's length, the state,
/// and an age below 2^35 milliseconds.
const EDGE_BYTES_MAX: usize = 10;
/// The highest epoch that a node stores. Members accept far lower counters: see [`crate::counter`].
pub const COUNTER_MAX: u64 = 1 << 62;

/// The order of a node's records: the record with the greatest rank wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Increases with each start of the node.
    pub epoch: u64,
    /// Random for each start: distinguishes two machines with one id.
    pub instance: u32,
    /// Increases when the owner refutes a claim about itself.
    pub incarnation: u64,
    /// The owner is leaving on purpose.
    pub leaving: bool,
    /// Increases with each publication of the owner. Records and reports share the counter.
    pub version: u64,
}

/// A service that a node provides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The service's name.
    pub name: String,
    /// The service's version, compared as text.
    pub version: String,
}

/// Reasons why a text is not a valid service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceError {
    /// The service's name breaks the rules of names.
    Name(NameError),
    /// The service's version breaks the rules of names.
    Version(NameError),
    /// The text separates name and version by `@`.
    Spelling {
        /// The correct spelling.
        right: String,
    },
}

impl core::fmt::Display for ServiceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Name(error) => write!(f, "names a service that {error}"),
            Self::Version(error) => write!(f, "names a version that {error}"),
            Self::Spelling { right } => {
                write!(
                    f,
                    "has an '@'; a service is written NAME/VERSION: {right:?}"
                )
            }
        }
    }
}

impl core::error::Error for ServiceError {}

impl Service {
    /// Checks the rules of names; a version may be empty.
    fn check(&self) -> Result<(), ServiceError> {
        check_name(&self.name).map_err(ServiceError::Name)?;
        if self.version.is_empty() {
            return Ok(());
        }
        check_name(&self.version).map_err(ServiceError::Version)
    }
}

impl core::fmt::Display for Service {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.name)?;
        if self.version.is_empty() {
            return Ok(());
        }
        write!(f, "/{}", self.version)
    }
}

impl core::str::FromStr for Service {
    type Err = ServiceError;

    /// `NAME`, or `NAME/VERSION`.
    fn from_str(text: &str) -> Result<Self, ServiceError> {
        if text.contains('@') {
            let right = text.replacen('@', "/", 1);
            return Err(ServiceError::Spelling { right });
        }
        let (name, version) = match text.split_once('/') {
            Some((_, "")) => return Err(ServiceError::Version(NameError::Empty)),
            Some((name, version)) => (name, version),
            None => (text, ""),
        };
        let service = Self {
            name: name.to_owned(),
            version: version.to_owned(),
        };
        service.check()?;
        Ok(service)
    }
}

/// A node's class as shown to users.
#[must_use]
pub const fn class(kind: &str) -> &str {
    if kind.is_empty() { GENERIC } else { kind }
}

/// A class as published by a node: `generic` is encoded as an empty text.
#[must_use]
pub fn encoded_class(class: &str) -> &str {
    if class == GENERIC { "" } else { class }
}

/// The data that a node publishes about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    /// A name for display; need not be unique.
    pub nickname: String,
    /// The node's class (`gateway`, ...), by which users filter nodes. An empty text stands for `generic`, the most
    /// common class, which therefore takes no bytes. See [`class`] and [`encoded_class`].
    pub kind: String,
    /// The address at which the node can be dialled. None if the node is behind NAT and only dials out.
    pub address: Option<SocketAddr>,
    /// The time at which the owner started the node, by the owner's calendar clock.
    pub joined: Wall,
    /// The services that the node provides; at most [`SERVICES_MAX`].
    pub services: BTreeSet<Service>,
    /// Free-form data; at most [`METADATA_MAX`] entries.
    pub metadata: BTreeMap<String, String>,
}

/// Reasons why content is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentError {
    /// A service's name or version breaks the rules of names.
    Service(ServiceError),
    /// A text holds a control character or a character that changes the direction of the text.
    Character {
        /// The name of the text that holds the character.
        of: &'static str,
        /// The character.
        character: char,
    },
    /// More than [`SERVICES_MAX`] services.
    TooManyServices,
    /// More than [`METADATA_MAX`] entries.
    TooMuchMetadata,
    /// More than [`CONTENT_BYTES_MAX`] bytes.
    TooLarge,
}

impl core::fmt::Display for ContentError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Service(error) => write!(f, "a service that {error}"),
            Self::Character { of, character } => write!(
                f,
                "{of} with {character:?}; control characters are not allowed"
            ),
            Self::TooManyServices => write!(f, "more than {SERVICES_MAX} services"),
            Self::TooMuchMetadata => write!(f, "more than {METADATA_MAX} metadata entries"),
            Self::TooLarge => write!(
                f,
                "more than {CONTENT_BYTES_MAX} bytes of services and metadata"
            ),
        }
    }
}

impl core::error::Error for ContentError {}

impl Content {
    /// Checks the bounds, the service names, and that every text has printable characters only, because users read them
    /// on terminals.
    ///
    /// # Errors
    /// The error is the first bound or rule that the content breaks.
    pub fn check(&self) -> Result<(), ContentError> {
        if self.services.len() > SERVICES_MAX {
            return Err(ContentError::TooManyServices);
        }
        if self.metadata.len() > METADATA_MAX {
            return Err(ContentError::TooMuchMetadata);
        }
        if self.encoded_len() > CONTENT_BYTES_MAX {
            return Err(ContentError::TooLarge);
        }
        for service in &self.services {
            service.check().map_err(ContentError::Service)?;
        }
        let own = [("a nickname", &self.nickname), ("a kind", &self.kind)];
        let entries = self
            .metadata
            .iter()
            .flat_map(|(key, value)| [("a metadata key", key), ("a metadata value", value)]);
        for (of, text) in own.into_iter().chain(entries) {
            if let Some(character) = text.chars().find(|character| !only_shows(*character)) {
                return Err(ContentError::Character { of, character });
            }
        }
        Ok(())
    }
}

/// Bytes of an address on the wire: 4 or 16 for the IP address and 2 for the port; 0 without an address.
const fn address_len(address: Option<SocketAddr>) -> usize {
    match address {
        None => 0,
        Some(SocketAddr::V4(_)) => 6,
        Some(SocketAddr::V6(_)) => 18,
    }
}

impl Encoded for Service {
    fn encoded_len(&self) -> usize {
        size::bytes(self.name.len()) + size::bytes(self.version.len())
    }
}

impl Encoded for Content {
    fn encoded_len(&self) -> usize {
        let services: usize = self
            .services
            .iter()
            .map(|s| size::delimited(s.encoded_len()))
            .sum();
        let metadata: usize = self
            .metadata
            .iter()
            .map(|(key, value)| size::delimited(size::bytes(key.len()) + size::bytes(value.len())))
            .sum();
        size::bytes(address_len(self.address))
            + size::bytes(self.nickname.len())
            + size::bytes(self.kind.len())
            + size::uint(self.joined.0)
            + services
            + metadata
    }
}

/// One node's record, with its rank and its content; records are ordered by rank, then by content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    rank: Rank,
    content: Content,
    id: NodeId,
    digest: u64,
    encoded: usize,
    /// The id's positions on the rings, cached because every comparison in a search needs them.
    places: [u64; RINGS],
}

impl Record {
    /// The record of node `id`.
    #[must_use]
    pub fn new(id: NodeId, rank: Rank, content: Content) -> Self {
        let digest = digest(&id, &rank, &content);
        let encoded = size::bytes(id.as_str().len())
            + size::uint(rank.epoch)
            + if rank.instance == 0 { 0 } else { 5 }
            + size::uint(rank.incarnation)
            + size::boolean(rank.leaving)
            + size::uint(rank.version)
            + content.encoded_len();
        Self {
            rank,
            content,
            places: position::places(&id),
            id,
            digest,
            encoded,
        }
    }

    /// The owner.
    #[must_use]
    pub const fn id(&self) -> &NodeId {
        &self.id
    }

    /// The record's rank.
    #[must_use]
    pub const fn rank(&self) -> Rank {
        self.rank
    }

    /// The content that the owner published.
    #[must_use]
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// The id's position on each ring.
    pub(super) const fn places(&self) -> &[u64; RINGS] {
        &self.places
    }

    /// A hash of the whole record.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }
}

impl Encoded for Record {
    fn encoded_len(&self) -> usize {
        self.encoded
    }
}

/// Hashes fields unambiguously: each text is preceded by its length.
struct Digest(u64);

impl Digest {
    const fn number(&mut self, value: u64) {
        self.0 = mix(self.0 ^ mix(value));
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.number(hash_bytes(text.as_bytes()));
    }
}

fn digest(id: &NodeId, rank: &Rank, content: &Content) -> u64 {
    let mut digest = Digest(1);
    digest.text(id.as_str());
    digest.number(rank.epoch);
    digest.number(u64::from(rank.instance));
    digest.number(rank.incarnation);
    digest.number(u64::from(rank.leaving));
    digest.number(rank.version);
    digest.text(&content.nickname);
    digest.text(&content.kind);
    match content.address {
        None => digest.number(0),
        Some(address) => {
            let ip = match address.ip() {
                core::net::IpAddr::V4(ip) => u128::from(ip.to_bits()),
                core::net::IpAddr::V6(ip) => ip.to_bits() ^ (1 << 127),
            };
            digest.number((ip >> 64) as u64);
            digest.number(ip as u64);
            digest.number(u64::from(address.port()) + 1);
        }
    }
    digest.number(content.joined.0);
    digest.number(content.services.len() as u64);
    for service in &content.services {
        digest.text(&service.name);
        digest.text(&service.version);
    }
    for (key, value) in &content.metadata {
        digest.text(key);
        digest.text(value);
    }
    digest.0
}

/// One edge as its reporter sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The other end.
    pub peer: NodeId,
    /// Whether the reporter hears nothing from the peer. If false, the reporter hears the peer.
    pub down: bool,
    /// Whether the link to the peer ended without a goodbye, and the peer's host then refused dials for some time: the
    /// peer's process is gone. Only of an edge that is down.
    pub refused: bool,
}

/// The edges of a node whose state differs from the state that other nodes assume. A report has one writer and is
/// replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeReport {
    /// The reporter's epoch.
    pub epoch: u64,
    /// The number of the report, from the reporter's publication counter.
    pub version: u64,
    /// The edges, by peer; at most [`EDGES_MAX`] edges and [`REPORT_BYTES_MAX`] bytes.
    pub edges: Vec<Edge>,
    /// The reporter.
    pub reporter: NodeId,
}

impl EdgeReport {
    /// The number of edges, from the first one on, that fit in one report. An edge is given as its peer, and whether it
    /// is refused.
    pub(crate) fn fitting<'i>(edges: impl Iterator<Item = (&'i NodeId, bool)>) -> usize {
        let mut left = REPORT_BYTES_MAX;
        let fitting = edges.take(EDGES_MAX).take_while(|(peer, refused)| {
            let edge = peer.as_str().len() + EDGE_BYTES_MAX + size::boolean(*refused);
            let edge = size::delimited(edge);
            let fits = edge <= left;
            left = left.saturating_sub(edge);
            fits
        });
        fitting.count()
    }

    /// Whether the report is within its bounds.
    pub(crate) fn fits(&self) -> bool {
        let edges = self.edges.iter().map(|edge| (&edge.peer, edge.refused));
        Self::fitting(edges) == self.edges.len()
    }

    /// A hash of the report, without [`Edge::refused`]: builds that do not know this field pass reports on without it,
    /// and hold the same view.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut digest = Digest(2);
        digest.text(self.reporter.as_str());
        digest.number(self.epoch);
        digest.number(self.version);
        for edge in &self.edges {
            digest.text(edge.peer.as_str());
            digest.number(u64::from(edge.down));
        }
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_written_and_read_as_name_slash_version() {
        for text in ["shop", "shop/1", "shop/1.2.0-rc.1"] {
            assert_eq!(text.parse::<Service>().unwrap().to_string(), text);
        }
        let problem = |text: &str| text.parse::<Service>().unwrap_err().to_string();
        assert!(problem("shop@1").contains("\"shop/1\""));
        assert!(problem("shop/").contains("names a version that is empty"));
        assert!(problem("/1").contains("names a service that is empty"));
        assert!(problem("shop/1/2").contains("has '/' at byte 1"));
        assert!(problem("Shop").contains("'S'"));
    }

    #[test]
    fn texts_with_terminal_commands_are_refused_in_every_field() {
        let bad = "red\u{1b}[31m";
        let with = |change: &dyn Fn(&mut Content)| {
            let mut content = Content::default();
            change(&mut content);
            content.check()
        };
        let refused = [
            with(&|it| it.nickname = bad.into()),
            with(&|it| it.kind = "a\nb".into()),
            with(&|it| it.nickname = "\u{9b}31m".into()),
            with(&|it| it.nickname = "\u{202e}txt".into()),
            with(&|it| drop(it.metadata.insert(bad.into(), String::new()))),
            with(&|it| drop(it.metadata.insert("rack".into(), bad.into()))),
        ];
        for result in refused {
            assert!(
                matches!(result, Err(ContentError::Character { .. })),
                "{result:?}"
            );
        }
        let service = |name: &str, version: &str| {
            with(&|it| {
                it.services.insert(Service {
                    name: name.into(),
                    version: version.into(),
                });
            })
        };
        for (name, version) in [(bad, "1"), ("shop", bad), ("", "1"), ("Shop", "1")] {
            let result = service(name, version);
            assert!(
                matches!(result, Err(ContentError::Service(_))),
                "{result:?}"
            );
        }
        assert_eq!(service("shop", ""), Ok(()));
        assert_eq!(with(&|it| it.nickname = "Größe 🦀".into()), Ok(()));
    }
}
