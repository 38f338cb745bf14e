//! Datagrams to members by name, in the shape of a UDP socket.

use super::error::Error;
use super::handle::Channel;
use crate::transport::MeshNode;
use phalanx_core::channel::{ChannelName, Delivery, Kind, Options, Received, Refusal};
use phalanx_core::identity::NodeId;
use std::io;

/// Maximum size of one packet, in bytes.
pub const PACKET_BYTES_MAX: usize = 64 * 1024;

/// A datagram socket on the mesh. Its port is the name of a channel, and its addresses are the ids of members.
///
/// As with UDP, a packet arrives whole or not at all, possibly twice, and not always in order. Packets to a member
/// without a link pass over relays. At most 256 received packets wait to be read (the `room` of the channel's
/// options); further ones are dropped.
#[derive(Debug)]
pub struct PacketSocket {
    channel: Channel,
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Stopped(_) => io::Error::new(io::ErrorKind::NotConnected, error),
        Error::Refused(_) => io::Error::other(error),
    }
}

impl PacketSocket {
    /// Binds a socket to a channel of this node.
    ///
    /// # Errors
    /// `AddrInUse` if the channel is already open on this node; another error if the node cannot open it.
    pub async fn bind(node: &MeshNode, channel: ChannelName) -> io::Result<Self> {
        let opened = node.open(channel, Options::of(Kind::Messages)).await;
        let channel = opened.map_err(|error| match error {
            Error::Refused(Refusal::AlreadyOpen) => io::Error::new(io::ErrorKind::AddrInUse, error),
            Error::Refused(_) | Error::Stopped(_) => io_error(error),
        })?;
        Ok(Self { channel })
    }

    /// Sends a packet to a member that has a socket on the channel.
    ///
    /// # Errors
    /// `InvalidInput` if the packet has more than [`PACKET_BYTES_MAX`] bytes; `NotConnected` if the node has stopped.
    pub async fn send_to(&self, packet: &[u8], to: &NodeId) -> io::Result<usize> {
        if packet.len() > PACKET_BYTES_MAX {
            let found = packet.len();
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a packet of {found} bytes; at most {PACKET_BYTES_MAX} are allowed"),
            ));
        }
        let sent = self.channel.send_datagram(to.clone(), packet).await;
        sent.map_err(io_error)?;
        Ok(packet.len())
    }

    /// Waits for the next packet; returns its length in the buffer and its sender. Bytes that exceed the buffer are cut
    /// off. Cancel-safe: no packet is lost.
    ///
    /// # Errors
    /// `NotConnected` if the node has stopped.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, NodeId)> {
        while let Some(received) = self.channel.recv().await {
            if let Received::Delivery(Delivery::Message { from, payload, .. }) = received {
                let length = payload.len().min(buffer.len());
                buffer[..length].copy_from_slice(&payload[..length]);
                return Ok((length, from));
            }
        }
        Err(io_error(Error::Stopped(crate::driver::Stopped)))
    }

    /// Returns the channel that the socket is bound to.
    #[must_use]
    pub fn channel(&self) -> &ChannelName {
        self.channel.name()
    }
}
