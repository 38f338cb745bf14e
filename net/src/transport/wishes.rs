//! Links that an application wishes for, beside those the mesh needs.
//!
//! Bounds: [`WISHES_MAX`] members at one time. The machine is told of a wish again and again, so that it may come
//! before its member is known.

use super::MeshNode;
use crate::driver::{Handle, Stopped};
use phalanx_core::gossip;
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, Node, WISHES_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many hold a wish for a link to each member. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Wishes {
    held: Arc<Mutex<BTreeMap<NodeId, usize>>>,
    /// The wishes that the machine was told of. Whoever tells it holds them: the last that is told is what stands.
    told: Arc<tokio::sync::Mutex<BTreeSet<NodeId>>>,
}

/// A wish for a link; it ends when this is dropped.
pub struct WishedLink {
    peer: NodeId,
    node: MeshNode,
}

/// Why a wish is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// As many as there may be.
    #[error("links to {WISHES_MAX} members are wished for; drop one first")]
    TooMany,
    /// For a link of the node to itself.
    #[error("a node has no link to itself; wish for another member")]
    Myself,
    /// The node has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Wishes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more holds a wish.
    fn add(&self, peer: &NodeId) -> Result<(), WishError> {
        let mut held = self.lock();
        if held.len() >= WISHES_MAX && !held.contains_key(peer) {
            return Err(WishError::TooMany);
        }
        *held.entry(peer.clone()).or_default() += 1;
        Ok(())
    }

    /// One less does; whether nobody does any more.
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

    /// Tells the machine what stands: first what nobody wishes for any more, since it has no room for more than are
    /// held, then the wish for this member.
    async fn tell(&self, driver: &Handle<Node>, peer: &NodeId) -> Result<(), Stopped> {
        let mut told = self.told.lock().await;
        // Looked at once: what changes from here on is told by whoever changes it.
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
    /// Wishes for a link to a member, for instance for a data path, until what is returned is dropped. The link is made
    /// as soon as the member is known and alive, if it can be dialled, and again when it breaks. A member that cannot be
    /// dialled must wish for the link itself.
    ///
    /// # Errors
    /// When there are too many wishes, the member is this node, or the node has ended.
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
    /// To whom.
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
                // A node that has ended wishes for nothing.
                let _ended = node.wishes.tell(node.driver(), &peer).await.is_err();
            });
        }
    }
}
