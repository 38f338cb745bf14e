//! The queue of outgoing messages of one link.
//!
//! The order of the messages and the bounds are those of [`Backlog`];
//! [`Message::placement`](phalanx_core::node::Message::placement) is the place of a message.

use crate::wire::PacketParts;
use phalanx_core::backlog::{Backlog, Overflow, QueueLimits};
use phalanx_core::lane::{Lane, Placement};
use phalanx_core::link::LocalClose;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio_stream::Stream;

/// The end of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueEnd {
    /// This node closed the link: waiting messages are still sent.
    Closed,
    /// The queue was full: the link is broken, and waiting messages are discarded.
    Overflowed,
    /// An overlay closed the link: waiting messages are still sent.
    GivenUp,
    /// This node closed the link because of a certificate: waiting messages are still sent.
    ForCertificate(LocalClose),
}

#[derive(Debug)]
struct State {
    backlog: Backlog<PacketParts>,
    ending: Option<QueueEnd>,
    /// The reason for which the peer's last message was refused, to be sent after the queue ended.
    refusal: Option<String>,
    /// Waker of the task that sends on the stream.
    sender: Option<Waker>,
    /// Waker of the task that reads the stream, to notify it of the end.
    reader: Option<Waker>,
}

/// The queue of one link, at the node's side.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
}

/// The queue of one link, at the stream's side. The stream ends when the queue is closed and empty.
#[derive(Debug)]
pub(crate) struct Outbound {
    queue: Arc<Queue>,
}

