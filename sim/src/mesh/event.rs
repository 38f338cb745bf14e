//! The events that nodes and their hosts' applications report, and the words for them.

use super::workload::REVOKE;
use phalanx_core::channel::message::Item;
use phalanx_core::channel::{self, ChannelName, Data, Delivery, DeliveryFailure, Done, Refusal};
use phalanx_core::gossip;
use phalanx_core::identity::NodeId;
use phalanx_core::node::Message;
use phalanx_core::revocation::{self, RevocationRefusal};

/// An event that a host reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The daemon reports an event of the gossip machine.
    Mesh(gossip::Event),
    /// The daemon reports an event of its channels.
    Channel(channel::Event),
    /// An application sends a message.
    Sent {
        /// The number in the payload.
        number: u64,
        /// The receiver.
        to: NodeId,
        /// The message is sent at most once and is not acknowledged.
        datagram: bool,
    },
    /// An application closes a channel.
    Closed(ChannelName),
    /// The daemon delivers a message or a change to an application.
    Handed(ChannelName, Delivery),
    /// A message to this member was not delivered; holds the reason.
    Failed(NodeId, DeliveryFailure),
    /// The daemon answers an application's request.
    Answered(AwaitedAnswer, Result<Done, Refusal>),
    /// The daemon reports an event of its revocations.
    Revocation(revocation::Event),
    /// The daemon answers the order to revoke the certificates of this node: the revocation is durable, or refused.
    RevocationAnswered(NodeId, Result<(), RevocationRefusal>),
}

/// The commands without any of which an event cannot occur; empty: the event needs no command.
type CausingCommands = &'static [&'static str];

const SEND: CausingCommands = &["send"];
const WRITE: CausingCommands = &["put", "delete", "cas"];
const PUBLISH: CausingCommands = &["publish"];
const OPEN: CausingCommands = &["open"];
const CLOSE: CausingCommands = &["close"];
const REVOKE_COMMAND: CausingCommands = &[REVOKE];
const NONE: CausingCommands = &[];

/// The words for events of channels, each with its commands.
const OF_CHANNELS: [(&str, CausingCommands); 30] = [
    ("sent", SEND),
    ("delivered", SEND),
    ("undelivered", SEND),
    ("received", SEND),
    ("broadcast-received", PUBLISH),
    ("messages-missed", PUBLISH),
    ("changed", WRITE),
    ("conflict", WRITE),
    ("opened", OPEN),
    ("closed", CLOSE),
    ("published", PUBLISH),
    ("written", WRITE),
    ("differs", WRITE),
    ("unchanged", WRITE),
    ("full", NONE),
    ("refused", NONE),
    ("unknown-peer", SEND),
    ("no-peer", SEND),
    ("no-route", SEND),
    ("relay-lost", SEND),
    ("no-such-channel", SEND),
    ("busy", SEND),
    ("timed-out", SEND),
    ("rerouted", SEND),
    ("relay-failed", SEND),
    ("channel-rejected", NONE),
    ("channel-learnt", NONE),
    ("broadcast-dropped", NONE),
    ("payload-deferred", NONE),
    ("dispatched", SEND),
];

/// The words for events of revocations.
const OF_REVOCATIONS: [&str; 6] = [
    "certificate-revoked",
    "revocation-refused",
    "revocation-dropped",
    "revoked-peer-closed",
    "revocation-acknowledged",
    "revocation-rejected",
];

/// The words for all events.
pub(super) fn words() -> Vec<&'static str> {
    let mesh = EventKind::ALL.iter().map(|(_, word)| *word);
    let of_channels = OF_CHANNELS.iter().map(|(word, _)| *word);
    mesh.chain(of_channels).chain(OF_REVOCATIONS).collect()
}

