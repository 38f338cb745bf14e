//! Inputs and outputs of a node.

use super::message::Message;
use crate::channel;
use crate::gossip::{self, Event};
use crate::link::{DialId, LinkId, Ticket};
use crate::machine::Wake;
use crate::revocation::{
    self, PresentedCertificate, Revocation, RevocationRefusal, RevocationRequest,
};
use crate::time::Wall;
use core::net::SocketAddr;
use std::sync::Arc;

/// An input of the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An input of the node's part in the mesh.
    Mesh(gossip::Input),
    /// A message arrived on a link.
    Receive {
        /// The link.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// An input of the node's channels: a request of an application.
    Channel(channel::Input),
    /// The stored revocations, before the start.
    LoadRevocations(Vec<Arc<Revocation>>),
    /// A peer presented a certificate on a connection; precedes `Accepted` and `Dialed`. Without this input, every
    /// revocation of the peer's id concerns the connection.
    Presented {
        /// The connection.
        link: LinkId,
        /// The certificate.
        certificate: PresentedCertificate,
    },
    /// A caller revokes certificates. The signature is verified. Answered by [`Output::RevocationAnswer`].
    Revoke {
        /// The number that the answer repeats.
        request: RevocationRequest,
        /// The revocation.
        revocation: Arc<Revocation>,
    },
    /// The revocations are durable: completes [`Output::StoreRevocations`].
    RevocationsStored {
        /// The order's ticket.
        ticket: Ticket,
    },
    /// The revocations could not be stored: completes [`Output::StoreRevocations`]. The order is repeated.
    RevocationsNotStored {
        /// The order's ticket.
        ticket: Ticket,
    },
    /// The calendar time of this node, after the clock was set. At the start, it is the time of joining in the
    /// configuration.
    Calendar(Wall),
    /// Start or stop reporting [`Output::RoutesChanged`].
    WatchRoutes(bool),
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
    /// Connect; answer with `Dialed` or `DialFailed`.
    Dial {
        /// The attempt.
        dial: DialId,
        /// The address.
        address: SocketAddr,
    },
    /// Give up a dial, if it is in progress; no answer is expected.
    CancelDial {
        /// The attempt.
        dial: DialId,
    },
    /// Resolve a name; answer with `Resolved`.
    Resolve {
        /// The number that the answer repeats.
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
    /// Close a link after the messages already sent on it; `Closed` is not expected as an answer.
    Close {
        /// The link.
        link: LinkId,
    },
    /// A link is open: both ends agreed on it. The data path of the link may be prepared.
    LinkOpened {
        /// The link.
        link: LinkId,
        /// The peer's instance, from its handshake message.
        instance: u32,
    },
    /// Store the node's epoch durably; answer with `Stored` or `StoreFailed`.
    Store {
        /// The number that the answer repeats.
        ticket: Ticket,
        /// The epoch.
        epoch: u64,
    },
    /// Store these addresses of members for the next start; no answer is expected.
    KeepAddresses {
        /// The addresses, the latest first.
        addresses: Vec<SocketAddr>,
    },
    /// Store all revocations durably; answer with `RevocationsStored` or `RevocationsNotStored`.
    StoreRevocations {
        /// The number that the answer repeats.
        ticket: Ticket,
        /// All revocations that the node holds.
        revocations: Vec<Arc<Revocation>>,
    },
    /// Refuse the certificates that a revocation concerns, and end their connections and calls at once.
    EnforceRevocation(Arc<Revocation>),
    /// The answer to [`Input::Revoke`].
    RevocationAnswer {
        /// The caller's number.
        request: RevocationRequest,
        /// Whether the revocation is durable on this node.
        result: Result<(), RevocationRefusal>,
    },
    /// The node left the mesh, and has sent its last message.
    Left,
    /// A fact about the mesh, for users.
    Report(Event),
    /// A fact about revocations, for users.
    ReportRevocation(revocation::Event),
    /// An output of the channels for applications.
    Channel(channel::Output),
    /// Routes changed; reported after [`Input::WatchRoutes`], at most once per
    /// [`ROUTES_INTERVAL`](super::ROUTES_INTERVAL).
    RoutesChanged,
}

impl From<gossip::Output> for Output {
    fn from(output: gossip::Output) -> Self {
        match output {
            gossip::Output::Dial { dial, address } => Self::Dial { dial, address },
            gossip::Output::CancelDial { dial } => Self::CancelDial { dial },
            gossip::Output::Resolve { ticket, name } => Self::Resolve { ticket, name },
            gossip::Output::Send { link, message } => Self::Send {
                link,
                message: Message::Mesh(message),
            },
            gossip::Output::Close { link } => Self::Close { link },
            gossip::Output::LinkOpened { link, instance } => Self::LinkOpened { link, instance },
            gossip::Output::Store { ticket, epoch } => Self::Store { ticket, epoch },
            gossip::Output::KeepAddresses { addresses } => Self::KeepAddresses { addresses },
            gossip::Output::Left => Self::Left,
            gossip::Output::Report(event) => Self::Report(event),
        }
    }
}
