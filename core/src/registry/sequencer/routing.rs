//! Writes that were routed to the region that owns their objects.
//!
//! A write is routed only while the copy of that region follows it. Its writer is answered when the copy has the batch,
//! so that the writer reads here what it has written, or after [`VISIBLE_MAX`]. When the link is lost, a write without an
//! answer has an unknown outcome; it is learnt by repeating the write with its request id.
//!
//! Bounds: [`ROUTED_MAX`] writes.

use super::interface::WriteId;
use crate::registry::name::RegionId;
use crate::registry::write::{WriteOutcome, WriteRefusal};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Maximum number of routed writes without an answer.
pub const ROUTED_MAX: usize = 4_096;
/// Longest time until an outcome is returned although the copy has not the batch.
const VISIBLE_MAX: Duration = Duration::from_secs(2);

/// The answer to a routed write.
pub(super) type RoutedAnswer = (WriteId, Result<WriteOutcome, WriteRefusal>);

#[derive(Clone, Debug)]
struct RoutedWrite {
    owner: RegionId,
    /// The outcome, and the time at which it is returned at the latest.
    outcome: Option<(WriteOutcome, Instant)>,
}

/// The routed writes.
#[derive(Clone, Debug, Default)]
pub(super) struct RoutedWrites {
    writes: BTreeMap<WriteId, RoutedWrite>,
}

impl RoutedWrites {
    /// Begins a write. Returns false if there are too many.
    pub(super) fn begin(&mut self, write: WriteId, owner: RegionId) -> bool {
        let has_room = self.writes.len() < ROUTED_MAX;
        if has_room {
            let outcome = None;
            self.writes.insert(write, RoutedWrite { owner, outcome });
        }
        has_room
    }

    /// The owner has answered, and the copy has its batches up to `copied`. Returns the answer, unless the copy lacks
    /// the batch.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        write: WriteId,
        result: Result<WriteOutcome, WriteRefusal>,
        copied: u64,
    ) -> Option<RoutedAnswer> {
        let routed = self.writes.get_mut(&write)?;
        match result {
            Ok(outcome) if outcome.revision.sequence > copied => {
                routed.outcome = Some((outcome, now + VISIBLE_MAX));
                None
            }
            Ok(_) | Err(_) => {
                self.writes.remove(&write);
                Some((write, result))
            }
        }
    }

    /// Takes the writes for which `end` returns an answer.
    fn take(
        &mut self,
        mut end: impl FnMut(&RoutedWrite) -> Option<Result<WriteOutcome, WriteRefusal>>,
    ) -> Vec<RoutedAnswer> {
        let mut ended = Vec::new();
        self.writes.retain(|write, routed| {
            let Some(result) = end(routed) else {
                return true;
            };
            ended.push((*write, result));
            false
        });
        ended
    }

    /// The copy of a region has its batches up to `copied`.
    pub(super) fn on_copied(&mut self, owner: &RegionId, copied: u64) -> Vec<RoutedAnswer> {
        self.take(|it| {
            let outcome = it.outcome.as_ref().map(|(outcome, _)| outcome);
            let outcome = outcome.filter(|_| it.owner == *owner);
            let is_copied = |outcome: &&WriteOutcome| outcome.revision.sequence <= copied;
            outcome.filter(is_copied).cloned().map(Ok)
        })
    }

    /// The link to a region is lost.
    pub(super) fn on_lost(&mut self, owner: &RegionId) -> Vec<RoutedAnswer> {
        self.take(|it| {
            if it.owner != *owner {
                return None;
            }
            let outcome = it.outcome.as_ref().map(|(outcome, _)| outcome.clone());
            Some(outcome.ok_or(WriteRefusal::Unknown))
        })
    }

    /// The writes whose outcomes are returned now although the copy has not their batches.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<RoutedAnswer> {
        self.take(|it| {
            let due = it.outcome.as_ref().filter(|(_, until)| *until <= now);
            due.map(|(outcome, _)| Ok(outcome.clone()))
        })
    }

    /// The next time at which an outcome is returned.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.writes.values().filter_map(|it| it.outcome.as_ref());
        waiting.map(|(_, until)| *until).min()
    }
}
