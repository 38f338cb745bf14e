//! A store in a database that several registries use: each order takes effect at once, and its completion arrives later.
//!
//! A registry that was suspended between an order and its completion hears the completion when it wakes. The database
//! never fails: it is there for the epochs of several registries.

use crate::archive::SharedArchive;
use crate::disk_store::StoreEvent;
use phalanx_core::registry::store::CommitGroup;
use phalanx_core::time::{Duration, Instant};
use phalanx_sim::world::Ticket;

/// Time until the completion of an order.
const DELAY: Duration = Duration::from_millis(15);

/// The access of one registry to the database.
#[derive(Debug)]
pub struct SharedStore {
    archive: SharedArchive,
    /// The completion that is on its way.
    arriving: Option<(Instant, StoreEvent)>,
    /// Whether epochs are checked; unless a bug is planted, they are.
    checks_epochs: bool,
}

impl SharedStore {
    /// A registry that starts.
    #[must_use]
    pub const fn new(archive: SharedArchive, checks_epochs: bool) -> Self {
        Self {
            archive,
            arriving: None,
            checks_epochs,
        }
    }

    /// Begins an epoch.
    pub fn open(&mut self, now: Instant, incarnation: u64) {
        let image = self.archive.borrow_mut().database.open(incarnation);
        self.arriving = Some((now + DELAY, StoreEvent::Opened(Box::new(image))));
    }

    /// Commits a group.
    pub fn commit(&mut self, now: Instant, order: Ticket, group: CommitGroup) {
        let mut archive = self.archive.borrow_mut();
        let mut stored = group.clone();
        if !self.checks_epochs
            && let Some((epoch, _)) = archive.database.epochs().last()
        {
            stored.epoch = *epoch;
        }
        let event = match archive.database.commit(&stored) {
            Ok(()) => StoreEvent::Committed(order, group),
            Err(failure) => StoreEvent::Failed(order, failure),
        };
        self.arriving = Some((now + DELAY, event));
    }

    /// The completion that has arrived.
    pub fn on_wake(&mut self, now: Instant) -> Option<StoreEvent> {
        let arrived = self.arriving.take_if(|(at, _)| *at <= now)?;
        Some(arrived.1)
    }

    /// The time at which the completion arrives.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.arriving.as_ref().map(|(at, _)| *at)
    }
}
