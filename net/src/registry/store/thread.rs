//! The thread on which a store performs the orders of the sequencer, one at a time.

use super::port::RegionStore;
use phalanx_core::link::Ticket;
use phalanx_core::registry::sequencer::Input;
use phalanx_core::registry::store::CommitGroup;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};

/// An order to the store.
#[derive(Debug)]
pub(crate) enum RegionStoreOrder {
    /// Begin an epoch.
    Open { incarnation: u64 },
    /// Commit a group.
    Commit { ticket: Ticket, group: CommitGroup },
}

/// A store's thread. It ends when the sender of its orders is dropped, after the order under way.
#[derive(Debug)]
pub(crate) struct StoreThread {
    thread: JoinHandle<()>,
}

impl StoreThread {
    /// Starts the thread. `complete` takes the completion of each order, and returns false if none is wanted any more.
    /// `ended` is called at the end of the thread, also if the store panics.
    ///
    /// # Errors
    /// If the system does not start the thread.
    pub(crate) fn start(
        mut store: impl RegionStore,
        mut complete: impl FnMut(Input) -> bool + Send + 'static,
        ended: impl FnOnce() + Send + 'static,
    ) -> io::Result<(Self, Sender<RegionStoreOrder>)> {
        let (orders, ordered): (_, Receiver<RegionStoreOrder>) = channel();
        let mut work = move || {
            while let Some(order) = next(&mut store, &ordered) {
                let input = match order {
                    NextWork::Order(order) => perform(&mut store, order),
                    NextWork::Fenced => Input::StoreFenced,
                };
                if !complete(input) {
                    break;
                }
            }
            store.release();
        };
        let work = move || {
            // Nothing of the store is used after a panic.
            let done = catch_unwind(AssertUnwindSafe(&mut work));
            ended();
            if let Err(panic) = done {
                resume_unwind(panic);
            }
        };
        let thread = Builder::new().name("registry-store".to_owned());
        let thread = thread.spawn(work)?;
        Ok((Self { thread }, orders))
    }

    /// Waits for the end of the thread. Returns false if the thread panicked.
    pub(crate) fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

/// The next work of the thread.
enum NextWork {
    Order(RegionStoreOrder),
    /// Upkeep has found that another process has begun an epoch.
    Fenced,
}

/// Waits for the next order, with the upkeep of the store meanwhile. None at the end.
fn next(store: &mut impl RegionStore, ordered: &Receiver<RegionStoreOrder>) -> Option<NextWork> {
    loop {
        let Some(interval) = store.upkeep_interval() else {
            return ordered.recv().ok().map(NextWork::Order);
        };
        match ordered.recv_timeout(interval) {
            Ok(order) => return Some(NextWork::Order(order)),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if store.keep() => {}
            Err(RecvTimeoutError::Timeout) => return Some(NextWork::Fenced),
        }
    }
}

/// Performs one order; returns its completion.
fn perform(store: &mut impl RegionStore, order: RegionStoreOrder) -> Input {
    match order {
        RegionStoreOrder::Open { incarnation } => match store.open(incarnation) {
            Ok(image) => Input::Opened(Box::new(image)),
            Err(failure) => match store.holder() {
                Some(holder) => Input::StoreHeld { holder },
                None => Input::OpenFailed(failure),
            },
        },
        RegionStoreOrder::Commit { ticket, group } => match store.commit(&group) {
            Ok(()) => Input::Committed { ticket },
            Err(failure) => Input::CommitFailed { ticket, failure },
        },
    }
}
