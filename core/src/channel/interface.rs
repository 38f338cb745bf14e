//! What can happen to the channels of a node, what they order, and what they tell people.

use super::message::{ChannelName, Data, Failure, Kind, Parcel, UpdateId, Version};
use super::store::Custom;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::machine::Wake;
use crate::time::Duration;
use core::fmt;
use std::sync::Arc;

/// Names one order of the application; numbered by the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request(pub u64);

/// An open link of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Which link.
    pub link: LinkId,
    /// Who is there.
    pub peer: NodeId,
    /// Whether something was heard on it lately.
    pub lively: bool,
}

/// How an application opens a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What its broadcasts are.
    pub kind: Kind,
    /// Time between two comparisons with neighbours (periodic anti-entropy).
    pub interval: Duration,
    /// The most unicast messages handed to the application that it has not consumed; 0: it takes none, and their
    /// senders hear that nothing runs on this channel here. However many, they have [`ROOM_BYTES`].
    pub room: u32,
    /// The application's own state, if the kind is [`Kind::Custom`].
    pub custom: Option<Custom>,
}

/// The most bytes of unicast messages handed to an application that it has not consumed.
pub const ROOM_BYTES: usize = 16 * 1024 * 1024;
const _: () = assert!(
    super::message::PAYLOAD_BYTES_MAX <= ROOM_BYTES,
    "every message must find room once the others are consumed"
);

/// The shortest time between two comparisons with neighbours.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// The usual.
pub const INTERVAL: Duration = Duration::from_secs(30);

impl Options {
    /// The usual options of a kind; a custom channel without state of its own passes everything on.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        Self {
            kind,
            interval: INTERVAL,
            room: 256,
            custom: None,
        }
    }
}

/// What must hold for a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The key has no value.
    Absent,
    /// The key has this value.
    Value(Arc<[u8]>),
    /// The key's value was written by this version.
    Version(Version),
}

/// One write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Arc<str>,
    /// Its value from then on; none deletes it.
    pub value: Option<Arc<[u8]>>,
}

/// Reads and writes of a map that happen together or not at all, on this node's copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold.
    pub compare: Vec<(Arc<str>, Expected)>,
    /// What is written then; at most [`ENTRIES_MAX`](super::message::ENTRIES_MAX).
    pub write: Vec<Write>,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// All open links, whenever they or their state changed.
    Neighbours(Vec<Neighbour>),
    /// Something was said on an open link.
    Receive {
        /// Which.
        link: LinkId,
        /// What.
        data: Data,
    },
    /// The answer to [`Output::Route`]: over this link.
    Forward {
        /// Which.
        link: LinkId,
        /// The parcel.
        parcel: Arc<Parcel>,
    },
    /// The answer to [`Output::Route`]: nowhere.
    Unroutable {
        /// The parcel.
        parcel: Arc<Parcel>,
        /// Why.
        failure: Failure,
    },
    /// An application opens a channel.
    Open {
        /// To answer with.
        request: Request,
        /// Which.
        channel: ChannelName,
        /// How.
        options: Options,
    },
    /// The application closes a channel; the node still relays it.
    Close {
        /// Which.
        channel: ChannelName,
    },
    /// Broadcast on a channel of messages, or merge into custom state and broadcast what was news.
    Publish {
        /// To answer with.
        request: Request,
        /// On which.
        channel: ChannelName,
        /// The message, or the update.
        payload: Arc<[u8]>,
    },
    /// Compare and write on a channel that is a map.
    Transact {
        /// To answer with.
        request: Request,
        /// On which.
        channel: ChannelName,
        /// What.
        transaction: Transaction,
    },
    /// Send to one member.
    Send {
        /// To answer with: when the message was handed to the application there, or could not be.
        request: Request,
        /// To whom.
        to: NodeId,
        /// On which channel.
        channel: ChannelName,
        /// What.
        payload: Arc<[u8]>,
        /// Whether to send once and answer at once.
        datagram: bool,
    },
    /// The application consumed messages that were sent to it.
    Consumed {
        /// On which channel.
        channel: ChannelName,
        /// How many.
        count: u32,
        /// The bytes of their payloads.
        bytes: usize,
    },
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// What an order of the application came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The channel is open.
    Opened,
    /// The broadcast is on its way.
    Published(UpdateId),
    /// Nothing in it was news: nothing was broadcast.
    NoNews,
    /// The writes happened.
    Committed(Version),
    /// A comparison failed; the key it failed at.
    Differs(Arc<str>),
    /// The message was handed to the application there.
    Delivered,
    /// The datagram was sent.
    Sent,
}

