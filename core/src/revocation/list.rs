//! The revocations that a node holds: merge rules, bound and end.
//!
//! Of the revocations of one target, the greatest content counts, so replicas converge in any order. A revocation is
//! enforced for as long as the list holds it. A revocation is removed [`KEPT_AFTER_END`] after its end; the margin
//! covers clocks that are ahead.
//!
//! Bound: [`REVOCATIONS_MAX`]. In a full list, a revocation replaces the one that ends first, if the latter ends
//! earlier.

use super::entry::{PresentedCertificate, Revocation, RevocationContent, RevocationTarget};
use crate::random::mix;
use crate::time::Wall;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Maximum number of revocations.
pub const REVOCATIONS_MAX: usize = 65_536;
/// Seconds for which a revocation is kept after its end.
pub const KEPT_AFTER_END: u64 = 86_400;
/// Maximum number of seconds by which the signer's clock may be ahead of this node's clock.
pub const AHEAD_SECONDS_MAX: u64 = 300;

/// Reasons why a revocation is not accepted. The list is then unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationRefusal {
    /// The signer's clock is ahead of this node's clock, or the revocation concerns certificates of the future.
    Future,
    /// The revocation has ended.
    Ended,
    /// The list is full of revocations that end later.
    Full,
    /// Too many revocations wait to be stored.
    Busy,
}

impl fmt::Display for RevocationRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Future => write!(
                f,
                "it is signed for a time more than {AHEAD_SECONDS_MAX} s ahead of this node's clock; set the clocks"
            ),
            Self::Ended => {
                f.write_str("it has ended: the certificates that it revokes have expired")
            }
            Self::Full => write!(
                f,
                "this node holds {REVOCATIONS_MAX} revocations that end later; revoke with a new CA"
            ),
            Self::Busy => f.write_str("too many revocations wait to be stored; try again"),
        }
    }
}

impl core::error::Error for RevocationRefusal {}

/// The outcome of an insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The list holds the revocation as a new one. `dropped` was removed from the full list.
    New {
        /// The revocation that ended first.
        dropped: Option<Arc<Revocation>>,
    },
    /// The list holds this revocation, or a greater one of the same target.
    Held,
    /// The revocation was refused.
    Refused(RevocationRefusal),
}

/// The revocations that a node holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationList {
    entries: BTreeMap<RevocationTarget, Arc<Revocation>>,
    /// All entries by their end, and then by their target.
    by_end: BTreeSet<(Wall, RevocationTarget)>,
    by_digest: BTreeMap<u64, RevocationTarget>,
    /// The sum of the mixed digests; 0 without entries.
    hash: u64,
}

