//! Links that applications request, beside those the mesh needs: reference counts by member.
//!
//! Bound: [`WISHES_MAX`] members at one time. The machine is told of a request each time, since the request may come
//! before its member is known.

use crate::driver::{Handle, Stopped};
use phalanx_core::gossip;
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, Node, WISHES_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of requests for a link to each member. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct LinkRequests {
    held: Arc<Mutex<BTreeMap<NodeId, usize>>>,
    /// The members that the machine was told of. The lock is held while the machine is told, so that the last word is
    /// the one that holds.
    told: Arc<tokio::sync::Mutex<BTreeSet<NodeId>>>,
}

/// The reason why a link cannot be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkRequestError {
    /// Links to as many members as allowed are requested.
    #[error("links to {WISHES_MAX} members are requested; drop one first")]
    TooMany,
    /// The link is to the node itself.
    #[error("a node has no link to itself; request a link to another member")]
    Myself,
    /// The node has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl LinkRequests {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more request.
    pub(super) fn add(&self, peer: &NodeId) -> Result<(), LinkRequestError> {
        let mut held = self.lock();
        if held.len() >= WISHES_MAX && !held.contains_key(peer) {
            return Err(LinkRequestError::TooMany);
        }
        *held.entry(peer.clone()).or_default() += 1;
        Ok(())
    }

    /// Counts one request less. Returns whether it was the last for its member.
    pub(super) fn remove(&self, peer: &NodeId) -> bool {
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

    /// Tells the machine what is requested: first the requests that are over, since the machine has room for no more
    /// than are held, then the one for this member.
    pub(super) async fn tell(&self, driver: &Handle<Node>, peer: &NodeId) -> Result<(), Stopped> {
        let mut told = self.told.lock().await;
        // Read once: the caller of each later change tells the machine itself.
        let (over, requested) = {
            let held = self.lock();
            let over = told.iter().filter(|it| !held.contains_key(*it));
            (over.cloned().collect::<Vec<_>>(), held.contains_key(peer))
        };
        let send = async |peer: &NodeId, wanted| {
            let peer = peer.clone();
            let want = gossip::Input::Want { peer, wanted };
            driver.send(node::Input::Mesh(want)).await
        };
        for it in over {
            send(&it, false).await?;
            told.remove(&it);
        }
        if requested {
            send(peer, true).await?;
            told.insert(peer.clone());
        }
        drop(told);
        Ok(())
    }
}
