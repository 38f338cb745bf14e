//! Links requested by applications, in addition to those that the mesh needs.
//!
//! Bounds: [`WISHES_MAX`] members at a time. The node machine repeats the requests to the mesh, so a
//! request may precede the first record of its member.

use super::MeshNode;
use crate::driver::{Handle, Stopped};
use phalanx_core::gossip;
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, Node, WISHES_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Number of requests for a link per member. Clones share the table.
#[derive(Clone, Default)]
pub(crate) struct Wishes {
    held: Arc<Mutex<BTreeMap<NodeId, usize>>>,
    /// The requests that the machine knows. Locked while inputs are sent, so that the last input
    /// matches the current requests.
    told: Arc<tokio::sync::Mutex<BTreeSet<NodeId>>>,
}

/// A request for a link; it ends when the value is dropped.
pub struct WishedLink {
    peer: NodeId,
    node: MeshNode,
}

/// Reason why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// The maximum number of requested members is reached.
    #[error("the limit of {WISHES_MAX} requested links is reached; drop one first")]
    TooMany,
    /// The request is for a link of the node to itself.
    #[error("a node cannot have a link to itself; request a link to another member")]
    Myself,
    /// The node has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Wishes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request.
    fn add(&self, peer: &NodeId) -> Result<(), WishError> {
        let mut held = self.lock();
        if held.len() >= WISHES_MAX && !held.contains_key(peer) {
            return Err(WishError::TooMany);
        }
        *held.entry(peer.clone()).or_default() += 1;
        Ok(())
    }

    /// Removes a request; returns whether it was the last one for the member.
    fn remove(&self, peer: &NodeId) -> bool {
        let mut held = self.lock();
        let Some(count) = held.get_mut(peer) else {
            return false;
        };
        *count -= 1;
        let last = *count == 0;
        if last {
            held.remove(peer);
        }
        last
    }

    /// Sends the current requests to the machine: first the ends of requests, because the machine
    /// has a limit on simultaneous ones, then the request for this member.
    async fn tell(&self, driver: &Handle<Node>, peer: &NodeId) -> Result<(), Stopped> {
        let mut told = self.told.lock().await;
        // The table is read once: a later change is sent by the call that made it.
        let (over, wished) = {
            let held = self.lock();
            let over = told.iter().filter(|it| !held.contains_key(*it));
            (over.cloned().collect::<Vec<_>>(), held.contains_key(peer))
        };
        let say = async |peer: &NodeId, wanted| {
            let peer = peer.clone();
            let wish = gossip::Input::Want { peer, wanted };
            driver.send(node::Input::Mesh(wish)).await
        };
        for it in over {
            say(&it, false).await?;
            told.remove(&it);
        }
        if wished {
            say(peer, true).await?;
            told.insert(peer.clone());
        }
        drop(told);
        Ok(())
    }
}

impl MeshNode {
    /// Requests a link to a member, for instance for a data path, until the returned value is
    /// dropped. The link is made as soon as the member is known and alive, if it can be dialled,
    /// and again when it breaks. A member that cannot be dialled must request the link itself.
    ///
    /// # Errors
    /// If there are too many requests, the member is this node, or the node has ended.
    pub async fn wish_for_link(&self, peer: NodeId) -> Result<WishedLink, WishError> {
        if self.is(&peer) {
            return Err(WishError::Myself);
        }
        self.wishes.add(&peer)?;
        let wish = WishedLink {
            peer,
            node: self.clone(),
        };
        self.wishes.tell(self.driver(), &wish.peer).await?;
        Ok(wish)
    }
}

impl WishedLink {
    /// Returns the member.
    #[must_use]
    pub const fn peer(&self) -> &NodeId {
        &self.peer
    }
}

impl fmt::Debug for WishedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WishedLink").field(&self.peer).finish()
    }
}

impl Drop for WishedLink {
    fn drop(&mut self) {
        if self.node.wishes.remove(&self.peer) {
            let (node, peer) = (self.node.clone(), self.peer.clone());
            self.node.spawn(async move {
                // The error is ignored: the machine of an ended node keeps no requests.
                let _ended = node.wishes.tell(node.driver(), &peer).await.is_err();
            });
        }
    }
}
