//! A whole node: machine, loop, transport and store, on any network.

use super::accept::{self, Gate, Incoming};
use super::attempts::CallError;
use super::calls::CallGate;
use super::connection::{Connections, SharedPlaces};
use super::credentials::CurrentProof;
use super::dial::{Call, KEEPALIVE_ANSWER, TransportDialer};
use super::dials::DialsInProgress;
use super::executor::{MeshExecutor, Observer, keep_addresses, keep_epochs};
use super::lifetime::{closed, until};
use super::limits::Limits;
use super::link_requests::SharedLinkRequests;
use super::links::OpenLinks;
use super::network::{Listener, Network, Tcp};
use super::renewal::{self, CredentialsExecutor};
use super::revocation_gate::{InvalidSignatures, RevocationGate};
use super::revocations::{RevocationAnswers, RevokeError, StoreOrder, keep_revocations};
use super::service::LinkService;
use super::subnets::TrustedSubnets;
use super::tasks::Tasks;
use super::traffic::Traffic;
use crate::applications::registry::ChannelRegistry;
use crate::clock;
use crate::driver::{self, Handle, Inbox, TimeOrigin};
use crate::identity::{Identity, IdentityError, PemOrigin};
use crate::link::{Notice, TransportEvent};
use crate::notices::Notices;
use crate::overlay::{DataPathProvider, OverlayStatus, PathDriver};
use crate::store::Store;
use phalanx_core::credentials::{self, Credentials};
use phalanx_core::gossip::{self, Input, OVERDUE_KEPT};
use phalanx_core::link::{Address, LinkId, Ticket};
use phalanx_core::node::{self, Node};
use phalanx_core::revocation::{Revocation, RevocationRefusal};
use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;

/// Number of authenticated connections that may wait for HTTP/2.
const INCOMING: usize = 64;

/// Reason why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port could not be bound.
    #[error("cannot listen on {address}: {}", listen_mend(.error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        error: io::Error,
    },
    /// The identity cannot be used for TLS.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

fn listen_mend(error: &io::Error) -> String {
    let is = |kind| error.kind() == kind;
    if is(io::ErrorKind::AddrInUse) {
        "another program listens there; stop it or choose another port".to_owned()
    } else if is(io::ErrorKind::AddrNotAvailable) {
        "this machine does not have this address; choose one of its addresses, or 0.0.0.0"
            .to_owned()
    } else if is(io::ErrorKind::PermissionDenied) {
        "this user is not allowed to; choose a port above 1023".to_owned()
    } else {
        error.to_string()
    }
}

/// A bound port that is not served yet: its address can be published in the node's record.
#[derive(Debug)]
pub struct BoundPort<N: Network> {
    network: N,
    listener: N::Listener,
    address: SocketAddr,
}

/// The parts of a node, except its port.
pub struct Settings<S> {
    /// The machine's configuration; its id and mesh must be those of the identity.
    pub config: gossip::Config,
    /// Seed of the machine's random choices.
    pub seed: u64,
    /// The node's credentials and trust anchors.
    pub identity: Identity,
    /// The durable items of the node, its epoch among them.
    pub store: S,
    /// Subnets in which links are unencrypted if the other end lists the subnet too.
    pub trusted: TrustedSubnets,
    /// Limits of the transport.
    pub limits: Limits,
    /// Called with every input before the machine processes it.
    pub observer: Option<Observer>,
    /// Creates a data path beside each link, if set.
    pub overlay: Option<Arc<dyn DataPathProvider>>,
}

impl<S> std::fmt::Debug for Settings<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("config", &self.config)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A running node. Clones share it.
#[derive(Clone)]
pub struct MeshNode {
    driver: Handle<Node>,
    pub(super) links: OpenLinks,
    channel_registry: ChannelRegistry,
    connections: Connections,
    credentials: CurrentProof,
    /// Whether a new certificate was requested and the request is not yet taken.
    requested: watch::Sender<bool>,
    left: watch::Receiver<bool>,
    closing: watch::Sender<bool>,
    address: SocketAddr,
    pub(super) link_requests: SharedLinkRequests,
    revocations: RevocationGate,
    revocation_answers: RevocationAnswers,
    /// The runtime of the node. Handles of the node may be dropped outside of this runtime.
    runtime: runtime::Handle,
}

