//! The life of every link: opened by a dial or a call, pumped by one task, closed once.
//!
//! ```text
//! open --message--> open
//! open --peer ends, connection breaks, no message, queue full--> Closed goes to the machine, gone
//! open --a certificate ends soon, or is trusted no longer--> Closed goes to the machine, draining
//! open --the machine orders Close--> draining --peer ends, or close_grace--> gone
//! ```
//!
//! A link has a connection of its own, which ends with it. What overlays say to each other is taken out here, before
//! the machine.

use super::connection::Fate;
use super::queue::{Ending, Outbound, Queue};
use super::{Counters, Event, Limits, Notice, Tasks, renewal};
use crate::clock;
use crate::driver::Handle;
use crate::identity::Peer;
use crate::overlay::{self, Paths, Signal, Violation, Wire};
use crate::wire::Parts;
use crate::wire::proto::Packet;
use phalanx_core::credentials::{self, Credentials, Expiry};
use phalanx_core::gossip::{CloseReason, DialId, Input, LinkId, Message};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use tokio::sync::broadcast;
use tokio::time;
use tokio_stream::Stream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// The open links of one node. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Links {
    table: Arc<Mutex<Table>>,
    pub(crate) driver: Handle<Node>,
    /// The machine that decides about certificates.
    pub(crate) credentials: Handle<Credentials>,
    pub(crate) tasks: Tasks,
    pub(crate) limits: Limits,
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) counters: Counters,
    /// None without an overlay.
    pub(crate) paths: Option<Arc<Paths>>,
}

/// The way of an overlay's signals to the other end of one link.
pub(crate) struct Outgoing {
    queue: Arc<Queue>,
    counters: Counters,
}

impl Outgoing {
    /// Sends a signal; a link that is gone takes nothing.
    pub(crate) fn say(&self, signal: Signal) {
        let parts = Parts::from(signal);
        self.counters.sent(parts.encoded_len());
        self.queue.push(parts);
    }

    /// Ends the link after what waits on it.
    pub(crate) fn give_up(&self) {
        self.queue.give_up();
    }
}

#[derive(Default)]
struct Table {
    last: u64,
    queues: BTreeMap<LinkId, Arc<Queue>>,
    /// The other end of each, as its handshake proved it.
    proven: BTreeMap<LinkId, Proven>,
    /// Those that others can read.
    unencrypted: BTreeSet<LinkId>,
    /// The node is ending: no link opens any more.
    ended: bool,
}

/// The other end of a link.
struct Proven {
    peer: Peer,
    /// The generation of our credentials in the handshake.
    generation: u64,
}

/// How a link came to be.
pub(crate) enum Origin {
    /// The peer connected.
    Accepted,
    /// We connected; the channel keeps the connection.
    Dialed(DialId, Channel),
}

/// A stream that becomes a link.
pub(crate) struct Stem {
    pub(crate) origin: Origin,
    pub(crate) peer: Peer,
    /// Where the peer is, as the connection shows it.
    pub(crate) remote: SocketAddr,
    pub(crate) encrypted: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) inbound: Streaming<Packet>,
    pub(crate) fate: Fate,
    pub(crate) expiry: Expiry,
    /// The generation of our credentials in the handshake.
    pub(crate) generation: u64,
    pub(crate) wire: Option<Wire>,
}

/// One open link's task.
struct Pump {
    links: Links,
    link: LinkId,
    peer: NodeId,
    queue: Arc<Queue>,
    inbound: Streaming<Packet>,
    fate: Fate,
    expiry: Expiry,
    channel: Option<Channel>,
    /// What the overlay has of the link.
    path: Option<Arc<overlay::Shared>>,
}

/// What a pump waits for.
enum Next {
    Packet(Packet),
    Failed(Status),
    PeerEnded,
    Ending(Ending),
}

