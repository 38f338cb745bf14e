//! What can happen to the gossip machine, what it orders, and what it tells people.

use super::message::Message;
use crate::identity::NodeId;
use crate::link::{Address, CloseReason, DialError, DialId, LinkId, Ticket};
use crate::machine::Wake;
use crate::time::Duration;
use crate::topology::record::{Content, ContentError};

/// The maximum number of targets after an edit.
pub const TARGETS_MAX: usize = 256;

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The adapter is ready: begin to dial.
    Start,
    /// Somebody connected to us and proved with its certificate to be `peer`.
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
        /// To whom.
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

/// What the caller must do.
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
        /// What.
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

/// A fact for people: logs, metrics, a watching user. Never needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member is known for the first time, or again after it was down, or restarted.
    PeerUp {
        /// Who.
        id: NodeId,
        /// Its epoch.
        epoch: u64,
    },
    /// No path leads to a member for now; it may be declared down.
    PeerSuspected {
        /// Who.
        id: NodeId,
    },
    /// A path leads to a suspected member again.
    PeerCleared {
        /// Who.
        id: NodeId,
    },
    /// A member is down.
    PeerDown {
        /// Who.
        id: NodeId,
    },
    /// A member left on purpose.
    PeerLeft {
        /// Who.
        id: NodeId,
    },
    /// A member published new content.
    PeerUpdated {
        /// Who.
        id: NodeId,
    },
    /// A member that was down or had left for long is forgotten.
    PeerForgotten {
        /// Who.
        id: NodeId,
    },
    /// A link is established.
    LinkUp {
        /// The neighbour.
        peer: NodeId,
        /// Which link.
        link: LinkId,
        /// Whether we dialled it.
        dialed: bool,
    },
    /// A link is gone.
    LinkDown {
        /// The neighbour.
        peer: NodeId,
        /// Which link.
        link: LinkId,
        /// Why.
        reason: LinkEnd,
    },
    /// A dial failed or was refused.
    DialFailed {
        /// Where to.
        address: Address,
        /// Why, for people.
        reason: String,
        /// When it will be tried again, counted from now; none if it will not by itself.
        retry_in: Option<Duration>,
    },
    /// We dialled ourselves; the address is not tried again.
    DialedMyself {
        /// The address.
        address: Address,
    },
    /// The peer at an address is not who it should be.
    WrongPeer {
        /// The address.
        address: Address,
        /// Who should be there.
        expected: NodeId,
        /// Who is.
        found: NodeId,
    },
    /// All our edges fell silent at once: we judge nobody until one answers.
    Isolated,
    /// An edge answered again.
    Rejoined,
    /// Another, newer machine runs under our id: we stopped. Give one of the two another id.
    NameTaken {
        /// The other's epoch.
        epoch: u64,
        /// The other's instance.
        instance: u32,
    },
    /// Somebody spread something about us that we did not say; we published over it.
    Refuted {
        /// The neighbour we heard it from.
        from: NodeId,
    },
    /// Something a neighbour sent was not taken.
    Rejected {
        /// The neighbour.
        from: NodeId,
        /// What was wrong.
        reason: Rejection,
    },
    /// What was to be announced breaks a bound: what stood before still stands.
    AnnounceRejected {
        /// The bound.
        why: ContentError,
    },
    /// We were stopped for this long (or the clock jumped) and began to listen anew before judging.
    Paused {
        /// How long.
        late: Duration,
    },
}

impl Event {
    /// The kind of the event, as logs, metrics and scenario files name it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::PeerUp { .. } => "peer-up",
            Self::PeerSuspected { .. } => "peer-suspected",
            Self::PeerCleared { .. } => "peer-cleared",
            Self::PeerDown { .. } => "peer-down",
            Self::PeerLeft { .. } => "peer-left",
            Self::PeerUpdated { .. } => "peer-updated",
            Self::PeerForgotten { .. } => "peer-forgotten",
            Self::LinkUp { .. } => "link-up",
            Self::LinkDown { .. } => "link-down",
            Self::DialFailed { .. } => "dial-failed",
            Self::DialedMyself { .. } => "dialed-myself",
            Self::WrongPeer { .. } => "wrong-peer",
            Self::Isolated => "isolated",
            Self::Rejoined => "rejoined",
            Self::NameTaken { .. } => "name-taken",
            Self::Refuted { .. } => "refuted",
            Self::Rejected { .. } => "rejected",
            Self::AnnounceRejected { .. } => "announce-rejected",
            Self::Paused { .. } => "paused",
        }
    }

    /// Whom the event is about.
    #[must_use]
    pub const fn subject(&self) -> Option<&NodeId> {
        match self {
            Self::PeerUp { id, .. }
            | Self::PeerSuspected { id }
            | Self::PeerCleared { id }
            | Self::PeerDown { id }
            | Self::PeerLeft { id }
            | Self::PeerUpdated { id }
            | Self::PeerForgotten { id } => Some(id),
            Self::LinkUp { peer, .. } | Self::LinkDown { peer, .. } => Some(peer),
            Self::WrongPeer { found, .. } => Some(found),
            Self::Refuted { from } | Self::Rejected { from, .. } => Some(from),
            Self::DialFailed { .. }
            | Self::DialedMyself { .. }
            | Self::Isolated
            | Self::Rejoined
            | Self::NameTaken { .. }
            | Self::AnnounceRejected { .. }
            | Self::Paused { .. } => None,
        }
    }
}

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkEnd {
    /// We closed it: not needed.
    Surplus,
    /// A connection with a higher session won.
    Superseded,
    /// The peer closed it on purpose.
    PeerClosed,
    /// The peer left the mesh.
    PeerLeft,
    /// It broke.
    Lost,
    /// Nothing was heard on it for long.
    Silent,
    /// The peer broke the protocol.
    Protocol,
    /// One of the two certificates ends.
    Expired,
    /// One of the two certificates is trusted no longer.
    Untrusted,
    /// We leave or gave our id up.
    Leaving,
}

/// Why something a neighbour sent was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// The link was not established yet.
    BeforeHello,
    /// A message that may come only first came later.
    SecondHello,
    /// The record in the greeting is not the certificate holder's.
    WrongRecord,
    /// A counter above the allowed maximum.
    CounterTooHigh,
    /// A bound on members, edges or requests was hit.
    TooMany,
    /// Somebody else's view of an edge was signed with our name.
    ForgedReport,
}
