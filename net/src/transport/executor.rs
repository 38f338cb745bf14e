//! Executes the outputs of a node's machine.

use super::dial::TransportDialer;
use super::dials::DialsInProgress;
use super::lifetime::{closed, until};
use super::links::OpenLinks;
use super::network::Network;
use super::revocation_gate::RevocationGate;
use super::revocations::{RevocationAnswers, StoreOrder};
use super::store_orders::{is_stored, perform_orders};
use crate::applications::registry::Dispatcher;
use crate::driver::Executor;
use crate::link::{Notice, TransportEvent};
use crate::store::{Store, addresses, epoch};
use phalanx_core::channel;
use phalanx_core::gossip::Input;
use phalanx_core::link::Ticket;
use phalanx_core::node::{self, Node};
use phalanx_core::time::Instant;
use std::net::SocketAddr;
use tokio::sync::watch;

/// Called with every input of a node's machine, before the machine processes it.
pub type Observer = Box<dyn FnMut(Instant, &node::Input) + Send>;

/// The executor of one node.
pub(crate) struct MeshExecutor<N> {
    pub(crate) dialer: TransportDialer<N>,
    pub(crate) dials: DialsInProgress,
    pub(crate) links: OpenLinks,
    /// The newest epoch to store; see [`keep_epochs`].
    pub(crate) orders: watch::Sender<Option<(Ticket, u64)>>,
    /// The newest addresses to keep; see [`keep_addresses`].
    pub(crate) addresses: watch::Sender<Vec<SocketAddr>>,
    /// The newest revocations to store.
    pub(crate) revocation_orders: watch::Sender<StoreOrder>,
    /// Verifies and enforces revocations.
    pub(crate) revocations: RevocationGate,
    pub(crate) revocation_answers: RevocationAnswers,
    /// Signals that the node ends.
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) left: watch::Sender<bool>,
    /// Performs outputs for applications.
    pub(crate) dispatcher: Dispatcher,
    pub(crate) observer: Option<Observer>,
}

impl<N: Network> Executor<Node> for MeshExecutor<N> {
    fn execute(&mut self, _now: Instant, order: node::Output) {
        match order {
            node::Output::RoutesChanged => {
                self.links.notices.publish(Notice::RoutesChanged);
            }
            node::Output::Channel(channel::Output::Report(event)) => {
                self.links.notices.publish(Notice::Channel(event));
            }
            node::Output::Channel(order) => self.dispatcher.perform(order),
            node::Output::Dial { dial, address } => {
                let cancelled = self.dials.begin(dial);
                let cancelled = async {
                    // The sender is dropped if the same dial begins again.
                    drop(cancelled.await);
                };
                let dial = until(self.dialer.clone().dial(dial, address), cancelled);
                self.links.tasks.spawn(until(dial, closed(&self.closing)));
            }
            node::Output::CancelDial { dial } => self.dials.cancel(dial),
            node::Output::Resolve { ticket, name } => {
                let resolve = self.dialer.clone().resolve(ticket, name);
                self.links
                    .tasks
                    .spawn(until(resolve, closed(&self.closing)));
            }
            node::Output::Send { link, message } => self.links.send(link, message),
            node::Output::Close { link } => self.links.close(link),
            node::Output::LinkOpened { link, instance } => {
                self.links.prepare_path(link, instance);
            }
            node::Output::Store { ticket, epoch } => {
                self.orders.send_replace(Some((ticket, epoch)));
            }
            node::Output::KeepAddresses { addresses } => {
                self.addresses.send_replace(addresses);
            }
            node::Output::StoreRevocations {
                ticket,
                revocations,
            } => {
                self.revocation_orders
                    .send_replace(Some((ticket, revocations)));
            }
            node::Output::EnforceRevocation(revocation) => {
                self.revocations.enforce(&revocation);
                if self.revocations.concerns_own(&revocation) {
                    self.links.notice(TransportEvent::OwnCertificateRevoked);
                }
            }
            node::Output::RevocationAnswer { request, result } => {
                self.revocation_answers.answer(request, result);
            }
            node::Output::ReportRevocation(event) => {
                self.links.notices.publish(Notice::Revocation(event));
            }
            node::Output::Left => {
                self.left.send_replace(true);
            }
            node::Output::Report(event) => {
                self.links.notices.publish(Notice::Mesh(event));
            }
        }
    }

