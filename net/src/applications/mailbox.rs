//! The deliveries that wait for one reader of a channel.

use super::acknowledgement::AckToken;
use phalanx_core::channel::{Delivery, ROOM_BYTES, UpdateId};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The maximum number of broadcasts and changes that wait for one reader.
pub const BROADCASTS_WAITING_MAX: usize = 1_024;
/// The maximum bytes of waiting broadcasts and changes; a single larger payload is kept too.
pub const BROADCAST_BYTES_WAITING_MAX: usize = 16 * 1024 * 1024;

/// The maximum number of tasks that wait on one reader; further tasks wake the others up.
const WAKERS_MAX: usize = 64;

/// An item of a reader's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message, a broadcast, a change or a conflict.
    Delivery(Delivery),
    /// The reader was too slow: broadcasts and changes before the next delivery were dropped.
    Lagged {
        /// The number of dropped deliveries.
        missed: u64,
    },
}

/// The deliveries that one reader has not taken.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// The maximum number of waiting messages to this node, of [`ROOM_BYTES`] together: of several readers, a slow
    /// one misses messages that another has taken.
    room: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    messages: VecDeque<(u64, Delivery, Arc<AckToken>)>,
    message_bytes: usize,
    broadcasts: VecDeque<(u64, Delivery)>,
    broadcast_bytes: usize,
    missed: u64,
    ended: bool,
    readers: Vec<Waker>,
}

fn cost(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Message { payload, .. } | Delivery::Broadcast { payload, .. } => payload.len(),
        Delivery::Changed { key, value, .. } => {
            key.len() + value.as_ref().map_or(0, |value| value.len())
        }
        Delivery::Conflict { key, .. } => key.len(),
    }
}

impl Mailbox {
    pub(crate) fn new(room: u32) -> Self {
        Self {
            room: room.max(1) as usize,
            waiting: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message to this node.
    pub(crate) fn push_message(&self, delivery: Delivery, token: Arc<AckToken>) {
        let mut waiting = self.lock();
        let number = waiting.number();
        waiting.message_bytes += cost(&delivery);
        waiting.messages.push_back((number, delivery, token));
        let mut dropped = Vec::new();
        while waiting.messages.len() > self.room || waiting.message_bytes > ROOM_BYTES {
            let Some(oldest) = waiting.messages.pop_front() else {
                break;
            };
            waiting.message_bytes -= cost(&oldest.1);
            waiting.missed += 1;
            dropped.push(oldest);
        }
        waiting.wake();
        drop(waiting);
        drop(dropped);
    }

    /// Adds a broadcast or a change.
    pub(crate) fn push_broadcast(&self, delivery: Delivery) {
        let mut waiting = self.lock();
        let number = waiting.number();
        waiting.broadcast_bytes += cost(&delivery);
        waiting.broadcasts.push_back((number, delivery));
        while waiting.broadcasts.len() > BROADCASTS_WAITING_MAX
            || waiting.broadcast_bytes > BROADCAST_BYTES_WAITING_MAX && waiting.broadcasts.len() > 1
        {
            let Some((_, dropped)) = waiting.broadcasts.pop_front() else {
                break;
            };
            waiting.broadcast_bytes -= cost(&dropped);
            waiting.missed += 1;
        }
        waiting.wake();
    }

    /// Ends the stream after the deliveries that wait.
    pub(crate) fn end(&self) {
        let mut waiting = self.lock();
        waiting.ended = true;
        waiting.wake();
    }

    /// Takes the oldest delivery; `None` after the last.
    pub(crate) fn poll_take(&self, context: &Context<'_>) -> Poll<Option<Received>> {
        let mut waiting = self.lock();
        if let Some((received, token)) = waiting.take() {
            drop(waiting);
            if let Some(token) = token {
                token.consume();
            }
            return Poll::Ready(Some(received));
        }
        if waiting.ended {
            return Poll::Ready(None);
        }
        let known = |waker: &Waker| waker.will_wake(context.waker());
        if !waiting.readers.iter().any(known) {
            if waiting.readers.len() >= WAKERS_MAX {
                // Some of the tasks are gone; the others register again.
                waiting.wake();
            }
            waiting.readers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Drops the broadcasts that a list of retained updates holds.
    pub(crate) fn drop_broadcasts(&self, held: &BTreeSet<UpdateId>) {
        self.lock().retain(|delivery| match delivery {
            Delivery::Broadcast { id, .. } => !held.contains(id),
            Delivery::Message { .. } | Delivery::Changed { .. } | Delivery::Conflict { .. } => true,
        });
    }

    /// Drops all broadcasts and changes, because a copy of the state holds them.
    pub(crate) fn drop_news(&self) {
        self.lock().retain(|delivery| match delivery {
            Delivery::Broadcast { .. } | Delivery::Changed { .. } => false,
            Delivery::Message { .. } | Delivery::Conflict { .. } => true,
        });
    }
}

impl Waiting {
    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn wake(&mut self) {
        for waker in self.readers.drain(..) {
            waker.wake();
        }
    }

    fn take(&mut self) -> Option<(Received, Option<Arc<AckToken>>)> {
        if self.missed > 0 {
            let missed = core::mem::take(&mut self.missed);
            return Some((Received::Lagged { missed }, None));
        }
        let message = self.messages.front().map(|(number, ..)| *number);
        let broadcast = self.broadcasts.front().map(|(number, _)| *number);
        let message_first =
            message.is_some_and(|message| broadcast.is_none_or(|broadcast| message < broadcast));
        if message_first {
            let (_, delivery, token) = self.messages.pop_front()?;
            self.message_bytes -= cost(&delivery);
            return Some((Received::Delivery(delivery), Some(token)));
        }
        let (_, delivery) = self.broadcasts.pop_front()?;
        self.broadcast_bytes -= cost(&delivery);
        Some((Received::Delivery(delivery), None))
    }

    fn retain(&mut self, keep: impl Fn(&Delivery) -> bool) {
        self.missed = 0;
        self.broadcasts.retain(|(_, delivery)| keep(delivery));
        self.broadcast_bytes = self.broadcasts.iter().map(|(_, it)| cost(it)).sum();
    }
}
