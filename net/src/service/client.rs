//! The other end of `MeshService` and `ChannelService`, for tools: one connection over mutual TLS, and errors that say what to do.

use super::channels::CHANNEL_CALL_BYTES_MAX;
use crate::identity::{Identity, Peer};
use crate::transport::{CALL_MESSAGE_BYTES_MAX, Call, Tcp};
use crate::wire::proto::PingRequest;
use crate::wire::proto::channel_service_client::ChannelServiceClient;
use crate::wire::proto::mesh_service_client::MeshServiceClient;
use phalanx_core::gossip::{Address, DialError};
use std::time::Duration;
use tokio::time;
use tonic::transport::Channel;

/// Why a node cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("{address}: connection refused; is phalanxd running, and does it listen there?")]
    Refused {
        /// Where.
        address: Address,
    },
    /// No answer in time.
    #[error("{address}: no answer within {} ms; is the address right, and does a firewall let it through?", .within.as_millis())]
    TimedOut {
        /// Where.
        address: Address,
        /// How long we waited.
        within: Duration,
    },
    /// No route, or a name that does not resolve.
    #[error("{address}: cannot be reached; is the address right?")]
    Unreachable {
        /// Where.
        address: Address,
    },
    /// The certificates do not fit.
    #[error(
        "{address}: not trusted: {why}; both ends need valid certificates of one CA (phalanx ca show), or one mesh secret"
    )]
    Untrusted {
        /// Where.
        address: Address,
        /// Why.
        why: String,
    },
    /// Something else than a node listens there.
    #[error("{address}: does not speak to us: {why}; is it the address of a phalanxd?")]
    Protocol {
        /// Where.
        address: Address,
        /// Why.
        why: String,
    },
}

/// A connection to one node.
#[derive(Clone, Debug)]
pub struct Client {
    calls: MeshServiceClient<Channel>,
    channels: ChannelServiceClient<Channel>,
    peer: Peer,
}

impl Client {
    /// Connects to the node at `address` as `identity`, and asks for a sign of life: a connection that is given
    /// back was accepted by the other end.
    ///
    /// # Errors
    /// When that does not succeed within `within`.
    pub async fn connect(
        address: &Address,
        identity: &Identity,
        within: Duration,
    ) -> Result<Self, ConnectError> {
        match time::timeout(within, open(address, identity, within)).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(explain(address.clone(), error, within)),
            Err(_) => Err(ConnectError::TimedOut {
                address: address.clone(),
                within,
            }),
        }
    }

    /// Who answers, as its certificate says.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The calls.
    pub const fn calls(&mut self) -> &mut MeshServiceClient<Channel> {
        &mut self.calls
    }

    /// The calls about channels.
    pub const fn channels(&mut self) -> &mut ChannelServiceClient<Channel> {
        &mut self.channels
    }
}

fn explain(address: Address, error: DialError, within: Duration) -> ConnectError {
    match error {
        DialError::Refused => ConnectError::Refused { address },
        DialError::TimedOut => ConnectError::TimedOut { address, within },
        DialError::Unreachable => ConnectError::Unreachable { address },
        DialError::Untrusted(why) => ConnectError::Untrusted { address, why },
        DialError::Protocol(why) => ConnectError::Protocol { address, why },
    }
}

async fn open(
    address: &Address,
    identity: &Identity,
    within: Duration,
) -> Result<Client, DialError> {
    let call = Call::connect(&Tcp, identity, address, within).await?;
    let mut calls = MeshServiceClient::new(call.channel.clone())
        .max_decoding_message_size(CALL_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(CALL_MESSAGE_BYTES_MAX);
    // With TLS 1.3 our handshake is over before the other end has judged our certificate.
    calls
        .ping(PingRequest::default())
        .await
        .map_err(|status| call.first_failure(&status))?;
    let channels = ChannelServiceClient::new(call.channel.clone())
        .max_decoding_message_size(CHANNEL_CALL_BYTES_MAX)
        .max_encoding_message_size(CHANNEL_CALL_BYTES_MAX);
    Ok(Client {
        calls,
        channels,
        peer: call.peer,
    })
}
