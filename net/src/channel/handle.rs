//! What an application holds of a channel.

use super::client::{ChannelClient, Outcome};
use super::error::Error;
use super::publisher::Publisher;
use crate::applications::mailbox::{Heard, Mailbox};
use crate::applications::registry::{Acquired, OpenChannel};
use crate::driver::Stopped;
use crate::transport::MeshNode;
use core::pin::Pin;
use core::task::{Context, Poll};
use phalanx_core::channel::{
    ChannelName, Input, Kind, MapEntry, Options, Refusal, Transaction, Update, UpdateId,
};
use phalanx_core::identity::NodeId;
use phalanx_core::node::Node;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use tokio_stream::Stream;

/// An open channel. Share it in an [`Arc`]; dropped, it is closed, and the node goes on passing on what others say.
///
/// As a [`Stream`] it gives what was [heard](Heard), and ends with the node.
#[derive(Debug)]
pub struct Channel {
    client: ChannelClient,
    open: Arc<OpenChannel>,
    reader: Option<Reader>,
}

/// One of the readers of a channel: each hears everything.
///
/// A message to this node counts as taken when the first of them has taken it; a reader that is slower by the
/// opening's `room` misses it, and hears so.
#[derive(Debug)]
pub struct Reader {
    client: ChannelClient,
    open: Arc<OpenChannel>,
    mailbox: Arc<Mailbox>,
}

/// What a node holds of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retained {
    /// The latest messages of each origin, by origin, oldest first.
    Messages(Vec<Arc<Update>>),
    /// The keys that have a value, with it, in order.
    Values(Vec<(Arc<str>, MapEntry)>),
    /// The application's own state, encoded; none if the opening brought none.
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

    /// A reader of a channel that is open on the node, whoever opened it.
    pub(crate) fn of(node: &MeshNode, name: &ChannelName) -> Option<Self> {
        let client = node.channel_client();
        let open = client.registry.open_channel(name)?;
        Some(Self::new(client, open))
    }

    /// The channel's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.open.kind
    }

    /// The next that is heard; none once the channel is closed or the node has stopped. Cancelling it loses nothing.
    pub async fn recv(&self) -> Option<Heard> {
        poll_fn(|context| self.mailbox.poll_take(context)).await
    }

    /// What the node holds, and from now on only what comes after it: what waits to be read and is part of it is
    /// taken away.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn catch_up(&self) -> Result<Retained, Stopped> {
        let (open, mailbox) = (Arc::clone(&self.open), Arc::clone(&self.mailbox));
        let copy = move |node: &Node, _| {
            // Nothing is delivered meanwhile: everything that waits is older than the copy.
            let retained = Retained::of(node, &open.name, open.kind);
            match &retained {
                Retained::Messages(updates) => {
                    let held: BTreeSet<UpdateId> =
                        updates.iter().map(|update| update.id.clone()).collect();
                    mailbox.drop_broadcasts(&held);
                }
                Retained::Values(_) | Retained::State(Some(_)) => mailbox.drop_news(),
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
    type Item = Heard;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Heard>> {
        self.mailbox.poll_take(context)
    }
}

impl MeshNode {
    /// Opens a channel. Each channel is open at most once on a node; an opening waits while the channel is being closed.
    ///
    /// # Errors
    /// When it is open here, the mesh uses it for another kind, or the node knows as many as it may.
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

    /// Opens a channel that does not read; the reader reads from the first moment.
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
                    // An error means that it is gone too.
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
        // Made first, so that the channel is closed in the end whatever happens.
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

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        &self.open.name
    }

    /// What its broadcasts are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.open.kind
    }

    /// Broadcasts a message, or merges an update into custom state and broadcasts what was news: none if nothing was.
    ///
    /// # Errors
    /// When the channel is a map's, the message is too large, or all links are full: then try again shortly, or use
    /// a [`publisher`](Self::publisher), which waits.
    pub async fn publish(
        &self,
        payload: impl AsRef<[u8]> + Send,
    ) -> Result<Option<UpdateId>, Error> {
        let payload = Arc::from(payload.as_ref());
        self.client.publish(self.name().clone(), payload).await
    }

    /// A sink of broadcasts, which waits while the links are full.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.client.clone(), self.name().clone())
    }

    /// Sends to one member and returns when the message was handed to its application.
    ///
    /// # Errors
    /// When it was not: nobody has this name, no path leads there, the channel is not open there, or no answer came.
    pub async fn send(&self, to: NodeId, payload: impl AsRef<[u8]> + Send) -> Result<(), Error> {
        let payload = Arc::from(payload.as_ref());
        self.client.send(self.name().clone(), to, payload).await
    }

    /// Sends to one member and returns at once: it may be lost, or come twice.
    ///
    /// # Errors
    /// When it is too large.
    pub async fn send_datagram(
        &self,
        to: NodeId,
        payload: impl AsRef<[u8]> + Send,
    ) -> Result<(), Error> {
        let payload = Arc::from(payload.as_ref());
        let name = self.name().clone();
        self.client.send_datagram(name, to, payload).await
    }

    /// Compares and writes on this node's copy of a map, everything or nothing.
    ///
    /// # Errors
    /// When the channel is no map, a key or the number of writes is not allowed, the map is full, or all links are.
    pub async fn transact(&self, transaction: Transaction) -> Result<Outcome, Error> {
        self.client.transact(self.name().clone(), transaction).await
    }

    /// What stands under a key of the map, be it that it was deleted; none if nothing was ever written.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn get(&self, key: &str) -> Result<Option<MapEntry>, Stopped> {
        let (name, key) = (self.name().clone(), key.to_owned());
        let look = move |node: &Node, _| node.channels().value(&name, &key).cloned();
        self.client.driver.inspect(look).await
    }

    /// What the node holds.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn retained(&self) -> Result<Retained, Stopped> {
        let (name, kind) = (self.name().clone(), self.kind());
        let look = move |node: &Node, _| Retained::of(node, &name, kind);
        self.client.driver.inspect(look).await
    }

    /// One more reader, which hears everything from now on.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.client.clone(), Arc::clone(&self.open))
    }

    /// The next that is heard; none once the node has stopped. Cancelling it loses nothing.
    pub async fn recv(&self) -> Option<Heard> {
        match &self.reader {
            Some(reader) => reader.recv().await,
            None => None,
        }
    }

    /// See [`Reader::catch_up`].
    ///
    /// # Errors
    /// When the node has stopped.
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
    type Item = Heard;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Heard>> {
        let reader = self.reader.as_ref();
        reader.map_or(Poll::Ready(None), |reader| {
            reader.mailbox.poll_take(context)
        })
    }
}
