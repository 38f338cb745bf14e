//! Messages about channels between two neighbours, over one link.
//!
//! A [`Data`] is one message of a link: at most [`FRAME_BYTES_MAX`](crate::size::FRAME_BYTES_MAX) bytes
//! encoded. A payload that does not fit is cut into segments: the first travels in its item, the others in
//! [`Item::Segment`] right behind it on the same link. Sizes equal the wire format's (net/proto/mesh.proto).

use crate::identity::{NameError, NodeId, check_name};
use crate::random::{hash_bytes, mix};
use crate::size::{self, Encoded};
use crate::sketch::Cell;
use core::fmt;
use std::sync::Arc;

/// Maximum number of bytes of one payload.
pub const PAYLOAD_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Maximum number of entries of one update of a map.
pub const ENTRIES_MAX: usize = 64;
/// Maximum length of a key of a map, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// Maximum number of nodes that a packet passes through.
pub const HOPS_MAX: usize = 24;
/// Maximum number of digests that are requested at once.
pub const WANT_MAX: usize = 1_000;

/// A channel's name, which follows the rules of [`NodeId`]. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Parses a channel name.
    ///
    /// # Errors
    /// Returns an error if the text breaks the rules of names.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::str::FromStr for ChannelName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The kind of a channel's broadcasts. All nodes of a mesh use the same kind for one channel name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Messages, each delivered once. The latest messages of each origin are kept for members that join later.
    Messages,
    /// A map from keys to values that every node holds. The latest write of a key wins.
    Map,
    /// State that the application merges itself ([`Mergeable`](super::Mergeable)).
    Custom,
}

impl Kind {
    /// The kind's name in configurations, logs and answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Map => "map",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Names one broadcast.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpdateId {
    /// The channel.
    pub channel: ChannelName,
    /// The publisher.
    pub origin: NodeId,
    /// The origin's epoch.
    pub epoch: u64,
    /// Increases by one with each broadcast of the origin on the channel.
    pub sequence: u64,
}

/// Orders the writes of a map: the greatest version wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Higher than every clock that the writer had seen on the channel (Lamport 1978).
    pub clock: u64,
    /// The writer.
    pub origin: NodeId,
    /// The writer's epoch.
    pub epoch: u64,
    /// The number of the writer's broadcast.
    pub sequence: u64,
}

/// One write of an update; its value is a part of the update's payload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The key; 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: Arc<str>,
    /// The version that the writer overwrote; none if the writer did not know the key.
    pub over: Option<Version>,
    /// The value's length in bytes; none if the key is deleted.
    pub length: Option<u32>,
}

/// The content of an update.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Body {
    /// The payload is a message.
    Message,
    /// The payload is the concatenated values of these writes of one transaction.
    Entries {
        /// The writes' clock.
        clock: u64,
        /// The writes, by key; 1 to [`ENTRIES_MAX`].
        entries: Vec<Entry>,
    },
    /// The payload is an update that the application merges.
    Custom,
}

impl Body {
    /// The kind of channel that carries such an update.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Message => Kind::Messages,
            Self::Entries { .. } => Kind::Map,
            Self::Custom => Kind::Custom,
        }
    }
}

/// One broadcast.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Update {
    /// The update's name.
    pub id: UpdateId,
    /// The update's content.
    pub body: Body,
    /// The payload; at most [`PAYLOAD_BYTES_MAX`] bytes.
    pub payload: Arc<[u8]>,
}

impl Update {
    /// A hash of the name, the content and the payload.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hash = hash_bytes(&self.payload);
        let mut add = |value: u64| hash = mix(hash ^ mix(value));
        add(hash_bytes(self.id.origin.as_str().as_bytes()));
        add(self.id.epoch);
        add(self.id.sequence);
        if let Body::Entries { clock, entries } = &self.body {
            add(*clock);
            for entry in entries {
                add(hash_bytes(entry.key.as_bytes()));
                add(entry.length.map_or(0, |length| u64::from(length) + 1));
            }
        }
        hash
    }

    /// The writes, each with its value; none for a deletion. Empty if the update is not one of a map.
    pub fn writes(&self) -> impl Iterator<Item = (&Entry, Option<&[u8]>)> {
        let entries = match &self.body {
            Body::Entries { entries, .. } => entries.as_slice(),
            Body::Message | Body::Custom => &[],
        };
        let mut from = 0;
        entries.iter().map(move |entry| {
            let value = entry.length.map(|length| {
                let to = from + length as usize;
                let value = self.payload.get(from..to).unwrap_or_default();
                from = to;
                value
            });
            (entry, value)
        })
    }

    /// The version of the update's writes.
    #[must_use]
    pub fn version(&self) -> Version {
        let clock = match &self.body {
            Body::Entries { clock, .. } => *clock,
            Body::Message | Body::Custom => 0,
        };
        Version {
            clock,
            origin: self.id.origin.clone(),
            epoch: self.id.epoch,
            sequence: self.id.sequence,
        }
    }
}

