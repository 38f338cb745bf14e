//! The outcome of applying an update, and the rules of doing so.

use super::entry::Change;
use crate::channel::message::Version;
use crate::random::mix;

/// Which of two writes to one key wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    LaterWins,
    /// A planted bug.
    EarlierWins,
}

impl Rule {
    pub(super) fn keeps(self, current: &Version, received: &Version) -> bool {
        match self {
            Self::LaterWins => current >= received,
            Self::EarlierWins => current <= received,
        }
    }
}

/// Outcome of applying an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// Nothing changed: the update is known, or something newer is.
    Old,
    /// The update is a message that was not known.
    Message,
    /// These keys changed.
    Changed(Vec<Change>),
    /// This part of the update was new to the application's state.
    Merged(Vec<u8>),
    /// No application of this node merges the update.
    PassedOn,
    /// The application's state rejected the update, for this reason.
    Malformed(String),
    /// There is no room.
    Full,
}

/// The share of one element in the order-free hash.
pub(super) const fn share(digest: u64) -> u64 {
    mix(digest ^ 0x6368_616e_6e65_6c73)
}