/// Why an order of the application was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another application of this node has the channel open.
    AlreadyOpen,
    /// The channel is not open here.
    NotOpen,
    /// The mesh uses the channel for another kind.
    OtherKind(Kind),
    /// The channel's kind has no such order.
    WrongKind(Kind),
    /// The node knows as many channels as it may.
    TooManyChannels,
    /// More than [`PAYLOAD_BYTES_MAX`](super::message::PAYLOAD_BYTES_MAX) bytes.
    TooLarge(usize),
    /// Too much is on its way already; try again.
    Full,
    /// A key is empty, too long or holds a control character.
    BadKey(Arc<str>),
    /// A key is written twice, or nothing is written, or too much.
    BadTransaction,
    /// The interval lies outside its bounds.
    BadInterval(Duration),
    /// The application's own state could not take the update.
    Malformed(String),
    /// The message was not delivered.
    Undelivered(Failure),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyOpen => f.write_str(
                "the channel is open already on this node; close it there, or choose another name",
            ),
            Self::NotOpen => f.write_str("the channel is not open on this node; open it first"),
            Self::OtherKind(kind) => write!(
                f,
                "the mesh uses this channel for {kind}; choose another name"
            ),
            Self::WrongKind(kind) => {
                write!(f, "the channel carries {kind}, which does not allow this")
            }
            Self::TooManyChannels => write!(
                f,
                "the node knows {} channels, as many as it may",
                super::config::CHANNELS_MAX
            ),
            Self::TooLarge(found) => write!(
                f,
                "has {found} bytes; at most {} are allowed",
                super::message::PAYLOAD_BYTES_MAX
            ),
            Self::Full => f.write_str("too much is on its way already; try again shortly"),
            Self::BadKey(key) => write!(
                f,
                "the key {key:?} is not allowed; use 1 to {} bytes without control characters",
                super::message::KEY_BYTES_MAX
            ),
            Self::BadTransaction => write!(
                f,
                "a transaction writes 1 to {} keys, each once",
                super::message::ENTRIES_MAX
            ),
            Self::BadInterval(found) => write!(
                f,
                "an interval of {found:?} is not allowed; choose from {INTERVAL_MIN:?} to {INTERVAL_MAX:?}"
            ),
            Self::Malformed(why) => write!(f, "the update cannot be merged: {why}"),
            Self::Undelivered(failure) => failure.fmt(f),
        }
    }
}

impl core::error::Error for Refusal {}

/// Something for the application of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message to this node.
    Message {
        /// Who sent it, as the nodes on the way say.
        from: NodeId,
        /// What.
        payload: Arc<[u8]>,
        /// Its sender waits for no answer.
        datagram: bool,
    },
    /// A broadcast: a message, or what was news in an update of custom state.
    Broadcast {
        /// Its name.
        id: UpdateId,
        /// What.
        payload: Arc<[u8]>,
    },
    /// A key of the map has another value.
    Changed {
        /// Which key.
        key: Arc<str>,
        /// Its value; none if it was deleted.
        value: Option<Arc<[u8]>>,
        /// The write.
        version: Version,
    },
    /// A write of this node lost against one that was made without knowing it.
    Conflict {
        /// Which key.
        key: Arc<str>,
        /// This node's write.
        lost: Version,
        /// The write that stands.
        won: Version,
    },
}

/// What the caller must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send on a link.
    Transmit {
        /// Which.
        link: LinkId,
        /// What.
        data: Data,
    },
    /// Find the way of a parcel; answer with `Forward` or `Unroutable`.
    Route(Arc<Parcel>),
    /// Hand to the application of a channel.
    Deliver {
        /// Which.
        channel: ChannelName,
        /// What.
        delivery: Delivery,
    },
    /// Tell the application what its order came to.
    Answer {
        /// Which order.
        request: Request,
        /// What it came to.
        result: Result<Done, Refusal>,
    },
    /// Tell people.
    Report(Event),
}

/// A fact for people. Never needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A channel is heard of for the first time.
    Learnt {
        /// Which.
        channel: ChannelName,
        /// Its kind.
        kind: Kind,
    },
    /// Something a neighbour said was not taken.
    Rejected {
        /// Who said it.
        from: NodeId,
        /// Why.
        reason: Rejection,
    },
    /// A message of this node failed on its way and is sent another way.
    Rerouted {
        /// To whom.
        to: NodeId,
        /// Why it failed.
        failure: Failure,
    },
    /// A parcel passing through could not be passed on; its sender is told.
    RelayFailed {
        /// Who sent it.
        from: NodeId,
        /// Who should get it.
        to: NodeId,
        /// Why.
        failure: Failure,
    },
    /// Broadcasts to a slow neighbour were dropped; a comparison will bring them.
    Dropped {
        /// The neighbour.
        peer: NodeId,
        /// Which channel.
        channel: ChannelName,
    },
}

impl Event {
    /// The event's word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Learnt { .. } => "channel-learnt",
            Self::Rejected { .. } => "channel-rejected",
            Self::Rerouted { .. } => "rerouted",
            Self::RelayFailed { .. } => "relay-failed",
            Self::Dropped { .. } => "broadcast-dropped",
        }
    }

    /// Whom the event is about.
    #[must_use]
    pub const fn subject(&self) -> Option<&NodeId> {
        match self {
            Self::Learnt { .. } => None,
            Self::Rejected { from, .. } => Some(from),
            Self::Rerouted { to, .. } | Self::RelayFailed { to, .. } => Some(to),
            Self::Dropped { peer, .. } => Some(peer),
        }
    }
}

/// Why something a neighbour said was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// A parcel or broadcast that the neighbour itself sent bears another's name, or ours.
    ForgedOrigin,
    /// The channel is of another kind.
    OtherKind,
    /// The node knows as many channels, or as many origins of one, as it may.
    TooMany,
    /// A piece without its beginning, or a payload over its bound.
    BrokenPayload,
    /// A counter above the allowed maximum.
    CounterTooHigh,
    /// The application's own state could not take it.
    Malformed,
}
