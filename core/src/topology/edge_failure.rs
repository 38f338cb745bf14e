//! Reasons why two members have no link with each other, as one of them knows them.
//!
//! The reporter of an edge states the reason beside the edge, as it does the time of the last contact: neither is part of
//! the report's hash, and a peer of protocol 1 leaves the reason out. At most [`EDGE_FAILURES_MAX`] edges of a report
//! have a reason.

use crate::link::DialError;
use core::fmt;

/// Maximum number of edges of one report that have a reason; reasons of further edges are dropped.
pub const EDGE_FAILURES_MAX: usize = 16;

/// The reason why the reporter of an edge has no link with the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeFailure {
    /// No process listens at the address that the peer advertises.
    Refused,
    /// The address that the peer advertises did not answer in time.
    TimedOut,
    /// No route leads to the address that the peer advertises.
    NoRoute,
    /// One of the two ends does not accept the certificate of the other.
    Untrusted,
    /// The process at the address that the peer advertises does not complete the handshake.
    Protocol,
    /// Another node answers at the address that the peer advertises.
    WrongPeer,
    /// The peer answered and refused the link.
    Rejected,
    /// The connection stands or stood, and nothing was received over it for too long.
    Silent,
}

impl EdgeFailure {
    /// All reasons, each with its number on the wire and its word for users.
    pub const ALL: [(Self, u32, &'static str); 8] = [
        (Self::Refused, 1, "refused"),
        (Self::TimedOut, 2, "timed-out"),
        (Self::NoRoute, 3, "no-route"),
        (Self::Untrusted, 4, "untrusted"),
        (Self::Protocol, 5, "protocol"),
        (Self::WrongPeer, 6, "wrong-peer"),
        (Self::Rejected, 7, "rejected"),
        (Self::Silent, 8, "silent"),
    ];

    /// The reason with this number on the wire; none if the number is unknown.
    #[must_use]
    pub fn of_number(number: u32) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == number);
        found.map(|(failure, ..)| *failure)
    }

    /// The number of the reason on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        let found = Self::ALL.iter().find(|(failure, ..)| *failure == self);
        found.map_or(0, |(_, number, _)| *number)
    }

    /// The word of the reason, for scenario files and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(failure, ..)| *failure == self);
        found.map_or("unknown", |(.., word)| word)
    }

    /// Whether the reason is a fault of the address that the peer advertises, or of the network on the way to it.
    #[must_use]
    pub const fn is_of_address(self) -> bool {
        match self {
            Self::Refused | Self::TimedOut | Self::NoRoute | Self::Protocol | Self::WrongPeer => {
                true
            }
            Self::Untrusted | Self::Rejected | Self::Silent => false,
        }
    }
}

impl From<&DialError> for EdgeFailure {
    fn from(error: &DialError) -> Self {
        match error {
            DialError::Refused => Self::Refused,
            DialError::TimedOut => Self::TimedOut,
            DialError::Unreachable => Self::NoRoute,
            DialError::Untrusted(_) => Self::Untrusted,
            DialError::Protocol(_) => Self::Protocol,
        }
    }
}

impl fmt::Display for EdgeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::TimedOut => "no answer in time",
            Self::NoRoute => "no route to the address",
            Self::Untrusted => "a certificate is not accepted",
            Self::Protocol => "the process at the address does not complete the handshake",
            Self::WrongPeer => "another node answers at the address",
            Self::Rejected => "the link is refused",
            Self::Silent => "nothing is received",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_number_and_a_word_of_its_own() {
        for (at, (failure, number, word)) in EdgeFailure::ALL.into_iter().enumerate() {
            assert_eq!(EdgeFailure::of_number(number), Some(failure));
            assert_eq!((failure.number(), failure.word()), (number, word));
            assert_eq!(number as usize, at + 1, "one byte on the wire");
        }
        assert_eq!(EdgeFailure::of_number(0), None);
        assert_eq!(EdgeFailure::of_number(9), None);
    }
}
