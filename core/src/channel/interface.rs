//! Inputs, outputs and events of a node's channels.

use super::message::{ChannelName, Data, DeliveryFailure, Kind, Packet, UpdateId, Version};
use super::store::Custom;
use crate::counter::BOUND_RISES;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::machine::Wake;
use crate::time::{Duration, Wall};
use core::fmt;
use std::sync::Arc;

/// Identifies a request of an application. The adapter numbers the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request(pub u64);

/// An open link of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The link.
    pub link: LinkId,
    /// The node at the other end.
    pub peer: NodeId,
    /// Whether data was received on the link recently.
    pub lively: bool,
}

/// The options with which an application opens a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The kind of its broadcasts.
    pub kind: Kind,
    /// Interval of anti-entropy with neighbours.
    pub interval: Duration,
    /// Receive window: maximum number of unicast messages that were handed to the application and not yet consumed; the
    /// size of these messages is bounded by [`ROOM_BYTES`]. With 0 the application accepts no unicast messages, and
    /// their senders get [`DeliveryFailure::NoSuchChannel`].
    pub room: u32,
    /// The application's own state, if the kind is [`Kind::Custom`].
    pub custom: Option<Custom>,
}

/// Maximum number of bytes of unicast messages that were handed to an application and not yet consumed.
pub const ROOM_BYTES: usize = 16 * 1024 * 1024;
const _: () = assert!(
    super::message::PAYLOAD_BYTES_MAX <= ROOM_BYTES,
    "every message must find room once the others are consumed"
);

/// Minimum interval of anti-entropy with neighbours.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Maximum interval of anti-entropy with neighbours.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Default interval of anti-entropy with neighbours.
pub const INTERVAL: Duration = Duration::from_secs(30);

impl Options {
    /// The default options of a kind. A custom channel without the application's state only relays updates.
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

/// A condition of a transaction on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The key has no value.
    Absent,
    /// The key has this value.
    Value(Arc<[u8]>),
    /// The current value of the key has this version.
    Version(Version),
}

/// One write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Arc<str>,
    /// The new value of the key; `None` deletes the key.
    pub value: Option<Arc<[u8]>>,
}

/// Comparisons and writes of a map, applied together to this node's copy or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Conditions by key, all of which must hold.
    pub compare: Vec<(Arc<str>, Expected)>,
    /// The writes; at most [`ENTRIES_MAX`](super::message::ENTRIES_MAX).
    pub write: Vec<Write>,
}

/// An operation that needs an open channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelOperation {
    /// See [`Input::Publish`].
    Publish(Arc<[u8]>),
    /// See [`Input::Transact`].
    Transact(Transaction),
}

/// An input of the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// All open links; this input is sent whenever the set of links or their state has changed.
    Neighbours(Vec<Neighbour>),
    /// The calendar time of this node, after the clock was set.
    Calendar(Wall),
    /// The time after which a neighbour over a typical slow link has answered; zero in a fast mesh.
    Pace(Duration),
    /// A message arrived on an open link.
    Receive {
        /// The link.
        link: LinkId,
        /// The message.
        data: Data,
    },
    /// The answer to [`Output::Route`]: the packet is sent on this link.
    Forward {
        /// The link.
        link: LinkId,
        /// The packet.
        packet: Arc<Packet>,
    },
    /// The answer to [`Output::Route`]: the packet cannot be forwarded.
    Unroutable {
        /// The packet.
        packet: Arc<Packet>,
        /// The reason.
        failure: DeliveryFailure,
    },
    /// An application opens a channel.
    Open {
        /// The number of the request; the answer repeats it.
        request: Request,
        /// The channel.
        channel: ChannelName,
        /// The options of the channel.
        options: Options,
    },
    /// The application closes a channel. The node still relays the channel.
    Close {
        /// The channel.
        channel: ChannelName,
    },
    /// Broadcast a message on a channel of messages, or merge an update into custom state and broadcast the part that
    /// was new.
    Publish {
        /// The number of the request; the answer repeats it.
        request: Request,
        /// The channel.
        channel: ChannelName,
        /// The message, or the update.
        payload: Arc<[u8]>,
    },
    /// Compare and write on a channel that is a map.
    Transact {
        /// The number of the request; the answer repeats it.
        request: Request,
        /// The channel.
        channel: ChannelName,
        /// The comparisons and writes.
        transaction: Transaction,
    },
    /// Perform an operation of another program, which needs an open channel. A channel that no application has open is
    /// opened for this operation only, without a receive window. The application that has it open receives the broadcast.
    Once {
        /// The number of the request; the answer repeats it.
        request: Request,
        /// The channel.
        channel: ChannelName,
        /// The kind with which the channel is opened, if it is not open.
        kind: Kind,
        /// The operation.
        operation: ChannelOperation,
    },
    /// Send to one member.
    Send {
        /// The number of the request; the answer repeats it, and is given when the message was handed to the receiving
        /// application, or failed.
        request: Request,
        /// The receiver.
        to: NodeId,
        /// The channel.
        channel: ChannelName,
        /// The message.
        payload: Arc<[u8]>,
        /// Whether to send the message once, without acknowledgement. The answer is then given immediately.
        datagram: bool,
    },
    /// The application consumed unicast messages.
    Consumed {
        /// The channel.
        channel: ChannelName,
        /// The number of messages.
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

/// The result of a successful request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The channel is open.
    Opened,
    /// The broadcast was queued on all links.
    Published(UpdateId),
    /// The update changed nothing, and was not broadcast.
    Unchanged,
    /// The writes were applied and broadcast, as this version.
    Committed(Version),
    /// The condition on this key did not hold, and nothing was written.
    Differs(Arc<str>),
    /// The message was handed to the receiving application.
    Delivered,
    /// The datagram was sent.
    Sent,
}

