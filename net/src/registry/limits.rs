//! Limits of calls.

/// Maximum size of a request or a reply, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