/// Returns the commands without any of which an event cannot occur; empty if the event needs no command.
pub(super) fn causing_commands(word: &str) -> &'static [&'static str] {
    if OF_REVOCATIONS.contains(&word) {
        return REVOKE_COMMAND;
    }
    let mut of_channels = OF_CHANNELS.iter();
    let known = of_channels.find(|(known, _)| *known == word);
    known.map_or(NONE, |(_, commands)| commands)
}

impl Event {
    /// The word of the event, and the member that the event is about.
    pub(super) fn described(&self) -> (&'static str, Option<&NodeId>) {
        match self {
            Self::Mesh(event) => {
                let (kind, about) = EventKind::of(event);
                (kind.word(), about)
            }
            Self::Channel(event) => (event.word(), event.subject()),
            Self::Sent { to, .. } => ("sent", Some(to)),
            Self::Closed(_) => ("closed", None),
            Self::Handed(_, delivery) => match delivery {
                Delivery::Message { from, .. } => ("received", Some(from)),
                Delivery::Broadcast { id, .. } => ("broadcast-received", Some(&id.origin)),
                Delivery::Missed { origin, .. } => ("messages-missed", Some(origin)),
                Delivery::Changed { version, .. } => ("changed", Some(&version.origin)),
                Delivery::Conflict { won, .. } => ("conflict", Some(&won.origin)),
            },
            Self::Failed(to, failure) => (failed(*failure), Some(to)),
            Self::Revocation(event) => (event.word(), event.subject()),
            Self::RevocationAnswered(id, Ok(())) => ("revocation-acknowledged", Some(id)),
            Self::RevocationAnswered(id, Err(_)) => ("revocation-rejected", Some(id)),
            Self::Answered(asked, result) => {
                let about = match asked {
                    AwaitedAnswer::Send(_, to) => Some(to),
                    AwaitedAnswer::Open(_)
                    | AwaitedAnswer::Publish(_)
                    | AwaitedAnswer::Write(_) => None,
                };
                (answered(result), about)
            }
        }
    }
}

const fn failed(failure: DeliveryFailure) -> &'static str {
    match failure {
        DeliveryFailure::UnknownPeer => "unknown-peer",
        // `peer-down` is the word of a mesh event.
        DeliveryFailure::PeerDown => "no-peer",
        DeliveryFailure::NoRoute => "no-route",
        DeliveryFailure::RelayLost => "relay-lost",
        DeliveryFailure::NoSuchChannel => "no-such-channel",
        DeliveryFailure::Busy => "busy",
        DeliveryFailure::TimedOut => "timed-out",
    }
}

const fn answered(result: &Result<Done, Refusal>) -> &'static str {
    match result {
        Ok(Done::Opened) => "opened",
        Ok(Done::Published(_)) => "published",
        Ok(Done::Unchanged) => "unchanged",
        Ok(Done::Committed(_)) => "written",
        Ok(Done::Differs(_)) => "differs",
        Ok(Done::Delivered) => "delivered",
        Ok(Done::Sent) => "dispatched",
        Err(Refusal::Undelivered(_)) => "undelivered",
        Err(Refusal::Full) => "full",
        Err(
            Refusal::AlreadyOpen
            | Refusal::NotOpen
            | Refusal::OtherKind(_)
            | Refusal::WrongKind(_)
            | Refusal::TooManyChannels
            | Refusal::TooLarge(_)
            | Refusal::CounterTooHigh
            | Refusal::BadKey(_)
            | Refusal::BadTransaction
            | Refusal::BadInterval(_)
            | Refusal::Malformed(_),
        ) => "refused",
    }
}

