//! How a client reaches a registry: at the address of its node with a certificate, or on the node's host by a socket.

use super::message::status::{OtherRegistry, other_registry};
use super::proto::GetRegistryStatusRequest;
use super::proto::object_service_client::ObjectServiceClient;
use crate::identity::Identity;
use crate::transport::{Call, Tcp};
use hyper_util::rt::TokioIo;
use phalanx_core::link::Address;
use phalanx_core::time::Duration;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use tokio::time;
use tonic::transport::{Channel, Endpoint};

/// The beginning of the address of a socket: `unix:/run/phalanx/registry.sock`.
pub const UNIX_SCHEME: &str = "unix:";

/// A registry, as a client reaches it.
#[derive(Clone, Debug)]
pub enum RegistryEndpoint {
    /// By the node's port.
    Node {
        /// The address of the node.
        address: Address,
        /// The identity of the client.
        identity: Box<Identity>,
    },
    /// By a Unix socket on the same host. The operating system tells the registry the user of the client.
    Local(PathBuf),
}

impl RegistryEndpoint {
    /// The socket that a text of the form `unix:PATH` names.
    #[must_use]
    pub fn local(text: &str) -> Option<Self> {
        let path = text.strip_prefix(UNIX_SCHEME)?;
        Some(Self::Local(PathBuf::from(path)))
    }

    /// Connects to the registry within twice a time: a node that runs none names another one.
    pub(super) async fn connect_registry(&self, timeout: Duration) -> Result<Channel, String> {
        let channel = self.connect(timeout).await?;
        let Self::Node { identity, .. } = self else {
            return Ok(channel);
        };
        let mut client = ObjectServiceClient::new(channel.clone());
        let asked = client.get_registry_status(GetRegistryStatusRequest {});
        let Ok(asked) = time::timeout(timeout, asked).await else {
            return Err("no reply in time".to_owned());
        };
        let Some(other) = asked.err().as_ref().and_then(other_registry) else {
            return Ok(channel);
        };
        let OtherRegistry {
            node,
            region,
            address,
        } = other;
        tracing::info!(node, region, %address, "{self} runs no registry; the one that it names is used");
        let other = Self::Node {
            address: Address::Socket(address),
            identity: identity.clone(),
        };
        let named =
            |why| format!("{node} at {address}, which runs the registry of {region}: {why}");
        other.connect(timeout).await.map_err(named)
    }

    /// Connects within a time. The channel does not reconnect to a node.
    pub(crate) async fn connect(&self, timeout: Duration) -> Result<Channel, String> {
        match self {
            Self::Node { address, identity } => {
                let call = Call::connect(&Tcp, identity, address, timeout).await;
                call.map(|call| call.channel)
                    .map_err(|error| error.to_string())
            }
            Self::Local(path) => match time::timeout(timeout, connect_local(path)).await {
                Ok(connected) => connected.map_err(|error| refused(&error)),
                Err(_) => Err("no reply in time".to_owned()),
            },
        }
    }
}

impl fmt::Display for RegistryEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { address, .. } => address.fmt(f),
            Self::Local(path) => write!(f, "{UNIX_SCHEME}{}", path.display()),
        }
    }
}

/// Why a socket cannot be connected to, and what to check.
fn refused(error: &io::Error) -> String {
    let is_absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    let check = if is_absent.contains(&error.kind()) {
        "check that phalanxd runs and has registry.clients"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "this user may not reach the directory of the socket; give registry.socket a path that the user may reach"
    } else {
        "check the path"
    };
    format!("{error}; {check}")
}

async fn connect_local(path: &Path) -> io::Result<Channel> {
    let mut first = Some(tokio::net::UnixStream::connect(path).await?);
    let connector = tower::service_fn(move |_| {
        let io = first.take();
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the connection is gone");
        std::future::ready(io.map(TokioIo::new).ok_or_else(gone))
    });
    let endpoint = Endpoint::from_static("http://registry");
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(io::Error::other)
}
