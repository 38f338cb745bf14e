//! Carries out what a node's machine orders.

use super::dial::Dialer;
use super::lifetime::{closed, until};
use super::links::Links;
use super::network::Network;
use crate::applications::registry::Dispatcher;
use crate::driver::Performer;
use crate::link::{Event, Notice};
use crate::store::{Store, epoch};
use phalanx_core::channel;
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
    /// Performs outputs for applications.
    pub(crate) dispatcher: Dispatcher,
    pub(crate) observer: Option<Observer>,
}

impl<N: Network> Performer<Node> for MeshPerformer<N> {
    fn perform(&mut self, _now: Instant, order: node::Output) {
        match order {
            node::Output::RoutesChanged => {
                let _nobody = self.links.notices.send(Notice::RoutesChanged).is_err();
            }
            node::Output::Channel(channel::Output::Report(event)) => {
                let _nobody = self.links.notices.send(Notice::Channel(event)).is_err();
            }
            node::Output::Channel(order) => self.dispatcher.perform(order),
            node::Output::Dial { dial, address } => {
                let dial = self.dialer.clone().dial(dial, address);
                self.links.tasks.spawn(until(dial, closed(&self.closing)));
            }
            node::Output::Send { link, message } => self.links.send(link, message),
            node::Output::Close { link } => self.links.close(link),
            node::Output::LinkOpened { link } => self.links.prepare_path(link),
            node::Output::Store { ticket, epoch } => {
                self.orders.send_replace(Some((ticket, epoch)));
            }
            node::Output::Left => {
                self.left.send_replace(true);
            }
            node::Output::Report(event) => {
                // An error means that nothing listens.
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
pub(crate) async fn keep_epochs<S: Store>(
    store: S,
    links: Links,
    mut orders: watch::Receiver<Option<(Ticket, u64)>>,
) {
    while orders.changed().await.is_ok() {
        loop {
            let Some((ticket, newest)) = *orders.borrow_and_update() else {
                break;
            };
            let Err(error) = epoch::save(&store, newest).await else {
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
    use crate::store::{ItemName, StoreError};
    use crate::transport::{Limits, Tasks};
    use std::io;
    use std::sync::{Arc, Mutex};
    use tokio::sync::broadcast;

    /// Fails twice, and notes the bytes it was given.
    #[derive(Clone, Default)]
    struct Failing(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Store for Failing {
        async fn load(&self, _name: ItemName) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }

        async fn update<T, E>(
            &self,
            name: ItemName,
            change: impl FnOnce(Option<&[u8]>) -> Result<(Vec<u8>, T), E> + Send + 'static,
        ) -> Result<T, E>
        where
            T: Send + 'static,
            E: From<StoreError> + Send + 'static,
        {
            let mut given = self.0.lock().unwrap();
            let (bytes, result) = change(None)?;
            given.push(bytes);
            if given.len() > 2 {
                return Ok(result);
            }
            Err(E::from(StoreError::Io {
                doing: "writing",
                path: name.as_str().into(),
                error: io::ErrorKind::StorageFull.into(),
            }))
        }

        fn place(&self, name: ItemName) -> String {
            name.to_string()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_epoch_is_stored_however_often_it_takes() {
        let inbox = Inbox::new();
        let (notices, mut told) = broadcast::channel(16);
        let links = Links::new(inbox.handle(), Tasks::new(), Limits::default(), notices);
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
        assert_eq!(*store.0.lock().unwrap(), [5, 9, 9].map(epoch::encode));
        for _ in 0..2 {
            let notice = told.recv().await.unwrap();
            assert!(
                matches!(notice, Notice::Transport(Event::StoreFailed { .. })),
                "{notice:?}"
            );
        }
    }
}
