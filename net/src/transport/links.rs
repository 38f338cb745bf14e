//! The life of every link: opened by a dial or a call, run by one task, closed once.
//!
//! ```text
//! open --message--> open
//! open --peer closes, connection lost, invalid message, queue full--> gone, machine gets Closed
//! open --certificate expires soon or is not trusted any more--> draining, machine gets Closed
//! open --Close from the machine--> draining --peer closes, or close_grace--> gone
//! ```
//!
//! Each link has its own connection, which ends with the link. Signals of overlays are removed from
//! packets here, before the machine sees them.

use super::connection::ConnectionState;
use super::failure;
use super::limits::Limits;
use super::queue::{Outbound, Queue, QueueEnd};
use super::revocation_gate::RevocationGate;
use super::tasks::Tasks;
use super::traffic::Counters;
use crate::clock;
use crate::driver::Handle;
use crate::identity::{self, Peer};
use crate::link::{Notice, Outgoing, TransportEvent};
use crate::notices::Notices;
use crate::overlay::{self, LinkConnection, PathDriver, Violation};
use crate::printable::printable;
use crate::wire::PacketParts;
use crate::wire::proto::Packet;
use phalanx_core::credentials::{self, Credentials, Expiry};
use phalanx_core::gossip::Input;
use phalanx_core::identity::NodeId;
use phalanx_core::link::{CloseReason, DialId, LinkId, LocalClose};
use phalanx_core::node::{self, Message, Node};
use phalanx_core::revocation::PresentedCertificate;
use phalanx_core::time::Wall;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use tokio::time;
use tokio_stream::Stream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// The open links of one node. Clones share them.
#[derive(Clone)]
pub(crate) struct OpenLinks {
    table: Arc<Mutex<Table>>,
    pub(crate) driver: Handle<Node>,
    /// The machine that decides about certificates.
    credentials: Handle<Credentials>,
    pub(crate) tasks: Tasks,
    pub(crate) limits: Limits,
    pub(crate) notices: Notices,
    pub(crate) counters: Counters,
    /// `None` without an overlay.
    pub(crate) paths: Option<Arc<PathDriver>>,
    /// Without it, arriving revocations are dropped.
    pub(crate) revocations: Option<RevocationGate>,
}

#[derive(Default)]
struct Table {
    last: u64,
    queues: BTreeMap<LinkId, Arc<Queue>>,
    /// The result of each link's handshake.
    handshakes: BTreeMap<LinkId, Handshake>,
    /// Links that are authenticated but not encrypted.
    unencrypted: BTreeSet<LinkId>,
    /// Whether the node is ending: no further link is opened.
    ended: bool,
}

/// The result of a link's handshake.
struct Handshake {
    peer: Peer,
    /// The generation of this node's credentials.
    generation: u64,
}

/// The origin of a link.
pub(crate) enum LinkOrigin {
    /// The peer dialled.
    Accepted,
    /// This node dialled; the channel keeps the connection open.
    Dialed(DialId, Channel),
}

impl LinkOrigin {
    /// Returns the input that tells the machine of the link, and the channel that keeps its connection open.
    fn opened(self, link: LinkId, peer: NodeId) -> (Input, Option<Channel>) {
        match self {
            Self::Accepted => (Input::Accepted { link, peer }, None),
            Self::Dialed(dial, channel) => (Input::Dialed { dial, link, peer }, Some(channel)),
        }
    }
}

/// A stream that is about to become a link.
pub(crate) struct NewStream {
    pub(crate) origin: LinkOrigin,
    pub(crate) peer: Peer,
    /// The peer's address, as the connection shows it.
    pub(crate) remote: SocketAddr,
    pub(crate) encrypted: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) inbound: Streaming<Packet>,
    pub(crate) connection: ConnectionState,
    pub(crate) expiry: Expiry,
    /// The generation of this node's credentials in the handshake.
    pub(crate) generation: u64,
    pub(crate) wire: Option<LinkConnection>,
}

/// One open link's task.
struct LinkTask {
    links: OpenLinks,
    link: LinkId,
    peer: NodeId,
    queue: Arc<Queue>,
    inbound: Streaming<Packet>,
    connection: ConnectionState,
    expiry: Expiry,
    channel: Option<Channel>,
    /// The link's data path.
    path: Option<Arc<overlay::SharedPath>>,
    /// The certificate that the peer presented.
    certificate: Option<PresentedCertificate>,
}

/// The next event of a link's task.
enum Next {
    Packet(Packet),
    Failed(Status),
    PeerEnded,
    Ending(QueueEnd),
}