/// The kind of an event that a node reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EventKind {
    /// `peer-up`
    PeerUp,
    /// `peer-suspected`
    PeerSuspected,
    /// `peer-cleared`
    PeerCleared,
    /// `peer-down`
    PeerDown,
    /// `peers-down`
    PeersDown,
    /// `unreachable`
    Unreachable,
    /// `address-undialable`
    AddressUndialable,
    /// `peer-left`
    PeerLeft,
    /// `peer-updated`
    PeerUpdated,
    /// `peer-forgotten`
    PeerForgotten,
    /// `link-up`
    LinkUp,
    /// `link-down`
    LinkDown,
    /// `dial-failed`
    DialFailed,
    /// `dialed-myself`
    DialedMyself,
    /// `wrong-peer`
    WrongPeer,
    /// `isolated`
    Isolated,
    /// `rejoined`
    Rejoined,
    /// `name-taken`
    NameTaken,
    /// `name-resumed`
    NameResumed,
    /// `duplicate-id`
    DuplicateId,
    /// `refuted`
    Refuted,
    /// `short-id-changed`
    ShortIdChanged,
    /// `version-refused`
    VersionRefused,
    /// `guarded`
    Guarded,
    /// `guard-ended`
    GuardEnded,
    /// `rejected`
    Rejected,
    /// `announce-rejected`
    AnnounceRejected,
    /// `paused`
    Paused,
}

impl EventKind {
    /// All kinds with their words.
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::PeerUp, "peer-up"),
        (Self::PeerSuspected, "peer-suspected"),
        (Self::PeerCleared, "peer-cleared"),
        (Self::PeerDown, "peer-down"),
        (Self::PeersDown, "peers-down"),
        (Self::Unreachable, "unreachable"),
        (Self::AddressUndialable, "address-undialable"),
        (Self::PeerLeft, "peer-left"),
        (Self::PeerUpdated, "peer-updated"),
        (Self::PeerForgotten, "peer-forgotten"),
        (Self::LinkUp, "link-up"),
        (Self::LinkDown, "link-down"),
        (Self::DialFailed, "dial-failed"),
        (Self::DialedMyself, "dialed-myself"),
        (Self::WrongPeer, "wrong-peer"),
        (Self::Isolated, "isolated"),
        (Self::Rejoined, "rejoined"),
        (Self::NameTaken, "name-taken"),
        (Self::NameResumed, "name-resumed"),
        (Self::DuplicateId, "duplicate-id"),
        (Self::Refuted, "refuted"),
        (Self::ShortIdChanged, "short-id-changed"),
        (Self::VersionRefused, "version-refused"),
        (Self::Guarded, "guarded"),
        (Self::GuardEnded, "guard-ended"),
        (Self::Rejected, "rejected"),
        (Self::AnnounceRejected, "announce-rejected"),
        (Self::Paused, "paused"),
    ];

    /// The word of the kind.
    fn word(self) -> &'static str {
        let known = Self::ALL.iter().find(|(kind, _)| *kind == self);
        known.map_or("unnamed", |(_, word)| word)
    }

    /// The kind of an event, and the member that the event is about.
    const fn of(event: &gossip::Event) -> (Self, Option<&NodeId>) {
        use gossip::Event;
        match event {
            Event::PeerUp { id, .. } => (Self::PeerUp, Some(id)),
            Event::PeerSuspected { id } => (Self::PeerSuspected, Some(id)),
            Event::PeerCleared { id } => (Self::PeerCleared, Some(id)),
            Event::PeerDown { id, .. } => (Self::PeerDown, Some(id)),
            Event::PeersDown { .. } => (Self::PeersDown, None),
            Event::Unreachable { .. } => (Self::Unreachable, event.subject()),
            Event::AddressUndialable(_) => (Self::AddressUndialable, None),
            Event::PeerLeft { id } => (Self::PeerLeft, Some(id)),
            Event::PeerUpdated { id } => (Self::PeerUpdated, Some(id)),
            Event::PeerForgotten { id } => (Self::PeerForgotten, Some(id)),
            Event::LinkUp { peer, .. } => (Self::LinkUp, Some(peer)),
            Event::LinkDown { peer, .. } => (Self::LinkDown, Some(peer)),
            Event::DialFailed { .. } => (Self::DialFailed, None),
            Event::DialedMyself { .. } => (Self::DialedMyself, None),
            Event::WrongPeer { found, .. } => (Self::WrongPeer, Some(found)),
            Event::Isolated => (Self::Isolated, None),
            Event::Rejoined => (Self::Rejoined, None),
            Event::NameTaken { .. } => (Self::NameTaken, None),
            Event::NameResumed { .. } => (Self::NameResumed, None),
            Event::DuplicateId { relay, .. } => (Self::DuplicateId, relay.as_ref()),
            Event::Refuted { from } => (Self::Refuted, Some(from)),
            Event::ShortIdChanged { .. } => (Self::ShortIdChanged, None),
            Event::VersionRefused { peer, .. } => (Self::VersionRefused, Some(peer)),
            Event::Guarded { from } => (Self::Guarded, from.as_ref()),
            Event::GuardEnded { .. } => (Self::GuardEnded, None),
            Event::Rejected { from, .. } => (Self::Rejected, Some(from)),
            Event::AnnounceRejected { .. } => (Self::AnnounceRejected, None),
            Event::Paused { .. } => (Self::Paused, None),
        }
    }
}

