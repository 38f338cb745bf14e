//! The log of a region: the committed batches, in the order of their revisions.
//!
//! The log keeps the latest batches for watchers that resume, and for writers that ask for the outcome of a write again.
//! A batch that is older than both bounds of [`Retention`] is removed; the floor is the sequence number of the last
//! removed batch. Sequence numbers begin with 1 and have no gaps, in all epochs together.
//!
//! Each start of a sequencer begins an epoch, which has a number and a random incarnation: after the restoration of an
//! old backup, numbers may repeat, incarnations do not. The incarnation tells whether a position that a client names
//! belongs to this history.
//!
//! Each batch has the hash of the batch before it, so a copy of the log finds out a batch that does not follow its last
//! one. The hash (FNV-1a) detects errors and diverged histories; authenticity comes from the link.

use super::metadata::Revision;
use super::name::ObjectName;
use super::object::Object;
use super::value::write_canonical;
use crate::random::hash_bytes;
use crate::time::{Duration, Wall};
use core::fmt::Write as _;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// An epoch: one start of a sequencer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogEpoch {
    /// The number, which increases with each start.
    pub number: u64,
    /// A random number.
    pub incarnation: u64,
}

/// A position in the log of a region, with the incarnation of its epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// The epoch in which the batch was committed.
    pub epoch: LogEpoch,
    /// The sequence number of the batch; 0 before the first one.
    pub sequence: u64,
}

/// The position of a copy in the log of another region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyPosition {
    /// The uid of the store that owns the log.
    pub store: u64,
    /// The position of the last batch that the copy has.
    pub at: LogPosition,
    /// The hash of that batch; 0 before the first one.
    pub hash: u64,
}

/// A change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectChange {
    /// The object's name.
    pub name: ObjectName,
    /// The object before the change; none if it was created.
    pub before: Option<Arc<Object>>,
    /// The object after the change; none if it was removed.
    pub after: Option<Arc<Object>>,
}

impl ObjectChange {
    /// The encoded size of the change, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let after = self.after.as_ref().map(|object| object.encoded_len());
        // The rest is the size of the metadata that the registry sets.
        after.unwrap_or_else(|| self.name.as_str().len()) + 128
    }
}

/// Identifies a write: a writer that asks again with the same key gets the outcome of the first attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    /// The writer.
    pub caller: String,
    /// The writer's number of the request.
    pub id: String,
}

/// A request key, and a hash of the write, by which a key that is used for two writes is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestStamp {
    /// The key.
    pub key: RequestKey,
    /// The hash.
    pub hash: u64,
}

impl RequestStamp {
    /// The stamp of the same write in the batch without changes that records its refusal.
    #[must_use]
    pub fn of_refusal(&self) -> Self {
        let hash = hash_bytes(format!("refused {:x}", self.hash).as_bytes());
        Self {
            key: self.key.clone(),
            hash,
        }
    }
}

/// A committed batch. It has no changes if it records that a request changed nothing or was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The revision.
    pub revision: Revision,
    /// Calendar time of the write.
    pub time: Wall,
    /// The request; none if the writer gave no id.
    pub request: Option<RequestStamp>,
    /// The changes, at most one of each object.
    pub changes: Vec<ObjectChange>,
    /// The hash of the batch before; 0 for the first one.
    pub previous: u64,
    /// The hash of this batch: [`LogEntry::computed_hash`].
    pub hash: u64,
}

impl LogEntry {
    /// The batch with its hash, after a batch of this hash.
    #[must_use]
    pub fn after(mut self, previous: u64) -> Self {
        self.previous = previous;
        self.hash = self.computed_hash();
        self
    }

    /// The hash of the revision, the time, the hash of the batch before, and the objects after the batch.
    #[must_use]
    pub fn computed_hash(&self) -> u64 {
        let (revision, time, previous) = (self.revision, self.time.0, self.previous);
        let mut text = format!("{revision} {time} {previous:x}");
        for change in &self.changes {
            // Writing into a text does not fail.
            let _ = write!(text, "\n{} ", change.name);
            match &change.after {
                Some(after) => write_canonical(&after.to_table(), &mut text),
                None => text.push('-'),
            }
        }
        hash_bytes(text.as_bytes())
    }

    /// The encoded size of the batch, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let changes = self.changes.iter().map(ObjectChange::encoded_len);
        changes.sum::<usize>() + 32
    }
}

/// How long the log keeps batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Number of batches that are always kept.
    pub entries: usize,
    /// Time for which a batch is kept.
    pub time: Duration,
    /// Maximum number of batches; older ones are removed whatever their age.
    pub entries_max: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            entries: 10_000,
            time: Duration::from_secs(600),
            entries_max: 100_000,
        }
    }
}

