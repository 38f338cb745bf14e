//! Encoded sizes of messages, computed without encoding.
//!
//! The wire format is Protocol Buffers (net/proto/mesh.proto). Core decides how much fits in a frame, and the simulator
//! counts bytes, so both need sizes. Property tests in `phalanx-net` check that these formulas equal the real encoder's
//! sizes. All field numbers are below 16, so a tag is one byte.

/// Maximum encoded size of one message, in bytes.
pub const FRAME_BYTES_MAX: usize = 16 * 1024;
/// A value with an encoded size.
pub trait Encoded {
    /// The size of the Protocol Buffers encoding, in bytes, without a length prefix.
    fn encoded_len(&self) -> usize;
}

/// Bytes that `count` values take in memory, without the data that they point to.
pub(crate) const fn held<T>(count: usize) -> usize {
    count * size_of::<T>()
}

/// Bytes of a base-128 varint.
#[must_use]
pub const fn varint(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// A `uint64`, `uint32` or enum field, absent when zero.
#[must_use]
pub const fn uint(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint(value) }
}

/// An `optional uint64` field.
#[must_use]
pub const fn optional_uint(value: Option<u64>) -> usize {
    match value {
        Some(value) => 1 + varint(value),
        None => 0,
    }
}

/// A `bool` field, absent when false.
#[must_use]
pub const fn boolean(value: bool) -> usize {
    if value { 2 } else { 0 }
}

/// A length-delimited field that is always present (an element of a repeated field, a sub-message).
#[must_use]
pub const fn delimited(len: usize) -> usize {
    1 + varint(len as u64) + len
}

/// A `string` or `bytes` field, absent when empty.
#[must_use]
pub const fn bytes(len: usize) -> usize {
    if len == 0 { 0 } else { delimited(len) }
}

/// A `fixed64` field, absent when zero.
#[must_use]
pub const fn fixed64(value: u64) -> usize {
    if value == 0 { 0 } else { 9 }
}

/// A packed `repeated fixed64` field of `count` elements, absent when empty.
#[must_use]
pub const fn packed_fixed64(count: usize) -> usize {
    bytes(count * 8)
}
