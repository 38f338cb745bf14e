//! One dial: connect, shake hands, open the link.

use super::LINK_MESSAGE_BYTES_MAX;
use super::connection::{Connections, Guarded};
use super::failure;
use super::links::{Links, Origin, Stem};
use super::network::Network;
use super::service::Sent;
use crate::identity::{Identity, Peer, Role};
use crate::wire::proto::mesh_client::MeshClient;
use hyper_util::rt::TokioIo;
use phalanx_core::gossip::{Address, DialError, DialId, Input};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// What every dial needs.
#[derive(Clone)]
pub(crate) struct Dialer<N> {
    pub(crate) network: N,
    pub(crate) identity: Identity,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) connections: Connections,
    pub(crate) links: Links,
    /// The longest time from the order to the link.
    pub(crate) timeout: Duration,
    /// HTTP/2 asks for a sign of life this often, as a backstop to core's heartbeats.
    pub(crate) keepalive: Duration,
}

/// A finished handshake.
type Secured<Io> = Guarded<TlsStream<Io>>;

impl<N: Network> Dialer<N> {
    /// Carries out one dial, and tells the machine how it ended.
    pub(crate) async fn dial(self, dial: DialId, address: Address) {
        let links = self.links.clone();
        let reason = match time::timeout(self.timeout, self.link(dial, &address)).await {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(_) => DialError::TimedOut,
        };
        links.tell(Input::DialFailed { dial, reason }).await;
    }

    async fn link(&self, dial: DialId, address: &Address) -> Result<(), DialError> {
        let io = self
            .network
            .connect(address)
            .await
            .map_err(|error| failure::connecting(&error))?;
        let (io, peer) = self.secure(self.connections.guard(io, false)).await?;
        let fate = io.fate();
        let channel = match self.channel(io).await {
            Ok(channel) => channel,
            Err(error) => {
                return Err(fate.take_failure().map_or_else(
                    || DialError::Protocol(format!("HTTP/2 did not start: {error}")),
                    |failure| failure::greeting(&failure),
                ));
            }
        };
        let (queue, outbound) = self.links.queue();
        let call = MeshClient::new(channel.clone())
            .max_decoding_message_size(LINK_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(LINK_MESSAGE_BYTES_MAX)
            .link(Sent(outbound))
            .await;
        let inbound = match call {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Err(failure::opening(&status, fate.take_failure())),
        };
        let origin = Origin::Dialed(dial, channel);
        let peer = peer.subject.id().clone();
        self.links.open(Stem {
            origin,
            peer,
            queue,
            inbound,
            fate,
        });
        Ok(())
    }

    /// Shakes hands and judges who answered.
    async fn secure(&self, io: Guarded<N::Io>) -> Result<(Secured<N::Io>, Peer), DialError> {
        let connector = TlsConnector::from(self.tls.clone());
        // Certificates name ids, not addresses; the verifier does not look at this name.
        let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::UNSPECIFIED));
        let io = io
            .layer(async |io| connector.connect(name, io).await)
            .await
            .map_err(|error| failure::greeting(&error))?;
        let peer = self
            .identity
            .judge(io.inner().get_ref().1.peer_certificates())
            .map_err(|error| DialError::Untrusted(format!("its certificate {error}")))?;
        if peer.subject.role() != Role::Node {
            return Err(DialError::Untrusted(format!("{} is no node", peer.subject)));
        }
        Ok((io, peer))
    }

    /// HTTP/2 on one connection: never another one, since the certificate was judged on this one.
    async fn channel(&self, io: Secured<N::Io>) -> Result<Channel, tonic::transport::Error> {
        let once = Arc::new(Mutex::new(Some(io)));
        let connector = tower::service_fn(move |_| {
            let io = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            async move {
                io.map(TokioIo::new)
                    .ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the link is gone"))
            }
        });
        Endpoint::from_static("http://link")
            .http2_keep_alive_interval(self.keepalive)
            .keep_alive_timeout(self.keepalive)
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await
    }
}