/// The log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeLog {
    entries: VecDeque<Arc<LogEntry>>,
    floor: u64,
    /// The epochs, each with the sequence number of its first batch.
    epochs: Vec<(LogEpoch, u64)>,
    requests: BTreeMap<RequestKey, u64>,
}

/// Maximum number of epochs that the log remembers; positions of older ones are unknown.
pub const EPOCHS_MAX: usize = 1_024;

impl ChangeLog {
    /// The log with these batches, which follow the floor without gaps.
    #[must_use]
    pub fn of(
        floor: u64,
        epochs: Vec<(LogEpoch, u64)>,
        entries: impl IntoIterator<Item = Arc<LogEntry>>,
    ) -> Self {
        let forgotten = epochs.len().saturating_sub(EPOCHS_MAX);
        let mut log = Self {
            floor,
            epochs: epochs[forgotten..].to_vec(),
            ..Self::default()
        };
        entries.into_iter().for_each(|entry| log.append(entry));
        log
    }

    /// The sequence number of the latest batch; 0 if there was none.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.floor + self.entries.len() as u64
    }

    /// The sequence number of the last removed batch; 0 if none was removed.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// The epochs, each with the sequence number of its first batch.
    #[must_use]
    pub fn epochs(&self) -> &[(LogEpoch, u64)] {
        &self.epochs
    }

    /// The epoch in which a batch was committed; the default for a batch of an epoch that is not known.
    #[must_use]
    pub fn epoch_of(&self, sequence: u64) -> LogEpoch {
        let begun = self.epochs.iter().rev().find(|it| it.1 <= sequence);
        begun.map(|(epoch, _)| *epoch).unwrap_or_default()
    }

    /// Whether the batch of this sequence number was committed in this epoch, as far as the log goes.
    #[must_use]
    pub fn knows(&self, epoch: LogEpoch, sequence: u64) -> bool {
        sequence <= self.head() && self.epoch_of(sequence) == epoch
    }

    /// The position of the latest batch.
    #[must_use]
    pub fn end(&self) -> LogPosition {
        self.position(self.head())
    }

    /// The position of the batch of a sequence number.
    #[must_use]
    pub fn position(&self, sequence: u64) -> LogPosition {
        let epoch = self.epoch_of(sequence);
        LogPosition { epoch, sequence }
    }

    /// The hash of a batch that the log keeps, or of the batch at the floor; none for another one.
    #[must_use]
    pub fn hash_of(&self, sequence: u64) -> Option<u64> {
        match sequence.checked_sub(self.floor)? {
            0 if sequence == 0 => Some(0),
            0 => self.entries.front().map(|entry| entry.previous),
            kept => {
                let index = usize::try_from(kept - 1).ok()?;
                self.entries.get(index).map(|entry| entry.hash)
            }
        }
    }

    /// The hash of the latest batch; 0 if the log keeps none.
    #[must_use]
    pub fn end_hash(&self) -> u64 {
        self.entries.back().map_or(0, |entry| entry.hash)
    }

    /// Notes that the next batch is one of this epoch.
    pub fn begin_epoch(&mut self, epoch: LogEpoch) {
        if self.epochs.last().map(|it| it.0) != Some(epoch) {
            self.epochs.push((epoch, self.head() + 1));
            let forgotten = self.epochs.len().saturating_sub(EPOCHS_MAX);
            self.epochs.drain(..forgotten);
        }
    }

    /// The batches after a sequence number, which is not below the floor.
    pub fn after(&self, sequence: u64) -> impl Iterator<Item = &Arc<LogEntry>> {
        let skipped = usize::try_from(sequence.saturating_sub(self.floor));
        self.entries.iter().skip(skipped.unwrap_or(usize::MAX))
    }

    /// The batch of a request.
    #[must_use]
    pub fn of_request(&self, key: &RequestKey) -> Option<&Arc<LogEntry>> {
        let sequence = *self.requests.get(key)?;
        self.after(sequence.checked_sub(1)?).next()
    }

    /// Appends the next batch.
    ///
    /// # Panics
    /// Panics, in debug builds, if the batch is not the next one.
    pub fn append(&mut self, entry: Arc<LogEntry>) {
        let sequence = entry.revision.sequence;
        debug_assert_eq!(sequence, self.head() + 1, "a gap in the log");
        if let Some(request) = &entry.request {
            self.requests.insert(request.key.clone(), sequence);
        }
        self.entries.push_back(entry);
    }

    /// The floor to which the log may be compacted. Batches after `held` are kept, up to the maximum number; the latest
    /// batch is always kept, because the next one names its hash.
    #[must_use]
    pub fn compactable(&self, now: Wall, retention: Retention, held: Option<u64>) -> u64 {
        let is_old = |entry: &Arc<LogEntry>| {
            let age = now.0.saturating_sub(entry.time.0);
            age > retention.time.as_secs()
        };
        let surplus = self.entries.len().saturating_sub(retention.entries.max(1));
        let old = self
            .entries
            .iter()
            .take(surplus)
            .take_while(|it| is_old(it));
        let forced = (self.entries.len()).saturating_sub(retention.entries_max.max(1));
        let old = self.floor + old.count() as u64;
        let free = held.map_or(old, |held| old.min(held.max(self.floor)));
        free.max(self.floor + forced as u64)
    }

    /// Removes the batches up to a sequence number.
    pub fn compact(&mut self, floor: u64) {
        while self.floor < floor {
            let Some(entry) = self.entries.pop_front() else {
                return;
            };
            self.floor = entry.revision.sequence;
            if let Some(request) = &entry.request
                && self.requests.get(&request.key) == Some(&self.floor)
            {
                self.requests.remove(&request.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64, time: u64, request: Option<&str>) -> Arc<LogEntry> {
        let key = |id: &str| RequestKey {
            caller: "a".to_owned(),
            id: id.to_owned(),
        };
        Arc::new(LogEntry {
            revision: Revision { epoch: 1, sequence },
            time: Wall(time),
            request: request.map(|id| RequestStamp {
                key: key(id),
                hash: 0,
            }),
            changes: Vec::new(),
            previous: 0,
            hash: sequence,
        })
    }

    const FIRST: LogEpoch = LogEpoch {
        number: 1,
        incarnation: 7,
    };
    const SECOND: LogEpoch = LogEpoch {
        number: 2,
        incarnation: 9,
    };

    #[test]
    fn batches_are_removed_when_they_are_old_and_superfluous() {
        let entries = (1..=10).map(|at| entry(at, at * 100, None));
        let mut log = ChangeLog::of(0, vec![(FIRST, 1)], entries);
        let retention = |entries, entries_max| Retention {
            entries,
            time: Duration::from_secs(450),
            entries_max,
        };
        assert_eq!(log.compactable(Wall(1_000), retention(2, 100), None), 5);
        assert_eq!(log.compactable(Wall(1_000), retention(8, 100), None), 2);
        assert_eq!(log.compactable(Wall(1_000), retention(8, 3), None), 7);
        assert_eq!(log.compactable(Wall(1_000), retention(2, 100), Some(3)), 3);
        assert_eq!(log.compactable(Wall(1_000), retention(2, 4), Some(3)), 6);
        assert_eq!(log.compactable(Wall(9_000), retention(0, 100), None), 9);
        log.compact(5);
        assert_eq!((log.floor(), log.head()), (5, 10));
        let left: Vec<_> = log.after(5).map(|it| it.revision.sequence).collect();
        assert_eq!(left, [6, 7, 8, 9, 10]);
        assert_eq!(log.after(10).count(), 0);
    }

    #[test]
    fn a_request_is_known_as_long_as_its_batch() {
        let mut log = ChangeLog::of(
            0,
            vec![(FIRST, 1)],
            [entry(1, 1, Some("x")), entry(2, 2, None)],
        );
        let key = RequestKey {
            caller: "a".to_owned(),
            id: "x".to_owned(),
        };
        assert_eq!(log.of_request(&key), Some(&entry(1, 1, Some("x"))));
        log.compact(1);
        assert_eq!(log.of_request(&key), None);
    }

    #[test]
    fn positions_of_forgotten_epochs_are_unknown() {
        let epoch = |number| LogEpoch {
            number,
            incarnation: number,
        };
        let epochs = (1..=EPOCHS_MAX as u64 + 1).map(|number| (epoch(number), number));
        let entries = (1..=EPOCHS_MAX as u64 + 1).map(|at| entry(at, 1, None));
        let log = ChangeLog::of(0, epochs.collect(), entries);
        assert_eq!(log.epochs().len(), EPOCHS_MAX);
        assert!(log.knows(epoch(2), 2) && !log.knows(epoch(1), 1));
    }

    #[test]
    fn a_position_belongs_to_the_epoch_that_wrote_it() {
        let entries = (1..=4).map(|at| entry(at, 1, None));
        let log = ChangeLog::of(0, vec![(FIRST, 1), (SECOND, 3)], entries);
        assert!(log.knows(FIRST, 2) && log.knows(SECOND, 3) && log.knows(LogEpoch::default(), 0));
        assert!(!log.knows(FIRST, 3) && !log.knows(SECOND, 5) && !log.knows(SECOND, 2));
    }
}
