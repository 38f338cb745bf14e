//! Client of `MeshService`, `ChannelService` and `ObjectService`, for tools: one mutual TLS connection, and errors that
//! say what to do.

use super::channels::CHANNEL_CALL_BYTES_MAX;
use crate::identity::{Identity, Peer};
use crate::registry::endpoint::RegistryEndpoint;
use crate::registry::limits::MESSAGE_BYTES_MAX;
use crate::registry::proto::object_service_client::ObjectServiceClient;
use crate::transport::{CALL_MESSAGE_BYTES_MAX, Call, CallError, Tcp};
use crate::wire::proto::PingRequest;
use crate::wire::proto::channel_service_client::ChannelServiceClient;
use crate::wire::proto::mesh_service_client::MeshServiceClient;
use phalanx_core::link::{Address, DialError, ResolutionError};
use std::path::Path;
use std::time::Duration;
use tokio::time;
use tonic::transport::Channel;

/// Reason why a node cannot be queried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No process listens on the address.
    #[error(
        "{address}: connection refused; check that phalanxd is running and listens on this address"
    )]
    Refused {
        /// The address.
        address: Address,
    },
    /// The node did not reply in time.
    #[error("{address}: no reply within {} ms; check the address and the firewalls", .within.as_millis())]
    TimedOut {
        /// The address.
        address: Address,
        /// The time waited.
        within: Duration,
    },
    /// There is no route.
    #[error("{address}: cannot be reached; check the address")]
    Unreachable {
        /// The address.
        address: Address,
    },
    /// The name cannot be resolved.
    #[error("{address}: {why}; check the name")]
    Unresolved {
        /// The address.
        address: Address,
        /// The reason, in the resolver's words.
        why: ResolutionError,
    },
    /// The certificates are not accepted.
    #[error(
        "{address}: not trusted: {why}; both ends need valid certificates of one CA (phalanx ca show), or one mesh secret"
    )]
    Untrusted {
        /// The address.
        address: Address,
        /// The reason.
        why: String,
    },
    /// The server at the address is not a node.
    #[error("{address}: does not speak the protocol of phalanxd: {why}; check the address")]
    Protocol {
        /// The address.
        address: Address,
        /// The reason.
        why: String,
    },
}

/// A connection to one node.
#[derive(Clone, Debug)]
pub struct Client {
    calls: MeshServiceClient<Channel>,
    channels: ChannelServiceClient<Channel>,
    objects: ObjectServiceClient<Channel>,
    channel: Channel,
    peer: Option<Peer>,
}

impl Client {
    /// Connects to the node at `address` as `identity`, and sends a ping, so that the returned
    /// connection was accepted by the node.
    ///
    /// # Errors
    /// If this does not succeed within `within`.
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

    /// Connects to the socket of a registry on this host, on which only the services of the registry are served.
    ///
    /// # Errors
    /// If this does not succeed within `within`: the reason, and what to check.
    pub async fn local(path: &Path, within: Duration) -> Result<Self, String> {
        let endpoint = RegistryEndpoint::Local(path.to_owned());
        let channel = endpoint.connect(within).await;
        let channel = channel.map_err(|why| format!("{endpoint}: {why}"))?;
        Ok(Self::of(&channel, None))
    }

    fn of(channel: &Channel, peer: Option<Peer>) -> Self {
        Self {
            calls: MeshServiceClient::new(channel.clone())
                .max_decoding_message_size(CALL_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(CALL_MESSAGE_BYTES_MAX),
            channels: ChannelServiceClient::new(channel.clone())
                .max_decoding_message_size(CHANNEL_CALL_BYTES_MAX)
                .max_encoding_message_size(CHANNEL_CALL_BYTES_MAX),
            objects: ObjectServiceClient::new(channel.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
            channel: channel.clone(),
            peer,
        }
    }

    /// Returns the node at the other end, as its certificate names it; none on a socket.
    #[must_use]
    pub const fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// Returns the client of `MeshService`.
    pub const fn calls(&mut self) -> &mut MeshServiceClient<Channel> {
        &mut self.calls
    }

    /// Returns the client of `ChannelService`.
    pub const fn channels(&mut self) -> &mut ChannelServiceClient<Channel> {
        &mut self.channels
    }

    /// Returns the connection, for clients of other services on the same port, such as the typed ones of the registry.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Returns the client of `ObjectService`.
    pub const fn objects(&mut self) -> &mut ObjectServiceClient<Channel> {
        &mut self.objects
    }
}

fn explain(address: Address, error: CallError, within: Duration) -> ConnectError {
    let error = match error {
        CallError::Unresolved(why) => return ConnectError::Unresolved { address, why },
        CallError::Dial(error) => error,
    };
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
) -> Result<Client, CallError> {
    let call = Call::connect(&Tcp, identity, address, within).await?;
    let mut client = Client::of(&call.channel, None);
    // With TLS 1.3 the client's handshake completes before the node has verified the client's
    // certificate.
    let pinged = client.calls.ping(PingRequest::default()).await;
    pinged.map_err(|status| call.first_failure(&status))?;
    client.peer = Some(call.peer);
    Ok(client)
}
