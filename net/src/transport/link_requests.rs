//! Links that applications request, beside those the mesh needs: reference counts by member.
//!
//! Bound: [`APPLICATION_LINKS_MAX`] members at one time. Each request is passed to the machine, since a request may precede the
//! first record of its member.

use crate::driver::{Handle, Stopped};
use phalanx_core::gossip;
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, APPLICATION_LINKS_MAX, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of requests for a link to each member. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct LinkRequests {
    held: Arc<Mutex<BTreeMap<NodeId, usize>>>,
    /// The members whose requests were passed to the machine. The lock is held while inputs are sent, so that the
    /// machine receives them in the order of the changes.
    notified: Arc<tokio::sync::Mutex<BTreeSet<NodeId>>>,
}

/// The reason why a link cannot be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkRequestError {
    /// The maximum number of members with a requested link is reached.
    #[error("links to {APPLICATION_LINKS_MAX} members are requested; drop one first")]
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
        if held.len() >= APPLICATION_LINKS_MAX && !held.contains_key(peer) {
            return Err(LinkRequestError::TooMany);
        }
        *held.entry(peer.clone()).or_default() += 1;
        Ok(())
    }

    /// Removes one request. Returns whether it was the last for its member.
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

    /// Passes changes to the machine: first the withdrawn requests, since the machine's capacity equals the bound, then
    /// the request for this member.
    pub(super) async fn notify(&self, driver: &Handle<Node>, peer: &NodeId) -> Result<(), Stopped> {
        let mut notified = self.notified.lock().await;
        // Read once: the caller of each later change passes that change to the machine itself.
        let (over, is_requested) = {
            let held = self.lock();
            let over = notified.iter().filter(|it| !held.contains_key(*it));
            (over.cloned().collect::<Vec<_>>(), held.contains_key(peer))
        };
        let send = async |peer: &NodeId, requested| {
            let peer = peer.clone();
            let request = gossip::Input::RequestLink { peer, requested };
            driver.send(node::Input::Mesh(request)).await
        };
        for it in over {
            send(&it, false).await?;
            notified.remove(&it);
        }
        if is_requested {
            send(peer, true).await?;
            notified.insert(peer.clone());
        }
        drop(notified);
        Ok(())
    }
}
