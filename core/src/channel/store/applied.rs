//! The outcome of applying an update, and the rule that decides between two writes.

use super::entry::MapChange;
use crate::channel::message::Version;
use crate::random::mix;

/// The rule that decides which of two writes to one key wins.
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
pub(crate) enum AppliedUpdate {
    /// Nothing changed, because this update or a newer one is already known.
    Old,
    /// The update is a new message.
    Message,
    /// These keys changed.
    Changed(Vec<MapChange>),
    /// This part of the update was new to the application's state.
    Merged(Vec<u8>),
    /// The update is only relayed: no application of this node merges it.
    PassedOn,
    /// The application's state rejected the update; holds the reason.
    Malformed(String),
    /// There is no room for the update.
    Full,
}

/// The memory of one element beside its payload and key, in bytes, as the bounds count it.
pub(super) const ELEMENT_BYTES: usize = 96;

/// The contribution of one element to the order-free hash.
pub(super) const fn share(digest: u64) -> u64 {
    mix(digest ^ 0x6368_616e_6e65_6c73)
}
