//! Limits of calls.

/// Maximum size of a request or a reply, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Maximum size of a message between registries, in bytes. A batch of 4 MiB may change the metadata of further objects.
pub(crate) const LINK_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
