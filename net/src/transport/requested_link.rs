//! A requested link, as an application holds it.

use super::link_requests::LinkRequestError;
use super::node::MeshNode;
use phalanx_core::identity::NodeId;
use std::fmt;

/// A request for a link; it ends when this value is dropped.
pub struct RequestedLink {
    peer: NodeId,
    node: MeshNode,
}

impl MeshNode {
    /// Requests a link to a member, for instance for a data path, until the returned value is dropped. The link is made
    /// as soon as the member is known and alive, if it can be dialled, and again when it breaks. A member that cannot be
    /// dialled must request the link itself.
    ///
    /// # Errors
    /// When there are too many requests, the member is this node, or the node has ended.
    pub async fn request_link(&self, peer: NodeId) -> Result<RequestedLink, LinkRequestError> {
        let own = self.identity().subject().id().clone();
        self.link_requests.add(&own, &peer)?;
        let request = RequestedLink {
            peer,
            node: self.clone(),
        };
        self.link_requests
            .notify(self.driver(), &request.peer)
            .await?;
        Ok(request)
    }
}

impl RequestedLink {
    /// The member.
    #[must_use]
    pub const fn peer(&self) -> &NodeId {
        &self.peer
    }
}

impl fmt::Debug for RequestedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestedLink").field(&self.peer).finish()
    }
}

impl Drop for RequestedLink {
    fn drop(&mut self) {
        if self.node.link_requests.remove(&self.peer) {
            let (node, peer) = (self.node.clone(), self.peer.clone());
            self.node.spawn(async move {
                // A node that has ended has no links.
                let _ended = node
                    .link_requests
                    .notify(node.driver(), &peer)
                    .await
                    .is_err();
            });
        }
    }
}