impl Links {
    pub(crate) fn new(
        driver: Handle<Node>,
        credentials: Handle<Credentials>,
        tasks: Tasks,
        limits: Limits,
        notices: broadcast::Sender<Notice>,
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
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty queue for a link to come.
    pub(crate) fn queue(&self) -> (Arc<Queue>, Outbound) {
        Queue::new(self.limits.queue)
    }

    /// Opens a link on a stream and starts its pump.
    pub(crate) fn open(&self, stem: Stem) {
        let Stem {
            origin,
            peer,
            remote,
            encrypted,
            queue,
            inbound,
            fate,
            expiry,
            generation,
            wire,
        } = stem;
        let proven = Proven { peer, generation };
        let peer = proven.peer.subject.id().clone();
        let mut table = self.lock();
        if table.ended {
            drop(table);
            fate.kill();
            return;
        }
        table.last += 1;
        let link = LinkId(table.last);
        table.queues.insert(link, queue.clone());
        table.proven.insert(link, proven);
        if !encrypted {
            table.unencrypted.insert(link);
        }
        drop(table);
        if !encrypted {
            let peer = peer.clone();
            self.notice(Event::Unencrypted { peer, link, remote });
        }
        let out = Outgoing {
            queue: Arc::clone(&queue),
            counters: self.counters.clone(),
        };
        let overlaid = self.paths.as_ref().zip(wire);
        let path = overlaid.and_then(|(paths, wire)| paths.open(link, &peer, &wire, out));
        let (opened, channel) = match origin {
            Origin::Accepted => (
                Input::Accepted {
                    link,
                    peer: peer.clone(),
                },
                None,
            ),
            Origin::Dialed(dial, channel) => (
                Input::Dialed {
                    dial,
                    link,
                    peer: peer.clone(),
                },
                Some(channel),
            ),
        };
        let links = self.clone();
        let pump = Pump {
            links,
            link,
            peer,
            queue,
            inbound,
            fate,
            expiry,
            channel,
            path,
        };
        self.tasks.spawn(pump.run(opened, generation));
    }

    /// Sends on a link. A link that is gone takes nothing: the machine is about to hear of it.
    pub(crate) fn send(&self, link: LinkId, message: Message) {
        let queue = self.lock().queues.get(&link).cloned();
        if let Some(queue) = queue {
            let greets = matches!(message, Message::Hello(_) | Message::Welcome(_));
            let paths = self.paths.as_ref().filter(|_| greets);
            let parts = Parts {
                signal: paths.and_then(|paths| paths.offer_on(link)),
                message: Some(message),
            };
            self.counters.sent(parts.encoded_len());
            queue.push(parts);
        }
    }

    /// Both ends agreed on a link: the overlay may prepare a data path.
    pub(crate) fn prepare_path(&self, link: LinkId) {
        let Some(paths) = &self.paths else { return };
        if let Some(task) = paths.up(link) {
            self.tasks.spawn(task.run());
        }
    }

    fn end_path(&self, link: LinkId) {
        if let Some(paths) = &self.paths {
            paths.close(link);
        }
    }

    /// Closes a link after what waits on it.
    pub(crate) fn close(&self, link: LinkId) {
        let queue = self.lock().queues.remove(&link);
        if let Some(queue) = queue {
            self.end_path(link);
            queue.close();
        }
    }

    /// Closes a link after what waits on it, for the sake of a certificate.
    pub(crate) fn end(&self, link: LinkId, reason: CloseReason) {
        let queue = self.lock().queues.get(&link).cloned();
        if let Some(queue) = queue {
            queue.close_for(reason);
        }
    }

    /// The other end of a link, as its handshake proved it.
    pub(crate) fn peer(&self, link: LinkId) -> Option<Peer> {
        self.lock().proven.get(&link).map(|it| it.peer.clone())
    }

    /// Closes every link after what waits on it; none opens from here on.
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

    /// Forgets a link that ended; whether the machine did not know.
    fn forget(&self, link: LinkId) -> bool {
        self.end_path(link);
        let mut table = self.lock();
        table.proven.remove(&link);
        table.queues.remove(&link).is_some()
    }

    /// Forgets what a link was like, once the machine knows of its end.
    fn bury(&self, link: LinkId) {
        self.lock().unencrypted.remove(&link);
    }

    /// The number of open links made with credentials before these.
    pub(crate) fn before(&self, generation: u64) -> usize {
        let table = self.lock();
        let made = |link| table.proven.get(link).map_or(0, |it| it.generation);
        let before = table.queues.keys().filter(|link| made(link) < generation);
        before.count()
    }

    /// The open links that others can read.
    pub(crate) fn unencrypted(&self) -> BTreeSet<LinkId> {
        self.lock().unencrypted.clone()
    }

    /// The number of open links.
    pub(crate) fn count(&self) -> usize {
        self.lock().queues.len()
    }

    /// Tells the machine; when its loop has ended nobody needs to know.
    pub(crate) async fn tell(&self, input: Input) {
        let _ended = self.driver.send(node::Input::Mesh(input)).await.is_err();
    }

    /// Tells people, if any listen.
    pub(crate) fn notice(&self, event: Event) {
        let _nobody = self.notices.send(Notice::Transport(event)).is_err();
    }
}

impl Pump {
    async fn run(mut self, opened: Input, generation: u64) {
        self.links.tell(opened).await;
        let opened = credentials::Input::LinkOpened {
            link: self.link,
            dialed: self.channel.is_some(),
            expiry: self.expiry,
            generation,
        };
        renewal::deliver(&self.links.credentials, opened).await;
        let mut given_up = false;
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
                // The other end closes for the same certificate, perhaps by a clock that is ahead.
                Next::Failed(_) | Next::PeerEnded if self.expiry.explains_an_end(clock::wall()) => {
                    break Some(CloseReason::Expired);
                }
                Next::Failed(_) => break Some(CloseReason::Lost),
                Next::PeerEnded => break Some(CloseReason::Ended),
                Next::Ending(Ending::Overflowed) => break Some(CloseReason::Overflow),
                Next::Ending(Ending::Closed) => break None,
                Next::Ending(Ending::ForCertificate(reason)) => break Some(reason),
                Next::Ending(Ending::GivenUp) => {
                    given_up = true;
                    break Some(CloseReason::Ended);
                }
            }
        };
        self.end(reason, given_up).await;
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

