//! The services of a registry on a Unix socket, for programs on the registry's host.
//!
//! The operating system tells the user of each connection (`SO_PEERCRED`), so these programs need no certificate. Core
//! decides which service a user's programs are.
//!
//! Bounds: [`CONNECTIONS_OF_ONE`] connections of a user, and as many of all users without a service together, whose calls
//! are refused with the reason; the calls of a user have the limits of a service ([`CallLimits`]).

use super::handlers::denied;
use super::region::RegionRegistry;
use super::services;
use crate::identity::{Subject, SubjectError};
use crate::transport::lifetime::until;
use crate::transport::{CallGate, Limits, LocalPeer};
use phalanx_core::calls::CallLimits;
use phalanx_core::identity::NodeId;
use phalanx_core::registry::access::LocalUsers;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::{Interceptor, Routes};
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Status};

/// Maximum number of connections of one user.
const CONNECTIONS_OF_ONE: usize = 128;
/// Pause after an error of the socket, such as a lack of open files.
const PAUSE: Duration = Duration::from_millis(100);
/// Each user may connect to the socket; the registry decides who may do what.
const MODE: u32 = 0o666;

/// Reason why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalSocketError {
    /// Another process listens on the socket.
    #[error("{}: another process listens on this socket; give each daemon a path of its own (registry.socket)", .0.display())]
    InUse(PathBuf),
    /// The path is that of another file.
    #[error("{}: exists and is not a socket; remove it, or give another path (registry.socket)", .0.display())]
    OtherFile(PathBuf),
    /// The socket cannot be created.
    #[error("{}: the socket cannot be created: {error}; give a path of at most 107 bytes in a directory that this user may write (registry.socket)", .path.display())]
    Create {
        /// The path.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
}

/// A socket on which a registry listens. Dropped, it is removed.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalSocket {
    /// Listens on a path. A socket that a process left behind is replaced. Needs a runtime of tokio.
    ///
    /// # Errors
    /// If another process listens there, another file is there, or the socket cannot be created.
    pub fn bind(path: &Path) -> Result<Self, LocalSocketError> {
        let create = |error| LocalSocketError::Create {
            path: path.to_owned(),
            error,
        };
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(LocalSocketError::OtherFile(path.to_owned()));
            }
            Ok(_) => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(LocalSocketError::InUse(path.to_owned()));
                }
                fs::remove_file(path).map_err(create)?;
            }
            // Other errors show when the socket is created.
            Err(_) => {}
        }
        let socket = Self {
            listener: UnixListener::bind(path).map_err(create)?,
            path: path.to_owned(),
        };
        let mode = fs::Permissions::from_mode(MODE);
        fs::set_permissions(path, mode).map_err(create)?;
        Ok(socket)
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // A socket that stays is replaced at the next start.
        let _stays = fs::remove_file(&self.path).is_err();
    }
}

/// A connection of a local program, which holds its place.
#[derive(Debug)]
struct LocalConnection {
    stream: UnixStream,
    peer: LocalPeer,
    _place: OwnedSemaphorePermit,
}

impl Connected for LocalConnection {
    type ConnectInfo = LocalPeer;

    fn connect_info(&self) -> LocalPeer {
        self.peer.clone()
    }
}

impl AsyncRead for LocalConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for LocalConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Finds the callers on a socket, before their requests are read.
#[derive(Clone, Debug)]
struct LocalCallers(Arc<LocalUsers>);

impl Interceptor for LocalCallers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let user = request.extensions().get::<LocalPeer>().map(|it| it.user);
        let unknown = || Status::internal("the connection has no user");
        let user = user.ok_or_else(unknown)?;
        let caller = self.0.caller(user).map_err(|it| denied(&it))?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

/// The places of connections, by user; those of users without a service are `others`.
#[derive(Debug)]
struct LocalPlaces {
    of_users: BTreeMap<u32, Arc<Semaphore>>,
    others: Arc<Semaphore>,
}

impl LocalPlaces {
    fn new(users: &LocalUsers) -> Self {
        let places = || Arc::new(Semaphore::new(CONNECTIONS_OF_ONE));
        Self {
            of_users: users.users().map(|user| (user, places())).collect(),
            others: places(),
        }
    }

    fn take(&self, user: u32) -> Option<OwnedSemaphorePermit> {
        let places = self.of_users.get(&user).unwrap_or(&self.others);
        Arc::clone(places).try_acquire_owned().ok()
    }
}

/// Accepts connections until the receiver is gone.
async fn accept(
    socket: LocalSocket,
    (places, own): (LocalPlaces, Subject),
    out: mpsc::Sender<io::Result<LocalConnection>>,
) {
    loop {
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("the socket of the registry accepts no connection: {error}");
                time::sleep(PAUSE).await;
                continue;
            }
        };
        // A program that is gone has no credentials.
        let Ok(credentials) = stream.peer_cred() else {
            continue;
        };
        let user = credentials.uid();
        let Some(place) = places.take(user) else {
            tracing::debug!(user, "a user has too many connections to the registry");
            continue;
        };
        // A number is a valid name.
        let Ok(subject) = NodeId::new(&format!("user.{user}"))
            .map_err(SubjectError::Id)
            .and_then(|name| Subject::service(own.mesh(), name))
        else {
            continue;
        };
        let subject = Arc::new(subject);
        let connection = LocalConnection {
            stream,
            peer: LocalPeer { user, subject },
            _place: place,
        };
        if out.send(Ok(connection)).await.is_err() {
            return;
        }
    }
}

/// Serves a registry of the node `own` on a socket until the registry has ended. `extend` adds routes to those of
/// the registry's services.
pub fn serve_local(
    registry: &RegionRegistry,
    own: &Subject,
    (socket, users): (LocalSocket, LocalUsers),
    extend: impl FnOnce(Routes) -> Routes,
) {
    let (out, connections) = mpsc::channel(1);
    let accepting = accept(socket, (LocalPlaces::new(&users), own.clone()), out);
    registry.spawn(until(accepting, registry.closed()));
    let callers = LocalCallers(Arc::new(users));
    let routes = services::add(Routes::default(), registry, &callers);
    let server = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(Limits::default().streams)
        .layer(CallGate::new(CallLimits::default(), own.clone()))
        .add_routes(extend(routes));
    let connections = ReceiverStream::new(connections);
    let serving = server.serve_with_incoming_shutdown(connections, registry.closed());
    registry.spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!("the socket of the registry ended: {error}");
        }
    });
}