impl Queue {
    /// Creates an empty queue: the node's side and the stream's side.
    pub(crate) fn new(limits: QueueLimits) -> (Arc<Self>, Outbound) {
        let state = State {
            backlog: Backlog::new(limits),
            ending: None,
            refusal: None,
            sender: None,
            reader: None,
        };
        let queue = Arc::new(Self {
            state: Mutex::new(state),
        });
        (queue.clone(), Outbound { queue })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message. A full queue overflows; after the end of the queue the message is
    /// dropped.
    pub(crate) fn push(&self, parts: impl Into<PacketParts>) {
        let parts = parts.into();
        let length = parts.encoded_len();
        let mut state = self.lock();
        if state.ending.is_some() {
            return;
        }
        match state.backlog.push(placement(&parts), length, parts) {
            Ok(()) => wake(&mut state.sender),
            Err(Overflow) => state.end(QueueEnd::Overflowed),
        }
    }

    /// Accepts no further messages; waiting ones are still sent.
    pub(crate) fn close(&self) {
        self.end(QueueEnd::Closed);
    }

    /// The same, on request of an overlay.
    pub(crate) fn give_up(&self) {
        self.end(QueueEnd::GivenUp);
    }

    /// The same, because of a certificate.
    pub(crate) fn close_for(&self, reason: LocalClose) {
        self.end(QueueEnd::ForCertificate(reason));
    }

    fn end(&self, ending: QueueEnd) {
        let mut state = self.lock();
        if state.ending.is_none() {
            state.end(ending);
        }
    }

    /// Accepts no further messages and discards the waiting ones.
    pub(crate) fn discard(&self) {
        let mut state = self.lock();
        state.backlog.clear();
        let ending = state.ending.unwrap_or(QueueEnd::Closed);
        state.end(ending);
    }

    /// Accepts no further messages and discards the waiting ones; the peer is told why.
    pub(crate) fn refuse(&self, reason: String) {
        self.lock().refusal = Some(reason);
        self.discard();
    }

    /// Returns the end of the queue, once it has ended.
    pub(crate) fn poll_ending(&self, context: &Context<'_>) -> Poll<QueueEnd> {
        let mut state = self.lock();
        match state.ending {
            Some(ending) => Poll::Ready(ending),
            None => {
                remember(&mut state.reader, context);
                Poll::Pending
            }
        }
    }
}

impl Outbound {
    /// Takes the reason for which the peer's last message was refused.
    pub(crate) fn take_refusal(&self) -> Option<String> {
        self.queue.lock().refusal.take()
    }
}

impl State {
    fn end(&mut self, ending: QueueEnd) {
        self.ending = Some(ending);
        wake(&mut self.sender);
        wake(&mut self.reader);
    }
}

/// Returns where a packet waits: with its message, or with the signals of data paths.
fn placement(parts: &PacketParts) -> Placement {
    match &parts.message {
        Some(message) => message.placement(),
        None => Placement::of(Lane::DataPath),
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

fn remember(waker: &mut Option<Waker>, context: &Context<'_>) {
    if !waker
        .as_ref()
        .is_some_and(|known| known.will_wake(context.waker()))
    {
        *waker = Some(context.waker().clone());
    }
}

impl Stream for Outbound {
    type Item = PacketParts;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PacketParts>> {
        let mut state = self.queue.lock();
        let next = state.backlog.pop();
        if next.is_some() {
            return Poll::Ready(next);
        }
        if state.ending.is_some() {
            return Poll::Ready(None);
        }
        remember(&mut state.sender, context);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::Signal;
    use phalanx_core::channel::Data;
    use phalanx_core::gossip::Message as Mesh;
    use phalanx_core::gossip::message::{Frame, Goodbye, Sync};
    use phalanx_core::node::Message;
    use std::future::poll_fn;
    use tokio_stream::StreamExt;

    fn heartbeat() -> Message {
        Message::Mesh(Mesh::Frame(Frame::default()))
    }

    fn hash(value: u64) -> Message {
        Message::Mesh(Mesh::Frame(Frame {
            hash: Some(value),
            ..Frame::default()
        }))
    }

    fn bulk(digests: usize) -> Message {
        Message::Mesh(Mesh::Frame(Frame {
            sync: vec![Sync::Want(vec![1; digests])],
            ..Frame::default()
        }))
    }

    fn data(credit: u32) -> Message {
        Message::Channel(Data {
            credit,
            ..Data::default()
        })
    }

    async fn sent(outbound: &mut Outbound) -> Vec<Message> {
        let sent: Vec<PacketParts> = outbound.collect().await;
        sent.into_iter().filter_map(|it| it.message).collect()
    }

    #[tokio::test]
    async fn heartbeats_overtake_bulk_data_but_hashes_and_goodbyes_do_not() {
        let (queue, mut outbound) = Queue::new(QueueLimits::default());
        let goodbye = Message::Mesh(Mesh::Goodbye(Goodbye::Unneeded));
        for message in [bulk(1), bulk(2), hash(7), heartbeat(), goodbye.clone()] {
            queue.push(message);
        }
        queue.close();
        queue.push(heartbeat());
        assert_eq!(
            sent(&mut outbound).await,
            [heartbeat(), bulk(1), bulk(2), hash(7), goodbye]
        );
    }

    #[tokio::test]
    async fn the_mesh_overtakes_application_data_but_a_goodbye_does_not() {
        let (queue, mut outbound) = Queue::new(QueueLimits::default());
        let goodbye = Message::Mesh(Mesh::Goodbye(Goodbye::Unneeded));
        for message in [data(1), data(2), bulk(1), hash(7), heartbeat()] {
            queue.push(message);
        }
        queue.push(goodbye.clone());
        queue.close();
        assert_eq!(
            sent(&mut outbound).await,
            [heartbeat(), bulk(1), hash(7), data(1), data(2), goodbye]
        );
    }

    #[tokio::test]
    async fn overlay_signals_are_sent_between_the_mesh_and_data_and_before_a_goodbye() {
        let (queue, mut outbound) = Queue::new(QueueLimits::default());
        let goodbye = Message::Mesh(Mesh::Goodbye(Goodbye::Unneeded));
        queue.push(Signal::Ready);
        for message in [data(1), bulk(1), heartbeat()] {
            queue.push(message);
        }
        let first: Vec<PacketParts> = (&mut outbound).take(2).collect().await;
        assert_eq!(first, [heartbeat().into(), bulk(1).into()]);
        assert_eq!(outbound.next().await, Some(Signal::Ready.into()));
        assert_eq!(outbound.next().await, Some(data(1).into()));
        queue.push(Signal::Established);
        queue.push(goodbye.clone());
        queue.give_up();
        queue.push(Signal::Ready);
        let rest: Vec<PacketParts> = outbound.collect().await;
        assert_eq!(rest, [Signal::Established.into(), goodbye.into()]);
        let ending = poll_fn(|context| queue.poll_ending(context)).await;
        assert_eq!(ending, QueueEnd::GivenUp);
    }

    #[tokio::test]
    async fn without_bulk_data_all_messages_keep_their_order() {
        let (queue, mut outbound) = Queue::new(QueueLimits::default());
        let messages = [
            hash(1),
            heartbeat(),
            hash(2),
            heartbeat(),
            Message::Mesh(Mesh::Goodbye(Goodbye::Leaving)),
        ];
        for message in messages.clone() {
            queue.push(message);
        }
        queue.close();
        assert_eq!(sent(&mut outbound).await, messages);
    }

    #[tokio::test]
    async fn too_many_messages_break_the_link() {
        let (queue, mut outbound) = Queue::new(QueueLimits {
            messages: 2,
            bytes: 1000,
        });
        for _ in 0..3 {
            queue.push(heartbeat());
        }
        assert_eq!(
            poll_fn(|context| queue.poll_ending(context)).await,
            QueueEnd::Overflowed
        );
        assert_eq!(sent(&mut outbound).await, []);
    }

    #[tokio::test]
    async fn too_many_bytes_break_the_link_and_sent_bytes_do_not_count() {
        let (queue, mut outbound) = Queue::new(QueueLimits {
            messages: 100,
            bytes: 200,
        });
        for _ in 0..10 {
            queue.push(bulk(20));
            assert_eq!(outbound.next().await, Some(bulk(20).into()));
        }
        queue.push(bulk(20));
        queue.push(bulk(20));
        assert_eq!(
            poll_fn(|context| queue.poll_ending(context)).await,
            QueueEnd::Overflowed
        );
    }
}