/// The purpose of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Bytes for the application; the receiver answers `Delivered` or `Failed`.
    Message,
    /// Bytes for the application, without an answer; the bytes may be lost or duplicated.
    Datagram,
    /// The sender's whole state of a custom channel, without an answer.
    State,
    /// The message with this number was handed to the receiving application.
    Delivered,
    /// The message with this number was not delivered.
    Failed(DeliveryFailure),
}

/// Reasons why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryFailure {
    /// No member with this id is known.
    UnknownPeer,
    /// The peer is down or has left.
    PeerDown,
    /// No path leads to the receiver.
    NoRoute,
    /// A node on the path could not forward the message, and no other route was found in time.
    RelayLost,
    /// The peer has no application on the channel.
    NoSuchChannel,
    /// The receiving application, or a queue on the path, is full.
    Busy,
    /// No answer arrived in time; the message may have been delivered.
    TimedOut,
}

impl DeliveryFailure {
    /// All failures, with their numbers on the wire.
    pub const ALL: [(Self, i32); 7] = [
        (Self::UnknownPeer, 1),
        (Self::PeerDown, 2),
        (Self::NoRoute, 3),
        (Self::RelayLost, 4),
        (Self::NoSuchChannel, 5),
        (Self::Busy, 6),
        (Self::TimedOut, 7),
    ];
}

impl fmt::Display for DeliveryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownPeer => "no member of this name is known",
            Self::PeerDown => "the peer is down or has left",
            Self::NoRoute => "no path leads to the peer",
            Self::RelayLost => "a node on the way could not pass it on",
            Self::NoSuchChannel => "the peer has not opened this channel",
            Self::Busy => "the peer, or a queue on the way, is full",
            Self::TimedOut => "no answer came in time; it may have been delivered",
        })
    }
}

impl core::error::Error for DeliveryFailure {}

/// A message, or its answer, that is routed from one node to another through relays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The epoch of the sender of the message; an answer repeats it.
    pub epoch: u64,
    /// The sender's number for the message; an answer repeats it.
    pub number: u64,
    /// The lowest number for which the sender still expects an answer.
    pub floor: u64,
    /// The purpose of the packet.
    pub purpose: Purpose,
    /// The channel.
    pub channel: ChannelName,
    /// The hops to avoid, followed by the nodes that the packet passed, starting with its sender; at most [`HOPS_MAX`]
    /// nodes.
    pub path: Vec<NodeId>,
    /// The payload; at most [`PAYLOAD_BYTES_MAX`] bytes.
    pub payload: Arc<[u8]>,
}

/// One item of a message about channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The sender holds this broadcast, which may be requested (IHAVE of Plumtree).
    Have(UpdateId),
    /// The sender requests this broadcast; the link becomes eager (GRAFT of Plumtree).
    Graft(UpdateId),
    /// A broadcast.
    Update {
        /// The broadcast, with the first segment of its payload.
        update: Arc<Update>,
        /// Whether anti-entropy sent the broadcast. A broadcast sent by anti-entropy is not evidence about the
        /// broadcast tree.
        repair: bool,
        /// Bytes of the payload that follow in segments.
        remaining: u32,
    },
    /// A packet.
    Packet {
        /// The packet, with the first segment of its payload.
        packet: Arc<Packet>,
        /// Bytes of the payload that follow in segments.
        remaining: u32,
    },
    /// The next segment of the preceding payload.
    Segment(Arc<[u8]>),
    /// Order-free hash of the sender's state of a channel.
    Digest {
        /// The channel.
        channel: ChannelName,
        /// The channel's kind.
        kind: Kind,
        /// The hash.
        hash: u64,
    },
    /// The sender's state of a channel as a set sketch.
    Sketch {
        /// The channel.
        channel: ChannelName,
        /// The channel's kind.
        kind: Kind,
        /// The cells of the sketch.
        cells: Vec<Cell>,
    },
    /// The sketch could not be decoded: the receiver is to send a larger sketch, or the whole state.
    Larger {
        /// The channel.
        channel: ChannelName,
        /// The number of cells; 0 for the whole state.
        cells: u32,
    },
    /// The receiver is to send the elements with these digests.
    Want {
        /// The channel.
        channel: ChannelName,
        /// The digests; at most [`WANT_MAX`].
        digests: Vec<u64>,
    },
}

