//! Routes to members, and notification when they change.

use crate::driver::Stopped;
use crate::transport::{MeshNode, Notice};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{Input, Node, Route};
use tokio::sync::broadcast::error::RecvError;

impl MeshNode {
    /// Returns the routes to all reachable members, by id.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn routes(&self) -> Result<Vec<Route>, Stopped> {
        self.driver().inspect(|node, _| node.routes()).await
    }

    /// Returns the tree of shortest paths from a member to all others in this node's view: for each reachable member,
    /// the node before it ([`Route::last`]) and the number of links.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn tree_of(&self, source: NodeId) -> Result<Vec<Route>, Stopped> {
        let tree = move |node: &Node, _| node.tree_of(&source);
        self.driver().inspect(tree).await
    }

    /// Enables notices of changed routes ([`Notice::RoutesChanged`]). Changes within one interval give one notice.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn watch_routes(&self) -> Result<(), Stopped> {
        self.driver().send(Input::WatchRoutes(true)).await
    }

    /// Calls `handle` with all routes, at once and after each change. Changes within one interval give one call. The
    /// calls run in a task of the node.
    pub fn on_routes_changed(&self, mut handle: impl FnMut(Vec<Route>) + Send + 'static) {
        let node = self.clone();
        let mut notices = self.subscribe();
        self.spawn(async move {
            if node.watch_routes().await.is_err() {
                return;
            }
            while let Ok(routes) = node.routes().await {
                handle(routes);
                loop {
                    match notices.recv().await {
                        Ok(Notice::RoutesChanged) | Err(RecvError::Lagged(_)) => break,
                        Ok(
                            Notice::Mesh(_)
                            | Notice::Channel(_)
                            | Notice::Revocation(_)
                            | Notice::Transport(_),
                        ) => {}
                        Err(RecvError::Closed) => return,
                    }
                }
            }
        });
    }
}
