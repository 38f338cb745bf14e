//! The unproven members of one view, with the counts that decide about dropping them.
//!
//! The counts are kept while members change: a decision about one of many members costs no look at all others.

use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;
use std::collections::{BTreeMap, BTreeSet};

/// Time for which a node stays guarded after the latest excess of unproven members, and reports its links after that.
pub(super) const GUARD_TIME: Duration = Duration::from_secs(60);
/// Number of times that a guarded node announces the record of a member that it met, and the time before the first.
pub(super) const INTRODUCTIONS_MAX: u8 = 3;
const INTRODUCED_AFTER: Duration = Duration::from_secs(1);

/// The state of a member that is not proven.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Unproven {
    /// The time since which the member satisfies the conditions of a proof.
    since: Instant,
    /// The time at which the member first opened a link.
    met: Option<Instant>,
    /// The time of the death or departure.
    dead: Option<Instant>,
    /// The member was dropped: its slot is kept for a while.
    dropped: bool,
    /// Number of times that this node announced the member to guarded nodes.
    introduced: u8,
}

impl Unproven {
    const fn new(now: Instant, met: Option<Instant>) -> Self {
        Self {
            since: now,
            met,
            dead: None,
            dropped: false,
            introduced: 0,
        }
    }

    /// Whether the member counts towards the guard.
    pub(super) fn weighs(&self, now: Instant) -> bool {
        self.met.is_none() && self.dead.is_none_or(|at| now.since(at) < GUARD_TIME)
    }

    pub(super) const fn is_met(&self) -> bool {
        self.met.is_some()
    }

    pub(super) const fn is_dead(&self) -> bool {
        self.dead.is_some()
    }

    /// Whether the member is dead, was never met, and is not dropped.
    const fn is_due(&self) -> bool {
        self.dead.is_some() && self.met.is_none() && !self.dropped
    }

    /// The time for which the member satisfies the conditions of a proof.
    pub(super) fn stood(&self, now: Instant) -> Duration {
        now.since(self.since)
    }

    /// The conditions of a proof are not satisfied, or other conditions hold from now on.
    pub(super) const fn restart_proof(&mut self, now: Instant) {
        self.since = now;
    }

    /// Whether the record of a member with a link is announced again, and counts the announcement.
    pub(super) fn introduce(&mut self, now: Instant) -> bool {
        let wait = INTRODUCED_AFTER * (1 << self.introduced);
        let is_due = self.met.is_some_and(|met| now.since(met) >= wait);
        let introduced = is_due && self.introduced < INTRODUCTIONS_MAX;
        self.introduced += u8::from(introduced);
        introduced
    }
}

/// The unproven members.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct UnprovenMembers {
    members: BTreeMap<MemberIndex, Unproven>,
    /// The number of dead members that are not dropped.
    kept: usize,
    /// The number of dead members that were never met.
    unmet: usize,
    /// The dropped members in order of their deaths.
    dropped: BTreeSet<(Option<Instant>, MemberIndex)>,
}

/// Changes.
impl UnprovenMembers {
    pub(super) fn insert(&mut self, member: MemberIndex, now: Instant, met: Option<Instant>) {
        self.remove(member);
        self.members.insert(member, Unproven::new(now, met));
    }

    /// Removes a member. Returns its state.
    pub(super) fn remove(&mut self, member: MemberIndex) -> Option<Unproven> {
        let state = self.members.remove(&member)?;
        self.count(member, &state, false);
        Some(state)
    }

    /// Changes the state of a member. Returns the state before.
    fn change(
        &mut self,
        member: MemberIndex,
        change: impl FnOnce(&mut Unproven),
    ) -> Option<Unproven> {
        let state = self.members.get_mut(&member)?;
        let before = *state;
        change(state);
        let after = *state;
        self.count(member, &before, false);
        self.count(member, &after, true);
        Some(before)
    }

    /// Counts a state, or takes it out of the counts.
    fn count(&mut self, member: MemberIndex, state: &Unproven, counts: bool) {
        let kept = usize::from(state.is_dead() && !state.dropped);
        let unmet = usize::from(state.is_dead() && !state.is_met());
        if counts {
            self.kept += kept;
            self.unmet += unmet;
        } else {
            self.kept -= kept;
            self.unmet -= unmet;
        }
        if state.dropped && counts {
            self.dropped.insert((state.dead, member));
        } else if state.dropped {
            self.dropped.remove(&(state.dead, member));
        }
    }

    /// A member opened a link. Returns the state before; none if the member is not unproven.
    pub(super) fn on_met(&mut self, member: MemberIndex, now: Instant) -> Option<Unproven> {
        self.change(member, |state| {
            state.met.get_or_insert(now);
            state.dead = None;
            state.dropped = false;
        })
    }

