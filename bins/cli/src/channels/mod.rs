//! `phalanx publish`, `subscribe`, `send`, `routes`, `channels` and `kv`: uses channels through a live node.
//!
//! - [`say`]: what goes out.
//! - [`hear`]: what is heard.
//! - [`mod@kv`]: the map on a channel.
//! - [`ways`]: routes, and which channels there are.
//! - [`value`]: texts of flags and of answers.

mod hear;
mod kv;
mod say;
mod value;
mod ways;

pub(crate) use hear::subscribe;
pub(crate) use kv::kv;
pub(crate) use say::{publish, send};
pub(crate) use value::{MapVersion, Pair};
pub(crate) use ways::{channels, routes};

use crate::failure::Failure;
use crate::mesh::reach::{Node, refused};
use phalanx_core::channel::message::PAYLOAD_BYTES_MAX;
use std::io::Read as _;
use tonic::Code;

/// What a node made of an order: in its own words, unless it could not be asked.
fn declined(node: &Node, what: &str, status: &tonic::Status) -> Failure {
    let code = status.code();
    if matches!(
        code,
        Code::Unavailable | Code::Unknown | Code::PermissionDenied | Code::Unimplemented
    ) {
        refused(node.address(), status)
    } else if code == Code::InvalidArgument {
        Failure::usage(format!("{what}: {}", status.message()))
    } else {
        Failure::failed(format!("{what}: {}", status.message()))
    }
}

/// A payload that is not too large.
fn payload(what: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let found = bytes.len();
    if found > PAYLOAD_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{what}: has more than the {PAYLOAD_BYTES_MAX} bytes that are allowed"
        )));
    }
    Ok(bytes)
}

/// All of standard input.
fn all_input(what: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One more than is allowed says that it is too much.
    let most = PAYLOAD_BYTES_MAX as u64 + 1;
    std::io::stdin()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::failed(format!("standard input cannot be read: {error}")))?;
    payload(what, bytes)
}

/// A text of the command line, or standard input for `-`.
fn text_or_input(what: &str, text: &str) -> Result<Vec<u8>, Failure> {
    if text == "-" {
        all_input(what)
    } else {
        payload(what, text.as_bytes().to_vec())
    }
}
