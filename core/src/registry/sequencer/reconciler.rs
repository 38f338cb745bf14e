//! Questions to the registries of other regions, about what they decided before they knew of a batch of this region.
//!
//! A registry that is to take something away for good, such as a region of a service or an object, first marks it in a
//! batch. Registries that see the mark create nothing that needs it. Before the end, each other registry is asked:
//!
//! 1. It confirms that its copy has the mark. From then on it decides on a state that has the mark.
//! 2. A write that changes nothing is routed to it: the deletion of an object that does not exist. Its answer names a
//!    revision of that region, and each batch that was decided without the mark is at or before this revision.
//! 3. The copy here reaches the revision. It then has all that was decided without the mark.
//!
//! ```text
//! marked ──(confirmed)──► asked ──(answer)──► answered ──(copy has the revision)──► settled
//!   ▲                       │
//!   └──(refused, link lost)─┘
//! ```
//!
//! A registry that cannot be reached does not answer, so the end waits for it. Nothing of this is stored: after a start,
//! questions are asked again.
//!
//! Bounds: [`QUESTIONS_MAX`] questions; [`OBJECTS_MAX`] objects in a step; one entry for each service and each
//! object with owners.

use super::interface::WriteId;
use crate::registry::name::{ObjectName, RegionId};
use crate::registry::write::{WriteOutcome, WriteRefusal};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers of writes from here on are those of the registry itself.
pub(super) const INTERNAL_MIN: u64 = u64::MAX - (1 << 40);
/// The number of writes of the registry to its own region.
pub(super) const OWN_WRITE: WriteId = WriteId(INTERNAL_MIN);
/// Maximum number of questions without an end.
const QUESTIONS_MAX: usize = 1_024;
/// Maximum number of objects that a step looks at.
const OBJECTS_MAX: usize = 128;
/// Interval at which objects are looked at when nothing else happens.
const RETRY: Duration = Duration::from_secs(1);
/// Least time between two looks.
const SPACING: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QuestionProgress {
    Asked(WriteId),
    /// The sequence number of the revision.
    Answered(u64),
}

#[derive(Clone, Copy, Debug)]
struct RegionQuestion {
    /// The sequence number of the mark's batch.
    mark: u64,
    progress: QuestionProgress,
}

/// The questions, and the objects that they are about.
#[derive(Clone, Debug, Default)]
pub(super) struct Reconciler {
    questions: BTreeMap<(ObjectName, RegionId), RegionQuestion>,
    count: u64,
    /// Services whose copied records have changed.
    services: BTreeSet<ObjectName>,
    /// Objects whose owners may be gone.
    dependents: BTreeSet<ObjectName>,
    /// The object that was looked at last.
    last: Option<ObjectName>,
    looked_at: Option<Instant>,
    retry_at: Option<Instant>,
}

impl Reconciler {
    /// Whether objects are to be looked at, which is done at intervals. Questions about objects that are not unfinished
    /// are forgotten.
    pub(super) fn begin(&mut self, now: Instant, unfinished: &BTreeSet<ObjectName>) -> bool {
        self.questions.retain(|it, _| unfinished.contains(&it.0));
        let next = self.looked_at.map(|at| at + SPACING);
        let next = next.filter(|next| now < *next);
        let is_idle = unfinished.is_empty() && self.dependents.is_empty();
        self.retry_at = (!is_idle).then_some(next.unwrap_or(now + RETRY));
        let looks = !is_idle && next.is_none();
        if looks {
            self.looked_at = Some(now);
        }
        looks
    }

    /// The objects to look at in this step, in turn.
    pub(super) fn turn(&mut self, unfinished: &BTreeSet<ObjectName>) -> Vec<ObjectName> {
        let last = self.last.take();
        let is_later = |it: &&ObjectName| last.as_ref().is_none_or(|last| *it > last);
        let (later, first): (Vec<_>, Vec<_>) = unfinished.iter().partition(is_later);
        let names = later.into_iter().chain(first).take(OBJECTS_MAX);
        let names: Vec<_> = names.cloned().collect();
        self.last = names.last().cloned();
        names
    }

    /// The record of a service in another region has changed.
    pub(super) fn note_service(&mut self, name: &ObjectName) {
        self.services.insert(name.clone());
    }

    /// An owner of an object may be gone.
    pub(super) fn note_dependent(&mut self, name: &ObjectName) {
        self.dependents.insert(name.clone());
        self.wake();
    }

    /// Objects are to be looked at, although nothing has happened since the store was opened.
    pub(super) fn wake(&mut self) {
        self.retry_at.get_or_insert(Instant::ZERO);
    }

    /// Objects that were noted, of which there may be more.
    pub(super) fn take_dependents(&mut self) -> Vec<ObjectName> {
        let taken = core::iter::from_fn(|| self.dependents.pop_first());
        taken.take(OBJECTS_MAX).collect()
    }

    /// The services that were noted.
    pub(super) fn take_services(&mut self) -> BTreeSet<ObjectName> {
        std::mem::take(&mut self.services)
    }

    /// No object can be looked at at present.
    pub(super) fn pause(&mut self) {
        self.questions.clear();
        self.looked_at = None;
        self.retry_at = None;
    }

    /// The revision up to which a region has decided without the mark of an object, if it has answered.
    pub(super) fn answer(&self, name: &ObjectName, region: &RegionId, mark: u64) -> Option<u64> {
        let question = self.questions.get(&(name.clone(), region.clone()))?;
        match question.progress {
            QuestionProgress::Answered(revision) if question.mark == mark => Some(revision),
            QuestionProgress::Answered(_) | QuestionProgress::Asked(_) => None,
        }
    }

    /// Begins a question. Returns the number of its write, unless it is asked already or there are too many.
    pub(super) fn ask(
        &mut self,
        name: &ObjectName,
        region: &RegionId,
        mark: u64,
    ) -> Option<WriteId> {
        let of = (name.clone(), region.clone());
        let known = self.questions.get(&of);
        if known.is_some_and(|it| it.mark == mark) || self.questions.len() >= QUESTIONS_MAX {
            return None;
        }
        self.count += 1;
        let write = WriteId(INTERNAL_MIN + 1 + self.count % (1 << 32));
        let progress = QuestionProgress::Asked(write);
        self.questions.insert(of, RegionQuestion { mark, progress });
        Some(write)
    }

    /// A routed write was answered. Returns false if it is not one of a question.
    pub(super) fn on_answer(
        &mut self,
        write: WriteId,
        result: &Result<WriteOutcome, WriteRefusal>,
    ) -> bool {
        let mut questions = self.questions.iter_mut();
        let asked = questions.find(|(_, it)| it.progress == QuestionProgress::Asked(write));
        match (asked.map(|(of, it)| (of.clone(), it)), result) {
            (Some((_, question)), Ok(outcome)) => {
                question.progress = QuestionProgress::Answered(outcome.revision.sequence);
            }
            // It is asked again.
            (Some((of, _)), Err(_)) => drop(self.questions.remove(&of)),
            (None, _) => {}
        }
        write.0 >= INTERNAL_MIN
    }

    /// Whether the time of the next look has come.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }

    /// The time of the next look.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }
}
