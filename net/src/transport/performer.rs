//! Carries out what a node's machine orders.

use super::dial::Dialer;
use super::links::Links;
use super::network::Network;
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
pub(crate) struct MeshPerformer<N, S> {
    pub(crate) dialer: Dialer<N>,
    pub(crate) links: Links,
    pub(crate) store: S,
    pub(crate) left: watch::Sender<bool>,
    pub(crate) observer: Option<Observer>,
}

impl<N: Network, S: EpochStore> Performer<Node> for MeshPerformer<N, S> {
    fn perform(&mut self, _now: Instant, order: node::Output) {
        let node::Output::Mesh(order) = order;
        match order {
            gossip::Output::Dial { dial, address } => {
                self.links
                    .tasks
                    .spawn(self.dialer.clone().dial(dial, address));
            }
            gossip::Output::Send { link, message } => self.links.send(link, message),
            gossip::Output::Close { link } => self.links.close(link),
            gossip::Output::Store { ticket, epoch } => {
                self.links
                    .tasks
                    .spawn(keep(self.store.clone(), self.links.clone(), ticket, epoch));
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

/// Stores an epoch, however often it takes.
async fn keep<S: EpochStore>(store: S, links: Links, ticket: Ticket, epoch: u64) {
    while let Err(error) = store.store(epoch).await {
        links.notice(Event::StoreFailed {
            reason: error.to_string(),
        });
        time::sleep(STORE_RETRY).await;
    }
    links.tell(Input::Stored { ticket }).await;
}
