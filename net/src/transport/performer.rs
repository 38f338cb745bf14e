//! Carries out what a node's machine orders.

use super::dial::Dialer;
use super::links::Links;
use super::network::Network;
use super::node::{closed, until};
use super::{Event, Notice};
use crate::driver::Performer;
use crate::store::EpochStore;
use phalanx_core::gossip;
use phalanx_core::gossip::{Input, Ticket};
use phalanx_core::node::{self, Node};
use phalanx_core::time::Instant;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time;

/// How long to wait before an epoch that could not be stored is tried again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Sees everything that happens to a node's machine, before it happens.
pub type Observer = Box<dyn FnMut(Instant, &node::Input) + Send>;

/// Performs for one node.
pub(crate) struct MeshPerformer<N> {
    pub(crate) dialer: Dialer<N>,
    pub(crate) links: Links,
    /// The newest epoch to store; see [`keep_epochs`].
    pub(crate) orders: watch::Sender<Option<(Ticket, u64)>>,
    /// Says when the node ends.
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) left: watch::Sender<bool>,
    pub(crate) observer: Option<Observer>,
}

impl<N: Network> Performer<Node> for MeshPerformer<N> {
    fn perform(&mut self, _now: Instant, order: node::Output) {
        let node::Output::Mesh(order) = order;
        match order {
            gossip::Output::Dial { dial, address } => {
                let dial = self.dialer.clone().dial(dial, address);
                self.links.tasks.spawn(until(dial, closed(&self.closing)));
            }
            gossip::Output::Send { link, message } => self.links.send(link, message),
            gossip::Output::Close { link } => self.links.close(link),
            gossip::Output::Store { ticket, epoch } => {
                self.orders.send_replace(Some((ticket, epoch)));
            }
            gossip::Output::Left => {
                self.left.send_replace(true);
            }
            gossip::Output::Report(event) => {
                // Nobody needs to listen.
                let _nobody = self.links.notices.send(Notice::Mesh(event)).is_err();
            }
        }
    }

    fn observe(&mut self, now: Instant, input: &node::Input) {
        if let Some(observer) = &mut self.observer {
            observer(now, input);
        }
    }
}

/// Stores epochs one after the other, each however often it takes. A newer order takes the place of one that is
/// waiting: the machine waits for its newest alone. Ends with the machine's loop.
pub(crate) async fn keep_epochs<S: EpochStore>(
    store: S,
    links: Links,
    mut orders: watch::Receiver<Option<(Ticket, u64)>>,
) {
    while orders.changed().await.is_ok() {
        loop {
            let Some((ticket, epoch)) = *orders.borrow_and_update() else {
                break;
            };
            let Err(error) = store.store(epoch).await else {
                links.tell(Input::Stored { ticket }).await;
                break;
            };
            links.notice(Event::StoreFailed {
                reason: error.to_string(),
            });
            if let Ok(Err(_ended)) = time::timeout(STORE_RETRY, orders.changed()).await {
                return;
            }
        }
    }
}
