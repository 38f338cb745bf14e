//! The overlay: one UDP socket per link, whose datagrams are encrypted with the key of the
//! connection.
//!
//! Each end sends the port of its socket in a control message. Both ends then send probes, and report their data path
//! as established when they have decrypted a datagram of the other end.

use super::seal::{self, Opener, Sealer};
use bytes::Bytes;
use phalanx_core::identity::NodeId;
use phalanx_net::overlay::{
    DataPath, DataPathProvider, Offer, OfferError, OverlayLink, Unprepared,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;

const CIPHER: &str = "chacha20-poly1305";
/// The only kind of control message: the sender's port, two bytes, big-endian.
const PORT: u8 = 1;

/// The kind of a datagram: its first byte.
const PROBE: u8 = 0;
const PING: u8 = 1;
const PONG: u8 = 2;

/// Interval between probes during silence, before and after the first datagram of the other end.
const PROBE_FIRST: Duration = Duration::from_millis(100);
const PROBE_LATER: Duration = Duration::from_secs(1);
/// Number of unanswered probes after which the data path has failed.
const UNANSWERED_MAX: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(2);

/// Creates tunnels. Clones of this value share the tunnels.
#[derive(Clone)]
pub(crate) struct Udp {
    offer: Offer,
    tunnels: Arc<Mutex<BTreeMap<NodeId, Arc<Tunnel>>>>,
}

/// The tunnel of one link.
struct Tunnel {
    link: OverlayLink,
    socket: UdpSocket,
    sealer: Mutex<Sealer>,
    opener: Mutex<Opener>,
    begun: Instant,
    /// The address of the other end's socket, once received.
    remote: watch::Sender<Option<SocketAddr>>,
    answered: watch::Sender<Answer>,
}

/// The last ping that was answered.
#[derive(Clone, Copy, Default)]
struct Answer {
    /// Time at which the ping was sent, in nanoseconds since the start of the tunnel; 0 before the first ping.
    at: u64,
    took: Duration,
}

/// The node's handle of a tunnel.
struct Path {
    udp: Udp,
    tunnel: Arc<Tunnel>,
    /// The tasks of the socket end when this is dropped.
    tasks: Mutex<JoinSet<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Udp {
    pub(crate) fn new() -> Result<Self, OfferError> {
        Ok(Self {
            offer: Offer::new("udp")?.with("cipher", CIPHER)?,
            tunnels: Arc::default(),
        })
    }

    /// Returns the peers with a tunnel, which may not be established yet.
    pub(crate) fn peers(&self) -> Vec<NodeId> {
        lock(&self.tunnels).keys().cloned().collect()
    }

    /// Sends a ping through the tunnel to a neighbour and waits for the reply.
    pub(crate) async fn ping(&self, peer: &NodeId) -> Result<Duration, String> {
        let tunnel = lock(&self.tunnels).get(peer).cloned();
        let tunnel = tunnel.ok_or_else(|| format!("no tunnel to {peer}"))?;
        let mut answered = tunnel.answered.subscribe();
        let at = u64::try_from(tunnel.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        tunnel.send(PING, &at.to_be_bytes()).await;
        // A late reply belongs to an earlier ping.
        match time::timeout(PATIENCE, answered.wait_for(|it| it.at == at)).await {
            Ok(Ok(answer)) => Ok(answer.took),
            Ok(Err(_)) | Err(_) => Err(format!("no reply from {peer} within {PATIENCE:?}")),
        }
    }
}

impl DataPathProvider for Udp {
    fn offer(&self) -> Offer {
        self.offer.clone()
    }

    fn prepare(&self, link: OverlayLink) -> Result<Box<dyn DataPath>, Unprepared> {
        let theirs = link.offer().features().get("cipher").map(String::as_str);
        if theirs != Some(CIPHER) {
            let theirs = theirs.unwrap_or("none");
            return Err(Unprepared::new(format!("requires {CIPHER}, not {theirs}")));
        }
        let (sealer, opener) = seal::halves(link.key(), link.is_dialer())
            .ok_or_else(|| Unprepared::new("the key cannot be derived"))?;
        let socket = std::net::UdpSocket::bind((link.local().address.ip(), 0))?;
        socket.set_nonblocking(true)?;
        let tunnel = Arc::new(Tunnel {
            socket: UdpSocket::from_std(socket)?,
            link,
            sealer: Mutex::new(sealer),
            opener: Mutex::new(opener),
            begun: Instant::now(),
            remote: watch::channel(None).0,
            answered: watch::channel(Answer::default()).0,
        });
        let peer = tunnel.link.remote().id.clone();
        lock(&self.tunnels).insert(peer, Arc::clone(&tunnel));
        Ok(Box::new(Path {
            udp: self.clone(),
            tunnel,
            tasks: Mutex::default(),
        }))
    }

    fn diagnostics(&self) -> BTreeMap<String, String> {
        let tunnels = lock(&self.tunnels).len();
        [("tunnels".to_owned(), tunnels.to_string())].into()
    }
}

impl DataPath for Path {
    fn confirm(&self) {
        let link = &self.tunnel.link;
        let told = match self.tunnel.socket.local_addr() {
            Ok(address) => link
                .send(PORT, address.port().to_be_bytes().to_vec())
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = told {
            link.fail(why);
        }
    }

    fn control(&self, kind: u8, payload: Bytes) {
        let link = &self.tunnel.link;
        let (PORT, Ok(port)) = (kind, <[u8; 2]>::try_from(&payload[..])) else {
            return link.fail("a control message is not a valid port");
        };
        let remote = (link.remote().address.ip(), u16::from_be_bytes(port)).into();
        if self.tunnel.remote.send_replace(Some(remote)).is_some() {
            return link.fail("the port was sent twice");
        }
        let tunnel = Arc::clone(&self.tunnel);
        lock(&self.tasks).spawn(tunnel.run(remote));
    }

    fn attributes(&self) -> BTreeMap<String, String> {
        let Answer { at, took } = *self.tunnel.answered.borrow();
        let remote = *self.tunnel.remote.borrow();
        let remote = remote.map(|remote| ("remote".to_owned(), remote.to_string()));
        let round_trip = (at > 0).then(|| ("round-trip".to_owned(), format!("{took:?}")));
        remote.into_iter().chain(round_trip).collect()
    }

    fn stop(&self) {
        lock(&self.tasks).abort_all();
        let mut tunnels = lock(&self.udp.tunnels);
        let peer = &self.tunnel.link.remote().id;
        if tunnels
            .get(peer)
            .is_some_and(|it| Arc::ptr_eq(it, &self.tunnel))
        {
            tunnels.remove(peer);
        }
    }
}

impl Tunnel {
    /// Answers datagrams, and sends probes during silence.
    async fn run(self: Arc<Self>, remote: SocketAddr) {
        let mut datagram = [0; 2048];
        let (mut heard, mut unanswered) = (false, 0);
        self.send(PROBE, &[]).await;
        while unanswered < UNANSWERED_MAX {
            let silence = if heard { PROBE_LATER } else { PROBE_FIRST };
            let received = time::timeout(silence, self.socket.recv_from(&mut datagram)).await;
            let Ok(received) = received else {
                unanswered += 1;
                self.send(PROBE, &[]).await;
                continue;
            };
            // An error here is caused by a datagram sent before the other end listened.
            let opened = received.ok().filter(|(_, from)| *from == remote);
            let opened = opened.and_then(|(bytes, _)| lock(&self.opener).open(&datagram[..bytes]));
            let Some((kind, rest)) = opened.as_deref().and_then(<[u8]>::split_first) else {
                continue;
            };
            unanswered = 0;
            if !heard {
                heard = true;
                self.link.established();
                // The other end may have missed the first probe.
                self.send(PROBE, &[]).await;
            }
            match (*kind, <[u8; 8]>::try_from(rest)) {
                (PING, Ok(at)) => self.send(PONG, &at).await,
                (PONG, Ok(at)) => {
                    let at = u64::from_be_bytes(at);
                    let sent = Duration::from_nanos(at);
                    let took = self.begun.elapsed().saturating_sub(sent);
                    self.answered.send_replace(Answer { at, took });
                }
                _ => {}
            }
        }
        self.link.fail("no probe was answered");
    }

    /// Encrypts and sends one datagram, which may be lost.
    async fn send(&self, kind: u8, rest: &[u8]) {
        let Some(remote) = *self.remote.borrow() else {
            return;
        };
        let sealed = lock(&self.sealer).seal(&[&[kind], rest].concat());
        if let Some(sealed) = sealed {
            let _lost = self.socket.send_to(&sealed, remote).await.is_err();
        }
    }
}
