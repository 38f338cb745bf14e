//! Messages that readers took: counted until the machine is told.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// The messages of one channel that were taken and not yet reported to the machine.
#[derive(Debug, Default)]
pub(crate) struct Consumption {
    count: AtomicU32,
    bytes: AtomicUsize,
    changed: Notify,
}

impl Consumption {
    /// The messages and bytes taken since the last call.
    pub(crate) fn take(&self) -> (u32, usize) {
        let count = self.count.swap(0, Ordering::Acquire);
        let bytes = if count > 0 {
            self.bytes.swap(0, Ordering::Relaxed)
        } else {
            0
        };
        (count, bytes)
    }

    /// Waits until a message is taken or [`Consumption::wake`] is called.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Ends one wait for a change.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // The bytes are added first, so that a reader of the count sees them too.
        self.count.fetch_add(1, Ordering::Release);
        self.wake();
    }
}

/// The acknowledgement of one message to this node, shared by the readers it was delivered to: the first that takes
/// the message counts. A token that all readers dropped counts too.
#[derive(Debug)]
pub(crate) struct AckToken {
    consumption: Weak<Consumption>,
    bytes: usize,
    consumed: AtomicBool,
}

impl AckToken {
    /// The token of a message with a payload of `bytes` bytes.
    pub(crate) fn new(consumption: &Arc<Consumption>, bytes: usize) -> Self {
        Self {
            consumption: Arc::downgrade(consumption),
            bytes,
            consumed: AtomicBool::new(false),
        }
    }

    /// Counts the message as taken, once.
    pub(crate) fn consume(&self) {
        if !self.consumed.swap(true, Ordering::Relaxed)
            && let Some(consumption) = self.consumption.upgrade()
        {
            consumption.add(self.bytes);
        }
    }
}

impl Drop for AckToken {
    fn drop(&mut self) {
        self.consume();
    }
}
