//! The life cycle of links: opened by a dial or a call, run by one task each, closed once.
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

use super::connection::Fate;
use super::expiry::Expiry;
use super::queue::{Ending, Outbound, Queue};
use super::renewal::Renewal;
use super::{Counters, Event, Limits, Notice, Tasks};
use crate::driver::Handle;
use crate::overlay::{self, Broken, Paths, Signal, Wire};
use crate::wire::Parts;
use crate::wire::proto::Packet;
use phalanx_core::gossip::{CloseReason, DialId, Input, LinkId, Message};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use tokio::sync::broadcast;
use tokio::time;
use tokio_stream::Stream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// The open links of one node. Clones share them.
#[derive(Clone)]
pub(crate) struct Links {
    table: Arc<Mutex<Table>>,
    pub(crate) driver: Handle<Node>,
    pub(crate) tasks: Tasks,
    pub(crate) limits: Limits,
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) counters: Counters,
    /// `None` without an overlay.
    pub(crate) paths: Option<Arc<Paths>>,
}

/// Sends an overlay's signals to the other end of one link.
pub(crate) struct Outgoing {
    queue: Arc<Queue>,
    counters: Counters,
}

impl Outgoing {
    /// Sends a signal; dropped if the link has ended.
    pub(crate) fn say(&self, signal: Signal) {
        let parts = Parts::from(signal);
        self.counters.sent(parts.encoded_len());
        self.queue.push(parts);
    }

    /// Closes the link after the waiting messages are sent.
    pub(crate) fn give_up(&self) {
        self.queue.give_up();
    }
}

#[derive(Default)]
struct Table {
    last: u64,
    queues: BTreeMap<LinkId, Arc<Queue>>,
    /// The generation of credentials with which each link was made.
    generations: BTreeMap<LinkId, u64>,
    /// Links that are authenticated but not encrypted.
    unencrypted: BTreeSet<LinkId>,
    /// Whether the node is ending: no further link is opened.
    ended: bool,
}

/// The origin of a link.
pub(crate) enum Origin {
    /// The peer dialled.
    Accepted,
    /// This node dialled; the channel keeps the connection open.
    Dialed(DialId, Channel),
}

/// A stream from which a link is made.
pub(crate) struct Stem {
    pub(crate) origin: Origin,
    pub(crate) peer: NodeId,
    /// The peer's address, as seen by the connection.
    pub(crate) remote: SocketAddr,
    pub(crate) encrypted: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) inbound: Streaming<Packet>,
    pub(crate) fate: Fate,
    pub(crate) expiry: Expiry,
    pub(crate) renewal: Renewal,
    pub(crate) wire: Option<Wire>,
}

/// The task of one open link.
struct Pump {
    links: Links,
    link: LinkId,
    peer: NodeId,
    queue: Arc<Queue>,
    inbound: Streaming<Packet>,
    fate: Fate,
    expiry: Expiry,
    channel: Option<Channel>,
    /// The overlay's state of the link.
    path: Option<Arc<overlay::Shared>>,
}

/// The reason for an iteration of the task.
enum Next {
    Packet(Packet),
    Failed(Status),
    PeerEnded,
    Ending(Ending),
    Expired,
    Untrusted,
}

impl Links {
    pub(crate) fn new(
        driver: Handle<Node>,
        tasks: Tasks,
        limits: Limits,
        notices: broadcast::Sender<Notice>,
    ) -> Self {
        let counters = Counters::default();
        Self {
            table: Arc::default(),
            driver,
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

    /// Creates an empty queue for a link.
    pub(crate) fn queue(&self) -> (Arc<Queue>, Outbound) {
        Queue::new(self.limits.queue)
    }

    /// Creates a link on a stream and starts its task.
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
            renewal,
            wire,
        } = stem;
        let mut table = self.lock();
        if table.ended {
            drop(table);
            fate.kill();
            return;
        }
        table.last += 1;
        let link = LinkId(table.last);
        table.queues.insert(link, queue.clone());
        table.generations.insert(link, renewal.generation());
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
        let path = overlaid.and_then(|(paths, wire)| paths.begin(link, &peer, &wire, out));
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
        self.tasks.spawn(pump.run(opened, renewal));
    }

    /// Sends on a link. A message on an ended link is dropped: the machine is about to receive
    /// `Closed`.
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

    /// Called when both ends have agreed on a link: the overlay may prepare a data path.
    pub(crate) fn prepare_path(&self, link: LinkId) {
        let Some(paths) = &self.paths else { return };
        if let Some(kept) = paths.up(link) {
            let links = self.clone();
            let tell = move |event| links.notice(event);
            self.tasks
                .spawn(overlay::keep(Arc::clone(paths), kept, tell));
        }
    }

