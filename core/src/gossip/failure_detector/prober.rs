//! Probes: dials to members that are down, so that the parts of a partitioned mesh find each other.
//!
//! On average [`PROBERS`] nodes of the mesh dial each such member each second, whatever the size of the mesh.

use super::super::context::Context;
use super::super::timer::Timer;
use crate::sabotage::Switch;
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;
use std::collections::BTreeSet;

/// Number of nodes in the whole mesh that probe each member that is down, per second.
const PROBERS: u64 = 2;
/// Time between two probe rounds of one node.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of probes in one round.
pub(crate) const PROBES_MAX: u64 = 8;

/// The probe rounds of one node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prober {
    /// Time of the first round, if a member is down. The time is drawn at random within a second, so that nodes that
    /// lose a member at the same time do not probe it at the same time.
    first: Instant,
    running: bool,
    /// The member at which the next round starts; drawn when the first member goes down.
    next: Option<MemberIndex>,
}

impl Prober {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            first: now,
            running: false,
            next: None,
        }
    }

    /// Draws the time of the first round.
    pub(crate) fn start(&mut self, context: &mut Context) {
        let wait = context.random.prober.duration_below(PROBE_INTERVAL);
        self.first = context.after(Duration::from_millis(1) + wait);
    }

    /// A member is down: starts the probe rounds if they are not under way.
    pub(crate) fn begin(&mut self, context: &mut Context) {
        if core::mem::replace(&mut self.running, true) {
            return;
        }
        let rounds = if context.now < self.first {
            0
        } else {
            (context.now - self.first).as_secs() + 1
        };
        let at = self.first + Duration::from_secs(rounds);
        context.timers.set(Timer::Probe, at);
    }

    /// A round is due. Returns the members to dial out of those that are `down`; they are taken in turn from a random
    /// start, so that all are dialled equally often.
    pub(crate) fn on_due(
        &mut self,
        context: &mut Context,
        down: &BTreeSet<MemberIndex>,
    ) -> Vec<MemberIndex> {
        let mut members = Vec::new();
        if down.is_empty() || context.has(Switch::NoDownProbe) {
            self.running = false;
            self.next = None;
            return members;
        }
        let at = context.after(PROBE_INTERVAL);
        context.timers.set(Timer::Probe, at);
        let count = down.len() as u64;
        let others = (context.topology.len() as u64).saturating_sub(count).max(1);
        let millionths = PROBERS * 1_000_000 * count / others;
        let rest = u32::try_from(millionths % 1_000_000).unwrap_or(0);
        let extra = context.random.prober.chance_ppm(rest);
        let probes = (millionths / 1_000_000 + u64::from(extra))
            .min(PROBES_MAX)
            .min(count);
        let bound = context.topology.index_bound() as u64;
        let mut from = match self.next {
            Some(from) => from,
            None => MemberIndex::try_from(context.random.prober.below(bound)).unwrap_or(0),
        };
        for _ in 0..probes {
            let next = down.range(from..).next();
            let Some(member) = next.or_else(|| down.first()).copied() else {
                break;
            };
            from = member + 1;
            members.push(member);
        }
        self.next = Some(from);
        members
    }

    /// Whether a start was drawn; true while members are down.
    #[cfg(test)]
    pub(crate) const fn has_start(&self) -> bool {
        self.next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{context, learn};

    #[test]
    fn rounds_keep_the_nodes_own_second_and_end_when_no_member_is_down() {
        let mut context = context();
        let mut prober = Prober::new(context.now);
        prober.start(&mut context);
        let first = prober.first;
        context.now = first + Duration::from_millis(2_500);
        prober.begin(&mut context);
        prober.begin(&mut context);
        assert_eq!(context.timers.next(), Some(first + Duration::from_secs(3)));
        assert_eq!(prober.on_due(&mut context, &BTreeSet::new()), []);
        assert!(!prober.running && !prober.has_start());
    }

    #[test]
    fn every_member_that_is_down_is_probed_equally_often() {
        let mut context = context();
        let down: BTreeSet<MemberIndex> = (1..=5).map(|index| learn(&mut context, index)).collect();
        let mut prober = Prober::new(context.now);
        let mut probed = Vec::new();
        for _ in 0..10 {
            let round = prober.on_due(&mut context, &down);
            assert!(!round.is_empty() && round.len() as u64 <= PROBES_MAX);
            probed.extend(round);
        }
        let counts: BTreeSet<usize> = down
            .iter()
            .map(|member| probed.iter().filter(|probed| *probed == member).count())
            .collect();
        let (least, most) = (counts.first().unwrap(), counts.last().unwrap());
        assert!(most - least <= 1, "{counts:?}");
    }
}
