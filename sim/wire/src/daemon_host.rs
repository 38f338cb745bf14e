//! One host as the engine sees it: the engine copies its machine between two ticks, and passes inputs and orders to it.

use crate::host::Slot;
use core::task::{Context, Poll, Waker};
use phalanx_core::gossip::Input;
use phalanx_core::node::Node;
use phalanx_net::driver::Stopped;
use phalanx_net::store::MemoryStore;
use phalanx_net::transport::MeshNode;
use phalanx_sim::mesh::{AppCommand, Mesh};
use phalanx_sim::world::{HostTraffic, ProcessView, Program, World};
use std::future::Future;
use std::pin::Pin;
use tokio::sync::mpsc;

/// A pending request for a copy of a running node.
pub(super) type StateQuery = Pin<Box<dyn Future<Output = Result<Node, Stopped>>>>;

/// One host.
pub(super) struct DaemonHost {
    pub(super) slot: Slot,
    pub(super) store: MemoryStore,
    /// The number of starts of the host's process.
    pub(super) life: u32,
    /// Whether the host's process was started and not stopped.
    pub(super) runs: bool,
    /// The latest copy of the host's machine.
    pub(super) seen: Option<Node>,
    pub(super) question: Option<StateQuery>,
    /// The sender of orders to the host's applications.
    pub(super) orders: Option<mpsc::UnboundedSender<AppCommand>>,
    /// The traffic that earlier lives of the process sent.
    pub(super) sent_before: HostTraffic,
}

impl DaemonHost {
    pub(super) fn new() -> Self {
        Self {
            slot: Slot::default(),
            store: MemoryStore::default(),
            life: 0,
            runs: false,
            seen: None,
            question: None,
            orders: None,
            sent_before: HostTraffic::default(),
        }
    }

    pub(super) fn node(&self) -> Option<MeshNode> {
        self.slot.lock().node.clone()
    }

    pub(super) fn sent(&self) -> HostTraffic {
        let now = self.node().map(|node| node.traffic()).unwrap_or_default();
        HostTraffic {
            bytes: self.sent_before.bytes + now.bytes_sent,
            messages: self.sent_before.messages + now.messages_sent,
        }
    }

    /// Requests a copy of the machine; the answer arrives with the next tick.
    pub(super) fn ask(&mut self) {
        self.question = self.node().filter(|_| self.runs).map(|node| {
            let question: StateQuery =
                Box::pin(async move { node.driver().inspect(|node, _| node.clone()).await });
            question
        });
        self.refresh();
    }

    /// Takes the answer, if it has arrived.
    pub(super) fn refresh(&mut self) {
        let Some(question) = &mut self.question else {
            return;
        };
        match question
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(mesh)) => self.seen = Some(mesh),
            // The node left, so its last state is kept.
            Poll::Ready(Err(Stopped)) => {
                let left = self.slot.lock().left.clone();
                self.seen = left.or_else(|| self.seen.take());
            }
            Poll::Pending => return,
        }
        self.question = None;
    }

    /// Sends an order to the host's applications, which receive the order in the next tick. Returns whether the
    /// applications run.
    pub(super) fn order(&self, order: AppCommand) -> bool {
        let orders = self.orders.as_ref().filter(|_| self.runs);
        orders.is_some_and(|orders| orders.send(order).is_ok())
    }

    /// Delivers an input, which the machine handles in the next tick.
    pub(super) fn notify(&self, input: Input) {
        if let Some(node) = self.node() {
            let mut sending = Box::pin(async move { node.send(input).await });
            // The inbox is far from full, so one poll delivers the input; a node that has ended needs no inputs.
            let _delivered = sending
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// The hosts as the judge sees them, with their observations.
pub(super) struct WireWorld<'a>(pub(super) &'a [DaemonHost], pub(super) &'a Mesh);

impl World for WireWorld<'_> {
    fn view(&self, host: usize) -> Option<&dyn ProcessView> {
        let node = self.0[host].seen.as_ref()?;
        Some(node)
    }

    fn traffic(&self, host: usize) -> HostTraffic {
        self.0[host].sent()
    }

    fn program(&self, index: usize) -> Option<&dyn Program> {
        (index == 0).then_some(self.1)
    }
}
