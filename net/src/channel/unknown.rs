//! Channels that other members use and this node has not opened.

use super::error::Error;
use super::handle::{Channel, Reader};
use crate::transport::MeshNode;
use phalanx_core::channel::{ChannelName, Kind, Options};
use phalanx_core::node::Node;
use std::collections::BTreeSet;

/// A channel that other members use and this node has not opened.
#[derive(Clone, Debug)]
pub struct UnknownChannel {
    node: MeshNode,
    name: ChannelName,
    kind: Kind,
}

impl UnknownChannel {
    /// Returns the channel's name.
    #[must_use]
    pub const fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Returns the channel's kind, which determines the meaning of its broadcasts.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Opens the channel.
    ///
    /// # Errors
    /// See [`MeshNode::open`].
    pub async fn open(&self, options: Options) -> Result<Channel, Error> {
        self.node.open(self.name.clone(), options).await
    }
}

impl MeshNode {
    /// Calls `handle` once for each channel that other members use and no application of this node has opened: at once
    /// for known channels, and for each further channel when the node learns of it. The future that `handle` returns
    /// runs as a task of the node.
    pub fn on_unknown_channel<F>(&self, handle: impl Fn(UnknownChannel) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let node = self.clone();
        let mut announcements = self.channel_registry().announcements();
        self.spawn(async move {
            let mut notified = BTreeSet::new();
            loop {
                for (name, kind) in not_open(&node).await {
                    if notified.insert(name.clone()) {
                        let node = node.clone();
                        let unknown = UnknownChannel { node, name, kind };
                        let node = unknown.node.clone();
                        node.spawn(handle(unknown));
                    }
                }
                // The node holds the sender, and this task ends with the node.
                if announcements.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn not_open(node: &MeshNode) -> Vec<(ChannelName, Kind)> {
    let known = |machine: &Node, _| {
        let known = machine.channels().known();
        let closed = known.filter(|(_, _, open)| !open);
        closed.map(|(name, kind, _)| (name.clone(), kind)).collect()
    };
    let known: Vec<(ChannelName, Kind)> = node.driver().inspect(known).await.unwrap_or_default();
    // Channels that an application is opening are not reported.
    let ours = |name: &ChannelName| Reader::of(node, name).is_some();
    known.into_iter().filter(|(name, _)| !ours(name)).collect()
}
