//! What a node says of itself, and what it says of its edges.
//!
//! A [`Record`] has one writer, its owner; so has a [`Report`]. Both are merged by lexicographic maximum, so
//! merging commutes, associates and repeats without harm, whoever relays what in which order, even when two
//! machines claim one id (clones) or a relay invents a value (a liar).

use crate::identity::NodeId;
use crate::random::{hash_bytes, mix};
use crate::size::{self, Encoded};
use crate::time::Wall;
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

/// The most services one record carries.
pub const SERVICES_MAX: usize = 64;
/// The most metadata entries one record carries.
pub const METADATA_MAX: usize = 64;
/// The most bytes a record's content may take encoded.
pub const CONTENT_BYTES_MAX: usize = 8 * 1024;
/// The most edges one report carries.
pub const EDGES_MAX: usize = 64;
/// The highest epoch, version and incarnation a node accepts; leaves room to refute.
pub const COUNTER_MAX: u64 = 1 << 62;

/// The order of a node's records: the greatest wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Rises with each start of the node.
    pub epoch: u64,
    /// Random per start: tells two machines with one id apart.
    pub instance: u32,
    /// Rises when the owner refutes what others say of it.
    pub incarnation: u64,
    /// The owner leaves on purpose.
    pub leaving: bool,
    /// Rises with each publication of the owner (records and reports share the counter).
    pub version: u64,
}

/// A service a node serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The service's name.
    pub name: String,
    /// Its version, compared as text.
    pub version: String,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    /// A name for people; need not be unique.
    pub nickname: String,
    /// The node's class (`generic`, `gateway`, ...), for filters.
    pub kind: String,
    /// Where it can be dialled; none behind NAT: it then dials out only.
    pub address: Option<SocketAddr>,
    /// When its owner started it, by the owner's calendar.
    pub joined: Wall,
    /// What it serves; at most [`SERVICES_MAX`].
    pub services: BTreeSet<Service>,
    /// Free data; at most [`METADATA_MAX`] entries.
    pub metadata: BTreeMap<String, String>,
}

/// Why content is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentError {
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
    /// Checks the bounds.
    ///
    /// # Errors
    /// The first bound that is broken.
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
        Ok(())
    }
}

/// Bytes of an address on the wire: 4 or 16 of the IP address, 2 of the port.
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

/// One node's record: its rank, then its content; ordered by both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    rank: Rank,
    content: Content,
    id: NodeId,
    digest: u64,
    encoded: usize,
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
            id,
            digest,
            encoded,
        }
    }

    /// Whose record it is.
    #[must_use]
    pub const fn id(&self) -> &NodeId {
        &self.id
    }

    /// Its place in the order.
    #[must_use]
    pub const fn rank(&self) -> Rank {
        self.rank
    }

    /// What the owner says.
    #[must_use]
    pub const fn content(&self) -> &Content {
        &self.content
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

/// One half of an edge, as its reporter sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The other end.
    pub peer: NodeId,
    /// Whether the reporter hears nothing from the peer; otherwise it vouches that it does.
    pub down: bool,
}

/// All the exceptions of one node: the edges that others would presume wrongly. One writer, replaced whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    /// The reporter's epoch.
    pub epoch: u64,
    /// From the reporter's publication counter.
    pub version: u64,
    /// The edges, by peer; at most [`EDGES_MAX`].
    pub edges: Vec<Edge>,
    /// Whose report it is.
    pub reporter: NodeId,
}

impl Report {
    /// A hash of the whole report.
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
