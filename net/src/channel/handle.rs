//! What an application holds of a channel.

use super::desk::{Port, Taken};
use super::line::Line;
use super::mailbox::{Heard, Mailbox};
use super::{Error, Publisher};
use crate::driver::Stopped;
use crate::transport::MeshNode;
use core::pin::Pin;
use core::task::{Context, Poll};
use phalanx_core::channel::{
    ChannelName, Input, Kind, MapEntry, Options, Refusal, Transaction, Update, UpdateId, Version,
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
    line: Line,
    port: Arc<Port>,
    reader: Option<Reader>,
}

/// One of the readers of a channel: each hears everything.
///
/// A message to this node counts as taken when the first of them has taken it; a reader that is slower by the
/// opening's `room` misses it, and hears so.
#[derive(Debug)]
pub struct Reader {
    line: Line,
    port: Arc<Port>,
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

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was written, by this version.
    Committed(Version),
    /// Nothing was written: this key is not as expected.
    Differs(Arc<str>),
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
    pub(super) fn new(line: Line, port: Arc<Port>) -> Self {
        let mailbox = port.attach();
        Self {
            line,
            port,
            mailbox,
        }
    }

    /// A reader of a channel that is open on the node, whoever opened it.
    pub(crate) fn of(node: &MeshNode, name: &ChannelName) -> Option<Self> {
        let line = node.line();
        let port = line.desk.port(name)?;
        Some(Self::new(line, port))
    }

    /// The channel's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.port.kind
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
        let (port, mailbox) = (Arc::clone(&self.port), Arc::clone(&self.mailbox));
        let copy = move |node: &Node, _| {
            // Nothing is delivered meanwhile: everything that waits is older than the copy.
            let retained = Retained::of(node, &port.name, port.kind);
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
        self.line.driver.inspect(copy).await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.port.detach(&self.mailbox);
    }
}

impl Stream for Reader {
    type Item = Heard;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Heard>> {
        self.mailbox.poll_take(context)
    }
}

impl Channel {
    pub(super) async fn open(
        node: &MeshNode,
        name: ChannelName,
        options: Options,
    ) -> Result<Self, Error> {
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
        let line = node.line();
        let port = loop {
            match line.desk.take(&name, options.kind, options.room) {
                Taken::Ours(port) => break port,
                Taken::Open => return Err(Refusal::AlreadyOpen.into()),
                Taken::Stopped => return Err(Stopped.into()),
                Taken::Closing(mut gone) => {
                    // An error means that it is gone too.
                    let _gone = gone.wait_for(|gone| *gone).await.is_err();
                }
            }
        };
        node.spawn(
            line.desk
                .clone()
                .keep(line.driver.clone(), Arc::clone(&port)),
        );
        // Made first: from here on, whatever happens, the port is closed in the end.
        let channel = Self {
            line: line.clone(),
            port: Arc::clone(&port),
            reader: None,
        };
        let reader = Reader::new(line.clone(), port);
        line.ask(|request| Input::Open {
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
        &self.port.name
    }

    /// What its broadcasts are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.port.kind
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
        self.line.publish(self.name().clone(), payload).await
    }

    /// A sink of broadcasts, which waits while the links are full.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.line.clone(), self.name().clone())
    }

    /// Sends to one member and returns when the message was handed to its application.
    ///
    /// # Errors
    /// When it was not: nobody has this name, no path leads there, the channel is not open there, or no answer came.
    pub async fn send(&self, to: NodeId, payload: impl AsRef<[u8]> + Send) -> Result<(), Error> {
        let payload = Arc::from(payload.as_ref());
        self.line.send(self.name().clone(), to, payload).await
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
        self.line.send_datagram(name, to, payload).await
    }

    /// Compares and writes on this node's copy of a map, everything or nothing.
    ///
    /// # Errors
    /// When the channel is no map, a key or the number of writes is not allowed, the map is full, or all links are.
    pub async fn transact(&self, transaction: Transaction) -> Result<Outcome, Error> {
        self.line.transact(self.name().clone(), transaction).await
    }

    /// What stands under a key of the map, be it that it was deleted; none if nothing was ever written.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn get(&self, key: &str) -> Result<Option<MapEntry>, Stopped> {
        let (name, key) = (self.name().clone(), key.to_owned());
        let look = move |node: &Node, _| node.channels().value(&name, &key).cloned();
        self.line.driver.inspect(look).await
    }

    /// What the node holds.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn retained(&self) -> Result<Retained, Stopped> {
        let (name, kind) = (self.name().clone(), self.kind());
        let look = move |node: &Node, _| Retained::of(node, &name, kind);
        self.line.driver.inspect(look).await
    }

    /// One more reader, which hears everything from now on.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.line.clone(), Arc::clone(&self.port))
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
        self.port.close();
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
