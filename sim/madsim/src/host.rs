//! One simulated host: its driver, its links, its disk.

use crate::driver::{self, Executor, Handle, Inbox};
use crate::fabric::Fabric;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use madsim::net::Endpoint;
use madsim::task::{self, AbortHandle};
use phalanx_core::channel::ChannelName;
use phalanx_core::gossip::{self, Config};
use phalanx_core::link::{CloseReason, DialError, DialId, LinkId, LocalClose};
use phalanx_core::machine::{Machine, Outbox};
use phalanx_core::node::{self, Message, Node};
use phalanx_core::size::Encoded;
use phalanx_core::time::Instant;
use phalanx_sim::mesh::daemon::{Input, Output};
use phalanx_sim::mesh::{ChannelOpening, Daemon, HostApplications};
use phalanx_sim::model::{PORT, address, host_at};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::time;

/// Maximum number of messages that wait to be sent on one link.
const QUEUE: usize = 1_024;
/// Time until an epoch is durable.
const FSYNC: Duration = Duration::from_millis(2);
/// Interval at which an end of a connection that closed behind a cut checks whether its FIN can reach the peer.
const TOLD_AFTER: Duration = Duration::from_millis(50);

/// The initial state of a process at its next start.
pub(crate) struct Boot {
    pub(crate) config: Config,
    pub(crate) seed: u64,
    pub(crate) applications: HostApplications,
    pub(crate) opens: BTreeMap<ChannelName, ChannelOpening>,
}

/// The state that the engine and the process share. Clones share the state.
#[derive(Clone, Default)]
pub(crate) struct Slot {
    inner: Arc<Mutex<Shared>>,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) boot: Option<Boot>,
    /// The machine of the running process.
    machine: Option<Shown>,
    handle: Option<Handle<Shown>>,
    /// The durable epoch.
    pub(crate) stored: u64,
    /// The durable addresses of members.
    pub(crate) kept: Vec<SocketAddr>,
}

impl Slot {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a copy of the machine, even if the process is paused.
    pub(crate) fn look(&self) -> Option<Node> {
        let shown = self.lock().machine.clone()?;
        let daemon = shown.lock();
        Some(daemon.node().clone())
    }

    /// Returns the number of links of the machine.
    pub(crate) fn links(&self) -> u64 {
        let shown = self.lock().machine.clone();
        shown.map_or(0, |shown| shown.lock().node().mesh().link_count() as u64)
    }

    /// Returns the handle of the running machine.
    pub(crate) fn handle(&self) -> Option<Handle<Shown>> {
        self.lock().handle.clone()
    }

    /// Removes the machine of an ended process.
    pub(crate) fn clear(&self) {
        let mut shared = self.lock();
        (shared.machine, shared.handle) = (None, None);
    }
}

/// A daemon with the applications on its host. The engine can read the daemon while the driver runs it.
#[derive(Clone)]
pub(crate) struct Shown(Arc<Mutex<Daemon>>);

impl Shown {
    fn lock(&self) -> MutexGuard<'_, Daemon> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine for Shown {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        self.lock().step(now, input, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.lock().next_deadline()
    }
}

/// An item on a connection.
enum Parcel {
    /// A message, and the step of the sender in which it was sent.
    Message(Message, u64),
    /// The sender closed the connection in order.
    End,
}

/// One end of a connection.
struct Connection {
    peer: usize,
    queue: mpsc::Sender<Parcel>,
    reader: AbortHandle,
}