    /// A member is dead or left. Returns false if it was met, is dropped already, or is not unproven.
    pub(super) fn on_dead(&mut self, member: MemberIndex, now: Instant) -> bool {
        let before = self.change(member, |state| {
            if state.met.is_none() && !state.dropped {
                state.dead.get_or_insert(now);
            }
        });
        before.is_some_and(|state| state.met.is_none() && !state.dropped)
    }

    pub(super) fn on_returned(&mut self, member: MemberIndex, now: Instant) {
        self.change(member, |state| {
            state.dead = None;
            state.dropped = false;
            state.since = now;
        });
    }

    pub(super) fn on_dropped(&mut self, member: MemberIndex, now: Instant) {
        self.change(member, |state| {
            state.dead.get_or_insert(now);
            state.dropped = true;
        });
    }

    /// Restarts the proofs of all members.
    pub(super) fn restart_proofs(&mut self, now: Instant) {
        for state in self.members.values_mut() {
            state.restart_proof(now);
        }
    }

    /// The members that satisfy the conditions of a proof for a time. The proof of a member that does not satisfy them
    /// restarts.
    pub(super) fn prove(
        &mut self,
        now: Instant,
        time: Duration,
        holds: impl Fn(MemberIndex, &Unproven) -> bool,
    ) -> Vec<MemberIndex> {
        let mut proven = Vec::new();
        for (member, state) in &mut self.members {
            if !holds(*member, state) {
                state.restart_proof(now);
            } else if state.stood(now) >= time {
                proven.push(*member);
            }
        }
        proven
    }

    /// The members with a link whose records are announced again. Counts the announcements.
    pub(super) fn introduce(
        &mut self,
        now: Instant,
        is_linked: impl Fn(MemberIndex) -> bool,
    ) -> Vec<MemberIndex> {
        let linked = self.members.iter_mut().filter(|(it, _)| is_linked(**it));
        let due = linked.filter_map(|(member, state)| state.introduce(now).then_some(*member));
        due.collect()
    }
}

/// Queries.
impl UnprovenMembers {
    pub(super) fn get(&self, member: MemberIndex) -> Option<&Unproven> {
        self.members.get(&member)
    }

    pub(super) fn contains(&self, member: MemberIndex) -> bool {
        self.members.contains_key(&member)
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = MemberIndex> + '_ {
        self.members.keys().copied()
    }

    /// The number of members that count towards the guard. O(n).
    pub(super) fn weight(&self, now: Instant) -> usize {
        let weighing = self.members.values().filter(|state| state.weighs(now));
        weighing.count()
    }

    /// The number of dead members that are not dropped.
    pub(super) const fn kept(&self) -> usize {
        self.kept
    }

    /// The number of dead members that were never met.
    pub(super) const fn unmet(&self) -> usize {
        self.unmet
    }

    /// The dropped member that is dead for the longest time, if there are more than `max` of them.
    pub(super) fn excess(&self, max: usize) -> Option<MemberIndex> {
        let oldest = self.dropped.first().filter(|_| self.dropped.len() > max);
        oldest.map(|(_, member)| *member)
    }

    /// The dead members that were never met and are not dropped. O(n).
    pub(super) fn due(&self) -> Vec<MemberIndex> {
        let due = self.members.iter().filter(|(_, state)| state.is_due());
        due.map(|(member, _)| *member).collect()
    }

    /// The member that was never met and is dead for the longest time, or the oldest one. O(n).
    pub(super) fn oldest_unmet(&self) -> Option<MemberIndex> {
        let unmet = self.members.iter().filter(|(_, state)| !state.is_met());
        let oldest = unmet
            .min_by_key(|(member, state)| (!state.is_dead(), state.dead, state.since, **member));
        oldest.map(|(member, _)| *member)
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<(MemberIndex, Unproven)>(self.members.len())
            + held::<(Option<Instant>, MemberIndex)>(self.dropped.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_counts_are_those_of_a_look_at_all_members(
            steps in prop::collection::vec((0_u32..8, 0_u8..6), 0..80),
        ) {
            let (mut set, mut now) = (UnprovenMembers::default(), Instant::ZERO);
            for (member, step) in steps {
                now += Duration::from_secs(1);
                match step {
                    0 => set.insert(member, now, None),
                    1 => drop(set.on_met(member, now)),
                    2 => drop(set.on_dead(member, now)),
                    3 => set.on_returned(member, now),
                    4 => set.on_dropped(member, now),
                    _ => drop(set.remove(member)),
                }
                let states = || set.members.iter();
                let dead = || states().filter(|(_, it)| it.is_dead());
                prop_assert_eq!(set.kept(), dead().filter(|(_, it)| !it.dropped).count());
                prop_assert_eq!(set.unmet(), dead().filter(|(_, it)| !it.is_met()).count());
                let dropped = states().filter(|(_, it)| it.dropped);
                let oldest = dropped.clone().min_by_key(|(member, it)| (it.dead, **member));
                prop_assert_eq!(set.excess(0), oldest.map(|(member, _)| *member));
                prop_assert_eq!(set.excess(dropped.count()), None);
            }
        }
    }
}
