//! Checks of what a store has read.

use crate::registry::message::InvalidField;
use phalanx_core::registry::store::StoreImage;

/// Checks that the batches follow the floor without gaps and end with the head.
pub(super) fn check_log(image: &StoreImage, head: u64) -> Result<(), InvalidField> {
    let numbers = image.log.iter().map(|entry| entry.revision.sequence);
    let is_whole = numbers.eq(image.floor + 1..=image.floor + image.log.len() as u64);
    if is_whole && image.head() == head {
        return Ok(());
    }
    Err(InvalidField::new("entry", "batches are missing"))
}
