//! The applications on one host. The applications execute the scenario's requests through the channels of
//! `phalanx-net`, like a program that embeds a node.

use crate::fabric::Fabric;
use core::pin::Pin;
use core::time::Duration;
use phalanx_core::channel::{ChannelName, Done, Options, Refusal};
use phalanx_net::channel::{Channel, Error, Received, TransactionOutcome};
use phalanx_net::transport::{MeshNode, Tasks};
use phalanx_sim::mesh::event_observer::Observed;
use phalanx_sim::mesh::{AppCommand, AppRequest, ChannelOpening, Event, HostApplications, payload};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::task::Poll;
use tokio::sync::{mpsc, oneshot};
use tokio::time;
use tokio_stream::Stream;

/// The initial state of the applications of one life of a host.
pub(crate) struct ApplicationProgram {
    pub(crate) applications: HostApplications,
    pub(crate) opens: BTreeMap<ChannelName, ChannelOpening>,
    pub(crate) orders: mpsc::UnboundedReceiver<AppCommand>,
}

/// The applications of a running node. Clones share the node and the fabric.
#[derive(Clone)]
struct AppHost {
    node: MeshNode,
    fabric: Fabric,
    host: usize,
    tasks: Tasks,
}

/// A channel that a task reads.
struct Reading {
    /// Dropping this sender ends the reading.
    close: oneshot::Sender<()>,
    /// Resolves when the channel is closed.
    closed: oneshot::Receiver<()>,
}

/// Runs the applications of a host until the sender of their orders is dropped.
pub(crate) async fn run(
    program: ApplicationProgram,
    node: MeshNode,
    fabric: Fabric,
    host: usize,
    tasks: Tasks,
) {
    let ApplicationProgram {
        mut applications,
        opens,
        mut orders,
    } = program;
    let host = AppHost {
        node,
        fabric,
        host,
        tasks,
    };
    let mut open = BTreeMap::new();
    for (channel, opening) in &opens {
        if let AppRequest::Open {
            channel,
            options,
            takes,
        } = AppRequest::open(channel.clone(), opening)
        {
            // The channel is opened at the start of a life, so the opening succeeds and its result is not reported.
            let _opened = host.open(&mut open, channel, options, takes).await;
        }
    }
    while let Some(order) = orders.recv().await {
        for act in applications.acts(order) {
            host.act(&mut open, act).await;
        }
    }
}

impl AppHost {
    fn reports(&self, event: Event) {
        self.fabric.observe(self.host, Observed::Reported(event));
    }

    /// Performs one request of an application. A request whose answer takes time runs as a task; tasks start in the
    /// order of the requests.
    async fn act(&self, open: &mut BTreeMap<ChannelName, Reading>, act: AppRequest) {
        if let Some(event) = act.reported() {
            self.reports(event);
        }
        let Some(asked) = act.asked() else {
            if let AppRequest::Close(channel) = act {
                close(open.remove(&channel)).await;
            }
            return;
        };
        if let AppRequest::Open {
            channel,
            options,
            takes,
        } = act
        {
            if let Some(result) = self.open(open, channel, options, takes).await {
                asked.answered(result).for_each(|event| self.reports(event));
            }
            return;
        }
        let host = self.clone();
        self.tasks.spawn(async move {
            if let Some(result) = host.ask(act).await {
                asked.answered(result).for_each(|event| host.reports(event));
            }
        });
    }

    /// Opens a channel and starts to read from it; returns `None` if the node has stopped.
    async fn open(
        &self,
        open: &mut BTreeMap<ChannelName, Reading>,
        name: ChannelName,
        options: Options,
        takes: Duration,
    ) -> Option<Result<Done, Refusal>> {
        let channel = match self.node.open(name.clone(), options).await {
            Ok(channel) => channel,
            Err(error) => return refused(error).map(Err),
        };
        if !takes.is_zero() {
            self.fabric.observe(self.host, Observed::Slow);
        }
        let (close, closing) = oneshot::channel();
        let (ended, closed) = oneshot::channel();
        open.insert(name, Reading { close, closed });
        let host = self.clone();
        self.tasks.spawn(async move {
            host.read(channel, takes, closing).await;
            drop(ended);
        });
        Some(Ok(Done::Opened))
    }

    /// Consumes the deliveries of a channel until either side closes the channel.
    async fn read(
        &self,
        mut channel: Channel,
        takes: Duration,
        mut closing: oneshot::Receiver<()>,
    ) {
        loop {
            // Deliveries in the mailbox are consumed in any case, because their senders were already notified of the
            // delivery.
            let next = poll_fn(|context| match Pin::new(&mut channel).poll_next(context) {
                Poll::Pending => Pin::new(&mut closing).poll(context).map(|_| None),
                ready @ Poll::Ready(_) => ready,
            });
            match next.await {
                None => return,
                Some(Received::Delivery(delivery)) => {
                    self.reports(Event::Handed(channel.name().clone(), delivery));
                    if !takes.is_zero() {
                        time::sleep(takes).await;
                    }
                }
                // Dropped deliveries did not reach the application, and the metrics count them as missing.
                Some(Received::Lagged { .. }) => {}
            }
        }
    }

    /// Sends a request whose answer arrives later; returns `None` if the node has stopped.
    async fn ask(&self, act: AppRequest) -> Option<Result<Done, Refusal>> {
        let client = self.node.channel_client();
        let done = match act {
            AppRequest::Open { .. } | AppRequest::Close(_) => return None,
            AppRequest::Publish {
                channel,
                number,
                bytes,
            } => {
                let published = client.publish(channel, payload(number, bytes)).await;
                published.map(|id| id.map_or(Done::Unchanged, Done::Published))
            }
            AppRequest::Send {
                channel,
                to,
                number,
                bytes,
                datagram: false,
            } => {
                let sent = client.send(channel, to, payload(number, bytes)).await;
                sent.map(|()| Done::Delivered)
            }
            AppRequest::Send {
                channel,
                to,
                number,
                bytes,
                datagram: true,
            } => {
                let payload = payload(number, bytes);
                let sent = client.send_datagram(channel, to, payload).await;
                sent.map(|()| Done::Sent)
            }
            AppRequest::Transact {
                channel,
                transaction,
            } => {
                let outcome = client.transact(channel, transaction).await;
                outcome.map(|outcome| match outcome {
                    TransactionOutcome::Committed(version) => Done::Committed(version),
                    TransactionOutcome::Differs(key) => Done::Differs(key),
                })
            }
        };
        match done {
            Ok(done) => Some(Ok(done)),
            Err(error) => refused(error).map(Err),
        }
    }
}

/// Waits until a channel is closed.
async fn close(reading: Option<Reading>) {
    if let Some(Reading { close, closed }) = reading {
        drop(close);
        // The sender is dropped without sending.
        let _closed = closed.await.is_err();
    }
}

fn refused(error: Error) -> Option<Refusal> {
    match error {
        Error::Refused(refusal) => Some(refusal),
        Error::Stopped(_) => None,
    }
}