/// The connections of one process. Clones share the connections.
#[derive(Clone, Default)]
struct Links {
    inner: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    made: u64,
    open: BTreeMap<LinkId, Connection>,
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state that the tasks of a process share.
#[derive(Clone)]
struct Process {
    fabric: Fabric,
    host: usize,
    endpoint: Arc<Endpoint>,
    handle: Handle<Shown>,
    links: Links,
}

/// Runs one start of a host's process: a node until it leaves, then no process until the next start. If there is no
/// boot state, no process runs.
pub(crate) async fn process(fabric: Fabric, host: usize) {
    let Some(boot) = fabric.slot(host).lock().boot.take() else {
        return;
    };
    let Ok(endpoint) = Endpoint::bind((Ipv4Addr::UNSPECIFIED, PORT)).await else {
        return;
    };
    let origin = driver::TimeOrigin::begin();
    let now = origin.now();
    let node = Node::new(boot.config, boot.seed, now);
    let daemon = Daemon::starting(node, boot.applications, &boot.opens, now);
    let shown = Shown(Arc::new(Mutex::new(daemon)));
    let inbox = Inbox::new();
    let process = Process {
        fabric: fabric.clone(),
        host,
        endpoint: Arc::new(endpoint),
        handle: inbox.handle(),
        links: Links::default(),
    };
    {
        let mut shared = fabric.slot(host).lock();
        shared.machine = Some(shown.clone());
        shared.handle = Some(inbox.handle());
    }
    let start = Input::Node(node::Input::Mesh(gossip::Input::Start));
    if process.handle.send(start).await.is_err() {
        return;
    }
    let accepting = task::spawn(process.clone().accept());
    // The state of a node that has left stays readable.
    let (_, hands) = driver::run(shown, process, inbox, origin).await;
    accepting.abort();
    let closed = core::mem::take(&mut hands.links.lock().open);
    for connection in closed.into_values() {
        connection.reader.abort();
    }
    fabric.slot(host).lock().handle = None;
    fabric.ended(host);
    // If the first task of a madsim node ended, the other tasks and their port would survive into the next start.
    core::future::pending().await
}

impl Process {
    /// Accepts connections.
    async fn accept(self) {
        while let Ok((sender, receiver, from)) = self.endpoint.accept1().await {
            let Some(peer) = host_at(from, self.fabric.len()) else {
                continue;
            };
            let link = self.open(peer, sender, receiver);
            let peer = self.fabric.id(peer);
            self.notify(gossip::Input::Accepted { link, peer }).await;
        }
    }

    /// Dials an address. No answer arrives across a cut.
    async fn dial(self, dial: DialId, to: SocketAddr) {
        let Some(peer) = host_at(to, self.fabric.len()) else {
            let reason = DialError::Unreachable;
            self.notify(gossip::Input::DialFailed { dial, reason })
                .await;
            return;
        };
        if self.fabric.blocks(self.host, peer) || self.fabric.blocks(peer, self.host) {
            self.fabric.swallow(self.host, peer);
            return;
        }
        match self.endpoint.connect1(address(peer)).await {
            Ok((sender, receiver)) => {
                let link = self.open(peer, sender, receiver);
                let peer = self.fabric.id(peer);
                self.notify(gossip::Input::Dialed { dial, link, peer })
                    .await;
            }
            Err(_) => {
                let reason = DialError::Refused;
                self.notify(gossip::Input::DialFailed { dial, reason })
                    .await;
            }
        }
    }

    /// Sends an input to the machine; a machine that has ended ignores it.
    async fn notify(&self, input: gossip::Input) {
        let input = Input::Node(node::Input::Mesh(input));
        let _ended = self.handle.send(input).await.is_err();
    }

    /// Starts the tasks that write to and read from a new connection.
    fn open(
        &self,
        peer: usize,
        sender: madsim::net::Sender,
        receiver: madsim::net::Receiver,
    ) -> LinkId {
        let (queue, mut waiting) = mpsc::channel::<Parcel>(QUEUE);
        let mut table = self.links.lock();
        table.made += 1;
        let link = LinkId(table.made);
        task::spawn(async move {
            while let Some(parcel) = waiting.recv().await {
                if sender.send(Box::new(parcel)).await.is_err() {
                    return;
                }
            }
            // An error means that the connection is gone, so its peer needs no end marker.
            let _gone = sender.send(Box::new(Parcel::End)).await.is_err();
        });
        let reader = task::spawn(self.clone().read(peer, link, receiver)).abort_handle();
        table.open.insert(
            link,
            Connection {
                peer,
                queue,
                reader,
            },
        );
        link
    }

