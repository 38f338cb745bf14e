//! The port: raw connections in, authenticated ones out.

use super::complaints::Complaints;
use super::connection::{Accepted, Caller, Connections, Guarded};
use super::credentials::CurrentProof;
use super::failure;
use super::handshakes::{Handshakes, Place, Rates};
use super::links::Links;
use super::network::Listener;
use super::{Event, Limit};
use crate::identity::{self, Claim, Role};
use crate::overlay::{Keys, Wire};
use phalanx_core::credentials::Expiry;
use rustls::server::Acceptor;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a port that gives an error (too many open files, mostly) is left alone.
const RETRY: Duration = Duration::from_millis(100);

/// What comes out of the port.
pub(crate) type Incoming<Io> = Result<Accepted<TlsStream<Io>>, io::Error>;

/// What every connection is judged by.
pub(crate) struct Gate<Io> {
    pub(crate) credentials: CurrentProof,
    pub(crate) connections: Connections,
    pub(crate) links: Links,
    pub(crate) out: mpsc::Sender<Incoming<Io>>,
    pub(crate) complaints: Arc<Mutex<Complaints>>,
}

impl<Io> Clone for Gate<Io> {
    fn clone(&self) -> Self {
        Self {
            credentials: self.credentials.clone(),
            connections: self.connections.clone(),
            links: self.links.clone(),
            out: self.out.clone(),
            complaints: self.complaints.clone(),
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
        let (io, remote) = next(&mut listener, |reason| {
            gate.links.notice(Event::AcceptFailed { reason });
        })
        .await;
        let dropped = |remote, limit| gate.complain(Event::ConnectionDropped { remote, limit });
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
        let local = L::local_end(&io).ok();
        let guarded = gate.connections.guard(io, true);
        let (place, turned_out) = handshakes.begin(remote, guarded.fate());
        if let Some(stranger) = turned_out {
            dropped(stranger, Limit::Handshakes);
        }
        let admitting = gate.clone();
        gate.links.tasks.spawn(async move {
            admitting
                .admit(guarded, (local, remote), place, limits.handshake_timeout)
                .await;
        });
    }
}

impl<Io> Gate<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Finds out who connected, and passes the connection on.
    async fn admit(
        &self,
        io: Guarded<Io>,
        (local, remote): (Option<SocketAddr>, SocketAddr),
        place: Place,
        timeout: Duration,
    ) {
        let fate = io.fate();
        let proof = self.credentials.current();
        // Which CAs the dialer trusts, once it has said so.
        let mut claims = None;
        let shake = io.layer(async |io| {
            let begun = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
            let hello = begun.client_hello();
            let named = hello.certificate_authorities().unwrap_or_default();
            let named = named.iter().map(|name| Claim::of_name(name.as_ref()));
            claims = Some(named.collect::<Vec<_>>());
            begun.into_stream(proof.accepting(remote)).await
        });
        let shaken = time::timeout(timeout, shake).await;
        drop(place);
        let reason = match shaken {
            // It was turned out, or the node ends: neither is its doing.
            Ok(Err(_)) if fate.is_killed() => return,
            Err(_) => format!("no TLS handshake within {timeout:?}"),
            Ok(Err(error)) => {
                let quarrel = claims.and_then(|claims| proof.identity.quarrel(&claims));
                failure::accepting(&error, quarrel)
            }
            Ok(Ok(io)) => {
                let connection = io.inner().get_ref().1;
                let encrypted = identity::is_encrypted(connection);
                match proof.identity.judge(connection.peer_certificates()) {
                    Ok(peer) if !encrypted && peer.subject.role() != Role::Node => format!(
                        "{} asked for a connection that is not encrypted; only nodes have links",
                        peer.subject
                    ),
                    Ok(peer) => {
                        let expiry = Expiry::first_of(proof.identity.validity(), peer.validity);
                        let (dialer, acceptor) = (peer.subject.id(), proof.identity.subject().id());
                        let overlaid = self.links.paths.as_ref().zip(local);
                        let wire = overlaid.map(|(_, local)| Wire {
                            keys: Keys::of(connection, dialer, acceptor),
                            local,
                            remote,
                            dialed: false,
                            encrypted,
                        });
                        let caller = Caller {
                            peer,
                            remote,
                            encrypted,
                            fate,
                            expiry,
                            generation: proof.generation,
                            wire,
                        };
                        // The receiver is gone when the node ends.
                        let accepted = Accepted::new(io, caller);
                        let _ended = self.out.send(Ok(accepted)).await.is_err();
                        return;
                    }
                    Err(error) => format!("not trusted: its certificate {error}"),
                }
            }
        };
        self.complain(Event::HandshakeFailed { remote, reason });
    }
}

impl<Io> Gate<Io> {
    /// Tells people about a stranger, unless there are too many.
    fn complain(&self, event: Event) {
        let mut complaints = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let told = complaints.take(event);
        drop(complaints);
        for event in told.into_iter().flatten() {
            self.links.notice(event);
        }
    }
}

/// The next connection, whatever becomes of others meanwhile. `failed` hears why the port gives none.
async fn next<L: Listener>(listener: &mut L, failed: impl Fn(String)) -> (L::Io, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                failed(error.to_string());
                time::sleep(RETRY).await;
            }
        }
    }
}

/// Whether an error says that one connection was gone before it was accepted: the next one is not to wait for it.
fn is_of_one_connection(error: &io::Error) -> bool {
    [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::Interrupted,
        io::ErrorKind::NetworkUnreachable,
    ]
    .contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use tokio::io::DuplexStream;

    /// Gives these errors, and then a connection.
    struct Failing(VecDeque<io::ErrorKind>);

    impl Listener for Failing {
        type Io = DuplexStream;

        async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
            match self.0.pop_front() {
                Some(kind) => Err(kind.into()),
                None => Ok((tokio::io::duplex(1).0, ([127, 0, 0, 1], 1).into())),
            }
        }

        fn local_address(&self) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn local_end(_: &DuplexStream) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_are_gone_already_do_not_hold_up_the_others() {
        let told = RefCell::new(Vec::new());
        let begun = time::Instant::now();
        let mut gone = Failing([io::ErrorKind::ConnectionAborted; 1_000].into());
        next(&mut gone, |reason| told.borrow_mut().push(reason)).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(told.borrow().is_empty());
        let mut exhausted = Failing([io::ErrorKind::OutOfMemory].into());
        next(&mut exhausted, |reason| told.borrow_mut().push(reason)).await;
        assert_eq!((begun.elapsed(), told.borrow().len()), (RETRY, 1));
    }
}
