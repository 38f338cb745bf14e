//! The registration of a process: the write under way, and when to try again.
//!
//! ```text
//! checking ──(records stand)──► done ──(copy changes)──► checking
//!     │ ▲
//!     ▼ │ (back-off, or the copy has the outcome)
//!  writing ──(terminal refusal)──► ended
//! ```
//!
//! A write without an answer, or with an unknown outcome, is repeated under its request id. After any other refusal, the
//! records are compared with the copy again and written under a new one.

use crate::random::Random;
use crate::registry::name::RegionId;
use crate::registry::write::{WriteBatch, WriteOperation, WriteOutcome, WriteRefusal};
use crate::time::{Duration, Instant};

/// Time after which a write without an answer is repeated.
const REPEAT: Duration = Duration::from_secs(2);
/// Bounds of the back-off after a refusal.
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(15);

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AttemptEnd {
    /// The batch is durable.
    Accepted,
    /// The batch was refused, and the records are written again later.
    Repeat(WriteRefusal),
    /// The batch was refused for good.
    Ended(WriteRefusal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// The records are compared when the copy has reached the batch of `written`, and not before `from`.
    Checking {
        /// A batch of this number in the log of the region.
        written: Option<(RegionId, u64)>,
        from: Instant,
    },
    Writing {
        request: String,
        batch: WriteBatch,
        repeat_at: Instant,
    },
    Done,
    Ended,
}

/// The registration of a process.
#[derive(Debug)]
pub(super) struct Registration {
    phase: Phase,
    /// Whether the process registers at all.
    is_active: bool,
    /// Whether the records stood once.
    was_done: bool,
    refusal: Option<WriteRefusal>,
    failures: u32,
    random: Random,
}

impl Registration {
    pub(super) const fn new(is_active: bool, random: Random) -> Self {
        let (written, from) = (None, Instant::ZERO);
        Self {
            phase: Phase::Checking { written, from },
            is_active,
            was_done: false,
            refusal: None,
            failures: 0,
            random,
        }
    }

    /// Whether the records stood once, or the process does not register.
    pub(super) const fn is_done(&self) -> bool {
        self.was_done || !self.is_active
    }

    /// The last refusal, unless a later attempt succeeded.
    pub(super) const fn refusal(&self) -> Option<&WriteRefusal> {
        self.refusal.as_ref()
    }

    /// Whether the records are to be compared with a copy that has the batches of each region up to `has`.
    pub(super) fn is_wanted(&self, now: Instant, has: impl Fn(&RegionId) -> u64) -> bool {
        self.is_active
            && match &self.phase {
                Phase::Checking { written, from } => {
                    let written = written.as_ref();
                    now >= *from && written.is_none_or(|(region, batch)| has(region) >= *batch)
                }
                Phase::Done => true,
                Phase::Writing { .. } | Phase::Ended => false,
            }
    }

    /// Begins a write of these operations; the records stand if there are none.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        operations: Vec<WriteOperation>,
    ) -> Option<(String, WriteBatch)> {
        if operations.is_empty() {
            self.phase = Phase::Done;
            self.was_done = true;
            self.refusal = None;
            self.failures = 0;
            return None;
        }
        let (high, low) = (self.random.next_u64(), self.random.next_u64());
        let (request, batch) = (format!("{high:016x}{low:016x}"), WriteBatch { operations });
        self.phase = Phase::Writing {
            request: request.clone(),
            batch: batch.clone(),
            repeat_at: now + REPEAT,
        };
        Some((request, batch))
    }

    /// A write was answered. None if it is not the one under way, or if it is to be repeated as it is.
    pub(super) fn on_written(
        &mut self,
        now: Instant,
        request: &str,
        result: Result<WriteOutcome, WriteRefusal>,
    ) -> Option<AttemptEnd> {
        let Phase::Writing { request: own, .. } = &self.phase else {
            return None;
        };
        if own != request {
            return None;
        }
        let refusal = match result {
            Ok(outcome) => {
                self.phase = Phase::Checking {
                    written: Some((outcome.region, outcome.revision.sequence)),
                    from: now,
                };
                return Some(AttemptEnd::Accepted);
            }
            Err(WriteRefusal::Unknown) => return None,
            Err(refusal) => refusal,
        };
        self.refusal = Some(refusal.clone());
        if refusal.is_terminal() {
            self.phase = Phase::Ended;
            return Some(AttemptEnd::Ended(refusal));
        }
        let bound = (BACK_OFF_MIN * 2_u32.pow(self.failures.min(10))).min(BACK_OFF_MAX);
        self.failures += 1;
        let from = now + self.random.duration_below(bound) + Duration::from_nanos(1);
        let written = None;
        self.phase = Phase::Checking { written, from };
        Some(AttemptEnd::Repeat(refusal))
    }

    /// Repeats the write under way if it had no answer for a while.
    pub(super) fn on_wake(&mut self, now: Instant) -> Option<(String, WriteBatch)> {
        match &mut self.phase {
            Phase::Writing {
                request,
                batch,
                repeat_at,
            } if *repeat_at <= now => {
                *repeat_at = now + REPEAT;
                Some((request.clone(), batch.clone()))
            }
            Phase::Checking { from, .. } if *from <= now => {
                // The back-off is over: the copy is compared in this step or with its next change.
                *from = Instant::ZERO;
                None
            }
            Phase::Writing { .. } | Phase::Checking { .. } | Phase::Done | Phase::Ended => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Writing { repeat_at, .. } => Some(*repeat_at),
            Phase::Checking { from, .. } => Some(*from).filter(|from| *from > Instant::ZERO),
            Phase::Done | Phase::Ended => None,
        }
    }
}
