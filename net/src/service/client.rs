//! The other end of `MeshService`, for tools: one connection over mutual TLS, and errors that say what to do.

use crate::identity::{Identity, Peer};
use crate::transport::connection::Connections;
use crate::transport::failure;
use crate::transport::{CALL_MESSAGE_BYTES_MAX, Network, Tcp};
use crate::wire::proto::PingRequest;
use crate::wire::proto::mesh_service_client::MeshServiceClient;
use core::net::{IpAddr, Ipv4Addr};
use hyper_util::rt::TokioIo;
use phalanx_core::gossip::{Address, DialError};
use rustls::pki_types::ServerName;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

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
        "{address}: not trusted: {why}; both ends need valid certificates of one CA (phalanx ca show)"
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
    /// Our own certificate is of no use.
    #[error("{0}")]
    Identity(String),
}

/// A connection to one node.
#[derive(Clone, Debug)]
pub struct Client {
    calls: MeshServiceClient<Channel>,
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
        let tls = identity
            .client_config()
            .map_err(|error| ConnectError::Identity(error.to_string()))?;
        let connector = TlsConnector::from(tls);
        match time::timeout(within, open(address, identity, connector)).await {
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
    connector: TlsConnector,
) -> Result<Client, DialError> {
    let io = Tcp
        .connect(address)
        .await
        .map_err(|error| failure::connecting(&error))?;
    let io = Connections::default().guard(io, false);
    let fate = io.fate();
    // The verifier does not look at this name: certificates name ids, not addresses.
    let name = ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED));
    let io = io
        .layer(async |io| connector.connect(name, io).await)
        .await
        .map_err(|error| failure::greeting(&error))?;
    let peer = identity
        .judge(io.inner().get_ref().1.peer_certificates())
        .map_err(|error| DialError::Untrusted(format!("its certificate {error}")))?;
    let once = Arc::new(Mutex::new(Some(io)));
    let connect = tower::service_fn(move |_| {
        let io = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            io.map(TokioIo::new)
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))
        }
    });
    let channel = Endpoint::from_static("http://node")
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_with_connector(connect)
        .await
        .map_err(|error| match fate.take_failure() {
            Some(failure) => failure::greeting(&failure),
            None => DialError::Protocol(error.to_string()),
        })?;
    let mut calls = MeshServiceClient::new(channel)
        .max_decoding_message_size(CALL_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(CALL_MESSAGE_BYTES_MAX);
    // With TLS 1.3 our handshake is over before the other end has judged our certificate.
    calls
        .ping(PingRequest::default())
        .await
        .map_err(|status| failure::opening(&status, fate.take_failure()))?;
    Ok(Client { calls, peer })
}