impl RevocationList {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            by_end: BTreeSet::new(),
            by_digest: BTreeMap::new(),
            hash: 0,
        }
    }

    /// Inserts a verified revocation, as of `now`.
    pub fn insert(&mut self, revocation: &Arc<Revocation>, now: Wall) -> Inserted {
        let content = &revocation.content;
        let latest = now.0.saturating_add(AHEAD_SECONDS_MAX);
        if content.signed.0.max(content.begun_before.0) > latest.saturating_add(1) {
            return Inserted::Refused(RevocationRefusal::Future);
        }
        if content.kept_until().0.saturating_add(KEPT_AFTER_END) < now.0 {
            return Inserted::Refused(RevocationRefusal::Ended);
        }
        self.restore(revocation)
    }

    /// Inserts a revocation that this node accepted earlier.
    pub fn restore(&mut self, revocation: &Arc<Revocation>) -> Inserted {
        let content = &revocation.content;
        if let Some(held) = self.entries.get(&content.target) {
            if held.content >= *content {
                return Inserted::Held;
            }
            let target = content.target.clone();
            self.remove(&target);
        }
        let mut dropped = None;
        if self.entries.len() >= REVOCATIONS_MAX {
            let first = self.by_end.first().cloned();
            let own = (content.kept_until(), &content.target);
            let Some((_, target)) = first.filter(|(ends, target)| (*ends, target) < own) else {
                return Inserted::Refused(RevocationRefusal::Full);
            };
            dropped = self.remove(&target);
        }
        self.add(revocation);
        Inserted::New { dropped }
    }

    fn add(&mut self, revocation: &Arc<Revocation>) {
        let content = &revocation.content;
        let (digest, target) = (content.digest(), &content.target);
        self.hash = self.hash.wrapping_add(mix(digest));
        self.by_end.insert((content.kept_until(), target.clone()));
        self.by_digest.insert(digest, target.clone());
        self.entries.insert(target.clone(), Arc::clone(revocation));
    }

    fn remove(&mut self, target: &RevocationTarget) -> Option<Arc<Revocation>> {
        let held = self.entries.remove(target)?;
        let digest = held.content.digest();
        self.hash = self.hash.wrapping_sub(mix(digest));
        self.by_end
            .remove(&(held.content.kept_until(), target.clone()));
        self.by_digest.remove(&digest);
        Some(held)
    }

    /// Removes the revocations that ended more than [`KEPT_AFTER_END`] ago. Returns whether there were any.
    pub fn remove_ended(&mut self, now: Wall) -> bool {
        let before = self.entries.len();
        while let Some((ends, target)) = self.by_end.first()
            && ends.0.saturating_add(KEPT_AFTER_END) < now.0
        {
            let target = target.clone();
            self.remove(&target);
        }
        self.entries.len() < before
    }

    /// The revocation of a certificate, if it is revoked.
    #[must_use]
    pub fn revocation_of(&self, certificate: &PresentedCertificate) -> Option<&Arc<Revocation>> {
        let by_certificate = RevocationTarget::Certificate(certificate.fingerprint);
        let by_holder = RevocationTarget::Holder(certificate.role, certificate.id.clone());
        let found = [by_certificate, by_holder].into_iter();
        let mut found = found.filter_map(|target| self.entries.get(&target));
        found.find(|revocation| revocation.content.concerns(certificate))
    }

    /// The order-free hash of all revocations; 0 without revocations.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The number of revocations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no revocations.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All revocations, in the order of their targets.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Revocation>> {
        self.entries.values()
    }

    /// The digests of all revocations, in ascending order.
    pub fn digests(&self) -> impl Iterator<Item = u64> {
        self.by_digest.keys().copied()
    }

    /// Whether a revocation with exactly this content is held. A digest does not prove that, because digests can collide.
    #[must_use]
    pub fn holds(&self, content: &RevocationContent) -> bool {
        let held = self.entries.get(&content.target);
        held.is_some_and(|held| held.content == *content)
    }

    /// Whether a revocation with this digest is held.
    #[must_use]
    pub fn has(&self, digest: u64) -> bool {
        self.by_digest.contains_key(&digest)
    }

    /// The revocation with this digest.
    #[must_use]
    pub fn with_digest(&self, digest: u64) -> Option<&Arc<Revocation>> {
        self.entries.get(self.by_digest.get(&digest)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::CA_DAYS;
    use crate::revocation::tests::{by_holder, id};
    use proptest::prelude::*;

    fn numbered(number: u64, ends: u64) -> Arc<Revocation> {
        let revocation = by_holder(&format!("n{number}"), 100);
        Arc::new(Revocation {
            content: RevocationContent {
                ends: Wall(ends),
                ..revocation.content.clone()
            },
            signature: revocation.signature.clone(),
        })
    }

    #[test]
    fn a_later_revocation_of_a_holder_replaces_an_earlier_one() {
        let mut list = RevocationList::new();
        let (early, late) = (by_holder("a", 100), by_holder("a", 200));
        let new = Inserted::New { dropped: None };
        assert_eq!(list.insert(&early, Wall(100)), new);
        assert_eq!(list.insert(&early, Wall(100)), Inserted::Held);
        assert_eq!(list.insert(&late, Wall(200)), new);
        assert_eq!(list.insert(&early, Wall(200)), Inserted::Held);
        assert_eq!(list.len(), 1);
        let certificate = PresentedCertificate {
            not_before: Wall(150),
            ..PresentedCertificate::of_node(id("a"))
        };
        assert_eq!(list.revocation_of(&certificate), Some(&late));
    }

    #[test]
    fn a_revocation_of_the_future_and_an_ended_one_are_refused() {
        let mut list = RevocationList::new();
        let revocation = by_holder("a", 1_000);
        let refused = |why| Inserted::Refused(why);
        let early = Wall(1_000 - AHEAD_SECONDS_MAX - 2);
        assert_eq!(
            list.insert(&revocation, early),
            refused(RevocationRefusal::Future)
        );
        let late = Wall(revocation.content.kept_until().0 + KEPT_AFTER_END + 1);
        assert_eq!(
            list.insert(&revocation, late),
            refused(RevocationRefusal::Ended)
        );
        list.insert(&revocation, Wall(1_000));
        assert!(!list.remove_ended(Wall(late.0 - 1)));
        assert!(list.remove_ended(late));
        assert_eq!(list, RevocationList::new());
    }

    #[test]
    fn a_later_revocation_with_an_earlier_end_keeps_the_holder_out() {
        let mut list = RevocationList::new();
        let early = by_holder("a", 1_000);
        list.insert(&early, Wall(1_000));
        let short = Arc::new(Revocation {
            content: RevocationContent {
                begun_before: Wall(1_001),
                ends: Wall(1),
                ..early.content.clone()
            },
            signature: early.signature.clone(),
        });
        list.insert(&short, Wall(1_000));
        assert!(!list.remove_ended(Wall(200_000)));
        let certificate = PresentedCertificate {
            not_before: Wall(150),
            ..PresentedCertificate::of_node(id("a"))
        };
        assert!(list.revocation_of(&certificate).is_some());
    }

    #[test]
    fn a_content_is_held_only_if_all_of_it_is_equal() {
        let mut list = RevocationList::new();
        let held = by_holder("a", 1_000);
        list.insert(&held, Wall(1_000));
        assert!(list.holds(&held.content));
        for other in [by_holder("b", 1_000), by_holder("a", 1_001)] {
            assert!(!list.holds(&other.content));
        }
    }

    #[test]
    fn a_full_list_drops_the_revocation_that_ends_first() {
        let mut list = RevocationList::new();
        let far = CA_DAYS * 86_400 + 1_000;
        for number in 0..REVOCATIONS_MAX as u64 {
            list.insert(&numbered(number, far + number), Wall(100));
        }
        let last = numbered(1 << 20, far - 1);
        let full = Inserted::Refused(RevocationRefusal::Full);
        assert_eq!(list.insert(&last, Wall(100)), full);
        let later = numbered(1 << 20, far + 1);
        let dropped = Some(numbered(0, far));
        assert_eq!(list.insert(&later, Wall(100)), Inserted::New { dropped });
        assert_eq!(list.len(), REVOCATIONS_MAX);
    }

    proptest! {
        #[test]
        fn lists_converge_in_any_order(
            entries in proptest::collection::vec((0..4_u64, 1..400_u64), 0..12), turn in 0..12_usize,
        ) {
            let entries: Vec<_> =
                entries.iter().map(|(who, before)| by_holder(&format!("n{who}"), *before)).collect();
            let mut turned = entries.clone();
            turned.rotate_left(turn % entries.len().max(1));
            let of = |entries: &[Arc<Revocation>]| {
                let mut list = RevocationList::new();
                entries.iter().for_each(|it| drop(list.insert(it, Wall(400))));
                list
            };
            let (one, other) = (of(&entries), of(&turned));
            prop_assert_eq!(one.hash(), other.hash());
            prop_assert_eq!(&one, &other);
            prop_assert!(one.iter().all(|it| one.with_digest(it.content.digest()) == Some(it)));
        }
    }
}
