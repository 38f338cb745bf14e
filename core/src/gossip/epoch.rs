//! The rules for a node's epoch: a number that rises with each start, so that the mesh can distinguish the starts of
//! one node.
//!
//! An epoch is durable before it is published. If no epoch is stored, the epoch begins at the calendar time in seconds,
//! so that a node whose disk was lost still returns with a higher epoch than before.

use crate::time::Wall;
use crate::topology::record::COUNTER_MAX;

/// The epoch of a new start: one above the stored epoch, or the calendar time if no epoch is stored. None if the stored
/// epoch is the highest possible epoch.
#[must_use]
pub const fn epoch_of_start(stored: Option<u64>, now: Wall) -> Option<u64> {
    match stored {
        None if now.0 > 0 => Some(now.0),
        None => Some(1),
        Some(epoch) if epoch < COUNTER_MAX => Some(epoch + 1),
        Some(_) => None,
    }
}

/// Whether an epoch may replace the stored one: a stored epoch never decreases.
#[must_use]
pub const fn may_replace_epoch(stored: Option<u64>, epoch: u64) -> bool {
    match stored {
        Some(stored) => stored <= epoch,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_of_a_start_is_above_the_stored_one_or_from_the_calendar() {
        let now = Wall(1_000);
        assert_eq!(epoch_of_start(Some(7), now), Some(8));
        assert_eq!(epoch_of_start(Some(5_000), now), Some(5_001));
        assert_eq!(epoch_of_start(None, now), Some(1_000));
        assert_eq!(epoch_of_start(None, Wall(0)), Some(1));
        assert_eq!(
            epoch_of_start(Some(COUNTER_MAX - 1), now),
            Some(COUNTER_MAX)
        );
        assert_eq!(epoch_of_start(Some(COUNTER_MAX), now), None);
    }

    #[test]
    fn a_stored_epoch_never_decreases() {
        assert!(may_replace_epoch(None, 1));
        assert!(may_replace_epoch(Some(7), 7));
        assert!(may_replace_epoch(Some(7), 8));
        assert!(!may_replace_epoch(Some(7), 6));
    }
}
