//! Set reconciliation between two neighbours: hash, then sketches of growing size, then everything.
//!
//! Two ends that hold sets with different order-free hashes find the difference in messages whose size is proportional
//! to the difference. This module decides the next step of one end from a message of the other end; the module holds no
//! state. The caller decides when hashes are compared, and how items are sent.
//!
//! ```text
//!   initiator                          responder
//!      │ ◀───────────── hash ──────────── │   hashes differ
//!      │ ─────────── sketch (24) ───────▶ │   subtracts its own set
//!      │ ◀────────── larger (126) ─────── │   the sketch is too small
//!      │ ─────────── sketch (126) ──────▶ │
//!      │ ◀──── missing items, wanted ──── │   decoded
//!      │ ──────── wanted items ─────────▶ │
//! ```
//!
//! After the largest sketch worth sending, both ends send everything they hold.
//!
//! Sources: Goodrich and Mitzenmacher (Invertible Bloom Lookup Tables, Allerton 2011) for the sketches; Yang et al.
//! (Practical Rateless Set Reconciliation, SIGCOMM 2024) for sketches that grow on demand, here in three fixed sizes.

use crate::sketch::{Cell, SIZES, difference, size_above, size_for, sketch};
use std::collections::BTreeSet;

/// The end of a pair that sends sketches. One end of each pair must be the initiator and the other the responder; the
/// callers of both ends choose consistently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SketchRole {
    /// Sends a sketch when hashes differ.
    Initiator,
    /// Sends its hash when hashes differ, so that the initiator sends a sketch.
    Responder,
}

/// The first step of an end that received a hash other than its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Send this sketch.
    Sketch(Vec<Cell>),
    /// Send the hash.
    Hash,
}

/// The next step of an end; `T` identifies an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReconcileStep<T> {
    /// Send this sketch.
    Sketch(Vec<Cell>),
    /// The peer's sketch is too small: request a sketch of this many cells.
    AskLarger(u32),
    /// No sketch is worth sending: request one of 0 cells, which tells the peer to exchange everything.
    GiveUp,
    /// The peer gave up: send everything.
    Everything,
    /// The difference is known.
    Exchange {
        /// Items that only this end holds, to be sent.
        send: Vec<T>,
        /// Digests of items that only the peer holds, to be requested.
        want: Vec<u64>,
    },
}

/// Bounds of one reconciliation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconcileLimits {
    /// Sketches of at least this many cells are not worth sending.
    pub cells_below: usize,
    /// Maximum number of digests requested at once; the others follow in the next reconciliation.
    pub want_max: usize,
}

/// The smallest sketch, which starts a reconciliation.
pub fn first_sketch(digests: impl Iterator<Item = u64>) -> Vec<Cell> {
    sketch(digests, SIZES[0])
}

/// The hashes of both ends differ.
pub fn on_different_hash(role: SketchRole, digests: impl Iterator<Item = u64>) -> Opening {
    match role {
        SketchRole::Initiator => Opening::Sketch(first_sketch(digests)),
        SketchRole::Responder => Opening::Hash,
    }
}

/// The peer sent a sketch. `items` iterates over the items of this end's set with their digests, and is called twice.
pub fn on_sketch<T, I>(
    items: impl Fn() -> I,
    cells: &[Cell],
    limits: ReconcileLimits,
) -> ReconcileStep<T>
where
    I: Iterator<Item = (u64, T)>,
{
    let digests = items().map(|(digest, _)| digest);
    let Some(found) = difference(digests, cells) else {
        let larger = size_above(cells.len());
        return match larger.filter(|size| (*size as usize) < limits.cells_below) {
            Some(size) => ReconcileStep::AskLarger(size),
            None => ReconcileStep::GiveUp,
        };
    };
    let mut want = found.theirs;
    want.truncate(limits.want_max);
    ReconcileStep::Exchange {
        send: select(items(), found.ours),
        want,
    }
}

/// The peer requested a sketch of `cells` cells, or gave up (0).
pub fn on_larger<T, I>(items: impl FnOnce() -> I, cells: u32) -> ReconcileStep<T>
where
    I: Iterator<Item = (u64, T)>,
{
    if cells == 0 {
        return ReconcileStep::Everything;
    }
    let digests = items().map(|(digest, _)| digest);
    ReconcileStep::Sketch(sketch(digests, size_for(cells)))
}

