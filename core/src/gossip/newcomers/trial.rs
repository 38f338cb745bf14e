//! The trial of refused members: a guarded node dials a random sample of them. Many real members that appear at once
//! answer; invented ones do not.
//!
//! A refused member without an address counts as one that does not answer. Bounds: [`SAMPLE`] dials in a round; the
//! pause between two rounds doubles up to [`PAUSE_MAX`].

use crate::identity::NodeId;
use crate::random::Random;
use crate::size::held;
use crate::time::{Duration, Instant};
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

/// Number of members in one round.
const SAMPLE: usize = 8;
/// Number of members that must answer at least, and the share of the sample that must not be exceeded by the others.
const ANSWERS_MIN: usize = 4;
const SILENT_SHARE: usize = 8;
/// The first and the longest pause between two rounds.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(64);

/// The rounds of one guard.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NewcomerTrial {
    /// The members of the latest round that have not answered.
    awaited: BTreeSet<NodeId>,
    /// The number of members of the latest round, and of those that answered.
    sampled: usize,
    answered: usize,
    next: Instant,
    pause: Duration,
}

impl NewcomerTrial {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            awaited: BTreeSet::new(),
            sampled: 0,
            answered: 0,
            next: now,
            pause: PAUSE_MIN,
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Begins a round. Returns the addresses to dial.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        refused: &BTreeMap<NodeId, Option<SocketAddr>>,
        random: &mut Random,
    ) -> Vec<SocketAddr> {
        self.awaited.clear();
        self.answered = 0;
        self.sampled = 0;
        if refused.len() < SAMPLE {
            return Vec::new();
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        let drawn = (0..SAMPLE).map(|_| random.below(refused.len() as u64) as usize);
        let drawn: BTreeSet<usize> = drawn.collect();
        self.sampled = drawn.len();
        let mut addresses = Vec::new();
        for at in drawn {
            if let Some((id, Some(address))) = refused.iter().nth(at) {
                self.awaited.insert(id.clone());
                addresses.push(*address);
            }
        }
        addresses
    }

    /// A node answered a dial under its id.
    pub(super) fn on_answered(&mut self, id: &NodeId) {
        self.answered += usize::from(self.awaited.remove(id));
    }

    /// Whether nearly all members of the latest round answered.
    pub(super) const fn is_passed(&self) -> bool {
        let silent = self.sampled.saturating_sub(self.answered);
        self.answered >= ANSWERS_MIN && silent * SILENT_SHARE <= self.sampled
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<NodeId>(self.awaited.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{address, id};

    fn refused(count: usize, addressed: bool) -> BTreeMap<NodeId, Option<SocketAddr>> {
        let of = |index| (id(index), addressed.then(|| address(index)));
        (0..count).map(of).collect()
    }

    #[test]
    fn a_trial_is_passed_if_nearly_all_answer() {
        let (mut trial, mut random) = (NewcomerTrial::new(Instant::ZERO), Random::from_seed(1));
        let refused = refused(1_000, true);
        let dialled = trial.begin(Instant::ZERO, &refused, &mut random);
        assert_eq!(dialled.len(), SAMPLE);
        let passed = (0..1_000).map(|index| {
            trial.on_answered(&id(index));
            trial.is_passed()
        });
        assert!(passed.filter(|passed| !passed).count() > 500);
        assert!(trial.is_passed());
    }

    #[test]
    fn members_without_an_address_fail_the_trial_and_the_pauses_grow() {
        let (mut trial, mut random) = (NewcomerTrial::new(Instant::ZERO), Random::from_seed(1));
        let refused = refused(1_000, false);
        let (mut now, mut rounds) = (Instant::ZERO, 0);
        while now < Instant::ZERO + Duration::from_secs(600) {
            if trial.is_due(now) {
                assert_eq!(trial.begin(now, &refused, &mut random), []);
                rounds += 1;
            }
            now += Duration::from_secs(1);
        }
        assert!(!trial.is_passed());
        assert!(rounds < 20, "{rounds}");
    }
}
