//! One authenticated connection: the identity of the other end, and a handle to close it
//! immediately.

use super::expiry;
use crate::identity::Peer;
use crate::overlay::LinkConnection;
use phalanx_core::credentials::Expiry;
use phalanx_core::places::Places;
use phalanx_core::revocation::PresentedCertificate;
use phalanx_core::subject::Subject;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// The caller of a request, in the extensions of every request that arrives on the node's port.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The caller's mesh, id and role, and its whole certificate.
    pub peer: Peer,
    /// The caller's address.
    pub remote: SocketAddr,
    /// Whether the connection is encrypted. Links in trusted subnets are not, and Phalanx makes no
    /// calls on those.
    pub encrypted: bool,
    pub(crate) connection: ConnectionState,
    pub(crate) expiry: Expiry,
    /// The generation of this node's credentials in the handshake.
    pub(crate) generation: u64,
    /// Data for an overlay; `None` without an overlay.
    pub(crate) wire: Option<LinkConnection>,
}

/// All connections of the node, in both directions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    accepted: usize,
    states: BTreeMap<u64, ConnectionState>,
    ended: bool,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of connections accepted by this node.
    pub(crate) fn accepted(&self) -> usize {
        self.lock().accepted
    }

    /// Wraps a connection, so that it is counted until it is dropped and can be killed.
    pub(crate) fn guard<Io>(&self, io: Io, accepted: bool) -> Guarded<Io> {
        let connection = ConnectionState::default();
        let mut open = self.lock();
        if open.ended {
            connection.kill();
        }
        let number = open.next;
        open.next += 1;
        open.accepted += usize::from(accepted);
        open.states.insert(number, connection.clone());
        drop(open);
        Guarded {
            io,
            connection,
            place: OpenConnection {
                connections: self.clone(),
                number,
                accepted,
            },
        }
    }

    /// Kills the connections whose other ends presented certificates of this kind.
    pub(crate) fn kill_presenting(&self, revoked: impl Fn(&PresentedCertificate) -> bool) {
        let states: Vec<ConnectionState> = self.lock().states.values().cloned().collect();
        for connection in states {
            if connection.presented().is_some_and(|it| revoked(&it)) {
                connection.kill();
            }
        }
    }

    /// Kills every connection, and those that are made later.
    pub(crate) fn kill_all(&self) {
        let mut open = self.lock();
        open.ended = true;
        let states: Vec<ConnectionState> = open.states.values().cloned().collect();
        drop(open);
        for connection in states {
            connection.kill();
        }
    }
}

/// Counts a connection until it is dropped.
#[derive(Debug)]
struct OpenConnection {
    connections: Connections,
    number: u64,
    accepted: bool,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.accepted -= usize::from(self.accepted);
        let connection = open.states.remove(&self.number);
        drop(open);
        if let Some(connection) = connection {
            connection.gone();
        }
    }
}

/// The state of one connection: whether it was ended and why it failed. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct ConnectionState {
    state: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    killed: bool,
    gone: bool,
    /// Bytes read by the outermost layer.
    read: u64,
    /// The first error, stored because HTTP/2 keeps only its text.
    failure: Option<io::Error>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Waker of the task performing the TLS handshake, to cancel it.
    upgrade_waker: Option<Waker>,
    closed_waker: Option<Waker>,
    /// The certificate of the other end, once the handshake is complete.
    presented: Option<PresentedCertificate>,
}

impl fmt::Debug for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("ConnectionState")
            .field("killed", &state.killed)
            .field("gone", &state.gone)
            .finish()
    }
}

impl ConnectionState {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The other end presented this certificate. A connection is identified before its certificate is compared with the
    /// revocations, so that a revocation in between ends the connection.
    pub(crate) fn identify(&self, presented: Option<PresentedCertificate>) {
        self.lock().presented = presented;
    }

    fn presented(&self) -> Option<PresentedCertificate> {
        self.lock().presented.clone()
    }

    /// Closes the connection immediately: reads and writes return an error.
    pub(crate) fn kill(&self) {
        let mut state = self.lock();
        state.killed = true;
        let wakers = [
            state.reader.take(),
            state.writer.take(),
            state.upgrade_waker.take(),
        ];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Returns whether this node killed the connection.
    pub(crate) fn is_killed(&self) -> bool {
        self.lock().killed
    }

    fn gone(&self) {
        let mut state = self.lock();
        state.gone = true;
        let closed_waker = state.closed_waker.take();
        drop(state);
        if let Some(closed_waker) = closed_waker {
            closed_waker.wake();
        }
    }

    /// Waits until the connection is dropped. Only one task may wait.
    pub(crate) async fn wait_gone(&self) {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.gone {
                return Poll::Ready(());
            }
            state.closed_waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Returns the number of bytes that the outermost layer read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.lock().read
    }

    /// Returns the error that broke the connection, the first time it is called.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        self.lock().failure.take()
    }

