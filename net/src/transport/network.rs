//! The network: the operating system's TCP, or a simulated network in `sim/wire`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::time::Duration;
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
        keep_alive(&stream)?;
        Ok(stream)
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host(name).await?.collect())
    }

    async fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }
}

/// Idle time after which the operating system probes a connection, and the interval of its probes.
#[cfg(unix)]
const PROBE_AFTER: Duration = Duration::from_secs(15);
/// Number of unanswered probes after which a connection is closed.
#[cfg(unix)]
const PROBES: u32 = 3;

/// Has the operating system close the connection if the other end's machine is gone.
#[cfg(unix)]
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    Ok(())
}

#[cfg(not(unix))]
fn keep_alive(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let (stream, remote) = Self::accept(self).await?;
            // A connection that rejects these options has already been closed.
            if stream.set_nodelay(true).is_ok() && keep_alive(&stream).is_ok() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt;

    #[tokio::test]
    async fn the_operating_system_probes_dialled_and_accepted_connections() {
        let mut listener = Tcp.bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_address().unwrap();
        let dialled = Tcp.connect(address).await.unwrap();
        let (accepted, _) = Listener::accept(&mut listener).await.unwrap();
        for stream in [&dialled, &accepted] {
            assert!(sockopt::socket_keepalive(stream).unwrap());
            assert_eq!(sockopt::tcp_keepidle(stream).unwrap(), PROBE_AFTER);
            assert_eq!(sockopt::tcp_keepintvl(stream).unwrap(), PROBE_AFTER);
            assert_eq!(sockopt::tcp_keepcnt(stream).unwrap(), PROBES);
        }
    }
}
