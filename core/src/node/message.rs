//! The messages that two nodes exchange over one link: each belongs to one of a node's machines.

use crate::channel;
use crate::gossip;
use crate::size::{self, Encoded};

/// One message on a link, of at most [`size::FRAME_BYTES_MAX`] bytes encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A message of the mesh: handshake, or a frame of gossip.
    Mesh(gossip::Message),
    /// A message about channels.
    Channel(channel::Data),
}

impl From<gossip::Message> for Message {
    fn from(message: gossip::Message) -> Self {
        Self::Mesh(message)
    }
}

impl From<channel::Data> for Message {
    fn from(data: channel::Data) -> Self {
        Self::Channel(data)
    }
}

impl Encoded for Message {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Mesh(message) => message.encoded_len(),
            Self::Channel(data) => size::delimited(data.encoded_len()),
        }
    }
}
