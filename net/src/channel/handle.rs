//! Handles of channels for applications: an open channel, its readers, and copies of its retained state.

use super::client::{ChannelClient, TransactionOutcome};
use super::error::Error;
use super::publisher::Publisher;
use crate::applications::mailbox::SharedMailbox;
use crate::applications::registry::{Acquired, OpenChannel};
use crate::driver::Stopped;
use crate::transport::MeshNode;
use core::pin::Pin;
use core::task::{Context, Poll};
use phalanx_core::channel::{
    ChannelName, Input, Kind, MapEntry, Options, Received, Refusal, Transaction, Update, UpdateId,
};
use phalanx_core::identity::NodeId;
use phalanx_core::node::Node;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use tokio_stream::Stream;

/// An open channel, which can be shared in an [`Arc`]. Dropping it closes the channel; the node still relays the
/// channel's data of other members.
///
/// As a [`Stream`] it yields each [delivery](Received) and ends with the node.
#[derive(Debug)]
pub struct Channel {
    client: ChannelClient,
    open: Arc<OpenChannel>,
    reader: Option<Reader>,
}

/// One reader of a channel. Each reader receives every delivery.
///
/// A message to this node counts as consumed when the first reader has taken it. A reader that lags behind by more
/// than the `room` of the channel's options loses messages and is notified of the number lost.
#[derive(Debug)]
pub struct Reader {
    client: ChannelClient,
    open: Arc<OpenChannel>,
    mailbox: Arc<SharedMailbox>,
}

/// A copy of the state of a channel that a node retains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retained {
    /// The latest messages of each origin, by origin, oldest first.
    Messages(Vec<Arc<Update>>),
    /// The keys that have a value, each with its value, in order.
    Values(Vec<(Arc<str>, MapEntry)>),
    /// The application's own state, encoded; `None` if the channel was opened without state.
    State(Option<Vec<u8>>),
}

impl Retained {
    pub(crate) fn of(node: &Node, channel: &ChannelName, kind: Kind) -> Self {
        let channels = node.channels();
        match kind {
            Kind::Messages => Self::Messages(channels.messages(channel).cloned().collect()),
            Kind::Map => {
                let values = channels.values(channel);
                Self::Values(
                    values
                        .map(|(key, held)| (Arc::clone(key), held.clone()))
                        .collect(),
                )
            }
            Kind::Custom => Self::State(channels.custom(channel)),
        }
    }
}

impl Reader {
    pub(super) fn new(client: ChannelClient, open: Arc<OpenChannel>) -> Self {
        let mailbox = open.attach();
        Self {
            client,
            open,
            mailbox,
        }
    }

    /// Returns a new reader of a channel that is open on the node; `None` if the channel is not open.
    pub(crate) fn of(node: &MeshNode, name: &ChannelName) -> Option<Self> {
        let client = node.channel_client();
        let open = client.registry.open_channel(name)?;
        Some(Self::new(client, open))
    }

    /// Returns the channel's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.open.kind
    }

    /// Waits for the next delivery; `None` once the channel is closed or the node has stopped. Cancel-safe: no delivery
    /// is lost.
    pub async fn recv(&self) -> Option<Received> {
        poll_fn(|context| self.mailbox.poll_take(context)).await
    }

    /// Returns a copy of the retained state. Unread deliveries that the copy contains are removed, so the next delivery
    /// is newer than the copy.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn catch_up(&self) -> Result<Retained, Stopped> {
        let (open, mailbox) = (Arc::clone(&self.open), Arc::clone(&self.mailbox));
        let copy = move |node: &Node, _| {
            // No delivery happens during the copy, so all unread deliveries are older than it.
            let retained = Retained::of(node, &open.name, open.kind);
            match &retained {
                Retained::Messages(updates) => {
                    let held: BTreeSet<UpdateId> =
                        updates.iter().map(|update| update.id.clone()).collect();
                    mailbox.on_copied_messages(&held);
                }
                Retained::Values(_) | Retained::State(Some(_)) => mailbox.on_copied_state(),
                Retained::State(None) => {}
            }
            retained
        };
        self.client.driver.inspect(copy).await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.open.detach(&self.mailbox);
    }
}

impl Stream for Reader {
    type Item = Received;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        self.mailbox.poll_take(context)
    }
}

impl MeshNode {
    /// Opens a channel. Each channel is open at most once on a node; the call waits while the channel is being closed.
    ///
    /// # Errors
    /// If the channel is open on this node, the mesh uses it with another kind, or the node knows the maximum number of
    /// channels.
    pub async fn open(&self, name: ChannelName, options: Options) -> Result<Channel, Error> {
        Channel::open(self, name, options).await
    }
}

impl Channel {
    async fn open(node: &MeshNode, name: ChannelName, options: Options) -> Result<Self, Error> {
        let (mut channel, reader) = Self::begin(node, name, options).await?;
        channel.reader = Some(reader);
        Ok(channel)
    }

