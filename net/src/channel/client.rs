//! Requests to a node's channels, by name.

use super::error::Error;
use crate::applications::registry::ChannelRegistry;
use crate::driver::{Handle, Stopped};
use crate::transport::MeshNode;
use phalanx_core::channel::{
    ChannelName, ChannelOperation, Done, Input, Kind, Request, Transaction, UpdateId, Version,
};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, Node};
use std::sync::Arc;

/// The outcome of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// All writes were applied, with this version.
    Committed(Version),
    /// No write was applied, because the value of this key is not the expected one.
    Differs(Arc<str>),
}

/// Sends requests to a node's channels by name, open or not. Cloning is cheap.
///
/// A message to a member needs no open channel; a broadcast and a transaction do. [`Channel`](super::Channel) has
/// the same methods for a channel that the application opened itself.
#[derive(Clone, Debug)]
pub struct ChannelClient {
    pub(super) registry: ChannelRegistry,
    pub(super) driver: Handle<Node>,
}

impl MeshNode {
    /// A client of the node's channels.
    #[must_use]
    pub fn channel_client(&self) -> ChannelClient {
        ChannelClient {
            registry: self.channel_registry().clone(),
            driver: self.driver().clone(),
        }
    }
}

impl ChannelClient {
    /// Sends a request to the machine and waits for its outcome.
    pub(super) async fn ask(&self, order: impl FnOnce(Request) -> Input) -> Result<Done, Error> {
        let mut asked = self.registry.begin_request();
        let order = node::Input::Channel(order(asked.request()));
        self.driver.send(order).await?;
        let answer = asked.answer().await.ok_or(Stopped)?;
        Ok(answer?)
    }

    /// See [`Channel::publish`](super::Channel::publish).
    ///
    /// # Errors
    /// The errors named there, and an error if the channel is not open on this node.
    pub async fn publish(
        &self,
        channel: ChannelName,
        payload: Arc<[u8]>,
    ) -> Result<Option<UpdateId>, Error> {
        let done = self.ask(|request| Input::Publish {
            request,
            channel,
            payload,
        });
        Ok(published(done.await?))
    }

    /// See [`Channel::publish`](super::Channel::publish). A channel that is not open on this node is opened for the
    /// broadcast alone.
    ///
    /// # Errors
    /// The errors named there, and those of [`MeshNode::open`].
    pub async fn publish_once(
        &self,
        channel: ChannelName,
        kind: Kind,
        payload: Arc<[u8]>,
    ) -> Result<Option<UpdateId>, Error> {
        let operation = ChannelOperation::Publish(payload);
        Ok(published(self.perform(channel, kind, operation).await?))
    }

    async fn perform(
        &self,
        channel: ChannelName,
        kind: Kind,
        operation: ChannelOperation,
    ) -> Result<Done, Error> {
        self.ask(|request| Input::Once {
            request,
            channel,
            kind,
            operation,
        })
        .await
    }

    /// See [`Channel::send`](super::Channel::send).
    ///
    /// # Errors
    /// The errors named there.
    pub async fn send(
        &self,
        channel: ChannelName,
        to: NodeId,
        payload: Arc<[u8]>,
    ) -> Result<(), Error> {
        self.dispatch(channel, to, payload, false).await
    }

    /// See [`Channel::send_datagram`](super::Channel::send_datagram).
    ///
    /// # Errors
    /// The errors named there.
    pub async fn send_datagram(
        &self,
        channel: ChannelName,
        to: NodeId,
        payload: Arc<[u8]>,
    ) -> Result<(), Error> {
        self.dispatch(channel, to, payload, true).await
    }

    async fn dispatch(
        &self,
        channel: ChannelName,
        to: NodeId,
        payload: Arc<[u8]>,
        datagram: bool,
    ) -> Result<(), Error> {
        self.ask(|request| Input::Send {
            request,
            to,
            channel,
            payload,
            datagram,
        })
        .await?;
        Ok(())
    }

    /// See [`Channel::transact`](super::Channel::transact).
    ///
    /// # Errors
    /// The errors named there, and an error if the channel is not open on this node.
    pub async fn transact(
        &self,
        channel: ChannelName,
        transaction: Transaction,
    ) -> Result<TransactionOutcome, Error> {
        let done = self.ask(|request| Input::Transact {
            request,
            channel,
            transaction,
        });
        Ok(transacted(done.await?))
    }

    /// See [`Channel::transact`](super::Channel::transact). A map that is not open on this node is opened for the
    /// transaction alone.
    ///
    /// # Errors
    /// The errors named there, and those of [`MeshNode::open`].
    pub async fn transact_once(
        &self,
        channel: ChannelName,
        transaction: Transaction,
    ) -> Result<TransactionOutcome, Error> {
        let operation = ChannelOperation::Transact(transaction);
        Ok(transacted(
            self.perform(channel, Kind::Map, operation).await?,
        ))
    }
}

fn published(done: Done) -> Option<UpdateId> {
    match done {
        Done::Published(id) => Some(id),
        Done::Unchanged
        | Done::Opened
        | Done::Committed(_)
        | Done::Differs(_)
        | Done::Delivered
        | Done::Sent => None,
    }
}

fn transacted(done: Done) -> TransactionOutcome {
    match done {
        Done::Committed(version) => TransactionOutcome::Committed(version),
        Done::Differs(key) => TransactionOutcome::Differs(key),
        Done::Opened | Done::Published(_) | Done::Unchanged | Done::Delivered | Done::Sent => {
            unreachable!("a transaction is committed or differs")
        }
    }
}
