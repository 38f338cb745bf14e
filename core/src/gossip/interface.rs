//! The inputs of the gossip machine, and its outputs.

use super::event::Event;
use super::message::Message;
use crate::identity::NodeId;
use crate::link::{Address, CloseReason, DialError, DialId, LinkId, ResolutionError, Ticket};
use crate::machine::Wake;
use crate::time::Wall;
use crate::topology::record::Content;
use core::net::SocketAddr;

/// Maximum number of seed addresses after an edit.
pub const SEEDS_MAX: usize = 256;

/// An input of the machine: an event, or a request of the node layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The adapter is ready: start dialling.
    Start,
    /// A peer connected to this node, and its certificate proves its id.
    Accepted {
        /// The new link.
        link: LinkId,
        /// The id in the dialer's certificate.
        peer: NodeId,
    },
    /// A dial succeeded; the acceptor proved with its certificate to be `peer`.
    Dialed {
        /// The dial.
        dial: DialId,
        /// The new link.
        link: LinkId,
        /// The id in the acceptor's certificate.
        peer: NodeId,
    },
    /// A dial failed.
    DialFailed {
        /// The dial.
        dial: DialId,
        /// The reason.
        reason: DialError,
    },
    /// The resolution of a name succeeded or failed: completes [`Output::Resolve`].
    Resolved {
        /// The order's ticket.
        ticket: Ticket,
        /// The addresses of the name with its port, in the resolver's order.
        addresses: Result<Vec<SocketAddr>, ResolutionError>,
    },
    /// A message arrived.
    Receive {
        /// The link.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// A message for another state machine of this node arrived on a link, so the peer is alive.
    Heard {
        /// The link.
        link: LinkId,
    },
    /// The peer of a connection sent a part of what both ends exchange before the handshake ends.
    Exchanging {
        /// The connection.
        link: LinkId,
    },
    /// A link closed without an order of the machine.
    Closed {
        /// The link.
        link: LinkId,
        /// The reason.
        reason: CloseReason,
    },
    /// An epoch that the machine ordered to store is durable.
    Stored {
        /// The order's ticket.
        ticket: Ticket,
    },
    /// An epoch that the machine ordered to store could not be stored. The order is repeated after a second.
    StoreFailed {
        /// The order's ticket.
        ticket: Ticket,
    },
    /// Publish new content of this node. The address and the time of joining are kept if absent.
    Announce(Content),
    /// Dial these seed addresses in addition to the earlier ones, or, with `replace`, instead of them.
    Seeds {
        /// The addresses.
        addresses: Vec<Address>,
        /// Whether to drop the earlier seed addresses.
        replace: bool,
    },
    /// Add and remove seed addresses in one step, so that concurrent edits do not undo each other. Unknown addresses to
    /// remove are ignored. An edit that would leave more than [`SEEDS_MAX`] seed addresses is rejected as a whole.
    EditSeeds {
        /// The addresses to add.
        add: Vec<Address>,
        /// The addresses to remove, before any is added.
        remove: Vec<Address>,
    },
    /// Whether to dial members learnt from other members, or the seed addresses only.
    Discover(bool),
    /// Request or release a link to a member, in addition to the links that the mesh needs. The member must be
    /// dialable.
    RequestLink {
        /// The member.
        peer: NodeId,
        /// Whether the link is requested.
        requested: bool,
    },
    /// Forget a member that is down or left now, here and on all nodes that this node reaches. Ignored for other
    /// members and for members with an open link; see [`Gossip::may_forget`](super::Gossip::may_forget).
    Forget {
        /// The member.
        peer: NodeId,
    },
    /// Replace an open link by a new connection: the certificate of one of its ends was replaced.
    Renew {
        /// The link.
        link: LinkId,
    },
    /// The calendar time of this node, after the clock was set. At the start, it is the time of joining in the
    /// configuration.
    Calendar(Wall),
    /// Leave the mesh gracefully; ends with [`Output::Left`].
    Leave,
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// An order to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect to an address; answer with `Dialed` or `DialFailed` within
    /// [`OVERDUE_KEPT`](super::OVERDUE_KEPT), or the configured `dial_timeout` if it is longer.
    Dial {
        /// The dial.
        dial: DialId,
        /// The address.
        address: SocketAddr,
    },
    /// Give up a dial, if it is in progress. No answer is expected.
    CancelDial {
        /// The dial.
        dial: DialId,
    },
    /// Resolve a name; answer with `Resolved`.
    Resolve {
        /// The ticket for the answer.
        ticket: Ticket,
        /// The name, as `host:port`.
        name: String,
    },
    /// Send a message on a link.
    Send {
        /// The link.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// Close a link after the messages sent on it; `Closed` is not expected as an answer.
    Close {
        /// The link.
        link: LinkId,
    },
    /// A link is open: both ends completed the handshake. The other state machines of the node may use the link from
    /// here on.
    LinkOpened {
        /// The link.
        link: LinkId,
        /// The peer's instance, from its handshake message.
        instance: u32,
    },
    /// Store the node's epoch durably; answer with `Stored` or `StoreFailed`.
    Store {
        /// The ticket for the answer.
        ticket: Ticket,
        /// The epoch.
        epoch: u64,
    },
    /// Store these addresses for the next start ([`Config::kept`](super::Config)), instead of the earlier ones. No answer
    /// is expected: a failure costs only this order.
    KeepAddresses {
        /// The addresses, the latest first.
        addresses: Vec<SocketAddr>,
    },
    /// The node left the mesh: all messages are sent.
    Left,
    /// Report an event.
    Report(Event),
}

/// Reasons why a member is not forgotten on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgetRefusal {
    /// No member with this id is known.
    Unknown,
    /// The member is the node itself.
    Myself,
    /// The member is alive or suspect.
    Alive,
    /// The node has an open link to the member.
    Linked,
}

impl core::fmt::Display for ForgetRefusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "is not a known member",
            Self::Myself => "is this node itself",
            Self::Alive => "is not down; stop it first, or revoke its certificates (phalanx revoke)",
            Self::Linked => {
                "has an open link to this node; stop it first, or revoke its certificates (phalanx revoke)"
            }
        })
    }
}

impl core::error::Error for ForgetRefusal {}
