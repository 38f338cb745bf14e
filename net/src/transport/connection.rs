//! One authenticated connection: who is at the other end, and the means to end it at once.

use super::expiry;
use crate::identity::Peer;
use crate::overlay::Wire;
use phalanx_core::credentials::Expiry;
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

/// Who calls: in the extensions of every request that arrives on the node's port.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its mesh, id and role, and its whole certificate.
    pub peer: Peer,
    /// Where it called from.
    pub remote: SocketAddr,
    /// Whether its two ends alone can read what goes over the connection. Links in trusted subnets are not, and no
    /// program of ours makes calls on those.
    pub encrypted: bool,
    pub(crate) fate: Fate,
    pub(crate) expiry: Expiry,
    /// The generation of our own credentials in the handshake.
    pub(crate) generation: u64,
    /// What an overlay needs to know; none without one.
    pub(crate) wire: Option<Wire>,
}

/// The node's connections, in both directions.
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

    /// The number of connections that others made to us.
    pub(crate) fn accepted(&self) -> usize {
        self.lock().accepted
    }

    /// Guards a connection: it counts until it is dropped, and can be killed.
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

    /// Ends every connection, and those that are made from here on.
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

/// A connection's place in the count.
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

/// What becomes of one connection.
#[derive(Clone, Default)]
pub(crate) struct Fate {
    state: Arc<Mutex<FateState>>,
}

#[derive(Default)]
struct FateState {
    killed: bool,
    gone: bool,
    /// The first error, kept because HTTP/2 keeps only its text.
    failure: Option<io::Error>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Who puts a layer around the connection and must stop.
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

    /// Ends the connection at once: whoever reads or writes it gets an error.
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

    /// Whether it was ended by this node.
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

    /// Waits until the connection is gone. One waits at a time.
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

    /// The error that broke the connection, once.
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

    /// Keeps a copy of the first error.
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

/// What whoever uses a connection that was ended by this node gets.
fn killed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "closed by this node")
}

/// An error like this one: errors of TLS are kept whole, others by kind and text.
fn copy(error: &io::Error) -> io::Error {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => io::Error::new(error.kind(), tls.clone()),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// A connection that counts and can be killed.
#[derive(Debug)]
pub(crate) struct Guarded<Io> {
    io: Io,
    fate: Fate,
    place: Place,
}

impl<Io> Guarded<Io> {
    /// The means to end it.
    pub(crate) fn fate(&self) -> Fate {
        self.fate.clone()
    }

    /// Puts another layer around what is guarded. It can be killed meanwhile.
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

    /// What is guarded.
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

/// A connection somebody made to us, with who it is. It ends with the first of the two certificates.
pub(crate) struct Accepted<Io> {
    io: Guarded<Io>,
    caller: Caller,
    /// None once it has come.
    expires: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<Io> Accepted<Io> {
    pub(crate) fn new(io: Guarded<Io>, caller: Caller) -> Self {
        let expires = Box::pin(expiry::comes(caller.expiry));
        Self {
            io,
            caller,
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