    fn observe(&mut self, now: Instant, input: &node::Input) {
        if let Some(observer) = &mut self.observer {
            observer(now, input);
        }
    }
}

/// Stores epochs one after the other. A newer order replaces one that waits, since the machine waits for its newest
/// alone. Ends with the machine's loop.
pub(crate) async fn keep_epochs<S: Store>(
    store: S,
    links: OpenLinks,
    orders: watch::Receiver<Option<(Ticket, u64)>>,
) {
    let (store, links) = (&store, &links);
    perform_orders(orders, |order| async move {
        let Some((ticket, newest)) = order else {
            return;
        };
        let done = if is_stored(links, epoch::save(store, newest).await) {
            Input::Stored { ticket }
        } else {
            Input::StoreFailed { ticket }
        };
        links.notify(done).await;
    })
    .await;
}

/// Stores addresses of members. A newer order replaces one that waits. An order that fails is reported and dropped.
/// Ends with the machine's loop.
pub(crate) async fn keep_addresses<S: Store>(
    store: S,
    links: OpenLinks,
    orders: watch::Receiver<Vec<SocketAddr>>,
) {
    let (store, links) = (&store, &links);
    perform_orders(orders, |newest| async move {
        let _reported = is_stored(links, addresses::save(store, &newest).await);
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{self, Inbox, TimeOrigin};
    use crate::notices::Notices;
    use crate::store::{ItemName, StoreError};
    use crate::transport::{Limits, Tasks};
    use phalanx_core::gossip::Config;
    use phalanx_core::identity::NodeId;
    use phalanx_core::topology::record::Content;
    use std::io;
    use std::sync::{Arc, Mutex};

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

    /// Notes the inputs of a machine, and performs nothing.
    #[derive(Clone, Default)]
    struct Noting(Arc<Mutex<Vec<node::Input>>>);

    impl Executor<Node> for Noting {
        fn execute(&mut self, _now: Instant, _order: node::Output) {}

        fn observe(&mut self, _now: Instant, input: &node::Input) {
            self.0.lock().unwrap().push(input.clone());
        }
    }

    #[tokio::test]
    async fn the_machine_learns_whether_its_newest_epoch_was_stored() {
        let inbox = Inbox::new();
        let notices = Notices::new();
        let mut received = notices.subscribe();
        let links = OpenLinks::new(
            inbox.handle(),
            Inbox::new().handle(),
            Tasks::new(),
            Limits::default(),
            notices,
        );
        let (store, noting) = (Failing::default(), Noting::default());
        let id = NodeId::new("a").unwrap();
        let config = Config::new(id, "test", 1, 1, Content::default(), vec![]);
        let origin = TimeOrigin::begin();
        let machine = Node::new(config, 1, origin.now());
        let (orders, ordered) = watch::channel(None);
        orders.send_replace(Some((Ticket(1), 5)));
        // The second order comes before the first is seen, and replaces it.
        orders.send_replace(Some((Ticket(2), 7)));
        let handle = inbox.handle();
        let talk = async {
            let stored = async |epoch| {
                while store.0.lock().unwrap().last() != Some(&epoch::encode(epoch)) {
                    tokio::task::yield_now().await;
                }
            };
            stored(7).await;
            for (ticket, epoch) in [(3, 8), (4, 9)] {
                orders.send_replace(Some((Ticket(ticket), epoch)));
                stored(epoch).await;
            }
            drop(orders);
        };
        let keep = async {
            tokio::join!(keep_epochs(store.clone(), links, ordered), talk);
            handle.stop().await;
        };
        tokio::join!(driver::run(machine, noting.clone(), inbox, origin), keep);
        assert_eq!(*store.0.lock().unwrap(), [7, 8, 9].map(epoch::encode));
        let inputs = [
            Input::StoreFailed { ticket: Ticket(2) },
            Input::StoreFailed { ticket: Ticket(3) },
            Input::Stored { ticket: Ticket(4) },
        ];
        assert_eq!(*noting.0.lock().unwrap(), inputs.map(node::Input::Mesh));
        for _ in 0..2 {
            let notice = received.recv().await.unwrap();
            assert!(
                matches!(
                    notice,
                    Notice::Transport(TransportEvent::StoreFailed { .. })
                ),
                "{notice:?}"
            );
        }
        assert!(received.try_recv().is_err());
    }
}