    fn check(&self, context: &Context<'_>, reads: bool) -> io::Result<()> {
        let mut state = self.lock();
        if state.killed {
            return Err(killed());
        }
        let waker = if reads {
            &mut state.reader
        } else {
            &mut state.writer
        };
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        Ok(())
    }

    /// Stores a copy of the first error.
    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result {
            let mut state = self.lock();
            if state.failure.is_none() {
                state.failure = Some(copy(error));
            }
        }
        result
    }
}

/// Returns the error for reads and writes on a connection that this node killed.
fn killed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "closed by this node")
}

/// Copies an error: TLS errors completely, others by kind and text.
fn copy(error: &io::Error) -> io::Error {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => io::Error::new(error.kind(), tls.clone()),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// A connection that is counted and can be killed.
#[derive(Debug)]
pub(crate) struct Guarded<Io> {
    io: Io,
    connection: ConnectionState,
    place: OpenConnection,
}

impl<Io> Guarded<Io> {
    /// Returns the shared state of the connection, with which it can be ended.
    pub(crate) fn connection(&self) -> ConnectionState {
        self.connection.clone()
    }

    /// Adds a layer to the connection. The connection can be killed meanwhile.
    pub(crate) async fn layer<Outer>(
        self,
        layer: impl AsyncFnOnce(Io) -> io::Result<Outer>,
    ) -> io::Result<Guarded<Outer>> {
        let Self {
            io,
            connection,
            place,
        } = self;
        let mut layering = pin!(layer(io));
        let io = poll_fn(|context| {
            let mut state = connection.lock();
            if state.killed {
                return Poll::Ready(Err(killed()));
            }
            state.upgrade_waker = Some(context.waker().clone());
            drop(state);
            layering.as_mut().poll(context)
        })
        .await?;
        Ok(Guarded {
            io,
            connection,
            place,
        })
    }

    /// Returns the wrapped connection.
    pub(crate) const fn inner(&self) -> &Io {
        &self.io
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Guarded<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.connection.check(context, true)?;
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.io).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        if read > 0 {
            this.connection.lock().read += read as u64;
        }
        this.connection.note(result)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Guarded<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.connection.check(context, false)?;
        let result = Pin::new(&mut this.io).poll_write(context, bytes);
        this.connection.note(result)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.connection.check(context, false)?;
        let result = Pin::new(&mut this.io).poll_flush(context);
        this.connection.note(result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.connection.check(context, false)?;
        Pin::new(&mut this.io).poll_shutdown(context)
    }
}

/// The places of authenticated connections. Clones share them; core decides who gets one.
#[derive(Clone, Debug)]
pub(crate) struct SharedPlaces(Arc<Mutex<Places>>);

/// A place of one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldPlace {
    places: SharedPlaces,
    holder: Subject,
}

impl SharedPlaces {
    pub(crate) fn new(max: usize, of_one: usize) -> Self {
        Self(Arc::new(Mutex::new(Places::new(max, of_one))))
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection of a holder, if there is one.
    pub(crate) fn take(&self, holder: &Subject) -> Option<HeldPlace> {
        self.lock().admit(holder).then(|| HeldPlace {
            places: self.clone(),
            holder: holder.clone(),
        })
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.places.lock().release(&self.holder);
    }
}

/// An accepted connection with its caller. It closes when the first of the two certificates
/// expires.
pub(crate) struct Accepted<Io> {
    io: Guarded<Io>,
    caller: Caller,
    _place: HeldPlace,
    /// Completes at the expiry; `None` after that.
    expires: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<Io> Accepted<Io> {
    pub(crate) fn new(io: Guarded<Io>, caller: Caller, place: HeldPlace) -> Self {
        let expires = Box::pin(expiry::comes(caller.expiry));
        Self {
            io,
            caller,
            _place: place,
            expires: Some(expires),
        }
    }
}

impl<Io> Connected for Accepted<Io> {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Accepted<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let expires = this.expires.as_mut();
        if expires.is_none_or(|expires| expires.as_mut().poll(context).is_ready()) {
            this.expires = None;
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                expiry::in_words(this.caller.expiry),
            )));
        }
        Pin::new(&mut this.io).poll_read(context, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Accepted<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}