    /// Opens a channel, and returns it apart from its reader, which receives every delivery from the opening on.
    pub(crate) async fn begin(
        node: &MeshNode,
        name: ChannelName,
        options: Options,
    ) -> Result<(Self, Reader), Error> {
        let client = node.channel_client();
        let open = loop {
            match client.registry.acquire(&name, options.kind, options.room) {
                Acquired::Ours(open) => break open,
                Acquired::Open => return Err(Refusal::AlreadyOpen.into()),
                Acquired::Stopped => return Err(Stopped.into()),
                Acquired::Closing(mut gone) => {
                    // An error means that the sender is dropped, so the channel is closed as well.
                    let _gone = gone.wait_for(|gone| *gone).await.is_err();
                }
            }
        };
        node.spawn(
            client
                .registry
                .clone()
                .report(client.driver.clone(), Arc::clone(&open)),
        );
        // Created first, so that dropping it closes the channel on every path.
        let channel = Self {
            client: client.clone(),
            open: Arc::clone(&open),
            reader: None,
        };
        let reader = Reader::new(client.clone(), open);
        client
            .ask(|request| Input::Open {
                request,
                channel: name,
                options,
            })
            .await?;
        Ok((channel, reader))
    }

    /// Returns the channel's name.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        &self.open.name
    }

    /// Returns the channel's kind, which determines the meaning of its broadcasts.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.open.kind
    }

    /// Broadcasts a message, or merges an update into custom state and broadcasts the part that changed it. Returns
    /// `None` if the update changed nothing.
    ///
    /// # Errors
    /// If the channel is a map, the message is too large, or all links are full. In the last case the caller retries
    /// shortly, or uses a [`publisher`](Self::publisher), which waits.
    pub async fn publish(
        &self,
        payload: impl AsRef<[u8]> + Send,
    ) -> Result<Option<UpdateId>, Error> {
        let payload = Arc::from(payload.as_ref());
        self.client.publish(self.name().clone(), payload).await
    }

    /// Returns a sink of broadcasts that waits while all links are full.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.client.clone(), self.name().clone())
    }

    /// Sends to one member and returns once the message was handed to the application there.
    ///
    /// # Errors
    /// If the message was not handed over: no member has this name, no path leads to the member, the channel is not
    /// open there, or no acknowledgement arrived in time.
    pub async fn send(&self, to: NodeId, payload: impl AsRef<[u8]> + Send) -> Result<(), Error> {
        let payload = Arc::from(payload.as_ref());
        self.client.send(self.name().clone(), to, payload).await
    }

    /// Sends to one member and returns at once. The message may be lost or arrive twice.
    ///
    /// # Errors
    /// If the message is too large.
    pub async fn send_datagram(
        &self,
        to: NodeId,
        payload: impl AsRef<[u8]> + Send,
    ) -> Result<(), Error> {
        let payload = Arc::from(payload.as_ref());
        let name = self.name().clone();
        self.client.send_datagram(name, to, payload).await
    }

    /// Compares and writes atomically on this node's copy of a map.
    ///
    /// # Errors
    /// If the channel is not a map, a key or the number of writes is out of bounds, the map is full, or all links are
    /// full.
    pub async fn transact(&self, transaction: Transaction) -> Result<TransactionOutcome, Error> {
        self.client.transact(self.name().clone(), transaction).await
    }

    /// Returns the entry of a key of the map, also a deletion; `None` if the key was never written.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn get(&self, key: &str) -> Result<Option<MapEntry>, Stopped> {
        let (name, key) = (self.name().clone(), key.to_owned());
        let look = move |node: &Node, _| node.channels().value(&name, &key).cloned();
        self.client.driver.inspect(look).await
    }

    /// Returns a copy of the retained state.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn retained(&self) -> Result<Retained, Stopped> {
        let (name, kind) = (self.name().clone(), self.kind());
        let look = move |node: &Node, _| Retained::of(node, &name, kind);
        self.client.driver.inspect(look).await
    }

    /// Adds a reader, which receives every later delivery.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.client.clone(), Arc::clone(&self.open))
    }

    /// Waits for the next delivery; `None` once the node has stopped. Cancel-safe: no delivery is lost.
    pub async fn recv(&self) -> Option<Received> {
        match &self.reader {
            Some(reader) => reader.recv().await,
            None => None,
        }
    }

    /// See [`Reader::catch_up`].
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn catch_up(&self) -> Result<Retained, Stopped> {
        match &self.reader {
            Some(reader) => reader.catch_up().await,
            None => self.retained().await,
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.open.close();
    }
}

impl Stream for Channel {
    type Item = Received;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        let reader = self.reader.as_ref();
        reader.map_or(Poll::Ready(None), |reader| {
            reader.mailbox.poll_take(context)
        })
    }
}
