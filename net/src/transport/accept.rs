//! The port: raw connections in, authenticated ones out.

use super::connection::{Accepted, Caller, Connections, Guarded};
use super::expiry::Expiry;
use super::failure;
use super::handshakes::{Handshakes, Place, Rates};
use super::links::Links;
use super::network::Listener;
use super::{Event, Limit};
use crate::identity::Identity;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
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

/// Accepts until the task is dropped; unfinished handshakes end with it.
pub(crate) async fn accept<L, Io>(mut listener: L, gate: Gate<Io>)
where
    L: Listener<Io = Io>,
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = gate.links.limits;
    let mut rates = Rates::new(&limits);
    let handshakes = Handshakes::new(&limits);
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
        let dropped = |remote, limit| {
            gate.links
                .notice(Event::ConnectionDropped { remote, limit });
        };
        // Strangers have places of their own: they take none from those who proved who they are.
        let proven = gate
            .connections
            .accepted()
            .saturating_sub(handshakes.count());
        if proven >= limits.connections {
            dropped(remote, Limit::Connections);
            continue;
        }
        if !rates.allow(remote) {
            dropped(remote, Limit::Rate);
            continue;
        }
        let guarded = gate.connections.guard(io, true);
        let (place, turned_out) = handshakes.begin(remote, guarded.fate());
        if let Some(stranger) = turned_out {
            dropped(stranger, Limit::Handshakes);
        }
        let admitting = gate.clone();
        gate.links.tasks.spawn(async move {
            admitting
                .admit(guarded, remote, place, limits.handshake_timeout)
                .await;
        });
    }
}

impl<Io> Gate<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Finds out who connected, and passes the connection on.
    async fn admit(&self, io: Guarded<Io>, remote: SocketAddr, place: Place, timeout: Duration) {
        let acceptor = TlsAcceptor::from(self.tls.clone());
        let fate = io.fate();
        let shake = io.layer(async |io| acceptor.accept(io).await);
        let shaken = time::timeout(timeout, shake).await;
        drop(place);
        let reason = match shaken {
            // It was turned out, or the node ends: neither is its doing.
            Ok(Err(_)) if fate.is_killed() => return,
            Err(_) => format!("no TLS handshake within {timeout:?}"),
            Ok(Err(error)) => failure::accepting(&error),
            Ok(Ok(io)) => match self
                .identity
                .judge(io.inner().get_ref().1.peer_certificates())
            {
                Ok(peer) => {
                    let expiry =
                        Expiry::first_of(self.identity.validity().not_after, peer.not_after);
                    let caller = Caller {
                        peer,
                        remote,
                        fate,
                        expiry,
                    };
                    // The receiver is gone when the node ends.
                    let accepted = Accepted::new(io, caller);
                    let _ended = self.out.send(Ok(accepted)).await.is_err();
                    return;
                }
                Err(error) => format!("not trusted: its certificate {error}"),
            },
        };
        self.links.notice(Event::HandshakeFailed { remote, reason });
    }
}