/// The items with these digests, in the order of the set.
pub fn select<T>(
    items: impl Iterator<Item = (u64, T)>,
    digests: impl IntoIterator<Item = u64>,
) -> Vec<T> {
    let digests: BTreeSet<u64> = digests.into_iter().collect();
    if digests.is_empty() {
        return Vec::new();
    }
    items
        .filter(|(digest, _)| digests.contains(digest))
        .map(|(_, item)| item)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::mix;
    use proptest::prelude::*;

    const LIMITS: ReconcileLimits = ReconcileLimits {
        cells_below: usize::MAX,
        want_max: 1_000,
    };

    /// A set of numbers in which each number is its own digest.
    #[derive(Clone, Debug, PartialEq)]
    struct Numbers(BTreeSet<u32>);

    impl Numbers {
        fn items(&self) -> impl Iterator<Item = (u64, u32)> {
            self.0
                .iter()
                .map(|number| (mix(u64::from(*number)), *number))
        }

        fn digests(&self) -> impl Iterator<Item = u64> {
            self.items().map(|(digest, _)| digest)
        }
    }

    /// Reconciles two sets as two ends would; returns the number of messages.
    fn reconcile(one: &mut Numbers, other: &mut Numbers, limits: ReconcileLimits) -> usize {
        assert_eq!(
            on_different_hash(SketchRole::Responder, other.digests()),
            Opening::Hash
        );
        let Opening::Sketch(mut cells) = on_different_hash(SketchRole::Initiator, one.digests())
        else {
            panic!("the initiator begins with a sketch");
        };
        let mut messages = 2;
        loop {
            messages += 1;
            let asked = match on_sketch(|| other.items(), &cells, limits) {
                ReconcileStep::Exchange { send, want } => {
                    let wanted = select(one.items(), want);
                    one.0.extend(send);
                    other.0.extend(wanted);
                    return messages + 1;
                }
                ReconcileStep::AskLarger(cells) => cells,
                ReconcileStep::GiveUp => 0,
                step @ (ReconcileStep::Sketch(_) | ReconcileStep::Everything) => {
                    panic!("unexpected answer to a sketch: {step:?}")
                }
            };
            messages += 1;
            match on_larger(|| one.items(), asked) {
                ReconcileStep::Sketch(larger) => {
                    assert!(larger.len() > cells.len(), "sketches grow");
                    cells = larger;
                }
                ReconcileStep::Everything => {
                    let all = one.0.clone();
                    one.0.extend(&other.0);
                    other.0.extend(&all);
                    return messages + 1;
                }
                step @ (ReconcileStep::AskLarger(_)
                | ReconcileStep::GiveUp
                | ReconcileStep::Exchange { .. }) => {
                    panic!("unexpected answer to a request for a larger sketch: {step:?}")
                }
            }
        }
    }

    #[test]
    fn a_small_difference_takes_one_sketch() {
        let mut one = Numbers((0..1_000).collect());
        let mut other = Numbers((3..1_002).collect());
        assert_eq!(reconcile(&mut one, &mut other, LIMITS), 4);
        assert_eq!(one, Numbers((0..1_002).collect()));
        assert_eq!(one, other);
    }

    #[test]
    fn a_difference_beyond_all_sketches_takes_everything() {
        let mut one = Numbers((0..5_000).collect());
        let mut other = Numbers(BTreeSet::new());
        assert_eq!(reconcile(&mut one, &mut other, LIMITS), 9);
        assert_eq!(one, other);
    }

    #[test]
    fn a_sketch_that_is_not_worth_sending_is_passed_over() {
        let limits = ReconcileLimits {
            cells_below: 100,
            ..LIMITS
        };
        let mut one = Numbers((0..60).collect());
        let mut other = Numbers(BTreeSet::new());
        assert_eq!(reconcile(&mut one, &mut other, limits), 5);
        assert_eq!(one, other);
    }

    #[test]
    fn the_digests_asked_for_are_bounded() {
        let one = Numbers((0..5).collect());
        let limits = ReconcileLimits {
            want_max: 2,
            ..LIMITS
        };
        let none = Numbers(BTreeSet::new());
        let ReconcileStep::Exchange { send, want } =
            on_sketch(|| none.items(), &first_sketch(one.digests()), limits)
        else {
            panic!("five items fit the smallest sketch");
        };
        assert!(send.is_empty());
        assert_eq!(want.len(), 2);
    }

    proptest! {
        #[test]
        fn two_sets_become_their_union(
            one in prop::collection::btree_set(0_u32..4_000, 0..300),
            other in prop::collection::btree_set(0_u32..4_000, 0..300),
        ) {
            let union: BTreeSet<u32> = one.union(&other).copied().collect();
            let (mut one, mut other) = (Numbers(one), Numbers(other));
            let messages = reconcile(&mut one, &mut other, LIMITS);
            prop_assert!(messages <= 9, "{messages} messages");
            prop_assert_eq!(&one.0, &union);
            prop_assert_eq!(&other.0, &union);
        }
    }
}