/// Reasons why a request of an application failed. The state is unchanged, unless the variant states otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another application of this node has the channel open.
    AlreadyOpen,
    /// The channel is not open here.
    NotOpen,
    /// The mesh uses the channel for another kind.
    OtherKind(Kind),
    /// The channel's kind does not support the request.
    WrongKind(Kind),
    /// The node knows [`CHANNELS_MAX`](super::CHANNELS_MAX) channels, or the other nodes have no room for the channel:
    /// none of the channels that they keep is unused.
    TooManyChannels,
    /// The payload has more than [`PAYLOAD_BYTES_MAX`](super::message::PAYLOAD_BYTES_MAX) bytes.
    TooLarge(usize),
    /// The queues or the map are full; the request may be retried. An update of custom state was nevertheless merged on
    /// this node.
    Full,
    /// The next number of this node or clock of the map is above the bound of counters, which rises each second: another
    /// node used a number at the bound. The request may be retried.
    CounterTooHigh,
    /// A key is empty, too long or holds a control character.
    BadKey(Arc<str>),
    /// A key is written twice, or the number of writes is out of bounds.
    BadTransaction,
    /// The interval is out of bounds.
    BadInterval(Duration),
    /// The application's state rejected the update; holds the reason.
    Malformed(String),
    /// The message was not delivered; after [`DeliveryFailure::TimedOut`], it may nevertheless have been delivered.
    Undelivered(DeliveryFailure),
}

/// Pause before a broadcast that was refused as [`Refusal::Full`] is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(20);

impl Refusal {
    /// The pause after which the same request may succeed; none if a repeated request would be refused as well.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Full => Some(FULL_PAUSE),
            Self::CounterTooHigh => Some(BOUND_RISES),
            Self::AlreadyOpen
            | Self::NotOpen
            | Self::OtherKind(_)
            | Self::WrongKind(_)
            | Self::TooManyChannels
            | Self::TooLarge(_)
            | Self::BadKey(_)
            | Self::BadTransaction
            | Self::BadInterval(_)
            | Self::Malformed(_)
            | Self::Undelivered(_) => None,
        }
    }
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
                "this node or the others know as many channels as they may, {} at most, and none is unused",
                super::config::CHANNELS_MAX
            ),
            Self::TooLarge(found) => write!(
                f,
                "has {found} bytes; at most {} are allowed",
                super::message::PAYLOAD_BYTES_MAX
            ),
            Self::Full => f.write_str("too much is on its way already; try again shortly"),
            Self::CounterTooHigh => f.write_str(
                "another node used a number at the bound of counters; try again in a second",
            ),
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

/// A delivery to the application of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A unicast message.
    Message {
        /// The sender, according to the nodes on the path.
        from: NodeId,
        /// The message.
        payload: Arc<[u8]>,
        /// Whether the message is unacknowledged.
        datagram: bool,
    },
    /// A broadcast message, or the new part of an update of custom state.
    Broadcast {
        /// The broadcast.
        id: UpdateId,
        /// The message or update.
        payload: Arc<[u8]>,
    },
    /// Messages of one origin that this node did not receive and that are not expected any more. The delivery comes once
    /// for each message, as soon as that is known: 64 later messages of the origin were received, so that no node retains
    /// the missing ones, or no neighbour offered them in two intervals of anti-entropy. In the second case, a message may
    /// still arrive from a node that was unreachable.
    Missed {
        /// The publisher.
        origin: NodeId,
        /// The publisher's epoch.
        epoch: u64,
        /// The sequence number of the first message.
        first: u64,
        /// The sequence number of the last message.
        last: u64,
        /// Whether these are the first messages after a restart of the publisher. The number of messages that were missed
        /// before the restart is then not known.
        restarted: bool,
    },
    /// A key of the map changed.
    Changed {
        /// The key.
        key: Arc<str>,
        /// The value of the key; none if the key was deleted.
        value: Option<Arc<[u8]>>,
        /// The write.
        version: Version,
    },
    /// A write of this node lost against a concurrent write.
    Conflict {
        /// The key.
        key: Arc<str>,
        /// This node's write.
        lost: Version,
        /// The winning write.
        won: Version,
    },
}

