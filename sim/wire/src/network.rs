//! Connects the transport to the fabric: connections on which a cut is a black hole.

use crate::fabric::{Connectivity, Fabric, REFUSAL};
use phalanx_net::transport::{Listener, Network};
use phalanx_sim::mesh::node_start::resolved;
use phalanx_sim::model::host_at;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

/// Maximum number of bytes that a connection holds back for an unreachable host; further writes wait.
const HELD_MAX: usize = 256 * 1024;

/// One host's network.
#[derive(Clone)]
pub(crate) struct HostNetwork {
    pub(crate) fabric: Fabric,
    pub(crate) host: usize,
    pub(crate) hosts: usize,
    /// The names, each with the hosts whose addresses the name has.
    pub(crate) names: Arc<BTreeMap<String, Vec<usize>>>,
}

impl HostNetwork {
    fn stream(&self, to: usize, inner: TcpStream) -> WireStream {
        WireStream {
            inner: Some(inner),
            fabric: self.fabric.clone(),
            from: self.host,
            to,
            held: Vec::new(),
            waiter: self.fabric.open(self.host, to),
        }
    }

    /// Waits until a connection attempt gets an answer.
    async fn connectivity(&self, to: usize) -> Connectivity {
        let waiter = self.fabric.waiter();
        let mut swallowed = false;
        let way = poll_fn(|context| match self.fabric.connectivity(self.host, to) {
            Connectivity::Silent => {
                if !swallowed {
                    swallowed = true;
                    self.fabric.swallow(self.host, to, 1);
                    self.fabric.swallow(to, self.host, 1);
                }
                self.fabric.wait(waiter, context);
                Poll::Pending
            }
            connectivity @ (Connectivity::Open | Connectivity::Refused) => {
                Poll::Ready(connectivity)
            }
        })
        .await;
        self.fabric.leave(waiter);
        way
    }
}

impl Network for HostNetwork {
    type Io = WireStream;
    type Listener = HostListener;

    async fn connect(&self, address: SocketAddr) -> io::Result<WireStream> {
        let Some(to) = host_at(address, self.hosts) else {
            return Err(io::ErrorKind::HostUnreachable.into());
        };
        if self.connectivity(to).await == Connectivity::Refused {
            tokio::time::sleep(REFUSAL).await;
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let inner = TcpStream::connect(address).await?;
        Ok(self.stream(to, inner))
    }

    /// Resolves one of the scenario's names.
    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        resolved(&self.names, name).map_err(io::Error::other)
    }

    async fn bind(&self, address: SocketAddr) -> io::Result<HostListener> {
        let inner = TcpListener::bind(address).await?;
        Ok(HostListener {
            inner,
            network: self.clone(),
        })
    }
}

/// A bound port of a host.
pub(crate) struct HostListener {
    inner: TcpListener,
    network: HostNetwork,
}

impl Listener for HostListener {
    type Io = WireStream;

    async fn accept(&mut self) -> io::Result<(WireStream, SocketAddr)> {
        let (inner, remote) = self.inner.accept().await?;
        let from = host_at(remote, self.network.hosts)
            .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        Ok((self.network.stream(from, inner), remote))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn local_end(io: &WireStream) -> io::Result<SocketAddr> {
        let inner = io.inner.as_ref();
        inner.map_or(
            Err(io::ErrorKind::NotConnected.into()),
            TcpStream::local_addr,
        )
    }
}

/// One end of a connection.
pub(crate) struct WireStream {
    /// `None` only while the stream is dropped.
    inner: Option<TcpStream>,
    fabric: Fabric,
    from: usize,
    to: usize,
    /// Bytes that are written but not sent, because the other host is unreachable.
    held: Vec<u8>,
    waiter: u64,
}

impl WireStream {
    fn inner(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if self.fabric.is_reset(self.waiter) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.inner
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Sends as many held-back bytes as the connection accepts.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            if self.fabric.blocks(self.from, self.to) {
                self.fabric.wait(self.waiter, context);
                return Poll::Pending;
            }
            let held = std::mem::take(&mut self.held);
            let sent = self.inner()?.poll_write(context, &held);
            self.held = held;
            let sent = ready!(sent)?;
            self.held.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for WireStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(Err(error)) = this.poll_held(context) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        let result = this.inner()?.poll_read(context, buffer);
        if result.is_ready() {
            this.fabric.io(this.from, false, &buffer.filled()[before..]);
        } else {
            this.fabric.read(this.waiter, context);
        }
        result
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // A reset connection takes no bytes.
        this.inner()?;
        if this.fabric.blocks(this.from, this.to) {
            if this.held.len() + bytes.len() > HELD_MAX {
                this.fabric.wait(this.waiter, context);
                return Poll::Pending;
            }
            this.held.extend_from_slice(bytes);
            this.fabric.swallow(this.from, this.to, bytes.len());
            this.fabric.io(this.from, true, bytes);
            this.fabric.wait(this.waiter, context);
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(this.poll_held(context))?;
        let result = this.inner()?.poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &result {
            this.fabric.io(this.from, true, &bytes[..*written]);
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Held-back bytes count as being in the kernel, so the process considers them sent.
        if let Poll::Ready(Err(error)) = this.poll_held(context) {
            return Poll::Ready(Err(error));
        }
        this.inner()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.fabric.blocks(this.from, this.to) {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_held(context))?;
        this.inner()?.poll_shutdown(context)
    }
}

impl Drop for WireStream {
    fn drop(&mut self) {
        let was_reset = self.fabric.close(self.waiter);
        if let Some(inner) = self.inner.take()
            && !was_reset
            && self.fabric.blocks(self.from, self.to)
        {
            self.fabric.retire(self.from, self.to, inner);
        }
    }
}