    /// Takes out what is for the overlay; what is left is for the machine.
    fn unpack(&self, packet: Packet) -> Result<Option<Message>, String> {
        let parts = Parts::try_from(packet).map_err(|error| error.to_string())?;
        self.links.counters.received(parts.encoded_len());
        let Parts { message, signal } = parts;
        if let Some(signal) = signal {
            let taken = match (&self.path, signal) {
                (Some(path), signal) => path.receive(signal),
                (None, signal) => Violation::without_path(&signal).map_or(Ok(()), Err),
            };
            taken.map_err(|violation| format!("overlay: {violation}"))?;
        }
        let greeting = match &message {
            Some(Message::Hello(hello)) => Some(&hello.record),
            Some(Message::Welcome(welcome)) => Some(&welcome.record),
            Some(_) | None => None,
        };
        if let (Some(path), Some(record)) = (&self.path, greeting) {
            path.handshaken(record.rank().instance);
        }
        Ok(message)
    }

    async fn receive(&self, message: Message) {
        self.links
            .tell(Input::Receive {
                link: self.link,
                message,
            })
            .await;
    }

    fn malformed(&self, reason: String) -> CloseReason {
        let (peer, link) = (self.peer.clone(), self.link);
        self.links.notice(Event::Malformed { peer, link, reason });
        CloseReason::Malformed
    }

    /// Ends the link, and its connection; tells the machine unless it ordered the end. The peer did not, if the link was
    /// `given_up`.
    async fn end(mut self, reason: Option<CloseReason>, given_up: bool) {
        let grace = self.links.limits.close_grace;
        let known = self.links.forget(self.link);
        let closed = credentials::Input::LinkClosed { link: self.link };
        renewal::deliver(&self.links.credentials, closed).await;
        if reason.is_none_or(in_order) {
            self.queue.close();
        } else {
            self.queue.discard();
        }
        if let Some(reason) = reason
            && known
        {
            self.links
                .tell(Input::Closed {
                    link: self.link,
                    reason,
                })
                .await;
        }
        self.links.bury(self.link);
        let ended_there = reason == Some(CloseReason::Ended) && !given_up;
        if reason.is_none_or(in_order) && !ended_there {
            // What we still have to say goes out while the peer reads; its own end says that it has read it.
            let read_out = async { while let Ok(Some(_)) = self.inbound.message().await {} };
            let _late = time::timeout(grace, read_out).await.is_err();
        }
        drop(self.inbound);
        self.channel = None;
        if reason.is_none_or(in_order) {
            let _late = time::timeout(grace, self.fate.wait_gone()).await.is_err();
        }
        self.queue.discard();
        self.fate.kill();
    }
}

/// Whether a link that ends for this reason still sends what waits on it.
const fn in_order(reason: CloseReason) -> bool {
    match reason {
        CloseReason::Ended | CloseReason::Expired | CloseReason::Untrusted => true,
        CloseReason::Lost | CloseReason::Malformed | CloseReason::Overflow => false,
    }
}

/// Whether a status made on this side says that the stream held no message: too long, or no packet. Statuses that
/// come from the connection below have a source.
fn is_malformed(status: &Status) -> bool {
    let made_here = std::error::Error::source(status).is_none();
    made_here && matches!(status.code(), Code::OutOfRange | Code::Internal)
}
