//! Connecting to a node: for a link, or for calls.

use super::attempts::{self, CallError};
use super::connection::{ConnectionState, Connections, Guarded};
use super::credentials::CurrentProof;
use super::expiry;
use super::failure;
use super::limits::LINK_MESSAGE_BYTES_MAX;
use super::links::{LinkOrigin, NewStream, OpenLinks};
use super::network::{Listener, Network};
use super::service::Sent;
use crate::clock;
use crate::identity::{self, Encryption, Identity, Peer};
use crate::overlay::{Keys, LinkConnection};
use crate::wire::proto::mesh_client::MeshClient;
use hyper_util::rt::TokioIo;
use phalanx_core::access;
use phalanx_core::credentials::Expiry;
use phalanx_core::gossip::Input;
use phalanx_core::link::{Address, DialError, DialId, ResolutionError, Ticket};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// The means to dial, shared by all dials of a node.
#[derive(Clone)]
pub(crate) struct TransportDialer<N> {
    pub(crate) network: N,
    pub(crate) credentials: CurrentProof,
    pub(crate) connections: Connections,
    pub(crate) links: OpenLinks,
    /// Maximum time from an order to the link. The machine decides earlier when a dial counts as failed.
    pub(crate) timeout: Duration,
    /// Maximum time from an order to the addresses of a name.
    pub(crate) resolution_timeout: Duration,
    /// Interval of HTTP/2 pings, a backstop to core's heartbeats.
    pub(crate) keepalive: Duration,
}

impl<N: Network> TransportDialer<N> {
    /// Performs one dial and sends its outcome to the machine.
    pub(crate) async fn dial(self, dial: DialId, remote: SocketAddr) {
        let links = self.links.clone();
        let reason = match time::timeout(self.timeout, self.link(dial, remote)).await {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(_) => DialError::TimedOut,
        };
        links.notify(Input::DialFailed { dial, reason }).await;
    }

    /// Resolves a name and sends the answer to the machine.
    pub(crate) async fn resolve(self, ticket: Ticket, name: String) {
        let resolution = self.network.resolve(&name);
        let addresses = match time::timeout(self.resolution_timeout, resolution).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(ResolutionError::Failed(error.to_string())),
            Err(_) => Err(ResolutionError::TimedOut),
        };
        self.links
            .notify(Input::Resolved { ticket, addresses })
            .await;
    }

    async fn link(&self, dial: DialId, remote: SocketAddr) -> Result<(), DialError> {
        let io = self
            .network
            .connect(remote)
            .await
            .map_err(|error| failure::connecting(&error))?;
        let local = N::Listener::local_end(&io).ok();
        let io = self.connections.guard(io, false);
        let proof = self.credentials.current();
        let tls = proof.dialing(remote);
        let Call {
            channel,
            peer,
            connection,
            expiry,
            encrypted,
            keys,
        } = call(io, &proof.identity, tls, Some(self.keepalive)).await?;
        if !expiry.admits_dialing(clock::wall()) {
            return Err(DialError::Untrusted(expiry::in_words(expiry)));
        }
        let (queue, outbound) = self.links.queue();
        let answer = MeshClient::new(channel.clone())
            .max_decoding_message_size(LINK_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(LINK_MESSAGE_BYTES_MAX)
            .link(Sent(outbound))
            .await;
        let inbound = match answer {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Err(failure::opening(&status, connection.take_failure())),
        };
        let wire = local.map(|local| LinkConnection {
            keys,
            local,
            remote,
            dialed: true,
            encrypted,
        });
        let origin = LinkOrigin::Dialed(dial, channel);
        self.links.open(NewStream {
            origin,
            peer,
            remote,
            encrypted,
            queue,
            inbound,
            connection,
            expiry,
            generation: proof.generation,
            wire,
        });
        Ok(())
    }
}

/// The factor by which the time for an answer to an HTTP/2 ping exceeds the interval of pings: on a slow and lossy link
/// an answer is late by several retransmissions.
pub(super) const KEEPALIVE_ANSWER: u32 = 2;
/// Interval of HTTP/2 pings on a connection for calls: a caller learns within three times this time that the other end is
/// gone.
const CALL_KEEPALIVE: Duration = Duration::from_secs(5);

/// A connection to a node, for calls. It is encrypted, also in trusted subnets.
///
/// With TLS 1.3 the handshake is complete on this side before the node has verified our certificate. A rejected
/// certificate shows at the first call, whose status [`explain`](Self::explain) puts into words.
#[derive(Debug)]
pub struct Call {
    /// The channel for calls. It does not reconnect.
    pub channel: Channel,
    /// The node that answered.
    pub peer: Peer,
    connection: ConnectionState,
    expiry: Expiry,
    encrypted: bool,
    keys: Keys,
}

