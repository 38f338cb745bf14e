//! Whether a history of operations on one object is linearizable: whether the operations can be put in an order that
//! respects real time and in which each outcome is that of a register.
//!
//! The search is that of Wing and Gong (1993) with the memory of visited states by Lowe (2017). An operation without an
//! outcome may have taken effect at any time after its call, or not at all.

use crate::fact::{OperationKind, OperationOutcome};
use phalanx_core::registry::metadata::Uid;
use std::collections::BTreeSet;

/// An operation on one object.
#[derive(Clone, Debug)]
pub struct RecordedOperation {
    /// The request.
    pub request: String,
    /// The kind.
    pub kind: OperationKind,
    /// True time of the call.
    pub called: u64,
    /// True time of the return, and the outcome; none if there was no answer.
    pub returned: Option<(u64, OperationOutcome)>,
}

/// The state of the object: its uid and generation. The uid is unknown after the creation by an operation without an
/// outcome, until another operation tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Register {
    Absent,
    Is(Option<Uid>, u64),
}

impl Register {
    /// The state after an operation; none if the operation cannot have its outcome in this state.
    fn after(self, operation: &RecordedOperation) -> Option<Self> {
        let outcome = operation.returned.as_ref().map(|it| it.1);
        match (operation.kind, self, outcome) {
            (OperationKind::Read, _, None) => Some(self),
            (OperationKind::Read, Self::Absent, Some(OperationOutcome::Is(None))) => Some(self),
            (OperationKind::Read, _, Some(OperationOutcome::Is(Some(seen)))) => self.known_as(seen),
            (OperationKind::Read, ..) => None,
            (OperationKind::Put, Self::Absent, outcome) => Self::created(outcome),
            (OperationKind::Put, Self::Is(..), outcome) => self.changed(outcome),
            (OperationKind::Swap(wanted), _, Some(OperationOutcome::Conflict(found))) => {
                let is_found = self.generation() == found && found != Some(wanted);
                is_found.then_some(self)
            }
            (OperationKind::Swap(wanted), _, outcome) => {
                if self.generation() == Some(wanted) {
                    self.changed(outcome)
                } else {
                    // Without an outcome, the operation may have failed.
                    outcome.is_none().then_some(self)
                }
            }
            (OperationKind::Delete, Self::Absent, None | Some(OperationOutcome::Is(None)))
            | (OperationKind::Delete, Self::Is(..), None | Some(OperationOutcome::Removed)) => {
                Some(Self::Absent)
            }
            (OperationKind::Delete, ..) => None,
        }
    }

    const fn generation(self) -> Option<u64> {
        match self {
            Self::Absent => None,
            Self::Is(_, generation) => Some(generation),
        }
    }

    fn created(outcome: Option<OperationOutcome>) -> Option<Self> {
        match outcome {
            None => Some(Self::Is(None, 1)),
            Some(OperationOutcome::Is(Some((uid, 1)))) => Some(Self::Is(Some(uid), 1)),
            Some(_) => None,
        }
    }

    fn changed(self, outcome: Option<OperationOutcome>) -> Option<Self> {
        let Self::Is(uid, generation) = self else {
            return None;
        };
        let next = Self::Is(uid, generation + 1);
        match outcome {
            None => Some(next),
            Some(OperationOutcome::Is(Some(seen))) => next.known_as(seen),
            Some(_) => None,
        }
    }

    /// The state, if it may be this uid and generation.
    fn known_as(self, seen: (Uid, u64)) -> Option<Self> {
        match self {
            Self::Is(uid, generation)
                if generation == seen.1 && uid.is_none_or(|uid| uid == seen.0) =>
            {
                Some(Self::Is(Some(seen.0), generation))
            }
            Self::Is(..) | Self::Absent => None,
        }
    }
}

/// A state of the search: the operations that have taken effect, and the register.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    /// All answered operations before this index have taken effect.
    first: usize,
    /// The answered operations from there on that have taken effect.
    ahead: BTreeSet<usize>,
    /// The operations without an outcome that have taken effect.
    open: BTreeSet<usize>,
    register: Register,
}