    /// Reads a connection until its end.
    async fn read(self, peer: usize, link: LinkId, mut receiver: madsim::net::Receiver) {
        let reason = loop {
            let parcel: Result<Box<dyn Any + Send + Sync>, _> = receiver.recv().await;
            match parcel.map(|parcel| parcel.downcast::<Parcel>()) {
                Ok(Ok(parcel)) => match *parcel {
                    Parcel::Message(message, sent) => {
                        let host = self.host;
                        self.fabric.trace(|trace| trace.arrives(host, link, sent));
                        let input = Input::Node(node::Input::Receive { link, message });
                        let _ended = self.handle.send(input).await.is_err();
                    }
                    Parcel::End => break CloseReason::Farewell,
                },
                Ok(Err(_)) => break CloseReason::Local(LocalClose::Malformed),
                Err(_) => break CloseReason::Reset,
            }
        };
        while self.fabric.blocks(peer, self.host) {
            time::sleep(TOLD_AFTER).await;
        }
        drop(self.links.lock().open.remove(&link));
        self.notify(gossip::Input::Closed { link, reason }).await;
    }

    /// Queues a message; a link whose queue is full ends.
    fn send(&self, link: LinkId, message: Message) {
        let mut table = self.links.lock();
        let Some(connection) = table.open.get(&link) else {
            return;
        };
        self.fabric
            .carry(self.host, connection.peer, message.encoded_len());
        let sent = self.fabric.trace(|trace| trace.step_of(self.host));
        let parcel = Parcel::Message(message, sent);
        if connection.queue.try_send(parcel).is_ok() {
            return;
        }
        if let Some(connection) = table.open.remove(&link) {
            connection.reader.abort();
        }
        let process = self.clone();
        let reason = CloseReason::Local(LocalClose::Overflow);
        task::spawn(async move { process.notify(gossip::Input::Closed { link, reason }).await });
    }
}

impl Executor<Shown> for Process {
    fn execute(&mut self, _now: Instant, order: Output) {
        match order {
            Output::Dial { dial, address } => {
                task::spawn(self.clone().dial(dial, address));
            }
            Output::Resolve { ticket, name } => {
                let addresses = self.fabric.resolve(&name);
                let process = self.clone();
                task::spawn(async move {
                    process
                        .notify(gossip::Input::Resolved { ticket, addresses })
                        .await;
                });
            }
            Output::Send { link, message } => self.send(link, message),
            Output::Close { link } => {
                // The writer sends the waiting messages, then the end marker.
                if let Some(connection) = self.links.lock().open.remove(&link) {
                    connection.reader.abort();
                }
            }
            Output::Store { ticket, epoch } => {
                let process = self.clone();
                task::spawn(async move {
                    time::sleep(FSYNC).await;
                    process.fabric.slot(process.host).lock().stored = epoch;
                    process.notify(gossip::Input::Stored { ticket }).await;
                });
            }
            Output::KeepAddresses { addresses } => {
                let process = self.clone();
                task::spawn(async move {
                    time::sleep(FSYNC).await;
                    process.fabric.slot(process.host).lock().kept = addresses;
                });
            }
            // The file of revocations is not simulated here: no command revokes certificates in this engine.
            Output::StoreRevocations { .. } => {}
            Output::Left => {
                let process = self.clone();
                task::spawn(async move { process.handle.stop().await });
            }
            Output::Report(event) => self.fabric.report(self.host, event),
        }
    }

    fn observe(&mut self, _now: Instant, input: &Input) {
        match input {
            Input::Node(input) => self.fabric.input(self.host, input),
            Input::Command(_) => self.fabric.ordered(self.host),
            Input::Wake => self.fabric.input(self.host, &node::Input::Wake),
        }
    }
}