/// One message about channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Window credit: the number of further bytes of [`Data`] that the receiver may send.
    pub credit: u32,
    /// The receiver is to announce broadcasts on this link instead of sending them (PRUNE of Plumtree).
    pub prune: bool,
    /// The items, in order.
    pub items: Vec<Item>,
}

impl Encoded for UpdateId {
    fn encoded_len(&self) -> usize {
        size::bytes(self.channel.as_str().len())
            + size::bytes(self.origin.as_str().len())
            + size::uint(self.epoch)
            + size::uint(self.sequence)
    }
}

impl Encoded for Version {
    fn encoded_len(&self) -> usize {
        size::uint(self.clock)
            + size::bytes(self.origin.as_str().len())
            + size::uint(self.epoch)
            + size::uint(self.sequence)
    }
}

impl Encoded for Entry {
    fn encoded_len(&self) -> usize {
        let over = self
            .over
            .as_ref()
            .map(|over| size::delimited(over.encoded_len()));
        size::bytes(self.key.len())
            + over.unwrap_or(0)
            + size::optional_uint(self.length.map(u64::from))
    }
}

impl Update {
    /// The encoded size with `payload` bytes of payload.
    pub(super) fn cut_len(&self, payload: usize, repair: bool, remaining: u32) -> usize {
        // Every kind has a non-zero number on the wire.
        let body = 2 + match &self.body {
            Body::Message | Body::Custom => 0,
            Body::Entries { clock, entries } => {
                let entries = entries
                    .iter()
                    .map(|entry| size::delimited(entry.encoded_len()));
                size::uint(*clock) + entries.sum::<usize>()
            }
        };
        size::delimited(self.id.encoded_len())
            + body
            + size::boolean(repair)
            + size::bytes(payload)
            + size::uint(u64::from(remaining))
    }
}

impl Packet {
    /// The encoded size with `payload` bytes of payload.
    pub(super) fn cut_len(&self, payload: usize, remaining: u32) -> usize {
        // Every purpose and every failure has a non-zero number on the wire.
        let purpose = match self.purpose {
            Purpose::Message | Purpose::Datagram | Purpose::State | Purpose::Delivered => 2,
            Purpose::Failed(_) => 4,
        };
        let path = self
            .path
            .iter()
            .map(|id| size::delimited(id.as_str().len()));
        size::bytes(self.from.as_str().len())
            + size::bytes(self.to.as_str().len())
            + size::uint(self.epoch)
            + size::uint(self.number)
            + size::uint(self.floor)
            + purpose
            + size::bytes(self.channel.as_str().len())
            + path.sum::<usize>()
            + size::bytes(payload)
            + size::uint(u64::from(remaining))
    }
}

impl Encoded for Item {
    fn encoded_len(&self) -> usize {
        // Each variant is one field of a oneof, which is present even when empty.
        size::delimited(match self {
            Self::Have(id) | Self::Graft(id) => id.encoded_len(),
            Self::Update {
                update,
                repair,
                remaining,
            } => update.cut_len(update.payload.len(), *repair, *remaining),
            Self::Packet { packet, remaining } => packet.cut_len(packet.payload.len(), *remaining),
            Self::Segment(bytes) => bytes.len(),
            Self::Digest { channel, hash, .. } => {
                size::bytes(channel.as_str().len()) + 2 + if *hash == 0 { 0 } else { 9 }
            }
            Self::Sketch { channel, cells, .. } => {
                let cells = cells.iter().map(|cell| size::delimited(cell.encoded_len()));
                size::bytes(channel.as_str().len()) + 2 + cells.sum::<usize>()
            }
            Self::Larger { channel, cells } => {
                size::bytes(channel.as_str().len()) + size::uint(u64::from(*cells))
            }
            Self::Want { channel, digests } => {
                size::bytes(channel.as_str().len()) + size::packed_fixed64(digests.len())
            }
        })
    }
}

impl Encoded for Data {
    fn encoded_len(&self) -> usize {
        let items = self
            .items
            .iter()
            .map(|item| size::delimited(item.encoded_len()));
        size::uint(u64::from(self.credit)) + size::boolean(self.prune) + items.sum::<usize>()
    }
}
