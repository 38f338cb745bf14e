//! Corroboration: whether the neighbours of a node that joined hold the members that the node learnt meanwhile.
//!
//! A node that joins believes every record, also those that one neighbour invents for it. The members that the node held
//! when two neighbours had a view equal to its own are corroborated. If too many others are left at the end of the time
//! of trust, some neighbours are asked for a random sample of them: a real member is held by nearly all neighbours.
//!
//! Bounds: [`SAMPLE`] members, [`ASKED_MAX`] neighbours, [`ROUNDS_MAX`] rounds.

use crate::link::LinkId;
use crate::random::Random;
use crate::size::held;
use crate::topology::MemberIndex;
use std::collections::{BTreeMap, BTreeSet};

/// Number of members in a round.
const SAMPLE: usize = 16;
/// Number of neighbours that are asked in a round.
const ASKED_MAX: usize = 4;
/// Number of rounds without success after which the members are not corroborated. A neighbour may be too busy to answer.
const ROUNDS_MAX: u8 = 6;

/// The state of the check.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Corroboration {
    /// The latest neighbour with an equal view, and the hash of the view.
    agreed: Option<(MemberIndex, u64)>,
    /// Members with a lower index are corroborated. Indices of new members rise.
    watermark: MemberIndex,
    /// The members of this round.
    sample: BTreeSet<MemberIndex>,
    /// The neighbours that are asked in this round, with the number of members of the sample that they sent.
    asked: BTreeMap<LinkId, usize>,
    rounds: u8,
}

impl Corroboration {
    /// A neighbour has an equal view; `bound` is above the index of all members. `only`: the node has one neighbour.
    pub(super) fn on_agreed(
        &mut self,
        (neighbour, hash): (MemberIndex, u64),
        bound: usize,
        only: bool,
    ) {
        let before = self.agreed.replace((neighbour, hash));
        let second = before.is_some_and(|(other, equal)| other != neighbour && equal == hash);
        if second || only {
            self.watermark = MemberIndex::try_from(bound).unwrap_or(MemberIndex::MAX);
        }
    }

    /// Whether two neighbours held a member.
    pub(super) const fn covers(&self, member: MemberIndex) -> bool {
        member < self.watermark
    }

    /// Begins a round. Returns the members and the links on which they are requested; none if all rounds are over.
    pub(super) fn begin(
        &mut self,
        members: &[MemberIndex],
        links: &[LinkId],
        random: &mut Random,
    ) -> Option<(Vec<MemberIndex>, Vec<LinkId>)> {
        if self.rounds == ROUNDS_MAX {
            return None;
        }
        self.rounds += 1;
        let drawn = (0..SAMPLE).filter_map(|_| random.pick(members).copied());
        self.sample = drawn.collect();
        let asked = (0..ASKED_MAX).filter_map(|_| random.pick(links).copied());
        self.asked = asked.map(|link| (link, 0)).collect();
        let sample = self.sample.iter().copied().collect();
        Some((sample, self.asked.keys().copied().collect()))
    }

    /// A neighbour sent a member's record in a comparison.
    pub(super) fn on_pushed(&mut self, link: LinkId, member: MemberIndex) {
        if self.sample.contains(&member)
            && let Some(count) = self.asked.get_mut(&link)
        {
            *count += 1;
        }
    }

    /// Whether a round is under way.
    pub(super) fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether most of the neighbours that were asked sent most of the sample.
    pub(super) fn is_passed(&self) -> bool {
        let of_sample = |count: &&usize| **count * 2 > self.sample.len();
        let passed = self.asked.values().filter(of_sample).count();
        !self.asked.is_empty() && passed * 2 > self.asked.len()
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<MemberIndex>(self.sample.len()) + held::<(LinkId, usize)>(self.asked.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_corroborated_by_two_equal_views() {
        let mut check = Corroboration::default();
        check.on_agreed((1, 7), 10, false);
        check.on_agreed((1, 7), 10, false);
        check.on_agreed((2, 8), 11, false);
        assert!(!check.covers(3));
        check.on_agreed((1, 8), 11, false);
        assert!(check.covers(10));
        assert!(!check.covers(11));
        check.on_agreed((2, 9), 12, true);
        assert!(check.covers(11));
    }

    #[test]
    fn a_sample_is_corroborated_by_most_neighbours_or_not_at_all() {
        let (mut check, mut random) = (Corroboration::default(), Random::from_seed(1));
        let (members, links) = ((0..500).collect::<Vec<_>>(), [LinkId(1)]);
        let (sample, _) = check.begin(&members, &links, &mut random).unwrap();
        assert!(check.is_asking() && !check.is_passed());
        for member in &sample {
            check.on_pushed(LinkId(2), *member);
        }
        assert!(!check.is_passed(), "the neighbour was not asked");
        for member in sample {
            check.on_pushed(LinkId(2), member);
            check.on_pushed(LinkId(1), member);
        }
        assert!(check.is_passed());
        for _ in 1..ROUNDS_MAX {
            assert!(check.begin(&members, &links, &mut random).is_some());
            assert!(!check.is_passed());
        }
        assert_eq!(check.begin(&members, &links, &mut random), None);
    }
}
