//! The byte cost of waiting payloads, and the maximum cost on one link.

/// Maximum number of bytes of broadcasts that wait on one link, and also of packets that wait on one link. A payload of
/// any size is accepted while the waiting bytes do not exceed this maximum.
pub const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// The size that a waiting payload counts as: the payload's bytes and an allowance for its name.
pub(super) fn cost(payload: &[u8]) -> usize {
    payload.len() + 64
}
