//! The network: the operating system's TCP, or a simulated network in `sim/wire`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, lookup_host};

/// A network on which nodes dial and listen.
pub trait Network: Clone + Send + Sync + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A bound port.
    type Listener: Listener<Io = Self::Io>;

    /// Connects to a socket address.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Io>> + Send;

    /// Resolves `host:port`. Returns the addresses in the resolver's order.
    fn resolve(&self, name: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Binds a port to listen on.
    fn bind(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;
}

/// A bound port.
pub trait Listener: Send + 'static {
    /// A connection.
    type Io;

    /// Returns the next connection and its remote address.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, SocketAddr)>> + Send;

    /// Returns the listening address.
    ///
    /// # Errors
    /// If the operating system does not provide it.
    fn local_address(&self) -> io::Result<SocketAddr>;

    /// Returns the address of this end of a connection, accepted or dialled.
    ///
    /// # Errors
    /// If the operating system does not provide it.
    fn local_end(io: &Self::Io) -> io::Result<SocketAddr>;
}

/// The operating system's TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Network for Tcp {
    type Io = TcpStream;
    type Listener = TcpListener;

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        // Frames are batched by core, so Nagle's algorithm would only add delay.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host(name).await?.collect())
    }

    async fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let (stream, remote) = Self::accept(self).await?;
            // A connection that rejects this option has already been closed.
            if stream.set_nodelay(true).is_ok() {
                return Ok((stream, remote));
            }
        }
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn local_end(io: &TcpStream) -> io::Result<SocketAddr> {
        io.local_addr()
    }
}