impl std::fmt::Debug for MeshNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeshNode")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl<N: Network> BoundPort<N> {
    /// Binds a port.
    ///
    /// # Errors
    /// If the network rejects the address: in use, not local, or not permitted.
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

    /// Returns the listening address; its port is the assigned one if port 0 was requested.
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the node. `routes` creates further services on its port; they find their caller in
    /// the extensions of the request as [`Caller`](super::Caller).
    ///
    /// # Errors
    /// If the identity cannot be used for TLS.
    pub fn start<S: Store>(
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
        let notices = node.links.notices.clone();
        node.links.paths = overlay
            .map(|it| PathDriver::new(it, config.id.clone(), config.instance, notices))
            .map(Arc::new);
        node.links.revocations = Some(node.revocations.clone());
        let links = node.links.clone();
        let keepalive = config.tuning.keepalive_interval();
        let link_service = LinkService::server(links.clone(), config.mesh.clone());
        let routes = routes(&node).add_service(link_service);
        let (out, incoming) = mpsc::channel(INCOMING);
        node.serve(routes, ReceiverStream::new(incoming), keepalive);
        let gate = node.gate(credentials.clone(), limits, out);
        let tasks = links.tasks.clone();
        let (loaded, is_loaded) = watch::channel(false);
        let accepting = accept_after(is_loaded.clone(), self.listener, gate);
        tasks.spawn_essential("listener", until(accepting, node.closed()));
        let dialer = TransportDialer {
            network: self.network,
            credentials,
            connections: node.connections.clone(),
            links: links.clone(),
            timeout: config.tuning.dial_timeout.max(OVERDUE_KEPT),
            resolution_timeout: config.tuning.resolution_timeout,
            keepalive,
        };
        let (orders, addresses, revocation_orders) = keep(store, &node, loaded);
        let executor = MeshExecutor {
            dialer,
            dials: DialsInProgress::default(),
            links,
            orders,
            addresses,
            revocation_orders,
            revocations: node.revocations.clone(),
            revocation_answers: node.revocation_answers.clone(),
            closing: node.closing.clone(),
            left,
            dispatcher: node.channel_registry.dispatcher(),
            observer,
        };
        let origin = TimeOrigin::begin();
        node.follow_certificates(lifecycle, seed, origin);
        let machine = Node::new(config, seed, origin.now());
        let running = driver::run(machine, executor, inbox, origin);
        tasks.spawn_essential("machine", async move { drop(running.await) });
        node.end_on_failure();
        tasks.spawn(start_after(is_loaded, node.clone()));
        Ok(node)
    }
}

impl MeshNode {
    /// The gate of accepted connections, which hands them to `out`.
    fn gate<Io>(
        &self,
        credentials: CurrentProof,
        limits: Limits,
        out: mpsc::Sender<Incoming<Io>>,
    ) -> Gate<Io> {
        Gate {
            credentials,
            connections: self.connections.clone(),
            links: self.links.clone(),
            out,
            places: SharedPlaces::new(limits.connections, limits.connections_of_one),
            closing: self.closing.clone(),
        }
    }

    fn new(
        (driver, lifecycle): (Handle<Node>, Handle<Credentials>),
        limits: Limits,
        left: watch::Receiver<bool>,
        address: SocketAddr,
        credentials: CurrentProof,
    ) -> Self {
        let notices = Notices::new();
        let (closing, _) = watch::channel(false);
        let links = OpenLinks::new(driver.clone(), lifecycle, Tasks::new(), limits, notices);
        let connections = Connections::default();
        let revocations = RevocationGate {
            proof: credentials.clone(),
            connections: connections.clone(),
            invalid: InvalidSignatures::default(),
        };
        Self {
            driver,
            links,
            channel_registry: ChannelRegistry::default(),
            connections,
            credentials,
            requested: watch::channel(false).0,
            left,
            closing,
            address,
            link_requests: SharedLinkRequests::default(),
            revocations,
            revocation_answers: RevocationAnswers::default(),
            runtime: runtime::Handle::current(),
        }
    }

    /// Runs the machine that decides about certificates, until the node ends.
    fn follow_certificates(&self, inbox: Inbox<Credentials>, seed: u64, origin: TimeOrigin) {
        let validity = self.identity().validity();
        let machine = Credentials::new(validity, clock::wall(), seed, origin.now());
        let executor = CredentialsExecutor {
            links: self.links.clone(),
            proof: self.credentials.clone(),
            requested: self.requested.clone(),
        };
        let run = async move { drop(driver::run(machine, executor, inbox, origin).await) };
        let tasks = &self.links.tasks;
        tasks.spawn_essential("certificates", until(run, self.closed()));
        let follow = renewal::follow(self.credentials.clone(), self.links.clone());
        tasks.spawn_essential("renewal", until(follow, self.closed()));
    }