impl OpenLinks {
    pub(crate) fn new(
        driver: Handle<Node>,
        credentials: Handle<Credentials>,
        tasks: Tasks,
        limits: Limits,
        notices: Notices,
    ) -> Self {
        let counters = Counters::default();
        Self {
            table: Arc::default(),
            driver,
            credentials,
            tasks,
            limits,
            notices,
            counters,
            paths: None,
            revocations: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates an empty queue for a link.
    pub(crate) fn queue(&self) -> (Arc<Queue>, Outbound) {
        Queue::new(self.limits.queue)
    }

    /// Opens a link on a stream and starts its task.
    pub(crate) fn open(&self, stream: NewStream) {
        let NewStream {
            origin,
            peer,
            remote,
            encrypted,
            queue,
            inbound,
            connection,
            expiry,
            generation,
            wire,
        } = stream;
        let certificate = identity::presented(&peer.certificate);
        let handshake = Handshake { peer, generation };
        let peer = handshake.peer.subject.id().clone();
        let mut table = self.lock();
        if table.ended {
            drop(table);
            connection.kill();
            return;
        }
        table.last += 1;
        let link = LinkId(table.last);
        table.queues.insert(link, queue.clone());
        table.handshakes.insert(link, handshake);
        if !encrypted {
            table.unencrypted.insert(link);
        }
        drop(table);
        if !encrypted {
            let peer = peer.clone();
            self.notice(TransportEvent::Unencrypted { peer, link, remote });
        }
        let out = Outgoing::new(Arc::clone(&queue), self.counters.clone());
        let overlaid = self.paths.as_ref().zip(wire);
        let path = overlaid.and_then(|(paths, wire)| paths.open(link, &peer, &wire, out));
        let (opened, channel) = origin.opened(link, peer.clone());
        let links = self.clone();
        let task = LinkTask {
            links,
            link,
            peer,
            queue,
            inbound,
            connection,
            expiry,
            channel,
            path,
            certificate,
        };
        self.start(task, opened, generation);
    }

    /// Starts the task of a link. A bug that one link meets must not end the links to others.
    fn start(&self, task: LinkTask, opened: Input, generation: u64) {
        let (rest, link) = (self.clone(), task.link);
        let connection = task.connection.clone();
        self.tasks
            .spawn_contained(task.run(opened, generation), move || {
                connection.kill();
                rest.end_after_panic(link);
            });
    }

    /// Sends on a link. A message on an ended link is dropped: the machine is about to receive
    /// `Closed`.
    pub(crate) fn send(&self, link: LinkId, message: Message) {
        let queue = self.lock().queues.get(&link).cloned();
        if let Some(queue) = queue {
            let paths = self.paths.as_ref().filter(|_| message.carries_offer());
            let parts = PacketParts {
                signal: paths.and_then(|paths| paths.offer_on(link)),
                message: Some(message),
            };
            self.counters.sent(parts.encoded_len());
            queue.push(parts);
        }
    }

    /// Called when both ends have agreed on a link: the overlay may prepare a data path. `instance` is the peer's.
    pub(crate) fn prepare_path(&self, link: LinkId, instance: u32) {
        let Some(paths) = &self.paths else { return };
        if let Some(task) = paths.up(link, instance) {
            self.tasks.spawn(task.run());
        }
    }

    fn end_path(&self, link: LinkId) {
        if let Some(paths) = &self.paths {
            paths.close(link);
        }
    }

    /// Closes a link after its waiting messages are sent.
    pub(crate) fn close(&self, link: LinkId) {
        let queue = self.lock().queues.remove(&link);
        if let Some(queue) = queue {
            self.end_path(link);
            queue.close();
        }
    }

    /// Closes a link because of a certificate, after its waiting messages are sent.
    pub(crate) fn close_for(&self, link: LinkId, reason: LocalClose) {
        let queue = self.lock().queues.get(&link).cloned();
        if let Some(queue) = queue {
            queue.close_for(reason);
        }
    }

    /// Returns the peer of a link, as its handshake proved it.
    pub(crate) fn peer(&self, link: LinkId) -> Option<Peer> {
        self.lock().handshakes.get(&link).map(|it| it.peer.clone())
    }

    /// Closes every link after its waiting messages are sent; no further link is opened.
    pub(crate) fn close_all(&self) {
        let mut table = self.lock();
        table.ended = true;
        let queues = std::mem::take(&mut table.queues);
        drop(table);
        for (link, queue) in queues {
            self.end_path(link);
            queue.close();
        }
    }

    /// Removes a link that ended; returns whether the machine must still be told.
    fn forget(&self, link: LinkId) -> bool {
        self.end_path(link);
        let mut table = self.lock();
        table.handshakes.remove(&link);
        table.queues.remove(&link).is_some()
    }

    /// The task of a link panicked: the machines learn that the link is closed.
    fn end_after_panic(&self, link: LinkId) {
        let known = self.forget(link);
        let links = self.clone();
        self.tasks.spawn(async move {
            let closed = credentials::Input::LinkClosed { link };
            links.tell_credentials(closed).await;
            if known {
                let reason = CloseReason::Local(LocalClose::Malformed);
                links.notify(Input::Closed { link, reason }).await;
            }
            links.retire(link);
        });
    }

    /// Removes the properties of a link, once the machine has been notified of its end.
    fn retire(&self, link: LinkId) {
        self.lock().unencrypted.remove(&link);
    }

    /// Returns the number of open links made with credentials before this generation.
    pub(crate) fn before(&self, generation: u64) -> usize {
        let table = self.lock();
        let made = |link| table.handshakes.get(link).map_or(0, |it| it.generation);
        let before = table.queues.keys().filter(|link| made(link) < generation);
        before.count()
    }

    /// Returns the open links that are authenticated but not encrypted.
    pub(crate) fn unencrypted(&self) -> BTreeSet<LinkId> {
        self.lock().unencrypted.clone()
    }

    /// Returns the number of open links.
    pub(crate) fn count(&self) -> usize {
        self.lock().queues.len()
    }

    /// Sends an input to the machine; ignored if the machine's loop has ended.
    pub(crate) async fn notify(&self, input: Input) {
        let _ended = self.driver.send(node::Input::Mesh(input)).await.is_err();
    }

    /// Gives the machine the calendar time, by which it bounds counters; ignored if its loop has ended.
    pub(crate) async fn tell_calendar(&self, wall: Wall) {
        let _ended = self.driver.send(node::Input::Calendar(wall)).await.is_err();
    }

    /// Sends an input to the machine that decides about certificates; ignored if its loop has ended.
    pub(crate) async fn tell_credentials(&self, input: credentials::Input) {
        let _ended = self.credentials.send(input).await.is_err();
    }

    /// Publishes an event to the subscribers, if there are any.
    pub(crate) fn notice(&self, event: TransportEvent) {
        self.notices.publish(Notice::Transport(event));
    }
}

impl LinkTask {
    async fn run(mut self, opened: Input, generation: u64) {
        if let Some(certificate) = self.certificate.take() {
            let link = self.link;
            let presented = node::Input::Presented { link, certificate };
            let _ended = self.links.driver.send(presented).await.is_err();
        }
        self.links.notify(opened).await;
        let opened = credentials::Input::LinkOpened {
            link: self.link,
            dialed: self.channel.is_some(),
            expiry: self.expiry,
            generation,
        };
        self.links.tell_credentials(opened).await;
        let reason = loop {
            match self.next().await {
                Next::Packet(packet) => match self.unpack(packet) {
                    Ok(Some(message)) => self.receive(message).await,
                    Ok(None) => {}
                    Err(reason) => break Some(self.malformed(reason)),
                },
                Next::Failed(status) if is_malformed(&status) => {
                    break Some(self.malformed(status.message().to_owned()));
                }
                Next::Failed(status) => {
                    self.hear_refusal(&status);
                    let failure = self.connection.take_failure();
                    break Some(self.cause(failure::closing(&status, failure.as_ref())));
                }
                Next::PeerEnded => break Some(self.cause(CloseReason::Farewell)),
                Next::Ending(QueueEnd::Overflowed) => {
                    break Some(CloseReason::Local(LocalClose::Overflow));
                }
                Next::Ending(QueueEnd::Closed) => break None,
                Next::Ending(QueueEnd::ForCertificate(reason)) => {
                    break Some(CloseReason::Local(reason));
                }
                Next::Ending(QueueEnd::GivenUp) => {
                    break Some(CloseReason::Local(LocalClose::GivenUp));
                }
            }
        };
        self.end(reason).await;
    }

    async fn next(&mut self) -> Next {
        let Self { queue, inbound, .. } = self;
        poll_fn(|context| {
            if let Poll::Ready(ending) = queue.poll_ending(context) {
                return Poll::Ready(Next::Ending(ending));
            }
            Pin::new(&mut *inbound)
                .poll_next(context)
                .map(|item| match item {
                    Some(Ok(packet)) => Next::Packet(packet),
                    Some(Err(status)) => Next::Failed(status),
                    None => Next::PeerEnded,
                })
        })
        .await
    }

    /// Removes the overlay's signal from a packet; returns the message for the machine.
    fn unpack(&mut self, packet: Packet) -> Result<Option<Message>, String> {
        let parts = PacketParts::try_from(packet).map_err(|error| error.to_string())?;
        self.links.counters.received(parts.encoded_len());
        let PacketParts {
            mut message,
            signal,
        } = parts;
        if let Some(message) = &mut message {
            self.verify_revocations(message);
        }
        if let Some(signal) = signal {
            let taken = match (&self.path, signal) {
                (Some(path), signal) => path.receive(signal),
                (None, signal) => Violation::without_path(&signal).map_or(Ok(()), Err),
            };
            taken.map_err(|violation| format!("overlay: {violation}"))?;
        }
        Ok(message)
    }

    /// Removes revocations without a valid signature.
    fn verify_revocations(&self, message: &mut Message) {
        let removed = match &self.links.revocations {
            Some(gate) => gate.filter(message, &self.peer),
            None => RevocationGate::drop_all(message),
        };
        if let Some(reason) = removed {
            let peer = self.peer.clone();
            self.links
                .notice(TransportEvent::RevocationUnverified { peer, reason });
        }
    }

    async fn receive(&self, message: Message) {
        let input = node::Input::Receive {
            link: self.link,
            message,
        };
        let _ended = self.links.driver.send(input).await.is_err();
    }

    /// The reason of an end by the peer or the network.
    fn cause(&self, apparent: CloseReason) -> CloseReason {
        self.expiry.cause_of_end(clock::wall(), apparent)
    }

    fn malformed(&self, reason: String) -> CloseReason {
        let (peer, link) = (self.peer.clone(), self.link);
        if self.channel.is_none() {
            // Only the status of a call carries a reason, so a dialer cannot tell the acceptor.
            self.queue.refuse(printable(&reason, REFUSAL_BYTES_MAX));
        }
        self.links
            .notice(TransportEvent::Malformed { peer, link, reason });
        CloseReason::Local(LocalClose::Malformed)
    }

    /// Reports that the acceptor refused a message of this node, if this is the reason of the end.
    fn hear_refusal(&self, status: &Status) {
        if self.channel.is_some() && status.code() == Code::InvalidArgument {
            self.links.notice(TransportEvent::MessageRefused {
                peer: self.peer.clone(),
                reason: printable(status.message(), REFUSAL_BYTES_MAX),
            });
        }
    }

    /// Ends the link and its connection, and tells the machine unless it ordered the end.
    async fn end(mut self, reason: Option<CloseReason>) {
        let grace = self.links.limits.close_grace;
        let known = self.links.forget(self.link);
        let closed = credentials::Input::LinkClosed { link: self.link };
        self.links.tell_credentials(closed).await;
        if reason.is_none_or(CloseReason::sends_waiting) {
            self.queue.close();
        } else {
            self.queue.discard();
        }
        if let Some(reason) = reason
            && known
        {
            self.links
                .notify(Input::Closed {
                    link: self.link,
                    reason,
                })
                .await;
        }
        self.links.retire(self.link);
        let ended_there = reason == Some(CloseReason::Farewell);
        if reason.is_none_or(CloseReason::sends_waiting) && !ended_there {
            // The waiting messages are sent while the peer reads; the end of its stream confirms
            // that it has read them.
            let read_out = async { while let Ok(Some(_)) = self.inbound.message().await {} };
            let _late = time::timeout(grace, read_out).await.is_err();
        }
        drop(self.inbound);
        let refuses = reason == Some(CloseReason::Local(LocalClose::Malformed));
        let refuses = refuses && self.channel.is_none();
        self.channel = None;
        if refuses || reason.is_none_or(CloseReason::sends_waiting) {
            let _late = time::timeout(grace, self.connection.wait_gone())
                .await
                .is_err();
        }
        self.queue.discard();
        self.connection.kill();
    }
}

/// Maximum number of bytes of the reason for which a message is refused.
const REFUSAL_BYTES_MAX: usize = 256;

/// Returns whether a status was created locally because the stream contained an invalid message:
/// too long, or not a packet. A status that comes from the connection has a source.
fn is_malformed(status: &Status) -> bool {
    let made_here = std::error::Error::source(status).is_none();
    made_here && matches!(status.code(), Code::OutOfRange | Code::Internal)
}
