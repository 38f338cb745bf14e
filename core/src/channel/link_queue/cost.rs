//! The byte cost of waiting payloads, and the limit of a link.

/// Maximum number of bytes of broadcasts, and of packets, that wait on one link. One more payload always fits.
pub const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// The size that a waiting payload counts as: its bytes and an allowance for its name.
pub(super) fn cost(payload: &[u8]) -> usize {
    payload.len() + 64
}
