//! The queue from the registry to the stream of one follower.

use phalanx_core::registry::replica::{FeedMessage, FeedRefusal};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Maximum size of the messages that wait for one follower, in bytes, besides the last one.
pub(super) const FOLLOWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The messages of the registry to a follower.
#[derive(Debug)]
pub(crate) enum FollowerArrival {
    /// A message.
    Message(FeedMessage),
    /// The feed is not served, or not any more.
    Ended(FeedRefusal),
}

/// The queue to the stream of a follower.
#[derive(Clone, Debug)]
pub(crate) struct FollowerStream {
    queue: mpsc::UnboundedSender<FollowerArrival>,
    /// The bytes that wait.
    waiting: Arc<AtomicUsize>,
}

impl FollowerStream {
    /// A stream with this queue.
    pub(crate) fn new(queue: mpsc::UnboundedSender<FollowerArrival>) -> Self {
        let waiting = Arc::default();
        Self { queue, waiting }
    }

    /// The bytes that wait. The reader of the queue subtracts the weight of what it takes.
    pub(crate) fn waiting(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.waiting)
    }

    /// Queues an arrival. Returns whether the stream takes further ones.
    pub(crate) fn send(&self, arrival: FollowerArrival) -> bool {
        let bytes = arrival.weight();
        let waiting = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        waiting <= FOLLOWER_BYTES_MAX && self.queue.send(arrival).is_ok()
    }
}

impl FollowerArrival {
    /// The size that counts, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Message(message) => message.weight(),
            Self::Ended(_) => 0,
        }
    }
}
