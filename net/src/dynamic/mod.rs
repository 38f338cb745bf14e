//! Messages whose types are known from the protocol definitions only.
//!
//! - `codec`: such messages on the wire of gRPC.

mod codec;

pub(crate) use codec::DynamicCodec;

use prost_reflect::DescriptorPool;
use std::sync::LazyLock;

/// The protocol definitions, compiled.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The definitions with their options.
static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).map_err(|error| error.to_string()));

/// The definitions.
///
/// # Errors
/// If the compiled definitions are not valid.
pub(crate) fn definitions() -> Result<&'static DescriptorPool, String> {
    POOL.as_ref().map_err(Clone::clone)
}
