//! The port: raw connections in, authenticated ones out.

use super::connection::{Accepted, Caller, Connections, Guarded};
use super::failure;
use super::links::Links;
use super::network::Listener;
use super::{Event, Limit, Limits};
use crate::identity::Identity;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};
use tokio::time;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a port that gives an error (too many open files, mostly) is left alone.
const RETRY: Duration = Duration::from_millis(100);

/// What comes out of the port.
pub(crate) type Incoming<Io> = Result<Accepted<TlsStream<Io>>, io::Error>;

/// What every connection is judged by.
pub(crate) struct Gate<Io> {
    pub(crate) identity: Identity,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) connections: Connections,
    pub(crate) links: Links,
    pub(crate) out: mpsc::Sender<Incoming<Io>>,
}

impl<Io> Clone for Gate<Io> {
    fn clone(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            tls: self.tls.clone(),
            connections: self.connections.clone(),
            links: self.links.clone(),
            out: self.out.clone(),
        }
    }
}

/// Allows a burst and then one each interval (the generic cell rate algorithm).
#[derive(Debug)]
struct Rate {
    interval: Duration,
    tolerance: Duration,
    next: time::Instant,
}

impl Rate {
    fn new(limits: &Limits) -> Self {
        let interval = limits.accept_interval;
        let tolerance = interval * limits.accept_burst.saturating_sub(1);
        Self {
            interval,
            tolerance,
            next: time::Instant::now(),
        }
    }

    fn allows(&mut self) -> bool {
        let now = time::Instant::now();
        let next = self.next.max(now);
        if next - now > self.tolerance {
            return false;
        }
        self.next = next + self.interval;
        true
    }
}

/// Accepts until the task is aborted.
pub(crate) async fn accept<L, Io>(mut listener: L, gate: Gate<Io>)
where
    L: Listener<Io = Io>,
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = gate.links.limits;
    let mut rate = Rate::new(&limits);
    let handshakes = Arc::new(Semaphore::new(limits.handshakes));
    loop {
        let (io, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                gate.links.notice(Event::AcceptFailed {
                    reason: error.to_string(),
                });
                time::sleep(RETRY).await;
                continue;
            }
        };
        let slot = handshakes.clone().try_acquire_owned();
        let over = if gate.connections.accepted() >= limits.connections {
            Some(Limit::Connections)
        } else if !rate.allows() {
            Some(Limit::Rate)
        } else if slot.is_err() {
            Some(Limit::Handshakes)
        } else {
            None
        };
        if let Some(limit) = over {
            gate.links
                .notice(Event::ConnectionDropped { remote, limit });
            continue;
        }
        let guarded = gate.connections.guard(io, true);
        let gate = gate.clone();
        gate.links.tasks.clone().spawn(async move {
            gate.admit(guarded, remote, limits.handshake_timeout).await;
            drop(slot);
        });
    }
}

impl<Io> Gate<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Finds out who connected, and passes the connection on.
    async fn admit(&self, io: Guarded<Io>, remote: SocketAddr, timeout: Duration) {
        let acceptor = TlsAcceptor::from(self.tls.clone());
        let shake = io.layer(async |io| acceptor.accept(io).await);
        let reason = match time::timeout(timeout, shake).await {
            Err(_) => format!("no TLS handshake within {timeout:?}"),
            Ok(Err(error)) => failure::accepting(&error),
            Ok(Ok(io)) => match self
                .identity
                .judge(io.inner().get_ref().1.peer_certificates())
            {
                Ok(peer) => {
                    let caller = Caller {
                        peer,
                        remote,
                        fate: io.fate(),
                    };
                    // The receiver is gone when the node ends.
                    let _ended = self.out.send(Ok(Accepted { io, caller })).await.is_err();
                    return;
                }
                Err(error) => format!("not trusted: its certificate {error}"),
            },
        };
        self.links.notice(Event::HandshakeFailed { remote, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_allows_a_burst_and_then_one_each_interval() {
        let limits = Limits {
            accept_burst: 3,
            accept_interval: Duration::from_millis(10),
            ..Limits::default()
        };
        let mut rate = Rate::new(&limits);
        let now: Vec<bool> = (0..5).map(|_| rate.allows()).collect();
        assert_eq!(now, [true, true, true, false, false]);
        time::advance(Duration::from_millis(10)).await;
        assert_eq!([rate.allows(), rate.allows()], [true, false]);
        time::advance(Duration::from_secs(60)).await;
        let later: Vec<bool> = (0..5).map(|_| rate.allows()).collect();
        assert_eq!(later, [true, true, true, false, false]);
    }
}
