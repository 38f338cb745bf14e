//! Accepts connections on the port and authenticates them.

use super::connection::{Accepted, Caller, Connections, Guarded, SharedPlaces};
use super::credentials::CurrentProof;
use super::failure;
use super::handshakes::{UnfinishedHandshake, UnfinishedHandshakes};
use super::lifetime::{closed, until};
use super::links::OpenLinks;
use super::network::Listener;
use crate::driver::TimeOrigin;
use crate::identity::{self, CaName, Identity, Peer};
use crate::link::{Limit, TransportEvent};
use crate::overlay::{Keys, LinkConnection};
use phalanx_core::access;
use phalanx_core::credentials::Expiry;
use phalanx_core::unauthenticated::{AcceptFailure, Excess, PortGate, SourceRates};
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// An authenticated connection, or an error of the port.
pub(crate) type Incoming<Io> = Result<Accepted<TlsStream<Io>>, io::Error>;

/// Bytes of the message with which a client begins HTTP/2.
const PREFACE_BYTES: u64 = 24;

/// The parts needed to authenticate a connection.
pub(crate) struct Gate<Io> {
    pub(crate) credentials: CurrentProof,
    pub(crate) connections: Connections,
    pub(crate) links: OpenLinks,
    pub(crate) out: mpsc::Sender<Incoming<Io>>,
    pub(crate) places: SharedPlaces,
    /// Whether the node ends.
    pub(crate) closing: watch::Sender<bool>,
}

impl<Io> Clone for Gate<Io> {
    fn clone(&self) -> Self {
        Self {
            credentials: self.credentials.clone(),
            connections: self.connections.clone(),
            links: self.links.clone(),
            out: self.out.clone(),
            places: self.places.clone(),
            closing: self.closing.clone(),
        }
    }
}

/// Accepts connections until the task is dropped; unfinished handshakes end with it.
pub(crate) async fn accept<L, Io>(mut listener: L, gate: Gate<Io>)
where
    L: Listener<Io = Io>,
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = gate.links.limits;
    let clock = TimeOrigin::begin();
    let rates = SourceRates::new(limits.accept_burst, limits.accept_interval);
    let mut admission = PortGate::new(limits.connections, rates);
    let handshakes = UnfinishedHandshakes::new(&limits);
    loop {
        let (io, remote) = next(&mut listener, |reason| {
            gate.links.notice(TransportEvent::AcceptFailed { reason });
        })
        .await;
        let dropped = |remote, limit| {
            gate.links
                .notice(TransportEvent::ConnectionDropped { remote, limit });
        };
        let (accepted, unfinished) = (gate.connections.accepted(), handshakes.count());
        if let Err(excess) = admission.admit(clock.now(), remote, accepted, unfinished) {
            dropped(remote, excess.into());
            continue;
        }
        let local = L::local_end(&io).ok();
        let guarded = gate.connections.guard(io, true);
        let timeout = limits.handshake_patience(unfinished);
        let (place, evicted) = handshakes.begin(remote, guarded.connection());
        if let Some(stranger) = evicted {
            dropped(stranger, Limit::Handshakes);
        }
        let admitting = gate.clone();
        gate.links.tasks.spawn(async move {
            admitting
                .admit(guarded, (local, remote), place, timeout)
                .await;
        });
    }
}