    /// Ends the node when a task fails: a node without one of its parts is useless.
    fn end_on_failure(&self) {
        let (links, closing) = (self.links.clone(), self.closing.clone());
        let watch = async move {
            let task = links.tasks.failed().await;
            links.notice(TransportEvent::TaskEnded { task });
            closing.send_replace(true);
        };
        self.links.tasks.spawn(until(watch, self.closed()));
    }

    /// Returns the name of the task whose failure ended the node, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<&'static str> {
        self.links.tasks.failure()
    }

    /// Serves HTTP/2, and HTTP/1.1 for REST, on the incoming connections, until the node ends.
    fn serve<Io>(&self, routes: Routes, incoming: ReceiverStream<Incoming<Io>>, keepalive: Duration)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server = Server::builder()
            .accept_http1(true)
            .http2_keepalive_interval(Some(keepalive))
            .http2_keepalive_timeout(Some(keepalive * KEEPALIVE_ANSWER))
            .max_concurrent_streams(self.links.limits.streams)
            .layer(CallGate::new(
                self.links.limits.calls,
                self.identity().subject().clone(),
            ))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, self.closed());
        self.links.tasks.spawn_essential("server", async move {
            // The server runs until the end; its errors concern single connections.
            let _ended = server.await.is_err();
        });
    }

    /// Returns the handle of the machine.
    #[must_use]
    pub const fn driver(&self) -> &Handle<Node> {
        &self.driver
    }

    /// Returns the open channels of the applications on the node.
    pub(crate) const fn channel_registry(&self) -> &ChannelRegistry {
        &self.channel_registry
    }

    /// Runs a task until it completes or the node ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let entered = self.runtime.enter();
        self.links.tasks.spawn(until(task, self.closed()));
        drop(entered);
    }

    /// Connects to another node for calls, with the identity of this node. The connection ends with this node, and when the
    /// certificate of the other node is revoked.
    ///
    /// # Errors
    /// The reason why the other node cannot be reached or trusted.
    pub(crate) async fn call(
        &self,
        address: &Address,
        timeout: Duration,
    ) -> Result<Call, CallError> {
        let identity = self.identity();
        Call::connect_among(&Tcp, &self.connections, &identity, address, timeout).await
    }

    /// Returns the listening address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Subscribes to the notices that follow.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.links.notices.subscribe()
    }

    /// Returns the traffic on all links so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.links.counters.read()
    }

    /// Returns the current identity.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.credentials.current().identity.clone()
    }

    /// Returns the subnets in which links need not be encrypted.
    #[must_use]
    pub fn trusted_subnets(&self) -> TrustedSubnets {
        self.credentials.current().trusted().clone()
    }

    /// Returns the open links that are authenticated but not encrypted.
    #[must_use]
    pub fn unencrypted_links(&self) -> BTreeSet<LinkId> {
        self.links.unencrypted()
    }

    /// Replaces the identity by another one of the same subject. Every link is replaced by one with
    /// the new identity, and closes when the new one is established. A link whose peer is not
    /// trusted by the new identity closes in any case.
    ///
    /// # Errors
    /// If the identity is that of another subject or cannot be used for TLS; the previous identity
    /// then stays in use.
    pub fn renew(&self, identity: Identity) -> Result<(), IdentityError> {
        let current = self.credentials.current();
        let (wanted, found) = (current.identity.subject(), identity.subject());
        if wanted != found {
            return Err(IdentityError::WrongId {
                place: PemOrigin::Memory("the new identity"),
                found: found.to_string(),
                configured: wanted.to_string(),
            });
        }
        self.credentials.replace(identity)
    }

    /// Revokes certificates in the whole mesh. Returns when the revocation is durable on this node.
    ///
    /// # Errors
    /// If the signature is not that of the mesh's CA or of an administrator, or core refuses the revocation. The
    /// revocation has no effect then.
    pub async fn revoke(&self, revocation: Revocation) -> Result<(), RevokeError> {
        self.revocations
            .verify(&revocation)
            .map_err(RevokeError::Signature)?;
        let asked = self.revocation_answers.ask();
        let (request, answer) = asked.ok_or(RevocationRefusal::Busy)?;
        // Core compares the time of the signature with the calendar.
        self.links.tell_calendar(clock::wall()).await;
        let revocation = Arc::new(revocation);
        let input = node::Input::Revoke {
            request,
            revocation,
        };
        let sent = self.driver.send(input).await;
        sent.map_err(|_| RevokeError::Stopped)?;
        Ok(answer.await.map_err(|_| RevokeError::Stopped)??)
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
        self.links
            .tell_credentials(credentials::Input::Unchanged)
            .await;
    }

    /// Answers a request for a certificate: none could be obtained, for this reason. The request is retried.
    pub async fn renewal_failed(&self, reason: String) {
        let failed = credentials::Input::RequestFailed { reason };
        self.links.tell_credentials(failed).await;
    }

    /// Returns the node's overlay and its data paths; `None` without an overlay.
    #[must_use]
    pub fn overlay(&self) -> Option<OverlayStatus> {
        self.links.paths.as_ref().map(|paths| paths.status())
    }

    /// Returns the number of open links that were made with an earlier identity.
    #[must_use]
    pub fn outdated_links(&self) -> usize {
        self.links.before(self.credentials.current().generation)
    }

    /// Returns the number of open links, including those in the handshake.
    #[must_use]
    pub fn links(&self) -> usize {
        self.links.count()
    }

    /// Returns the number of connections accepted by this node.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.accepted()
    }

    /// Returns the number of running tasks of this node.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.links.tasks.count()
    }

    /// Delivers an input to the machine.
    ///
    /// # Errors
    /// If the node has ended.
    pub async fn send(&self, input: Input) -> Result<(), driver::Stopped> {
        self.driver.send(node::Input::Mesh(input)).await
    }

    /// Waits until the node ends: on request, or because one of its tasks failed ([`failure`](Self::failure)).
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        closed(&self.closing)
    }

    /// Waits until the machine has left the mesh.
    pub fn has_left(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut left = self.left.clone();
        async move {
            // An error means that the machine's loop has ended without leaving.
            if left.wait_for(|left| *left).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Leaves the mesh gracefully. Returns true once all messages about it are sent, false if this
    /// took longer than `grace`.
    pub async fn leave(&self, grace: Duration) -> bool {
        if self.send(Input::Leave).await.is_err() {
            return false;
        }
        let mut left = self.left.clone();
        time::timeout(grace, left.wait_for(|left| *left))
            .await
            .is_ok_and(|left| left.is_ok())
    }

    /// Ends the node: links close after their waiting messages are sent, then all tasks stop,
    /// within twice the `shutdown_grace` of the limits.
    pub async fn shutdown(&self) {
        let grace = self.links.limits.shutdown_grace;
        self.links.tasks.begin_end();
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
        // Closes links that were opened meanwhile.
        self.links.close_all();
    }

    /// Publishes an event to the subscribers, if there are any.
    pub fn notice(&self, event: TransportEvent) {
        self.links.notice(event);
    }
}

/// Accepts connections after the node has read its revocations. A node that ends before accepts nothing.
async fn accept_after<L, Io>(mut loaded: watch::Receiver<bool>, listener: L, gate: Gate<Io>)
where
    L: Listener<Io = Io>,
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if loaded.wait_for(|loaded| *loaded).await.is_ok() {
        accept::accept(listener, gate).await;
    }
}

