//! A whole node: machine, loop, transport and store, on any network.

use super::accept::{self, Gate};
use super::complaints::Complaints;
use super::connection::Connections;
use super::credentials::CurrentProof;
use super::dial::Dialer;
use super::links::Links;
use super::network::{Listener, Network};
use super::performer::{MeshPerformer, Observer, keep_epochs};
use super::renewal::{self, CredentialsPerformer};
use super::service::LinkService;
use super::subnets::TrustedSubnets;
use super::wishes::Wishes;
use super::{Event, Limits, Notice, Tasks, Traffic};
use crate::channel::Desk;
use crate::clock;
use crate::driver::{self, Epoch, Handle, Inbox};
use crate::identity::{Identity, IdentityError, Place};
use crate::overlay::{Overlay, OverlayStatus, Paths};
use crate::store::EpochStore;
use phalanx_core::credentials::{self, Credentials};
use phalanx_core::gossip::{self, Input, LinkId};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, Node};
use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;

/// Notices kept for a listener that is slow; it loses older ones.
const NOTICES: usize = 4096;
/// HTTP/2's keepalive is this many times core's heartbeat bound: core decides, HTTP/2 is the backstop.
const KEEPALIVE_FACTOR: u32 = 3;
/// Authenticated connections that wait for HTTP/2.
const INCOMING: usize = 64;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port could not be bound.
    #[error("cannot listen on {address}: {}", listen_mend(.error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The identity is of no use for TLS.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

fn listen_mend(error: &io::Error) -> String {
    let is = |kind| error.kind() == kind;
    if is(io::ErrorKind::AddrInUse) {
        "another program listens there; stop it or choose another port".to_owned()
    } else if is(io::ErrorKind::AddrNotAvailable) {
        "this machine has no such address; choose one of its own, or 0.0.0.0".to_owned()
    } else if is(io::ErrorKind::PermissionDenied) {
        "this user may not; choose a port above 1023".to_owned()
    } else {
        error.to_string()
    }
}

/// A bound port that is not served yet: its address can go into the node's content.
#[derive(Debug)]
pub struct Bound<N: Network> {
    network: N,
    listener: N::Listener,
    address: SocketAddr,
}

/// What a node is made of, beside its port.
pub struct Settings<S> {
    /// The machine's configuration; its id and mesh are the identity's.
    pub config: gossip::Config,
    /// Feeds the machine's random choices.
    pub seed: u64,
    /// Who the node is, and whom it trusts.
    pub identity: Identity,
    /// Where the epoch is kept.
    pub store: S,
    /// Where links need not be encrypted, if the other end says so too.
    pub trusted: TrustedSubnets,
    /// Bounds of the transport.
    pub limits: Limits,
    /// Sees every input before the machine does.
    pub observer: Option<Observer>,
    /// Makes a data path beside each link, if there is one.
    pub overlay: Option<Arc<dyn Overlay>>,
}

impl<S> std::fmt::Debug for Settings<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("config", &self.config)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A running node. Cloning shares it.
#[derive(Clone)]
pub struct MeshNode {
    driver: Handle<Node>,
    pub(super) links: Links,
    desk: Desk,
    connections: Connections,
    credentials: CurrentProof,
    /// Whether a new certificate was requested and the request was not taken.
    requested: watch::Sender<bool>,
    left: watch::Receiver<bool>,
    closing: watch::Sender<bool>,
    address: SocketAddr,
    pub(super) wishes: Wishes,
    /// What it runs on: what is held of it may be dropped elsewhere.
    runtime: runtime::Handle,
}

