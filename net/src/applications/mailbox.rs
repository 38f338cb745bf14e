//! The mailbox of one reader of a channel, shared with the tasks that wait for its deliveries. Core decides what a slow
//! reader loses.

use super::acknowledgement::AckToken;
use phalanx_core::channel::{self, Delivery, Received, UpdateId};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The maximum number of tasks that wait on one reader; further tasks wake the others up.
const WAKERS_MAX: usize = 64;

/// The deliveries that one reader has not taken.
#[derive(Debug)]
pub(crate) struct SharedMailbox {
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    deliveries: channel::Mailbox<Arc<AckToken>>,
    ended: bool,
    readers: Vec<Waker>,
}

impl SharedMailbox {
    pub(crate) fn new(room: u32) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                deliveries: channel::Mailbox::new(room),
                ended: false,
                readers: Vec::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message to this node.
    pub(crate) fn push_message(&self, delivery: Delivery, token: Arc<AckToken>) {
        let mut waiting = self.lock();
        let dropped = waiting.deliveries.push_message(delivery, token);
        waiting.wake();
        drop(waiting);
        drop(dropped);
    }

    /// Adds a broadcast, a change, a conflict or a notice of missed messages.
    pub(crate) fn push_broadcast(&self, delivery: Delivery) {
        let mut waiting = self.lock();
        waiting.deliveries.push_broadcast(delivery);
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
        if let Some((received, token)) = waiting.deliveries.take() {
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

    /// The reader got a copy of the retained messages with these ids.
    pub(crate) fn on_copied_messages(&self, copied: &BTreeSet<UpdateId>) {
        self.lock().deliveries.on_copied_messages(copied);
    }

    /// The reader got a copy of the state.
    pub(crate) fn on_copied_state(&self) {
        self.lock().deliveries.on_copied_state();
    }
}

impl Waiting {
    fn wake(&mut self) {
        for waker in self.readers.drain(..) {
            waker.wake();
        }
    }
}
