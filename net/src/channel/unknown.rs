//! Channels that others begin.

use super::error::Error;
use super::handle::{Channel, Reader};
use crate::transport::{MeshNode, Notice};
use phalanx_core::channel::{ChannelName, Event, Kind, Options};
use phalanx_core::node::Node;
use std::collections::BTreeSet;
use tokio::sync::broadcast::error::RecvError;

/// A channel that this node has not opened, and others use.
#[derive(Clone, Debug)]
pub struct UnknownChannel {
    node: MeshNode,
    name: ChannelName,
    kind: Kind,
}

impl UnknownChannel {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &ChannelName {
        &self.name
    }

    /// What its broadcasts are.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Opens it.
    ///
    /// # Errors
    /// See [`MeshNode::open`].
    pub async fn open(&self, options: Options) -> Result<Channel, Error> {
        self.node.open(self.name.clone(), options).await
    }
}

impl MeshNode {
    /// Calls `handle` once for each channel that others use and nobody here has opened: those known already, and
    /// each when it is first heard of. What `handle` returns runs as a task of the node.
    pub fn on_unknown_channel<F>(&self, handle: impl Fn(UnknownChannel) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let node = self.clone();
        let mut notices = self.subscribe();
        self.spawn(async move {
            let mut told = BTreeSet::new();
            loop {
                for (name, kind) in not_open(&node).await {
                    if told.insert(name.clone()) {
                        let node = node.clone();
                        let unknown = UnknownChannel { node, name, kind };
                        let node = unknown.node.clone();
                        node.spawn(handle(unknown));
                    }
                }
                // Which it is does not matter: all that are known are gone through.
                loop {
                    match notices.recv().await {
                        Ok(Notice::Channel(Event::Learnt { .. })) | Err(RecvError::Lagged(_)) => {
                            break;
                        }
                        Ok(_) => {}
                        Err(RecvError::Closed) => return,
                    }
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
    // Those that are being opened are nobody's surprise.
    let ours = |name: &ChannelName| Reader::of(node, name).is_some();
    known.into_iter().filter(|(name, _)| !ours(name)).collect()
}
