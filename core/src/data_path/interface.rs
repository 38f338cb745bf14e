//! Inputs, outputs and states of the data-path machine.

use super::offer::Offer;
use super::signal::{CONTROL_BYTES_MAX, Control, Signal, WINDOW};
use super::violation::Violation;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::machine::Wake;
use core::fmt;

/// An event that concerns the data paths of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A link opened and can carry a data path. This node's offer is sent with its handshake.
    LinkOpened {
        /// The link.
        link: LinkId,
        /// The node at the other end of the link.
        peer: NodeId,
    },
    /// The handshake of a link is complete. The link replaces an earlier one with the same peer.
    LinkUp {
        /// The link.
        link: LinkId,
    },
    /// A link closed or is closing. The machine sends nothing more on the link.
    LinkClosed {
        /// The link.
        link: LinkId,
    },
    /// The peer sent a signal.
    Receive {
        /// The link on which the signal arrived.
        link: LinkId,
        /// The signal.
        signal: Signal,
    },
    /// The overlay prepared a data path: completes [`Output::Prepare`].
    Prepared {
        /// The link.
        link: LinkId,
    },
    /// The data path returned from a control message: completes [`Output::Deliver`].
    Delivered {
        /// The link.
        link: LinkId,
    },
    /// The data path stopped and is dropped: completes [`Output::Stop`].
    Stopped {
        /// The link.
        link: LinkId,
    },
    /// The local data path sends a control message. The input has no effect unless [`DataPaths::admits`] allows it.
    ///
    /// [`DataPaths::admits`]: super::DataPaths::admits
    Send {
        /// The link.
        link: LinkId,
        /// The message.
        control: Control,
    },
    /// The local data path reports that the data path works.
    Works {
        /// The link.
        link: LinkId,
    },
    /// The local data path has ended, or the overlay could not prepare one.
    Fail {
        /// The link.
        link: LinkId,
        /// The reason, for the peer and for users.
        reason: String,
        /// Whether the link is to be closed once the data path has stopped.
        with_link: bool,
    },
    /// A deadline has arrived. The machine has no deadlines.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

impl Input {
    /// The link that the input concerns.
    #[must_use]
    pub const fn link(&self) -> Option<LinkId> {
        match self {
            Self::LinkOpened { link, .. }
            | Self::LinkUp { link }
            | Self::LinkClosed { link }
            | Self::Receive { link, .. }
            | Self::Prepared { link }
            | Self::Delivered { link }
            | Self::Stopped { link }
            | Self::Send { link, .. }
            | Self::Works { link }
            | Self::Fail { link, .. } => Some(*link),
            Self::Wake => None,
        }
    }
}

/// An order for the caller.
///
/// [`Prepare`](Self::Prepare), [`Confirm`](Self::Confirm), [`Deliver`](Self::Deliver) and [`Stop`](Self::Stop) call the
/// overlay's code, which may take long: the caller performs those of one link one after another, in order, and may
/// perform the other outputs at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a signal to the peer.
    Send {
        /// The link.
        link: LinkId,
        /// The signal.
        signal: Signal,
    },
    /// Prepare a data path: answered by [`Input::Prepared`] or [`Input::Fail`].
    Prepare {
        /// The link.
        link: LinkId,
        /// The offer of the peer's overlay.
        offer: Offer,
    },
    /// Notify the data path that both ends are prepared.
    Confirm {
        /// The link.
        link: LinkId,
    },
    /// Pass a control message to the data path: answered by [`Input::Delivered`].
    Deliver {
        /// The link.
        link: LinkId,
        /// The message.
        control: Control,
    },
    /// Stop the data path, if one was prepared, and drop it: answered by [`Input::Stopped`]. `Stop` is the last of
    /// these four outputs for a link.
    Stop {
        /// The link.
        link: LinkId,
    },
    /// Close the link after the messages that wait on it, because the overlay gave the link up.
    CloseLink {
        /// The link.
        link: LinkId,
    },
    /// Close the link at once, because the peer broke the protocol.
    Reject {
        /// The link.
        link: LinkId,
        /// The rule that the peer broke.
        violation: Violation,
    },
    /// Report an event.
    Report(PathEvent),
}

impl Output {
    /// The link that the order concerns.
    #[must_use]
    pub const fn link(&self) -> LinkId {
        match self {
            Self::Send { link, .. }
            | Self::Prepare { link, .. }
            | Self::Confirm { link }
            | Self::Deliver { link, .. }
            | Self::Stop { link }
            | Self::CloseLink { link }
            | Self::Reject { link, .. }
            | Self::Report(
                PathEvent::Up { link, .. }
                | PathEvent::Down { link, .. }
                | PathEvent::Unfit { link, .. },
            ) => *link,
        }
    }
}

/// A fact about one data path, for users; not needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathEvent {
    /// Both ends report that the data path works.
    Up {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
    },
    /// The data path failed, or it worked and ended with its link.
    Down {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// The reason.
        reason: String,
    },
    /// The two ends of the link have no overlay in common.
    Unfit {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// The reason.
        reason: String,
    },
}

/// The reason why a control message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The peer has not consumed [`WINDOW`] messages.
    Full,
    /// The message has more than [`CONTROL_BYTES_MAX`] bytes.
    TooLong {
        /// The length of the message, in bytes.
        bytes: usize,
    },
    /// The data path ended.
    Over,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(
                f,
                "the other end has not taken {WINDOW} control messages; wait for room"
            ),
            Self::TooLong { bytes } => write!(
                f,
                "a control message of {bytes} bytes; at most {CONTROL_BYTES_MAX} are allowed"
            ),
            Self::Over => f.write_str("the data path is over"),
        }
    }
}

impl core::error::Error for SendError {}

/// The state of a data path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathState {
    /// The two ends have no overlay in common; holds the reason.
    Unfit(String),
    /// At least one end is not prepared yet.
    Preparing,
    /// Both ends are prepared, but at least one has not reported that the data path works.
    Confirmed,
    /// Both ends report that the data path works.
    Established,
    /// The data path ended; holds the reason.
    Failed(String),
}

impl PathState {
    /// The state as one word. Programs may rely on the words, which are stable.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unfit(_) => "unfit",
            Self::Preparing => "preparing",
            Self::Confirmed => "confirmed",
            Self::Established => "established",
            Self::Failed(_) => "failed",
        }
    }

    /// The reason why there is no data path.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Unfit(why) | Self::Failed(why) => Some(why),
            Self::Preparing | Self::Confirmed | Self::Established => None,
        }
    }
}

impl fmt::Display for PathState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            Some(why) => write!(f, "{}: {why}", self.word()),
            None => f.write_str(self.word()),
        }
    }
}
