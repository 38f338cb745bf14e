//! `phalanx publish`, `subscribe`, `send`, `routes`, `channels` and `kv`: use channels through a
//! live node.
//!
//! - [`mod@publish`]: how messages are published and sent.
//! - [`mod@subscribe`]: the subscriptions of the tool.
//! - [`mod@kv`]: the map on a channel.
//! - [`mod@routes`]: routes, and the list of channels.
//! - [`value`]: formats of flags and of output.

mod kv;
mod publish;
mod routes;
mod subscribe;
mod value;

pub(crate) use kv::kv;
pub(crate) use publish::{publish, send};
pub(crate) use routes::{channels, routes};
pub(crate) use subscribe::subscribe;
pub(crate) use value::{MapVersion, Pair};

use crate::failure::CommandError;
use crate::mesh::node_client::{NodeClient, refused};
use phalanx_core::channel::message::PAYLOAD_BYTES_MAX;
use std::io::Read as _;
use tonic::Code;

/// Converts the status of a refused call into a failure: with the node's own message, or with the reason why the call
/// did not reach the node.
fn declined(node: &NodeClient, what: &str, status: &tonic::Status) -> CommandError {
    let code = status.code();
    if matches!(
        code,
        Code::Unavailable | Code::Unknown | Code::PermissionDenied | Code::Unimplemented
    ) {
        refused(node.address(), status)
    } else if code == Code::InvalidArgument {
        CommandError::usage(format!("{what}: {}", status.message()))
    } else {
        CommandError::failed(format!("{what}: {}", status.message()))
    }
}

/// Checks that a payload is within the size limit.
fn payload(what: &str, bytes: Vec<u8>) -> Result<Vec<u8>, CommandError> {
    let found = bytes.len();
    if found > PAYLOAD_BYTES_MAX {
        return Err(CommandError::usage(format!(
            "{what}: the payload exceeds the limit of {PAYLOAD_BYTES_MAX} bytes"
        )));
    }
    Ok(bytes)
}

/// Reads all of standard input, up to the size limit of a payload.
fn all_input(what: &str) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    // One byte above the limit is read, to detect input that is too long.
    let most = PAYLOAD_BYTES_MAX as u64 + 1;
    std::io::stdin()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| CommandError::failed(format!("standard input cannot be read: {error}")))?;
    payload(what, bytes)
}

/// Returns the bytes of a command-line text, or of standard input for `-`.
fn text_or_input(what: &str, text: &str) -> Result<Vec<u8>, CommandError> {
    if text == "-" {
        all_input(what)
    } else {
        payload(what, text.as_bytes().to_vec())
    }
}
