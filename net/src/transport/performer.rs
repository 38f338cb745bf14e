//! Carries out what a node's machine orders.

use super::dial::Dialer;
use super::links::Links;
use super::network::Network;
use super::node::{closed, until};
use super::{Event, Notice};
use crate::channel::Serving;
use crate::driver::Performer;
use crate::store::EpochStore;
use phalanx_core::channel;
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
    /// Serves the applications.
    pub(crate) serving: Serving,
    pub(crate) observer: Option<Observer>,
}

impl<N: Network> Performer<Node> for MeshPerformer<N> {
    fn perform(&mut self, _now: Instant, order: node::Output) {
        let order = match order {
            node::Output::Mesh(order) => order,
            node::Output::RoutesChanged => {
                let _nobody = self.links.notices.send(Notice::RoutesChanged).is_err();
                return;
            }
            node::Output::Channel(channel::Output::Report(event)) => {
                let _nobody = self.links.notices.send(Notice::Channel(event)).is_err();
                return;
            }
            node::Output::Channel(order) => return self.serving.perform(order),
        };
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
                if let gossip::Event::LinkUp { link, .. } = &event {
                    self.links.prepare_path(*link);
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Inbox;
    use crate::store::StoreError;
    use crate::transport::{Limits, Tasks};
    use std::io;
    use std::sync::{Arc, Mutex};
    use tokio::sync::broadcast;

    /// Fails twice, and notes what it was given.
    #[derive(Clone, Default)]
    struct Failing(Arc<Mutex<Vec<u64>>>);

    impl EpochStore for Failing {
        async fn store(&self, epoch: u64) -> Result<(), StoreError> {
            let mut given = self.0.lock().unwrap();
            given.push(epoch);
            if given.len() > 2 {
                return Ok(());
            }
            Err(StoreError::Io {
                doing: "writing",
                path: "epoch".into(),
                error: io::ErrorKind::StorageFull.into(),
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_epoch_is_stored_however_often_it_takes() {
        let inbox = Inbox::new();
        let (notices, mut told) = broadcast::channel(16);
        let links = Links::new(
            inbox.handle(),
            Inbox::new().handle(),
            Tasks::new(),
            Limits::default(),
            notices,
        );
        let store = Failing::default();
        let (orders, ordered) = watch::channel(None);
        let talk = async {
            orders.send_replace(Some((Ticket(1), 5)));
            time::sleep(STORE_RETRY / 2).await;
            orders.send_replace(Some((Ticket(2), 9)));
            time::sleep(STORE_RETRY * 5).await;
            drop(orders);
        };
        tokio::join!(keep_epochs(store.clone(), links, ordered), talk);
        assert_eq!(*store.0.lock().unwrap(), [5, 9, 9]);
        for _ in 0..2 {
            let notice = told.recv().await.unwrap();
            assert!(
                matches!(notice, Notice::Transport(Event::StoreFailed { .. })),
                "{notice:?}"
            );
        }
    }
}
