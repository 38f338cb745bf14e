//! Between a node's machine and the applications: who waits for which answer, and who has which channel open.

use super::mailbox::Mailbox;
use crate::driver::Handle;
use phalanx_core::channel::{ChannelName, Delivery, Done, Input, Kind, Output, Refusal, Request};
use phalanx_core::node::{self, Node};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Notify, oneshot, watch};

type Answer = Result<Done, Refusal>;

/// The applications of one node. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desk {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    pending: BTreeMap<Request, oneshot::Sender<Answer>>,
    open: BTreeMap<ChannelName, Arc<Port>>,
    /// The machine's loop has ended.
    ended: bool,
}

/// One open channel.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) name: ChannelName,
    pub(super) kind: Kind,
    room: u32,
    readers: Mutex<Vec<Arc<Mailbox>>>,
    /// Messages taken that the machine was not told of.
    consumed: AtomicU32,
    /// Their bytes.
    consumed_bytes: AtomicUsize,
    closed: AtomicBool,
    changed: Notify,
    gone: watch::Sender<bool>,
}

/// One message to this node: the first reader that takes it counts.
#[derive(Debug)]
pub(super) struct Token {
    port: Weak<Port>,
    bytes: usize,
    consumed: AtomicBool,
}

impl Token {
    pub(super) fn consume(&self) {
        if !self.consumed.swap(true, Ordering::Relaxed)
            && let Some(port) = self.port.upgrade()
        {
            port.consumed_bytes.fetch_add(self.bytes, Ordering::Relaxed);
            // The bytes first: whoever sees the count sees them too.
            port.consumed.fetch_add(1, Ordering::Release);
            port.changed.notify_one();
        }
    }
}

impl Drop for Token {
    /// Whoever could have taken it is gone.
    fn drop(&mut self) {
        self.consume();
    }
}

impl Port {
    fn readers(&self) -> MutexGuard<'_, Vec<Arc<Mailbox>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new reader's mailbox.
    pub(super) fn attach(&self) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::new(self.room));
        self.readers().push(Arc::clone(&mailbox));
        if self.closed.load(Ordering::Acquire) {
            mailbox.end();
        }
        mailbox
    }

    pub(super) fn detach(&self, mailbox: &Arc<Mailbox>) {
        self.readers().retain(|known| !Arc::ptr_eq(known, mailbox));
    }

    /// Closes the channel, as soon as its keeper gets to it.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_one();
        for mailbox in self.readers().iter() {
            mailbox.end();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn deliver(self: &Arc<Self>, delivery: Delivery) {
        let readers = self.readers();
        if let Delivery::Message { payload, .. } = &delivery {
            let token = Arc::new(Token {
                port: Arc::downgrade(self),
                bytes: payload.len(),
                consumed: AtomicBool::new(false),
            });
            for mailbox in readers.iter() {
                mailbox.push_message(delivery.clone(), Arc::clone(&token));
            }
        } else {
            for mailbox in readers.iter() {
                mailbox.push_broadcast(delivery.clone());
            }
        }
    }
}

/// What the machine's loop serves the applications with; when it goes, they all learn that the node has stopped.
#[derive(Debug)]
pub(crate) struct Serving(Desk);

impl Serving {
    /// Carries out what the machine orders for an application.
    pub(crate) fn perform(&self, order: Output) {
        let mut table = self.0.lock();
        match order {
            Output::Answer { request, result } => {
                if let Some(asked) = table.pending.remove(&request) {
                    // Whoever asked may have gone away meanwhile.
                    let _gone = asked.send(result).is_err();
                }
            }
            Output::Deliver { channel, delivery } => {
                let port = table.open.get(&channel).cloned();
                drop(table);
                if let Some(port) = port {
                    port.deliver(delivery);
                }
            }
            // The node carries these out itself.
            Output::Transmit { .. } | Output::Route(_) | Output::Report(_) => {}
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.ended = true;
        table.pending.clear();
        let open = core::mem::take(&mut table.open);
        drop(table);
        for port in open.into_values() {
            port.close();
            port.gone.send_replace(true);
        }
    }
}

/// An order that is not answered; forgotten when nobody waits for the answer any more.
pub(super) struct Asked {
    desk: Desk,
    request: Request,
    answer: oneshot::Receiver<Answer>,
}

impl Asked {
    pub(super) const fn request(&self) -> Request {
        self.request
    }

    /// The answer; none when the node has stopped.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.desk.lock().pending.remove(&self.request);
    }
}

/// What became of an attempt to have a channel's port.
pub(super) enum Taken {
    /// It is ours now.
    Ours(Arc<Port>),
    /// It is open.
    Open,
    /// It is being closed; to wait for that.
    Closing(watch::Receiver<bool>),
    /// The node has stopped.
    Stopped,
}

impl Desk {
    /// The end of the machine's loop.
    pub(crate) fn serving(&self) -> Serving {
        Serving(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn expect(&self) -> Asked {
        let (asked, answer) = oneshot::channel();
        let mut table = self.lock();
        table.last += 1;
        let request = Request(table.last);
        if !table.ended {
            table.pending.insert(request, asked);
        }
        let desk = self.clone();
        Asked {
            desk,
            request,
            answer,
        }
    }

    /// The port of a channel that is open.
    pub(super) fn port(&self, name: &ChannelName) -> Option<Arc<Port>> {
        let port = self.lock().open.get(name).cloned();
        port.filter(|port| !port.is_closed())
    }

    /// Takes a channel's port, if nobody has it.
    pub(super) fn take(&self, name: &ChannelName, kind: Kind, room: u32) -> Taken {
        let mut table = self.lock();
        if table.ended {
            return Taken::Stopped;
        }
        if let Some(port) = table.open.get(name) {
            return if port.is_closed() {
                Taken::Closing(port.gone.subscribe())
            } else {
                Taken::Open
            };
        }
        let (gone, _) = watch::channel(false);
        let port = Arc::new(Port {
            name: name.clone(),
            kind,
            room,
            readers: Mutex::default(),
            consumed: AtomicU32::new(0),
            consumed_bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            changed: Notify::new(),
            gone,
        });
        table.open.insert(name.clone(), Arc::clone(&port));
        Taken::Ours(port)
    }

    /// Tells the machine what readers took, and at last that the channel is closed.
    pub(super) async fn keep(self, driver: Handle<Node>, port: Arc<Port>) {
        let channel = &port.name;
        loop {
            let closed = port.is_closed();
            let count = port.consumed.swap(0, Ordering::Acquire);
            if count > 0 {
                let bytes = port.consumed_bytes.swap(0, Ordering::Relaxed);
                let channel = channel.clone();
                let taken = node::Input::Channel(Input::Consumed {
                    channel,
                    count,
                    bytes,
                });
                if driver.send(taken).await.is_err() {
                    return;
                }
            }
            if closed {
                break;
            }
            port.changed.notified().await;
        }
        let channel = channel.clone();
        let close = node::Input::Channel(Input::Close { channel });
        // A node that has stopped has nothing open.
        let _stopped = driver.send(close).await.is_err();
        self.lock().open.remove(&port.name);
        port.gone.send_replace(true);
    }
}
