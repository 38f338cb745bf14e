//! Inputs and outputs of the credentials machine.

use super::expiry::Expiry;
use super::validity::Validity;
use crate::link::{LinkId, LocalClose};
use crate::machine::Wake;
use crate::time::Wall;

/// An event that concerns the credentials of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The calendar was read: completes [`Output::ReadCalendar`].
    Calendar(Wall),
    /// A link opened.
    LinkOpened {
        /// The link.
        link: LinkId,
        /// Whether this node dialled the link.
        dialed: bool,
        /// The expiry of the certificate that expires first.
        expiry: Expiry,
        /// The generation of this node's credentials that the handshake used.
        generation: u64,
    },
    /// A link closed or is closing.
    LinkClosed {
        /// The link.
        link: LinkId,
    },
    /// The peer of a link was verified with the current credentials: completes [`Output::Verify`].
    Verified {
        /// The link.
        link: LinkId,
        /// Whether the current credentials trust the peer.
        trusted: bool,
    },
    /// New credentials replaced the former ones, whether or not this machine ordered the replacement.
    Replaced {
        /// The generation of the new credentials. The generation increases with each replacement.
        generation: u64,
        /// The period in which the new certificate is valid.
        validity: Validity,
    },
    /// The source holds the certificate that is in use: completes [`Output::RequestCertificate`].
    Unchanged,
    /// No certificate could be obtained: completes [`Output::RequestCertificate`].
    RequestFailed {
        /// The reason, for users.
        reason: String,
    },
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// An order for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Read the calendar: answered by [`Input::Calendar`].
    ReadCalendar,
    /// Dial a replacement of a link; the link closes once the replacement is open.
    Renew {
        /// The link.
        link: LinkId,
    },
    /// Verify the peer of a link with the current credentials: answered by [`Input::Verified`].
    Verify {
        /// The link.
        link: LinkId,
    },
    /// Close a link after the messages that wait on it.
    Close {
        /// The link.
        link: LinkId,
        /// [`LocalClose::Expired`] or [`LocalClose::Untrusted`].
        reason: LocalClose,
    },
    /// Obtain a new certificate from the source of certificates and replace the credentials: answered by
    /// [`Input::Replaced`], [`Input::Unchanged`] or [`Input::RequestFailed`].
    RequestCertificate,
    /// Report an event.
    Report(CredentialsEvent),
}

/// A fact about the credentials, for users; not needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsEvent {
    /// A new certificate could not be obtained; the request is retried. Reported for each new reason, and at most once
    /// per [`REPORT_INTERVAL`](super::REPORT_INTERVAL) for a repeated reason.
    RequestFailed {
        /// The reason.
        reason: String,
        /// The number of consecutive failures.
        failures: u32,
    },
    /// This node's certificate has expired. Reported at the first reading of the calendar after that, and then once per
    /// [`REPORT_INTERVAL`](super::REPORT_INTERVAL).
    Expired {
        /// The last second of the certificate's validity.
        not_after: Wall,
    },
    /// The calendar was set.
    CalendarStepped {
        /// The time that was expected.
        expected: Wall,
        /// The time that was read.
        found: Wall,
    },
}
