//! The rules of the data-path protocol that a byzantine peer can break.

use super::signal::{Signal, WINDOW};
use core::fmt;

/// A rule that the peer broke. The link of such a peer is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A signal other than an offer, from a node that has not offered the same overlay as this node.
    Uninvited,
    /// A second offer on one link.
    SecondOffer,
    /// A second `Ready`.
    SecondReady,
    /// A second `Established`, or an `Established` before both ends were ready.
    Established,
    /// A control message before `Ready`.
    Early,
    /// A control message beyond the window.
    Overrun,
    /// Credit of zero messages, or for more messages than were sent.
    Credit,
    /// A signal after `Failed`.
    AfterFailed,
}

impl Violation {
    /// The rule that a signal breaks on a link without a data path, where only an offer is allowed.
    #[must_use]
    pub const fn without_path(signal: &Signal) -> Option<Self> {
        match signal {
            Signal::Offer(_) => None,
            Signal::Ready
            | Signal::Control(_)
            | Signal::Credit(_)
            | Signal::Established
            | Signal::Failed(_) => Some(Self::Uninvited),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uninvited => f.write_str("uninvited: no overlay of this name was offered"),
            Self::SecondOffer => f.write_str("a second offer"),
            Self::SecondReady => f.write_str("ready was said twice"),
            Self::Established => {
                f.write_str("established was said twice, or before both ends were ready")
            }
            Self::Early => f.write_str("a control message before ready"),
            Self::Overrun => {
                write!(f, "more than {WINDOW} control messages that were not taken")
            }
            Self::Credit => f.write_str("more control messages were taken than were sent"),
            Self::AfterFailed => f.write_str("something after failed"),
        }
    }
}

impl core::error::Error for Violation {}