impl std::fmt::Debug for MeshNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeshNode")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl<N: Network> Bound<N> {
    /// Binds a port.
    ///
    /// # Errors
    /// When the network does not give it: taken, not ours, not allowed.
    pub async fn bind(network: N, address: SocketAddr) -> Result<Self, StartError> {
        let listen = |error| StartError::Listen { address, error };
        let listener = network.bind(address).await.map_err(listen)?;
        let address = listener.local_address().map_err(listen)?;
        Ok(Self {
            network,
            listener,
            address,
        })
    }

    /// The address that is listened on; its port is the real one when port 0 was asked for.
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the node. `routes` makes the services that share its port; they find their caller in the request's
    /// extensions as [`Caller`](super::Caller).
    ///
    /// # Errors
    /// When the identity is of no use for TLS.
    pub fn start<S: EpochStore>(
        self,
        settings: Settings<S>,
        routes: impl FnOnce(&MeshNode) -> Routes,
    ) -> Result<MeshNode, StartError> {
        let Settings {
            config,
            seed,
            identity,
            store,
            trusted,
            limits,
            observer,
            overlay,
        } = settings;
        let credentials = CurrentProof::new(identity, trusted)?;
        let inbox = Inbox::new();
        let (left, has_left) = watch::channel(false);
        let lifecycle = Inbox::new();
        let handles = (inbox.handle(), lifecycle.handle());
        let mut node = MeshNode::new(handles, limits, has_left, self.address, credentials.clone());
        node.links.paths = overlay.map(|overlay| {
            let notices = node.links.notices.clone();
            let paths = Paths::new(overlay, config.id.clone(), config.instance, notices);
            Arc::new(paths)
        });
        let links = node.links.clone();
        let keepalive = config.tuning.heartbeat_interval_max * KEEPALIVE_FACTOR;
        let link_service = LinkService::server(links.clone(), config.mesh.clone());
        let routes = routes(&node).add_service(link_service);
        let (out, incoming) = mpsc::channel(INCOMING);
        node.serve(routes, ReceiverStream::new(incoming), keepalive);
        let gate = Gate {
            credentials: credentials.clone(),
            connections: node.connections.clone(),
            links: links.clone(),
            out,
            complaints: Arc::new(Mutex::new(Complaints::new())),
        };
        let tasks = links.tasks.clone();
        tasks.spawn(until(accept::accept(self.listener, gate), node.closed()));
        let dialer = Dialer {
            network: self.network,
            credentials,
            connections: node.connections.clone(),
            links: links.clone(),
            timeout: config.tuning.dial_timeout,
            keepalive,
        };
        let (orders, ordered) = watch::channel(None);
        tasks.spawn(keep_epochs(store, links.clone(), ordered));
        let performer = MeshPerformer {
            dialer,
            links,
            orders,
            closing: node.closing.clone(),
            left,
            serving: node.desk.serving(),
            observer,
        };
        let epoch = Epoch::begin();
        node.follow_certificates(lifecycle, seed, epoch);
        let machine = Node::new(config, seed, epoch.now());
        let ends = EndsNode(node.closing.clone());
        tasks.spawn(async move {
            drop(driver::run(machine, performer, inbox, epoch).await);
            drop(ends);
        });
        let first = node.clone();
        tasks.spawn(async move { first.links.tell(Input::Start).await });
        Ok(node)
    }
}

/// Without its machine's loop a node is nothing: when the loop ends, even by a panic, so does the port.
struct EndsNode(watch::Sender<bool>);

impl Drop for EndsNode {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Waits until a node ends.
pub(super) fn closed(closing: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut closing = closing.subscribe();
    async move {
        // An error means that the node is gone, which is an end too.
        let _gone = closing.wait_for(|closing| *closing).await.is_err();
    }
}

/// Runs a task until a signal comes.
pub(super) async fn until(task: impl Future<Output = ()>, signal: impl Future<Output = ()>) {
    let (mut task, mut signal) = (std::pin::pin!(task), std::pin::pin!(signal));
    std::future::poll_fn(|context| {
        let signalled = signal.as_mut().poll(context);
        if signalled.is_ready() {
            signalled
        } else {
            task.as_mut().poll(context)
        }
    })
    .await;
}

impl MeshNode {
    fn new(
        (driver, lifecycle): (Handle<Node>, Handle<Credentials>),
        limits: Limits,
        left: watch::Receiver<bool>,
        address: SocketAddr,
        credentials: CurrentProof,
    ) -> Self {
        let (notices, _) = broadcast::channel(NOTICES);
        let (closing, _) = watch::channel(false);
        let links = Links::new(driver.clone(), lifecycle, Tasks::new(), limits, notices);
        Self {
            driver,
            links,
            desk: Desk::default(),
            connections: Connections::default(),
            credentials,
            requested: watch::channel(false).0,
            left,
            closing,
            address,
            wishes: Wishes::default(),
            runtime: runtime::Handle::current(),
        }
    }

    /// Runs the machine that decides about certificates, until the node ends.
    fn follow_certificates(&self, inbox: Inbox<Credentials>, seed: u64, epoch: Epoch) {
        let validity = self.identity().validity();
        let machine = Credentials::new(validity, clock::wall(), seed, epoch.now());
        let performer = CredentialsPerformer {
            links: self.links.clone(),
            proof: self.credentials.clone(),
            requested: self.requested.clone(),
        };
        let run = async move { drop(driver::run(machine, performer, inbox, epoch).await) };
        self.links.tasks.spawn(until(run, self.closed()));
        let follow = renewal::follow(self.credentials.clone(), self.links.credentials.clone());
        self.links.tasks.spawn(until(follow, self.closed()));
    }

