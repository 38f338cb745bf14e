//! The members of the mesh that announce registries, as this node sees them. Core chooses among them.

use crate::driver::{Handle, Stopped};
use crate::link::Notice;
use crate::transport::MeshNode;
use phalanx_core::gossip::Gossip;
use phalanx_core::node::Node;
use phalanx_core::registry::members::{
    REGION_ENTRY, REGISTRY_SERVICE, REGISTRY_VERSION, RegistryMember, RegistryMembers,
};
use phalanx_core::registry::sequencer::{Input, Sequencer};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time;

/// Least time between two readings of the node's view.
const INTERVAL: Duration = Duration::from_millis(100);

/// Reads the members that are not down, and those of `former` that are.
fn read(mesh: &Gossip, former: &RegistryMembers) -> RegistryMembers {
    let mut ids = mesh.providers(REGISTRY_SERVICE, Some(REGISTRY_VERSION));
    ids.extend(former.iter().map(|it| it.id.clone()));
    ids.sort();
    ids.dedup();
    let members = ids.iter().filter_map(|id| mesh.member(id));
    let members =
        members.filter_map(|it| RegistryMember::of(it.record.id(), it.status, it.record.content()));
    RegistryMembers::new(members)
}

/// Returns the members that announce registries, as a node sees them.
///
/// # Errors
/// If the node has stopped.
async fn registry_members(
    driver: &Handle<Node>,
    former: RegistryMembers,
) -> Result<RegistryMembers, Stopped> {
    driver
        .inspect(move |node, _| read(node.mesh(), &former))
        .await
}

/// Returns the registry that a node uses that runs none: its choice by core. None if no member announces a registry.
///
/// # Errors
/// If the node has stopped.
pub(crate) async fn nearest_registry(
    driver: &Handle<Node>,
) -> Result<Option<RegistryMember>, Stopped> {
    let found = driver.inspect(|node, _| {
        let mesh = node.mesh();
        let own = mesh.member(mesh.id());
        let region = own.and_then(|it| {
            let region = it.record.content().metadata.get(REGION_ENTRY)?;
            region.parse().ok()
        });
        let members = read(mesh, &RegistryMembers::default());
        members.nearest(region.as_ref()).cloned()
    });
    found.await
}

/// Tells a registry of the members that announce registries, until the node or the registry ends.
pub(crate) async fn follow(node: MeshNode, registry: Handle<Sequencer>) {
    let mut notices = node.subscribe();
    let mut told = RegistryMembers::default();
    loop {
        let Ok(members) = registry_members(node.driver(), told.clone()).await else {
            return;
        };
        if told != members {
            told = members.clone();
            if registry.send(Input::Registries(members)).await.is_err() {
                return;
            }
        }
        if !hears_of_members(&mut notices).await {
            return;
        }
        time::sleep(INTERVAL).await;
    }
}

/// Waits for an event of the mesh. Returns false if the node has ended.
async fn hears_of_members(notices: &mut broadcast::Receiver<Notice>) -> bool {
    loop {
        match notices.recv().await {
            Ok(Notice::Mesh(_)) | Err(broadcast::error::RecvError::Lagged(_)) => return true,
            Ok(
                Notice::Channel(_)
                | Notice::RoutesChanged
                | Notice::Revocation(_)
                | Notice::Transport(_),
            ) => {}
            Err(broadcast::error::RecvError::Closed) => return false,
        }
    }
}