    fn end_path(&self, link: LinkId) {
        if let Some(paths) = &self.paths {
            paths.end(link);
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
        table.generations.remove(&link);
        table.queues.remove(&link).is_some()
    }

    /// Removes the remaining state of a link, once the machine knows of its end.
    fn bury(&self, link: LinkId) {
        self.lock().unencrypted.remove(&link);
    }

    /// Returns the number of open links made with credentials before this generation.
    pub(crate) fn before(&self, generation: u64) -> usize {
        let table = self.lock();
        let made = |link| table.generations.get(link).copied().unwrap_or_default();
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
    pub(crate) async fn tell(&self, input: Input) {
        let _ended = self.driver.send(node::Input::Mesh(input)).await.is_err();
    }

    /// Publishes an event to the subscribers, if there are any.
    pub(crate) fn notice(&self, event: Event) {
        let _nobody = self.notices.send(Notice::Transport(event)).is_err();
    }
}

impl Pump {
    async fn run(mut self, opened: Input, renewal: Renewal) {
        self.links.tell(opened).await;
        let mut expires = pin!(self.expiry.comes_near());
        let mut distrusted = pin!(renewal.follow(self.links.clone(), self.link));
        let mut given_up = false;
        let reason = loop {
            match self.next(expires.as_mut(), distrusted.as_mut()).await {
                Next::Packet(packet) => match self.unpack(packet) {
                    Ok(Some(message)) => self.receive(message).await,
                    Ok(None) => {}
                    Err(reason) => break Some(self.malformed(reason)),
                },
                Next::Failed(status) if is_malformed(&status) => {
                    break Some(self.malformed(status.message().to_owned()));
                }
                Next::Expired => break Some(CloseReason::Expired),
                Next::Untrusted => break Some(CloseReason::Untrusted),
                // The other end closes because of the same certificate; its clock may be ahead.
                Next::Failed(_) | Next::PeerEnded if self.expiry.explains_an_end() => {
                    break Some(CloseReason::Expired);
                }
                Next::Failed(_) => break Some(CloseReason::Lost),
                Next::PeerEnded => break Some(CloseReason::Ended),
                Next::Ending(Ending::Overflowed) => break Some(CloseReason::Overflow),
                Next::Ending(Ending::Closed) => break None,
                Next::Ending(Ending::GivenUp) => {
                    given_up = true;
                    break Some(CloseReason::Ended);
                }
            }
        };
        self.end(reason, given_up).await;
    }

    async fn next(
        &mut self,
        mut expires: Pin<&mut impl Future<Output = ()>>,
        mut distrusted: Pin<&mut impl Future<Output = ()>>,
    ) -> Next {
        let Self { queue, inbound, .. } = self;
        poll_fn(|context| {
            if let Poll::Ready(ending) = queue.poll_ending(context) {
                return Poll::Ready(Next::Ending(ending));
            }
            if expires.as_mut().poll(context).is_ready() {
                return Poll::Ready(Next::Expired);
            }
            if distrusted.as_mut().poll(context).is_ready() {
                return Poll::Ready(Next::Untrusted);
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
    fn unpack(&self, packet: Packet) -> Result<Option<Message>, String> {
        let parts = Parts::try_from(packet).map_err(|error| error.to_string())?;
        self.links.counters.received(parts.encoded_len());
        let Parts { message, signal } = parts;
        if let Some(signal) = signal {
            let taken = match (&self.path, signal) {
                (Some(path), signal) => path.receive(signal),
                // Offers are ignored by a node without an overlay.
                (None, Signal::Offer(_)) => Ok(()),
                (None, _) => Err(Broken::Uninvited),
            };
            taken.map_err(|broken| format!("overlay: {broken}"))?;
        }
        let greeting = match &message {
            Some(Message::Hello(hello)) => Some(&hello.record),
            Some(Message::Welcome(welcome)) => Some(&welcome.record),
            Some(_) | None => None,
        };
        if let (Some(path), Some(record)) = (&self.path, greeting) {
            path.greeted(record.rank().instance);
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

    /// Ends the link and its connection; sends `Closed` to the machine unless the machine closed
    /// the link. `given_up` means that an overlay of this node closed the link, not the peer.
    async fn end(mut self, reason: Option<CloseReason>, given_up: bool) {
        let grace = self.links.limits.close_grace;
        let known = self.links.forget(self.link);
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
            // The waiting messages are sent while the peer reads; the end of its stream confirms
            // that it has read them.
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

/// Returns whether a link that ends for this reason still sends its waiting messages.
const fn in_order(reason: CloseReason) -> bool {
    match reason {
        CloseReason::Ended | CloseReason::Expired | CloseReason::Untrusted => true,
        CloseReason::Lost | CloseReason::Malformed | CloseReason::Overflow => false,
    }
}

/// Returns whether a status was created locally because the stream contained an invalid message:
/// too long, or not a packet. A status that comes from the connection has a source.
fn is_malformed(status: &Status) -> bool {
    let made_here = std::error::Error::source(status).is_none();
    made_here && matches!(status.code(), Code::OutOfRange | Code::Internal)
}
