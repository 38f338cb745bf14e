//! The open channels of a node's applications, and the requests that wait for the machine's answer.

use super::acknowledgement::{AckToken, Consumption};
use super::mailbox::SharedMailbox;
use crate::driver::Handle;
use phalanx_core::channel::{ChannelName, Delivery, Done, Input, Kind, Output, Refusal, Request};
use phalanx_core::node::{self, Node};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};

type Answer = Result<Done, Refusal>;

/// The applications of one node. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChannelRegistry {
    table: Arc<Mutex<Table>>,
    /// Changes when the node knows a further channel.
    announcements: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    pending: BTreeMap<Request, oneshot::Sender<Answer>>,
    open: BTreeMap<ChannelName, Arc<OpenChannel>>,
    /// The machine's loop has ended.
    ended: bool,
}

/// One open channel.
#[derive(Debug)]
pub(crate) struct OpenChannel {
    pub(crate) name: ChannelName,
    pub(crate) kind: Kind,
    room: u32,
    readers: Mutex<Vec<Arc<SharedMailbox>>>,
    consumption: Arc<Consumption>,
    closed: AtomicBool,
    /// Set when the machine has been told that the channel is closed, or has stopped.
    gone: watch::Sender<bool>,
}

impl OpenChannel {
    fn readers(&self) -> MutexGuard<'_, Vec<Arc<SharedMailbox>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new reader's mailbox.
    pub(crate) fn attach(&self) -> Arc<SharedMailbox> {
        let mailbox = Arc::new(SharedMailbox::new(self.room));
        self.readers().push(Arc::clone(&mailbox));
        if self.closed.load(Ordering::Acquire) {
            mailbox.end();
        }
        mailbox
    }

    pub(crate) fn detach(&self, mailbox: &Arc<SharedMailbox>) {
        self.readers().retain(|known| !Arc::ptr_eq(known, mailbox));
    }

    /// Closes the channel. [`ChannelRegistry::report`] tells the machine.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.consumption.wake();
        for mailbox in self.readers().iter() {
            mailbox.end();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn deliver(&self, delivery: Delivery) {
        let readers = self.readers();
        if let Delivery::Message { payload, .. } = &delivery {
            let token = Arc::new(AckToken::new(&self.consumption, payload.len()));
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

/// Performs the machine's outputs for applications. Dropped with the machine's loop, it ends all channels and
/// requests.
#[derive(Debug)]
pub(crate) struct Dispatcher(ChannelRegistry);

impl Dispatcher {
    /// Performs one output for an application.
    pub(crate) fn perform(&self, order: Output) {
        let mut table = self.0.lock();
        match order {
            Output::Answer { request, result } => {
                if let Some(asked) = table.pending.remove(&request) {
                    // The application may have given the request up meanwhile.
                    let _gone = asked.send(result).is_err();
                }
            }
            Output::Deliver { channel, delivery } => {
                let channel = table.open.get(&channel).cloned();
                drop(table);
                if let Some(channel) = channel {
                    channel.deliver(delivery);
                }
            }
            Output::AnnounceChannels => {
                drop(table);
                self.0.announcements.send_replace(());
            }
            // The node performs these itself.
            Output::Transmit { .. } | Output::Route(_) | Output::Report(_) => {}
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.ended = true;
        table.pending.clear();
        let open = core::mem::take(&mut table.open);
        drop(table);
        for channel in open.into_values() {
            channel.close();
            channel.gone.send_replace(true);
        }
    }
}

/// A request that waits for its answer; dropped, it is forgotten.
pub(crate) struct PendingRequest {
    registry: ChannelRegistry,
    request: Request,
    answer: oneshot::Receiver<Answer>,
}

impl PendingRequest {
    pub(crate) const fn request(&self) -> Request {
        self.request
    }

    /// The answer; `None` if the node has stopped.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.registry.lock().pending.remove(&self.request);
    }
}

/// The outcome of an attempt to acquire a channel.
pub(crate) enum Acquired {
    /// The caller has it.
    Ours(Arc<OpenChannel>),
    /// It is open already.
    Open,
    /// It is being closed; the receiver waits for the end of that.
    Closing(watch::Receiver<bool>),
    /// The node has stopped.
    Stopped,
}

impl ChannelRegistry {
    /// A receiver that is notified when the node knows a further channel.
    pub(crate) fn announcements(&self) -> watch::Receiver<()> {
        self.announcements.subscribe()
    }

    /// The dispatcher for the machine's loop.
    pub(crate) fn dispatcher(&self) -> Dispatcher {
        Dispatcher(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new request, whose answer is awaited.
    pub(crate) fn begin_request(&self) -> PendingRequest {
        let (asked, answer) = oneshot::channel();
        let mut table = self.lock();
        table.last += 1;
        let request = Request(table.last);
        if !table.ended {
            table.pending.insert(request, asked);
        }
        let registry = self.clone();
        PendingRequest {
            registry,
            request,
            answer,
        }
    }

    /// A channel that is open and not being closed.
    pub(crate) fn open_channel(&self, name: &ChannelName) -> Option<Arc<OpenChannel>> {
        let channel = self.lock().open.get(name).cloned();
        channel.filter(|channel| !channel.is_closed())
    }

    /// Acquires a channel, if it is not open.
    pub(crate) fn acquire(&self, name: &ChannelName, kind: Kind, room: u32) -> Acquired {
        let mut table = self.lock();
        if table.ended {
            return Acquired::Stopped;
        }
        if let Some(channel) = table.open.get(name) {
            return if channel.is_closed() {
                Acquired::Closing(channel.gone.subscribe())
            } else {
                Acquired::Open
            };
        }
        let (gone, _) = watch::channel(false);
        let channel = Arc::new(OpenChannel {
            name: name.clone(),
            kind,
            room,
            readers: Mutex::default(),
            consumption: Arc::default(),
            closed: AtomicBool::new(false),
            gone,
        });
        table.open.insert(name.clone(), Arc::clone(&channel));
        Acquired::Ours(channel)
    }

    /// Reports to the machine what readers took and, at the end, that the channel is closed.
    pub(crate) async fn report(self, driver: Handle<Node>, open: Arc<OpenChannel>) {
        loop {
            let closed = open.is_closed();
            let (count, bytes) = open.consumption.take();
            if count > 0 {
                let channel = open.name.clone();
                let consumed = node::Input::Channel(Input::Consumed {
                    channel,
                    count,
                    bytes,
                });
                if driver.send(consumed).await.is_err() {
                    return;
                }
            }
            if closed {
                break;
            }
            open.consumption.changed().await;
        }
        let channel = open.name.clone();
        let close = node::Input::Channel(Input::Close { channel });
        // A node that has stopped has nothing open.
        let _stopped = driver.send(close).await.is_err();
        self.lock().open.remove(&open.name);
        open.gone.send_replace(true);
    }
}
