//! The inputs of the gossip machine, and its outputs.

use super::event::Event;
use super::message::Message;
use crate::identity::NodeId;
use crate::link::{Address, CloseReason, DialError, DialId, LinkId, Ticket};
use crate::machine::Wake;
use crate::topology::record::Content;

/// The maximum number of targets after an edit.
pub const TARGETS_MAX: usize = 256;

/// An event outside the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The adapter is ready: begin to dial.
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
        /// The attempt.
        dial: DialId,
        /// The new link.
        link: LinkId,
        /// The id in the acceptor's certificate.
        peer: NodeId,
    },
    /// A dial failed.
    DialFailed {
        /// The attempt.
        dial: DialId,
        /// Why.
        reason: DialError,
    },
    /// A message arrived.
    Receive {
        /// On which link.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// Another machine's message arrived on a link: the peer is alive.
    Heard {
        /// The link.
        link: LinkId,
    },
    /// A link is gone without our order.
    Closed {
        /// Which.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// An epoch we asked to store is durable.
    Stored {
        /// The order's ticket.
        ticket: Ticket,
    },
    /// An epoch we asked to store could not be stored. The machine orders it again after a second.
    StoreFailed {
        /// The order's ticket.
        ticket: Ticket,
    },
    /// Publish new content about ourselves. The address, and when we joined, are kept if absent.
    Announce(Content),
    /// Dial these from now on too (`replace`: instead of the earlier ones).
    Targets {
        /// The addresses.
        targets: Vec<Address>,
        /// Forget the earlier ones.
        replace: bool,
    },
    /// Add and remove targets in one step, so that concurrent edits do not undo each other. Targets that are not known are
    /// not removed. An edit that would leave more than [`TARGETS_MAX`] is rejected as a whole.
    EditTargets {
        /// The addresses to add.
        add: Vec<Address>,
        /// The addresses to remove, before any is added.
        remove: Vec<Address>,
    },
    /// Dial members learnt from others from now on, or only the targets.
    Discover(bool),
    /// Have a link to a member beside those the mesh needs, if it can be dialled; or no longer.
    Want {
        /// The member.
        peer: NodeId,
        /// Whether it is wanted.
        wanted: bool,
    },
    /// Put a new connection in the place of an open link: what proved one of its ends is replaced.
    Renew {
        /// Which.
        link: LinkId,
    },
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
    /// Connect; answer with `Dialed` or `DialFailed`.
    Dial {
        /// The attempt.
        dial: DialId,
        /// Where.
        address: Address,
    },
    /// Send on a link.
    Send {
        /// Which.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// Close a link after what was sent on it; no `Closed` is expected.
    Close {
        /// Which.
        link: LinkId,
    },
    /// A link is open: both ends agreed on it. Parts beside the mesh may begin to use it.
    LinkOpened {
        /// The link.
        link: LinkId,
    },
    /// Store our epoch durably; answer with `Stored` or `StoreFailed`.
    Store {
        /// To answer with.
        ticket: Ticket,
        /// The epoch.
        epoch: u64,
    },
    /// We left: everything that had to be said is sent.
    Left,
    /// Tell people.
    Report(Event),
}
