//! One authenticated connection: the identity of the other end, and a handle to close it
//! immediately.

use super::expiry::Expiry;
use crate::identity::Peer;
use crate::overlay::Wire;
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
    pub(crate) fate: Fate,
    pub(crate) expiry: Expiry,
    /// The generation of this node's credentials in the handshake.
    pub(crate) generation: u64,
    /// Data for an overlay; `None` without an overlay.
    pub(crate) wire: Option<Wire>,
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
    fates: BTreeMap<u64, Fate>,
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
        let fate = Fate::default();
        let mut open = self.lock();
        if open.ended {
            fate.kill();
        }
        let number = open.next;
        open.next += 1;
        open.accepted += usize::from(accepted);
        open.fates.insert(number, fate.clone());
        drop(open);
        Guarded {
            io,
            fate,
            place: Place {
                connections: self.clone(),
                number,
                accepted,
            },
        }
    }

    /// Kills every connection, and those that are made later.
    pub(crate) fn kill_all(&self) {
        let mut open = self.lock();
        open.ended = true;
        let fates: Vec<Fate> = open.fates.values().cloned().collect();
        drop(open);
        for fate in fates {
            fate.kill();
        }
    }
}

/// Counts a connection until it is dropped.
#[derive(Debug)]
struct Place {
    connections: Connections,
    number: u64,
    accepted: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.accepted -= usize::from(self.accepted);
        let fate = open.fates.remove(&self.number);
        drop(open);
        if let Some(fate) = fate {
            fate.gone();
        }
    }
}

/// The shared state of one connection.
#[derive(Clone, Default)]
pub(crate) struct Fate {
    state: Arc<Mutex<FateState>>,
}

#[derive(Default)]
struct FateState {
    killed: bool,
    gone: bool,
    /// The first error, stored because HTTP/2 keeps only its text.
    failure: Option<io::Error>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Waker of the task that adds a layer (TLS) to the connection, to cancel it.
    layerer: Option<Waker>,
    mourner: Option<Waker>,
}

impl fmt::Debug for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Fate")
            .field("killed", &state.killed)
            .field("gone", &state.gone)
            .finish()
    }
}

impl Fate {
    fn lock(&self) -> MutexGuard<'_, FateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connection immediately: reads and writes return an error.
    pub(crate) fn kill(&self) {
        let mut state = self.lock();
        state.killed = true;
        let wakers = [
            state.reader.take(),
            state.writer.take(),
            state.layerer.take(),
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
        let mourner = state.mourner.take();
        drop(state);
        if let Some(mourner) = mourner {
            mourner.wake();
        }
    }

    /// Waits until the connection is dropped. Only one task may wait.
    pub(crate) async fn wait_gone(&self) {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.gone {
                return Poll::Ready(());
            }
            state.mourner = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
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
    fate: Fate,
    place: Place,
}

impl<Io> Guarded<Io> {
    /// Returns the handle that kills the connection.
    pub(crate) fn fate(&self) -> Fate {
        self.fate.clone()
    }

    /// Adds a layer to the connection. The connection can be killed meanwhile.
    pub(crate) async fn layer<Outer>(
        self,
        layer: impl AsyncFnOnce(Io) -> io::Result<Outer>,
    ) -> io::Result<Guarded<Outer>> {
        let Self { io, fate, place } = self;
        let mut layering = pin!(layer(io));
        let io = poll_fn(|context| {
            let mut state = fate.lock();
            if state.killed {
                return Poll::Ready(Err(killed()));
            }
            state.layerer = Some(context.waker().clone());
            drop(state);
            layering.as_mut().poll(context)
        })
        .await?;
        Ok(Guarded { io, fate, place })
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
        this.fate.check(context, true)?;
        let result = Pin::new(&mut this.io).poll_read(context, buffer);
        this.fate.note(result)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Guarded<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.fate.check(context, false)?;
        let result = Pin::new(&mut this.io).poll_write(context, bytes);
        this.fate.note(result)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.fate.check(context, false)?;
        let result = Pin::new(&mut this.io).poll_flush(context);
        this.fate.note(result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.fate.check(context, false)?;
        Pin::new(&mut this.io).poll_shutdown(context)
    }
}

/// An accepted connection with its caller. It closes when the first of the two certificates
/// expires.
pub(crate) struct Accepted<Io> {
    io: Guarded<Io>,
    caller: Caller,
    /// Completes at the expiry; `None` after that.
    expires: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<Io> Accepted<Io> {
    pub(crate) fn new(io: Guarded<Io>, caller: Caller) -> Self {
        let expiry = caller.expiry;
        Self {
            io,
            caller,
            expires: Some(Box::pin(expiry.comes())),
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
                this.caller.expiry.to_string(),
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
