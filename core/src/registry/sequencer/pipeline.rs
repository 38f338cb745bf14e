//! The commit pipeline: the group that the store commits, and the group that is being filled meanwhile.
//!
//! One group is under way at a time. Batches that are accepted while the store commits form the next group, so that one
//! sync of the disk serves all of them. A writer is answered when its batch is durable; a writer whose write changes
//! nothing or is refused, when the state that decided about it is durable. Otherwise an answer would tell of a batch that
//! reads do not show yet, and that may be lost.
//!
//! Bounds: [`WAITING_ENTRIES_MAX`] batches and [`WAITING_BYTES_MAX`] bytes in the group that is being filled.

use super::interface::WriteId;
use crate::link::Ticket;
use crate::registry::log::{LogEntry, RequestKey};
use crate::registry::write::WriteRefusal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of batches that wait.
pub const WAITING_ENTRIES_MAX: usize = 4_096;
/// Maximum number of bytes of the batches that wait.
pub const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A writer that waits for a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) write: WriteId,
    pub(super) answer: WaitingAnswer,
}

/// The answer of a writer once the batch is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WaitingAnswer {
    /// The outcome of the batch, which is the writer's own.
    Own,
    /// The write has no request id, and changes nothing in the state after the batch.
    Unchanged,
    /// The write is refused in the state after the batch, which may be the one that records the refusal.
    Refused(WriteRefusal),
}

/// Batches that are not yet durable, with their writers.
#[derive(Debug, Default)]
pub(super) struct CommitPipeline {
    /// The group that is being filled.
    open: Vec<Arc<LogEntry>>,
    open_bytes: usize,
    /// The group that the store commits, and its ticket.
    sent: Option<(Ticket, Vec<Arc<LogEntry>>)>,
    tickets: u64,
    /// The writers, by the sequence numbers of the batches.
    waiters: BTreeMap<u64, Vec<Waiter>>,
    /// The batches with a request id.
    requests: BTreeMap<RequestKey, Arc<LogEntry>>,
}

impl CommitPipeline {
    /// Whether another batch may be accepted.
    pub(super) const fn has_room(&self) -> bool {
        self.open.len() < WAITING_ENTRIES_MAX && self.open_bytes < WAITING_BYTES_MAX
    }

    /// The number of batches that are not durable.
    pub(super) fn len(&self) -> usize {
        self.open.len() + self.sent.as_ref().map_or(0, |(_, entries)| entries.len())
    }

    /// The hash of the latest batch that is not durable; none if there is none.
    pub(super) fn end_hash(&self) -> Option<u64> {
        let sent = || self.sent.as_ref().and_then(|(_, entries)| entries.last());
        let last = self.open.last().or_else(sent);
        last.map(|entry| entry.hash)
    }

    /// Accepts a batch.
    pub(super) fn push(&mut self, entry: LogEntry, waiter: Waiter) {
        let sequence = entry.revision.sequence;
        let entry = Arc::new(entry);
        if let Some(request) = &entry.request {
            self.requests
                .insert(request.key.clone(), Arc::clone(&entry));
        }
        self.open_bytes += entry.encoded_len();
        self.open.push(entry);
        self.wait(sequence, waiter);
    }

    /// Lets a writer wait for a batch.
    pub(super) fn wait(&mut self, sequence: u64, waiter: Waiter) {
        self.waiters.entry(sequence).or_default().push(waiter);
    }

    /// The batch of a request that is not yet durable.
    pub(super) fn of_request(&self, key: &RequestKey) -> Option<&Arc<LogEntry>> {
        self.requests.get(key)
    }

    /// Whether a group is under way.
    pub(super) const fn is_committing(&self) -> bool {
        self.sent.is_some()
    }

    /// The next group to commit, unless one is under way, or no batch waits and the group has no other content.
    pub(super) fn take_group(&mut self, has_other: bool) -> Option<(Ticket, Vec<Arc<LogEntry>>)> {
        if self.is_committing() || self.open.is_empty() && !has_other {
            return None;
        }
        self.tickets += 1;
        self.open_bytes = 0;
        let group = (Ticket(self.tickets), std::mem::take(&mut self.open));
        self.sent = Some(group.clone());
        Some(group)
    }

    /// Takes the group of a ticket, which is durable, with the writers of each batch. None for another ticket.
    pub(super) fn on_committed(
        &mut self,
        ticket: Ticket,
    ) -> Option<Vec<(Arc<LogEntry>, Vec<Waiter>)>> {
        let (_, entries) = self.sent.take_if(|(sent, _)| *sent == ticket)?;
        let with_writers = entries.into_iter().map(|entry| {
            let waiters = self.waiters.remove(&entry.revision.sequence);
            if let Some(request) = &entry.request {
                self.requests.remove(&request.key);
            }
            (entry, waiters.unwrap_or_default())
        });
        Some(with_writers.collect())
    }

    /// Whether a ticket is that of the group under way.
    pub(super) fn is_under_way(&self, ticket: Ticket) -> bool {
        self.sent.as_ref().is_some_and(|(sent, _)| *sent == ticket)
    }

    /// Drops all batches. Returns their writers, each with a flag whether the batch was in the group under way.
    pub(super) fn abort(&mut self) -> Vec<(WriteId, bool)> {
        let sent = self.sent.take();
        let last = sent.and_then(|(_, entries)| entries.last().map(|it| it.revision.sequence));
        self.open.clear();
        self.open_bytes = 0;
        self.requests.clear();
        let waiters = std::mem::take(&mut self.waiters).into_iter();
        let was_sent = |sequence| last.is_some_and(|last| sequence <= last);
        waiters
            .flat_map(|(sequence, waiters)| {
                let writes = waiters.into_iter().map(|waiter| waiter.write);
                writes.map(move |write| (write, was_sent(sequence)))
            })
            .collect()
    }
}