/// Starts the machine after the node has read its revocations.
async fn start_after(mut loaded: watch::Receiver<bool>, node: MeshNode) {
    if loaded.wait_for(|loaded| *loaded).await.is_ok() {
        node.links.notify(Input::Start).await;
    }
}

/// The senders of the newest epoch, of the newest addresses and of the newest revocations to store.
type KeepOrders = (
    watch::Sender<Option<(Ticket, u64)>>,
    watch::Sender<Vec<SocketAddr>>,
    watch::Sender<StoreOrder>,
);

/// Starts the tasks that store what the machine orders to keep. `loaded` is set when the stored revocations are read.
fn keep<S: Store>(store: S, node: &MeshNode, loaded: watch::Sender<bool>) -> KeepOrders {
    let (orders, ordered) = watch::channel(None);
    let (addresses, kept) = watch::channel(Vec::new());
    let (revocations, revoked) = watch::channel(None);
    let links = &node.links;
    let tasks = &links.tasks;
    let addresses_kept = keep_addresses(store.clone(), links.clone(), kept);
    tasks.spawn_essential("addresses", addresses_kept);
    let epochs_kept = keep_epochs(store.clone(), links.clone(), ordered);
    tasks.spawn_essential("epoch", epochs_kept);
    let gate = node.revocations.clone();
    let revocations_kept = keep_revocations(store, links.clone(), gate, loaded, revoked);
    tasks.spawn_essential("revocations", revocations_kept);
    (orders, addresses, revocations)
}