/// The word for the most significant part of a message.
pub(super) fn content(message: &Message) -> &'static str {
    let frame = match message {
        Message::Mesh(gossip::Message::Frame(frame)) => frame,
        Message::Channel(data) => return carried(data),
        Message::Mesh(_) | Message::Revocation(_) => return word(message),
    };
    let parts = [
        ("sync", !frame.sync.is_empty()),
        ("records", !frame.records.is_empty()),
        ("reports", !frame.reports.is_empty()),
        ("graft", !frame.graft.is_empty()),
        ("have", !frame.have.is_empty()),
        ("prune", frame.prune),
        ("hash", frame.hash.is_some()),
    ];
    let found = parts.iter().find(|(_, there)| *there);
    found.map_or("heartbeat", |(word, _)| word)
}

/// The word for the most significant part of a channel message.
fn carried(data: &Data) -> &'static str {
    const WORDS: [&str; 6] = [
        "broadcast",
        "parcel",
        "piece",
        "comparison",
        "ask",
        "announcement",
    ];
    let rank = |item: &Item| match item {
        Item::Update { .. } => 0,
        Item::Packet { .. } => 1,
        Item::Segment(_) => 2,
        Item::Digest { .. } | Item::Sketch { .. } | Item::Larger { .. } | Item::Want { .. } => 3,
        Item::Graft(_) => 4,
        Item::Have(_) => 5,
    };
    let first = data.items.iter().map(rank).min();
    first.map_or("credit", |rank| WORDS[rank])
}

/// A request of an application that awaits an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwaitedAnswer {
    /// The request to open a channel.
    Open(ChannelName),
    /// The request to broadcast on a channel.
    Publish(ChannelName),
    /// The request to write keys of a map.
    Write(ChannelName),
    /// The request to send the message with this number to this member.
    Send(u64, NodeId),
}

impl AwaitedAnswer {
    /// The events that report the answer.
    pub fn answered(self, result: Result<Done, Refusal>) -> impl Iterator<Item = Event> {
        let failed = match (&result, &self) {
            (Err(Refusal::Undelivered(failure)), Self::Send(_, to)) => {
                Some(Event::Failed(to.clone(), *failure))
            }
            _ => None,
        };
        failed.into_iter().chain([Event::Answered(self, result)])
    }
}

/// The word for the type of a message.
pub(super) const fn word(message: &Message) -> &'static str {
    match message {
        Message::Mesh(message) => mesh_word(message),
        Message::Channel(_) => "data",
        Message::Revocation(_) => "revocation",
    }
}

/// The word for the type of a gossip message.
pub(super) const fn mesh_word(message: &gossip::Message) -> &'static str {
    match message {
        gossip::Message::Hello(_) => "hello",
        gossip::Message::Welcome(_) => "welcome",
        gossip::Message::Refuse(_) => "refuse",
        gossip::Message::Goodbye(_) => "goodbye",
        gossip::Message::Frame(_) => "frame",
    }
}