impl<Io> Gate<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Performs the TLS handshake, and passes the connection on.
    async fn admit(
        &self,
        io: Guarded<Io>,
        (local, remote): (Option<SocketAddr>, SocketAddr),
        place: UnfinishedHandshake,
        timeout: Duration,
    ) {
        let connection = io.connection();
        let proof = self.credentials.current();
        // The CAs that the dialer trusts, once its first message has arrived.
        let mut claims = None;
        // Whether the dialer sent anything.
        let mut speaks = false;
        let shake = io.layer(async |mut io| {
            let mut acceptor = Acceptor::default();
            let mut first = [0];
            io.read_exact(&mut first).await?;
            speaks = true;
            acceptor.read_tls(&mut first.as_slice())?;
            let begun = LazyConfigAcceptor::new(acceptor, io).await?;
            let hello = begun.client_hello();
            let named = hello.certificate_authorities().unwrap_or_default();
            let named = named.iter().map(|name| CaName::of_name(name.as_ref()));
            claims = Some(named.collect::<Vec<_>>());
            begun.into_stream(proof.accepting(remote)).await
        });
        let shaken = time::timeout(timeout, shake).await;
        drop(place);
        let (reason, untrusted) = match shaken {
            // This node killed the connection, for a newer handshake or because the node ends. This is not an error
            // of the peer.
            Ok(Err(_)) if connection.is_killed() => return,
            // A health check of the port connects and closes.
            Ok(Err(error)) if !speaks && failure::is_end(&error) => return,
            Err(_) => (format!("no TLS handshake within {timeout:?}"), false),
            Ok(Err(error)) => {
                let were_read = claims.is_some();
                let quarrel = claims.and_then(|claims| proof.identity.quarrel(&claims));
                failure::accepting(&error, were_read, quarrel)
            }
            Ok(Ok(io)) => {
                let session = io.inner().get_ref().1;
                let encrypted = identity::is_encrypted(session);
                let own = session.peer_certificates().and_then(<[_]>::first);
                connection.identify(own.and_then(identity::presented));
                match holder(&proof.identity, session.peer_certificates(), encrypted) {
                    Ok(peer) => {
                        let expiry = Expiry::first_of(proof.identity.validity(), peer.validity);
                        let (dialer, acceptor) = (peer.subject.id(), proof.identity.subject().id());
                        let overlaid = self.links.paths.as_ref().zip(local);
                        let wire = overlaid.map(|(_, local)| LinkConnection {
                            keys: Keys::of(session, dialer, acceptor),
                            local,
                            remote,
                            dialed: false,
                            encrypted,
                        });
                        let caller = Caller {
                            peer,
                            remote,
                            encrypted,
                            connection,
                            expiry,
                            generation: proof.generation,
                            wire,
                        };
                        self.pass_on(io, caller, timeout).await;
                        return;
                    }
                    Err(reason) => (reason, true),
                }
            }
        };
        self.links.notice(TransportEvent::HandshakeFailed {
            remote,
            reason,
            untrusted,
        });
    }
}

impl<Io> Gate<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Passes an authenticated connection on, if its holder has a place, and closes it unless HTTP/2 begins in time.
    async fn pass_on(&self, io: Guarded<TlsStream<Io>>, caller: Caller, timeout: Duration) {
        let (remote, connection) = (caller.remote, caller.connection.clone());
        let Some(place) = self.places.take(&caller.peer.subject) else {
            let limit = Limit::Holder;
            self.links
                .notice(TransportEvent::ConnectionDropped { remote, limit });
            return;
        };
        // The receiver is gone when the node ends.
        let accepted = Accepted::new(io, caller, place);
        let _ended = self.out.send(Ok(accepted)).await.is_err();
        until(time::sleep(timeout), closed(&self.closing)).await;
        if connection.bytes_read() < PREFACE_BYTES {
            connection.kill();
        }
    }
}

/// The holder of the presented certificate, if it may have the connection; otherwise the reason why not.
fn holder(
    identity: &Identity,
    presented: Option<&[CertificateDer<'_>]>,
    encrypted: bool,
) -> Result<Peer, String> {
    let peer = identity
        .judge(presented)
        .map_err(|error| format!("not trusted: its certificate {error}"))?;
    access::connect(&peer.subject, encrypted).map_err(|denial| denial.to_string())?;
    Ok(peer)
}

/// Returns the next connection. Errors of single connections are skipped; `failed` is called with
/// errors of the port.
async fn next<L: Listener>(listener: &mut L, failed: impl Fn(String)) -> (L::Io, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                if let Some(pause) = failure_of(&error).pause() {
                    failed(error.to_string());
                    time::sleep(pause).await;
                }
            }
        }
    }
}

impl From<Excess> for Limit {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Connections => Self::Connections,
            Excess::Rate => Self::Rate,
        }
    }
}

/// Classifies an error of accepting a connection.
fn failure_of(error: &io::Error) -> AcceptFailure {
    let of_one_connection = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::Interrupted,
        io::ErrorKind::NetworkUnreachable,
    ];
    if of_one_connection.contains(&error.kind()) {
        AcceptFailure::Connection
    } else {
        AcceptFailure::Port
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use tokio::io::DuplexStream;

    /// A listener that returns these errors, and then a connection.
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
    async fn connections_closed_before_accept_do_not_delay_others() {
        let reported = RefCell::new(Vec::new());
        let begun = time::Instant::now();
        let mut gone = Failing([io::ErrorKind::ConnectionAborted; 1_000].into());
        next(&mut gone, |reason| reported.borrow_mut().push(reason)).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(reported.borrow().is_empty());
        let mut exhausted = Failing([io::ErrorKind::OutOfMemory].into());
        next(&mut exhausted, |reason| reported.borrow_mut().push(reason)).await;
        let pause = AcceptFailure::Port.pause().unwrap();
        assert_eq!((begun.elapsed(), reported.borrow().len()), (pause, 1));
    }
}
