//! One simulated host: its disk, its process, and the state that the engine shares with them.

use crate::applications::{self, ApplicationProgram};
use crate::fabric::Fabric;
use crate::network::HostNetwork;
use core::time::Duration;
use phalanx_core::gossip::Config;
use phalanx_core::node::{self, Node};
use phalanx_net::identity::Identity;
use phalanx_net::store::MemoryStore;
use phalanx_net::transport::{
    BoundPort, Limits, MeshNode, Notice, Settings, Tasks, TrustedSubnets,
};
use phalanx_sim::mesh::event_observer::Observed;
use phalanx_sim::model::PORT;
use std::future::{Future, poll_fn};
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;
use tonic::service::Routes;

/// The initial state of the next life of a process.
pub(crate) struct Boot {
    pub(crate) config: Config,
    pub(crate) seed: u64,
    pub(crate) identity: Identity,
    pub(crate) store: MemoryStore,
    pub(crate) program: ApplicationProgram,
}

/// The state that the engine and the process share. Clones share the state.
#[derive(Clone, Default)]
pub(crate) struct Slot {
    inner: Arc<Mutex<Shared>>,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) boot: Option<Boot>,
    /// The running node.
    pub(crate) node: Option<MeshNode>,
    pub(crate) notices: Option<broadcast::Receiver<Notice>>,
    /// The state in which the node left.
    pub(crate) left: Option<Node>,
}

impl Slot {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the host's process once: a node until it leaves. If there is no boot state, no process runs.
pub(crate) async fn process(slot: Slot, network: HostNetwork) -> turmoil::Result {
    let Some(boot) = slot.lock().boot.take() else {
        return Ok(());
    };
    let (fabric, host) = (network.fabric.clone(), network.host);
    drop(fabric.drain_closed(host));
    let bound = BoundPort::bind(network, (Ipv4Addr::UNSPECIFIED, PORT).into()).await?;
    let watched = fabric.clone();
    let settings = Settings {
        config: boot.config,
        seed: boot.seed,
        identity: boot.identity,
        store: boot.store,
        trusted: TrustedSubnets::default(),
        limits: Limits::default(),
        observer: Some(Box::new(move |_, input: &node::Input| {
            watched.input(host, input);
        })),
        overlay: None,
    };
    let node = bound.start(settings, |node| {
        slot.lock().notices = Some(node.subscribe());
        Routes::default()
    })?;
    fabric.listen(host, true);
    slot.lock().node = Some(node.clone());
    let tasks = Tasks::new();
    let applications = applications::run(
        boot.program,
        node.clone(),
        fabric.clone(),
        host,
        tasks.clone(),
    );
    tasks.spawn(applications);
    draining_closed(&fabric, host, node.has_left()).await;
    let last = node.driver().inspect(|node, _| node.clone()).await;
    slot.lock().left = last.ok();
    fabric.listen(host, false);
    fabric.observe(host, Observed::Ended);
    tasks.finish(Duration::ZERO).await;
    node.shutdown().await;
    Ok(())
}

/// Waits for `end`; meanwhile drops closed connections as soon as their FIN can reach the peer again.
async fn draining_closed(fabric: &Fabric, host: usize, end: impl Future<Output = ()>) {
    let waiter = fabric.waiter();
    let mut end = pin!(end);
    poll_fn(|context| {
        drop(fabric.drain_closed(host));
        fabric.wait(waiter, context);
        end.as_mut().poll(context)
    })
    .await;
    fabric.leave(waiter);
}