impl Call {
    /// Connects to the node at an address, as `identity`, within `timeout`.
    ///
    /// # Errors
    /// The reason why the node cannot be reached or trusted.
    pub async fn connect<N: Network>(
        network: &N,
        identity: &Identity,
        address: &Address,
        timeout: Duration,
    ) -> Result<Self, CallError> {
        let connections = Connections::default();
        Self::connect_among(network, &connections, identity, address, timeout).await
    }

    /// Connects as [`connect`](Self::connect) does. The connection is one of `connections`, and ends with them.
    pub(super) async fn connect_among<N: Network>(
        network: &N,
        connections: &Connections,
        identity: &Identity,
        address: &Address,
        timeout: Duration,
    ) -> Result<Self, CallError> {
        let config = identity
            .client_config(Encryption::Demanded)
            .map_err(|error| DialError::Untrusted(error.to_string()))?;
        let connect = async {
            let io = attempts::connect(network, address).await?;
            let call = call(
                connections.guard(io, false),
                identity,
                config,
                Some(CALL_KEEPALIVE),
            );
            Ok(call.await?)
        };
        time::timeout(timeout, connect)
            .await
            .unwrap_or(Err(DialError::TimedOut.into()))
    }

    /// The cause of a failed first call on this connection.
    #[must_use]
    pub fn first_failure(&self, status: &Status) -> DialError {
        failure::opening(status, self.connection.take_failure())
    }

    /// The cause of a failed call on this connection, in words.
    #[must_use]
    pub fn explain(&self, status: &Status) -> String {
        match self.connection.take_failure() {
            Some(failure) => failure::after_handshake(&failure).to_string(),
            None => status.message().to_owned(),
        }
    }
}

/// Completes the TLS handshake, verifies the peer, and starts HTTP/2.
pub(super) async fn call<Io>(
    io: Guarded<Io>,
    identity: &Identity,
    tls: Arc<ClientConfig>,
    keepalive: Option<Duration>,
) -> Result<Call, DialError>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connector = TlsConnector::from(tls);
    // Certificates name ids, not addresses; the verifier does not look at this name.
    let name = ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED));
    let io = io
        .layer(async |io| connector.connect(name, io).await)
        .await
        .map_err(|error| failure::dial_error(&error))?;
    let connection = io.connection();
    let certificates = io.inner().get_ref().1.peer_certificates();
    let own = certificates.and_then(<[_]>::first);
    connection.identify(own.and_then(identity::presented));
    let peer = identity
        .judge(io.inner().get_ref().1.peer_certificates())
        .map_err(|error| DialError::Untrusted(format!("its certificate {error}")))?;
    access::serve(&peer.subject).map_err(|denial| DialError::Untrusted(denial.to_string()))?;
    let (dialer, acceptor) = (identity.subject().id(), peer.subject.id());
    let keys = Keys::of(io.inner().get_ref().1, dialer, acceptor);
    let expiry = Expiry::first_of(identity.validity(), peer.validity);
    let encrypted = identity::is_encrypted(io.inner().get_ref().1);
    match channel(io, keepalive).await {
        Ok(channel) => Ok(Call {
            channel,
            peer,
            connection,
            expiry,
            encrypted,
            keys,
        }),
        Err(error) => Err(connection.take_failure().map_or_else(
            || DialError::Protocol(format!("HTTP/2 did not start: {error}")),
            |failure| failure::after_handshake(&failure),
        )),
    }
}

/// HTTP/2 on one connection, without reconnection: the certificate was verified on this connection alone.
async fn channel<Io>(
    io: Guarded<TlsStream<Io>>,
    keepalive: Option<Duration>,
) -> Result<Channel, tonic::transport::Error>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let once = Arc::new(Mutex::new(Some(io)));
    let connector = tower::service_fn(move |_| {
        let io = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            io.map(TokioIo::new).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotConnected, "the connection is gone")
            })
        }
    });
    let mut endpoint = Endpoint::from_static("http://node");
    if let Some(keepalive) = keepalive {
        endpoint = endpoint
            .http2_keep_alive_interval(keepalive)
            .keep_alive_timeout(keepalive * KEEPALIVE_ANSWER)
            .keep_alive_while_idle(true);
    }
    endpoint.connect_with_connector(connector).await
}
