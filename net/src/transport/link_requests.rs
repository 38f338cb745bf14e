//! Links that applications request, beside those the mesh needs. Core counts the requests.

use crate::driver::{Handle, Stopped};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, LinkRefusal, Node};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The requests for links. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct SharedLinkRequests {
    held: Arc<Mutex<node::LinkRequests>>,
    /// Held while inputs are sent, so that the machine receives them in the order of the changes.
    passing: Arc<tokio::sync::Mutex<()>>,
}

/// The reason why a link cannot be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkRequestError {
    /// The request is refused.
    #[error(transparent)]
    Refused(#[from] LinkRefusal),
    /// The node has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl SharedLinkRequests {
    fn lock(&self) -> MutexGuard<'_, node::LinkRequests> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one request of the node `own`.
    pub(super) fn add(&self, own: &NodeId, peer: &NodeId) -> Result<(), LinkRefusal> {
        self.lock().add(own, peer)
    }

    /// Removes one request. Returns whether it was the last for its member.
    pub(super) fn remove(&self, peer: &NodeId) -> bool {
        self.lock().remove(peer)
    }

    /// Passes outstanding changes to the machine, the last of them about this member.
    pub(super) async fn notify(&self, driver: &Handle<Node>, peer: &NodeId) -> Result<(), Stopped> {
        let passing = self.passing.lock().await;
        // Read once: the caller of each later change passes that change to the machine itself.
        let changes = self.lock().outstanding(peer);
        for change in changes {
            driver
                .send(node::Input::Mesh(change.clone().into()))
                .await?;
            self.lock().on_passed(&change);
        }
        drop(passing);
        Ok(())
    }
}
