//! What waits to go out on one link.
//!
//! Bounded in messages and bytes: a peer that reads too slowly loses the link, not the node its memory.
//! Reconciliation (frames with [`sync`](phalanx_core::gossip::message::Frame::sync)) is bulk: everything else of the
//! mesh overtakes it, so that a snapshot does not hold up heartbeats and news. Applications' data comes last: the mesh
//! overtakes it. Two kinds of message never overtake: `Goodbye`, which ends the link, and a frame with a set hash,
//! which speaks of what the mesh sent before it.

use phalanx_core::gossip::Message;
use phalanx_core::size::Encoded;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio_stream::Stream;

/// The bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// The most messages that wait.
    pub messages: usize,
    /// The most bytes they take encoded.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            messages: 2048,
            bytes: 8 * 1024 * 1024,
        }
    }
}

/// What became of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// We close the link: what waits is still sent.
    Closed,
    /// It was full: the link is broken, what waited is thrown away.
    Overflowed,
}

#[derive(Debug)]
struct State {
    urgent: VecDeque<Message>,
    bulk: VecDeque<Message>,
    /// Applications' data.
    data: VecDeque<Message>,
    bytes: usize,
    ending: Option<Ending>,
    /// Who sends on the stream.
    sender: Option<Waker>,
    /// Who reads the stream, and must learn of an ending.
    reader: Option<Waker>,
}

/// One link's queue: the node's end.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: QueueLimits,
    state: Mutex<State>,
}

/// One link's queue: the stream's end. It ends when the queue was closed and is empty.
#[derive(Debug)]
pub(crate) struct Outbound {
    queue: Arc<Queue>,
}

impl Queue {
    /// An empty queue: the node's end and the stream's.
    pub(crate) fn new(limits: QueueLimits) -> (Arc<Self>, Outbound) {
        let state = State {
            urgent: VecDeque::new(),
            bulk: VecDeque::new(),
            data: VecDeque::new(),
            bytes: 0,
            ending: None,
            sender: None,
            reader: None,
        };
        let queue = Arc::new(Self {
            limits,
            state: Mutex::new(state),
        });
        (queue.clone(), Outbound { queue })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message into the queue. When it is full the queue overflows; after an ending nothing happens.
    pub(crate) fn push(&self, message: Message) {
        let length = message.encoded_len();
        let mut state = self.lock();
        if state.ending.is_some() {
            return;
        }
        if state.len() >= self.limits.messages || state.bytes + length > self.limits.bytes {
            state.throw_away();
            state.end(Ending::Overflowed);
            return;
        }
        state.bytes += length;
        state.lane(&message).push_back(message);
        wake(&mut state.sender);
    }

    /// Takes nothing more; what waits is still sent.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if state.ending.is_none() {
            state.end(Ending::Closed);
        }
    }

    /// Takes nothing more and throws away what waits.
    pub(crate) fn discard(&self) {
        let mut state = self.lock();
        state.throw_away();
        let ending = state.ending.unwrap_or(Ending::Closed);
        state.end(ending);
    }

    /// The queue's ending, once there is one.
    pub(crate) fn poll_ending(&self, context: &Context<'_>) -> Poll<Ending> {
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

impl State {
    fn len(&self) -> usize {
        self.urgent.len() + self.bulk.len() + self.data.len()
    }

    /// Where a message waits.
    fn lane(&mut self, message: &Message) -> &mut VecDeque<Message> {
        match message {
            Message::Data(_) => &mut self.data,
            Message::Goodbye(_) if !self.data.is_empty() => &mut self.data,
            Message::Goodbye(_) if !self.bulk.is_empty() => &mut self.bulk,
            Message::Frame(frame) if !frame.sync.is_empty() => &mut self.bulk,
            Message::Frame(frame) if frame.hash.is_some() && !self.bulk.is_empty() => {
                &mut self.bulk
            }
            Message::Goodbye(_)
            | Message::Frame(_)
            // First on their link: nothing waits when they come.
            | Message::Hello(_)
            | Message::Welcome(_)
            | Message::Refuse(_) => &mut self.urgent,
        }
    }

    fn take(&mut self) -> Option<Message> {
        let mut lanes = [&mut self.urgent, &mut self.bulk, &mut self.data].into_iter();
        lanes.find_map(VecDeque::pop_front)
    }

    fn throw_away(&mut self) {
        self.urgent.clear();
        self.bulk.clear();
        self.data.clear();
        self.bytes = 0;
    }

    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        wake(&mut self.sender);
        wake(&mut self.reader);
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
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut state = self.queue.lock();
        let next = state.take();
        if let Some(message) = next {
            state.bytes = state.bytes.saturating_sub(message.encoded_len());
            return Poll::Ready(Some(message));
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
    use phalanx_core::channel::Data;
    use phalanx_core::gossip::message::{Frame, Goodbye, Sync};
    use std::future::poll_fn;
    use tokio_stream::StreamExt;

    fn heartbeat() -> Message {
        Message::Frame(Frame::default())
    }

    fn hash(value: u64) -> Message {
        Message::Frame(Frame {
            hash: Some(value),
            ..Frame::default()
        })
    }

    fn bulk(digests: usize) -> Message {
        Message::Frame(Frame {
            sync: vec![Sync::Want(vec![1; digests])],
            ..Frame::default()
        })
    }

    fn data(credit: u32) -> Message {
        Message::Data(Data {
            credit,
            ..Data::default()
        })
    }

    async fn sent(outbound: &mut Outbound) -> Vec<Message> {
        outbound.collect().await
    }

    #[tokio::test]
    async fn heartbeats_overtake_bulk_but_hashes_and_goodbyes_keep_their_place() {
        let (queue, mut outbound) = Queue::new(QueueLimits::default());
        let goodbye = Message::Goodbye(Goodbye::Surplus);
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
    async fn the_mesh_overtakes_applications_data_but_a_goodbye_does_not() {
        let (queue, mut outbound) = Queue::new(QueueLimits::default());
        let goodbye = Message::Goodbye(Goodbye::Surplus);
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
    async fn without_bulk_everything_keeps_its_order() {
        let (queue, mut outbound) = Queue::new(QueueLimits::default());
        let messages = [
            hash(1),
            heartbeat(),
            hash(2),
            heartbeat(),
            Message::Goodbye(Goodbye::Leaving),
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
            Ending::Overflowed
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
            assert_eq!(outbound.next().await, Some(bulk(20)));
        }
        queue.push(bulk(20));
        queue.push(bulk(20));
        assert_eq!(
            poll_fn(|context| queue.poll_ending(context)).await,
            Ending::Overflowed
        );
    }
}
