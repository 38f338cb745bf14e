//! Writers that wait for copies of their batches in other regions.
//!
//! The batch is durable in its own region. The writer is answered when enough copies have confirmed the batch, or at its
//! deadline with the number of those that have.

use super::interface::WriteId;
use crate::registry::replica::FeedServer;
use crate::registry::write::{CopiesWanted, WriteOutcome};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Longest time that a writer waits for copies; longer times are lowered to it.
pub const COPIES_TIMEOUT_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct WaitingCopies {
    outcome: WriteOutcome,
    count: usize,
    until: Instant,
}

/// The writers that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct CopyAcks {
    /// Wishes of writes without an outcome.
    wanted: BTreeMap<WriteId, CopiesWanted>,
    /// By the sequence numbers of the batches.
    waiting: BTreeMap<(u64, WriteId), WaitingCopies>,
}

impl CopyAcks {
    /// A write wants copies.
    pub(super) fn want(&mut self, write: WriteId, copies: CopiesWanted) {
        if copies.count > 0 {
            self.wanted.insert(write, copies);
        }
    }

    /// A write is refused.
    pub(super) fn forget(&mut self, write: WriteId) {
        self.wanted.remove(&write);
    }

    /// A write is durable. Returns the outcome if the writer waits for no more copies.
    pub(super) fn hold(
        &mut self,
        now: Instant,
        write: WriteId,
        mut outcome: WriteOutcome,
        feed: &FeedServer,
    ) -> Option<WriteOutcome> {
        let Some(wanted) = self.wanted.remove(&write) else {
            return Some(outcome);
        };
        let sequence = outcome.revision.sequence;
        outcome.copies = feed.copies(sequence);
        if outcome.copies >= wanted.count {
            return Some(outcome);
        }
        let waiting = WaitingCopies {
            outcome,
            count: wanted.count,
            until: now + wanted.timeout.min(COPIES_TIMEOUT_MAX),
        };
        self.waiting.insert((sequence, write), waiting);
        None
    }

    /// The writers that are answered now, because of the copies or of their deadlines.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        feed: &FeedServer,
    ) -> Vec<(WriteId, WriteOutcome)> {
        let mut due = Vec::new();
        self.waiting.retain(|(sequence, write), waiting| {
            waiting.outcome.copies = feed.copies(*sequence);
            let is_due = waiting.outcome.copies >= waiting.count || waiting.until <= now;
            if is_due {
                due.push((*write, waiting.outcome.clone()));
            }
            !is_due
        });
        due
    }

    /// The next deadline of a writer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|it| it.until).min()
    }
}