/// An order to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message on a link.
    Transmit {
        /// The link.
        link: LinkId,
        /// The message.
        data: Data,
    },
    /// Choose the next hop of a packet; answer with `Forward` or `Unroutable`.
    Route(Arc<Packet>),
    /// Deliver to the application of a channel.
    Deliver {
        /// The channel.
        channel: ChannelName,
        /// The delivery.
        delivery: Delivery,
    },
    /// Answer a request of the application.
    Answer {
        /// The request.
        request: Request,
        /// The result of the request.
        result: Result<Done, Refusal>,
    },
    /// Notify the applications that the node knows a further channel ([`Channels::known`](super::Channels::known)).
    AnnounceChannels,
    /// Report an event.
    Report(Event),
}

/// A fact for users, which is never needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A channel became known.
    Learnt {
        /// The channel.
        channel: ChannelName,
        /// The kind of the channel.
        kind: Kind,
    },
    /// An item of a neighbour was rejected.
    Rejected {
        /// The neighbour.
        from: NodeId,
        /// The reason.
        reason: Rejection,
    },
    /// The delivery of a message of this node failed on its path; the message is resent by another route if there is
    /// one.
    Rerouted {
        /// The receiver.
        to: NodeId,
        /// The reason.
        failure: DeliveryFailure,
    },
    /// A packet of another node could not be forwarded; the sender of the packet is notified.
    RelayFailed {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// The reason.
        failure: DeliveryFailure,
    },
    /// A payload of a neighbour waits for room among the payloads of other neighbours. It is continued by itself.
    Deferred {
        /// The neighbour.
        from: NodeId,
        /// The size of the payload.
        bytes: usize,
    },
    /// Broadcasts to a slow neighbour were dropped; anti-entropy repairs them.
    Dropped {
        /// The neighbour.
        peer: NodeId,
        /// The channel.
        channel: ChannelName,
    },
}

impl Event {
    /// The kind of the event, as logs and metrics name it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Learnt { .. } => "channel-learnt",
            Self::Rejected { .. } => "channel-rejected",
            Self::Rerouted { .. } => "rerouted",
            Self::RelayFailed { .. } => "relay-failed",
            Self::Deferred { .. } => "payload-deferred",
            Self::Dropped { .. } => "broadcast-dropped",
        }
    }

    /// The node that the event is about.
    #[must_use]
    pub const fn subject(&self) -> Option<&NodeId> {
        match self {
            Self::Learnt { .. } => None,
            Self::Rejected { from, .. } | Self::Deferred { from, .. } => Some(from),
            Self::Rerouted { to, .. } | Self::RelayFailed { to, .. } => Some(to),
            Self::Dropped { peer, .. } => Some(peer),
        }
    }
}

/// Reasons why an item from a neighbour was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// A packet or broadcast created by the neighbour names another node, or this node, as its origin.
    ForgedOrigin,
    /// The channel has another kind.
    OtherKind,
    /// The node knows the maximum number of channels or of origins.
    TooMany,
    /// A segment without its beginning, or a payload above its bound.
    BrokenPayload,
    /// A payload that waited for room, of which the neighbour sent more than its window.
    WindowExceeded,
    /// A payload that arrived too slowly while others waited for its room.
    TooSlow,
    /// A counter above the allowed maximum.
    CounterTooHigh,
    /// The application's state rejected the update.
    Malformed,
}

/// Checks the size of a payload.
pub(super) const fn check_size(payload: &[u8]) -> Result<(), Refusal> {
    if payload.len() > super::message::PAYLOAD_BYTES_MAX {
        return Err(Refusal::TooLarge(payload.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_that_found_no_room_is_worth_a_repetition() {
        assert!(Refusal::Full.retry_after().is_some());
        assert_eq!(Refusal::NotOpen.retry_after(), None);
        let busy = Refusal::Undelivered(DeliveryFailure::Busy);
        assert_eq!(busy.retry_after(), None, "core has retried already");
    }
}