    /// Speaks HTTP/2 on what comes in, until the node ends.
    fn serve<Io>(
        &self,
        routes: Routes,
        incoming: ReceiverStream<accept::Incoming<Io>>,
        keepalive: Duration,
    ) where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server = Server::builder()
            .http2_keepalive_interval(Some(keepalive))
            .http2_keepalive_timeout(Some(keepalive))
            .max_concurrent_streams(self.links.limits.streams)
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, self.closed());
        self.links.tasks.spawn(async move {
            // It serves until the end; what fails is one connection at a time.
            let _ended = server.await.is_err();
        });
    }

    /// The way to the machine.
    #[must_use]
    pub const fn driver(&self) -> &Handle<Node> {
        &self.driver
    }

    /// The applications on the node.
    pub(crate) const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Runs a task until it or the node ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let entered = self.runtime.enter();
        self.links.tasks.spawn(until(task, self.closed()));
        drop(entered);
    }

    /// Whether this node goes by an id.
    pub(super) fn is(&self, id: &NodeId) -> bool {
        self.credentials.current().identity.subject().id() == id
    }

    /// The address that is listened on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens from here on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.links.notices.subscribe()
    }

    /// What went over all links so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.links.counters.read()
    }

    /// What the node proves itself with now.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.credentials.current().identity.clone()
    }

    /// The subnets in which links need not be encrypted.
    #[must_use]
    pub fn trusted_subnets(&self) -> TrustedSubnets {
        self.credentials.current().trusted().clone()
    }

    /// The open links that are authenticated and not encrypted.
    #[must_use]
    pub fn unencrypted_links(&self) -> BTreeSet<LinkId> {
        self.links.unencrypted()
    }

    /// Proves itself with another identity of the same subject from here on. Every link gets a successor that is made
    /// with it, and closes when that stands; one whose peer is not trusted by the new identity closes in any case.
    ///
    /// # Errors
    /// When it is somebody else's, or of no use for TLS; the earlier identity then stays.
    pub fn renew(&self, identity: Identity) -> Result<(), IdentityError> {
        let current = self.credentials.current();
        let (wanted, found) = (current.identity.subject(), identity.subject());
        if wanted != found {
            return Err(IdentityError::WrongId {
                place: Place::Memory("the new identity"),
                found: found.to_string(),
                configured: wanted.to_string(),
            });
        }
        self.credentials.replace(identity)
    }

    /// Waits until a new certificate is due. The caller obtains one and answers by [`renew`](Self::renew),
    /// [`renewal_unchanged`](Self::renewal_unchanged) or [`renewal_failed`](Self::renewal_failed); the request is not
    /// repeated before that.
    pub fn renewal_due(&self) -> impl Future<Output = ()> + Send + use<> {
        let requested = self.requested.clone();
        async move {
            // The sender lives as long as this does.
            let _gone = requested.subscribe().wait_for(|it| *it).await.is_err();
            requested.send_replace(false);
        }
    }

    /// Answers a request for a certificate: the source holds none but the one in use.
    pub async fn renewal_unchanged(&self) {
        renewal::deliver(&self.links.credentials, credentials::Input::Unchanged).await;
    }

    /// Answers a request for a certificate: none could be obtained, for this reason. The request is retried.
    pub async fn renewal_failed(&self, reason: String) {
        let failed = credentials::Input::RequestFailed { reason };
        renewal::deliver(&self.links.credentials, failed).await;
    }

    /// The node's overlay and its data paths; none if it has no overlay.
    #[must_use]
    pub fn overlay(&self) -> Option<OverlayStatus> {
        self.links.paths.as_ref().map(|paths| paths.status())
    }

    /// The number of open links that were made before the present identity took its place.
    #[must_use]
    pub fn outdated_links(&self) -> usize {
        self.links.before(self.credentials.current().generation)
    }

    /// The number of open links, greetings included.
    #[must_use]
    pub fn links(&self) -> usize {
        self.links.count()
    }

    /// The number of connections that others have to us.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.accepted()
    }

    /// The number of tasks that run for this node.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.links.tasks.count()
    }

    /// Delivers an input to the machine.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn send(&self, input: Input) -> Result<(), driver::Stopped> {
        self.driver.send(node::Input::Mesh(input)).await
    }

    /// Waits until the node ends: because it was told to, or because its machine's loop failed.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        closed(&self.closing)
    }

    /// Waits until the machine has left the mesh, whoever told it to.
    pub fn has_left(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut left = self.left.clone();
        async move {
            // An error means that the machine's loop has ended without leaving.
            if left.wait_for(|left| *left).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Leaves the mesh gracefully: true once everything that had to be said is sent, false if that took longer
    /// than `grace`.
    pub async fn leave(&self, grace: Duration) -> bool {
        if self.send(Input::Leave).await.is_err() {
            return false;
        }
        let mut left = self.left.clone();
        time::timeout(grace, left.wait_for(|left| *left))
            .await
            .is_ok_and(|left| left.is_ok())
    }

    /// Ends the node: links are closed after what waits on them, then everything stops, within twice the limit's
    /// `shutdown_grace`.
    pub async fn shutdown(&self) {
        let grace = self.links.limits.shutdown_grace;
        self.driver.stop().await;
        self.links.close_all();
        self.closing.send_replace(true);
        let connections = self.connections.clone();
        let kill = async {
            time::sleep(grace).await;
            connections.kill_all();
            std::future::pending::<()>().await;
        };
        until(self.links.tasks.finish(grace * 2), kill).await;
        self.connections.kill_all();
        // What was being opened meanwhile.
        self.links.close_all();
    }

    /// Tells people something, if any listen.
    pub fn notice(&self, event: Event) {
        self.links.notice(event);
    }
}