/// Checks a history of operations on one object. `initial` is its uid and generation at first; none if there is no object.
///
/// # Errors
/// Returns the request of the operation that no order explains: the one furthest in the history.
pub fn check(initial: Option<(Uid, u64)>, operations: &[RecordedOperation]) -> Result<(), String> {
    let (mut answered, open): (Vec<_>, Vec<_>) =
        operations.iter().partition(|it| it.returned.is_some());
    answered.sort_by_key(|it| it.called);
    let (mut furthest, mut visited) = (0, BTreeSet::new());
    let mut waiting = vec![Point {
        first: 0,
        ahead: BTreeSet::new(),
        open: BTreeSet::new(),
        register: initial.map_or(Register::Absent, |(uid, generation)| {
            Register::Is(Some(uid), generation)
        }),
    }];
    while let Some(point) = waiting.pop() {
        furthest = furthest.max(point.first);
        if point.first == answered.len() {
            return Ok(());
        }
        // An operation that was called after another returned follows that one.
        let mut latest = u64::MAX;
        let mut next = Vec::new();
        for (index, operation) in answered.iter().enumerate().skip(point.first) {
            if operation.called > latest {
                break;
            }
            if !point.ahead.contains(&index) {
                latest = latest.min(operation.returned.as_ref().map_or(latest, |it| it.0));
                next.extend(point.with(index, operation));
            }
        }
        for (index, operation) in open.iter().enumerate() {
            if operation.called <= latest && !point.open.contains(&index) {
                next.extend(point.with_open(index, operation));
            }
        }
        next.retain(|point| visited.insert(point.clone()));
        // Answered operations are tried first.
        next.reverse();
        waiting.append(&mut next);
    }
    let stuck = answered.get(furthest).map(|it| it.request.clone());
    Err(stuck.unwrap_or_default())
}

impl Point {
    fn with(&self, index: usize, operation: &RecordedOperation) -> Option<Self> {
        let mut point = self.clone();
        point.register = self.register.after(operation)?;
        point.ahead.insert(index);
        while point.ahead.remove(&point.first) {
            point.first += 1;
        }
        Some(point)
    }

    fn with_open(&self, index: usize, operation: &RecordedOperation) -> Option<Self> {
        let mut point = self.clone();
        point.register = self.register.after(operation)?;
        point.open.insert(index);
        (point.register != self.register).then_some(point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(
        kind: OperationKind,
        called: u64,
        returned: Option<(u64, OperationOutcome)>,
    ) -> RecordedOperation {
        RecordedOperation {
            request: format!("{called}"),
            kind,
            called,
            returned,
        }
    }

    const fn is(generation: u64) -> OperationOutcome {
        OperationOutcome::Is(Some((Uid::new(1), generation)))
    }

    #[test]
    fn overlapping_operations_may_take_effect_in_any_order() {
        let history = [
            operation(OperationKind::Put, 0, Some((10, is(2)))),
            operation(OperationKind::Put, 1, Some((9, is(1)))),
            operation(OperationKind::Swap(2), 11, Some((12, is(3)))),
            operation(
                OperationKind::Swap(2),
                11,
                Some((13, OperationOutcome::Conflict(Some(3)))),
            ),
        ];
        assert_eq!(check(None, &history), Ok(()));
    }

    #[test]
    fn two_swaps_of_one_generation_cannot_both_succeed() {
        let history = [
            operation(OperationKind::Put, 0, Some((1, is(1)))),
            operation(OperationKind::Swap(1), 2, Some((5, is(2)))),
            operation(OperationKind::Swap(1), 3, Some((6, is(2)))),
        ];
        assert_eq!(check(None, &history), Err("3".to_owned()));
    }

    #[test]
    fn a_read_that_follows_a_write_sees_it() {
        let stale = [
            operation(OperationKind::Put, 0, Some((1, is(1)))),
            operation(OperationKind::Put, 2, Some((3, is(2)))),
            operation(OperationKind::Read, 4, Some((5, is(1)))),
        ];
        assert_eq!(check(None, &stale), Err("4".to_owned()));
        let absent = [
            operation(OperationKind::Put, 0, Some((1, is(1)))),
            operation(
                OperationKind::Delete,
                2,
                Some((3, OperationOutcome::Removed)),
            ),
            operation(
                OperationKind::Read,
                4,
                Some((5, OperationOutcome::Is(None))),
            ),
        ];
        assert_eq!(check(None, &absent), Ok(()));
    }

    #[test]
    fn an_operation_without_an_answer_may_take_effect_late_or_never() {
        let late = |generation| {
            vec![
                operation(OperationKind::Put, 0, Some((1, is(1)))),
                operation(OperationKind::Put, 2, None),
                operation(OperationKind::Read, 4, Some((5, is(1)))),
                operation(OperationKind::Read, 6, Some((7, is(generation)))),
            ]
        };
        assert_eq!(check(None, &late(1)), Ok(()));
        assert_eq!(check(None, &late(2)), Ok(()));
        assert_eq!(check(None, &late(3)), Err("6".to_owned()));
    }
}
