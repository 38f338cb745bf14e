//! How a client reaches a registry: at the address of its node with a certificate, on the node's host by a socket, or
//! within the process of the registry.

use super::handlers::ObjectApi;
use super::message::status::{OtherRegistry, other_registry};
use super::proto::GetRegistryStatusRequest;
use super::proto::object_service_client::ObjectServiceClient;
use super::region::RegionRegistry;
use crate::identity::Identity;
use crate::transport::{Call, Tcp};
use hyper_util::rt::TokioIo;
use phalanx_core::link::Address;
use phalanx_core::registry::access::RegistryCaller;
use phalanx_core::time::Duration;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};

/// The beginning of the address of a socket: `unix:/run/phalanx/registry.sock`.
pub const UNIX_SCHEME: &str = "unix:";

/// Bytes that wait in a pipe within this process.
const PIPE: usize = 256 * 1024;

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
    /// The registry of this process.
    Own(OwnRegistry),
}

/// A registry of this process, with the caller for whom it is asked.
#[derive(Clone, Debug)]
pub struct OwnRegistry {
    registry: RegionRegistry,
    caller: RegistryCaller,
}

impl OwnRegistry {
    /// Connects by a pipe in memory.
    async fn connect(&self) -> io::Result<Channel> {
        let (near, far) = tokio::io::duplex(PIPE);
        let api = ObjectApi::plain(self.registry.clone());
        let service = InterceptedService::new(api, KnownCaller(self.caller.clone()));
        let server = Server::builder().add_service(service);
        // The server ends when the sender is dropped, and the channel holds it.
        let (open, connections) = mpsc::channel(1);
        // The receiver exists.
        let _gone = open.try_send(Ok::<_, io::Error>(far)).is_err();
        let connections = ReceiverStream::new(connections);
        let serving = server.serve_with_incoming_shutdown(connections, self.registry.closed());
        self.registry.spawn(async move {
            // The client learns of the end of the pipe.
            let _ended = serving.await.is_err();
        });
        connect_by(near, open).await
    }
}

/// Gives each request of a connection its caller.
#[derive(Clone, Debug)]
struct KnownCaller(RegistryCaller);

impl Interceptor for KnownCaller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.extensions_mut().insert(self.0.clone());
        Ok(request)
    }
}

impl RegistryEndpoint {
    /// The socket that a text of the form `unix:PATH` names.
    #[must_use]
    pub fn local(text: &str) -> Option<Self> {
        let path = text.strip_prefix(UNIX_SCHEME)?;
        Some(Self::Local(PathBuf::from(path)))
    }

    /// The registry of this process, asked for a caller.
    pub(super) const fn own(registry: RegionRegistry, caller: RegistryCaller) -> Self {
        Self::Own(OwnRegistry { registry, caller })
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
            Self::Own(own) => own.connect().await.map_err(|error| error.to_string()),
        }
    }
}

impl fmt::Display for RegistryEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { address, .. } => address.fmt(f),
            Self::Local(path) => write!(f, "{UNIX_SCHEME}{}", path.display()),
            Self::Own(own) => write!(f, "this process, region {}", own.registry.region()),
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
    connect_by(tokio::net::UnixStream::connect(path).await?, ()).await
}

/// A channel on a connection, which is not made again. The channel holds `kept`.
async fn connect_by<Io>(io: Io, kept: impl Send + 'static) -> io::Result<Channel>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut first = Some(io);
    let connector = tower::service_fn(move |_| {
        let _kept = &kept;
        let io = first.take();
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the connection is gone");
        std::future::ready(io.map(TokioIo::new).ok_or_else(gone))
    });
    let endpoint = Endpoint::from_static("http://registry");
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(io::Error::other)
}
