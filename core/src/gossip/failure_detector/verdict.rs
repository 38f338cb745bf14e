//! The verdict that a member is down.
//!
//! A member to which no path leads in the view is suspect. A node that hears a suspect, or last heard the suspect later
//! than the suspect's ring neighbours report, publishes this evidence. A suspect is declared down `down_after` after
//! the latest evidence of life, and only after other nodes had [`EVIDENCE_GRACE`] to answer the suspicion. Paths are
//! computed from the whole view, so changes within `judge_after` cause one computation.

use super::super::context::Context;
use super::super::members::Members;
use super::super::timer::Timer;
use super::super::view::Status;
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;
use std::collections::BTreeMap;

/// Time for evidence of life to arrive after a suspicion that is based on an old report.
const EVIDENCE_GRACE: Duration = Duration::from_millis(300);
/// Maximum number of times that a repeatedly paused node postpones its verdict on a suspect. Postponing longer would
/// let the node re-announce members that the rest of the mesh has forgotten.
const POSTPONED_MAX: u8 = 2;
/// Time between two checks of a verdict that a lagging node postpones.
const DOUBT_INTERVAL: Duration = Duration::from_millis(250);

/// A suspicion.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Suspicion {
    since: Instant,
    until: Instant,
    /// Number of pauses of this node during the suspicion.
    postponed: u8,
}

/// The result of the reachability computation for one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A path leads to a member that other nodes reported lost.
    Reached,
    /// A path leads to a suspect again.
    Cleared,
    /// A path leads again to a member that was down.
    Found,
    /// No path leads to a member. Holds the latest evidence of life that the member's ring neighbours reported, if any.
    Unreached(Option<Instant>),
}

/// The suspicions of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    suspicions: BTreeMap<MemberIndex, Suspicion>,
}

impl Verdict {
    /// Schedules a reachability computation after `judge_after`.
    pub(crate) fn schedule(&self, context: &mut Context) {
        let at = context.after(context.tuning().judge_after);
        context.timers.set_if_unset(Timer::Judge, at);
    }

    /// Computes the members to which paths lead, and the resulting changes, in the order of indices. O(members).
    pub(crate) fn judge(
        &self,
        context: &mut Context,
        members: &Members,
    ) -> Vec<(MemberIndex, Finding)> {
        let mut findings = Vec::new();
        if context.has(Switch::NoDetection) {
            return findings;
        }
        // If no report accuses a member, the rings connect all members, so a mesh that is being formed needs no search.
        let reported: Vec<MemberIndex> = members.reported_gone().collect();
        let unsuspected =
            self.suspicions.is_empty() && members.down().is_empty() && reported.is_empty();
        if unsuspected && context.topology.is_unaccused() {
            context.timers.cancel(&Timer::Suspicion);
            return findings;
        }
        let reachability =
            context
                .topology
                .reachability(context.me, members.unreachable(), &reported);
        let reached = reported
            .into_iter()
            .filter(|it| reachability.is_reached(*it));
        findings.extend(reached.map(|member| (member, Finding::Reached)));
        // A member that is alive and reached does not change.
        let unreached = context.topology.on_rings();
        let mut judged: Vec<MemberIndex> = unreached
            .filter(|member| !reachability.is_reached(*member))
            .chain(self.suspicions.keys().copied())
            .chain(members.down().iter().copied())
            .filter(|member| *member != context.me)
            .collect();
        judged.sort_unstable();
        judged.dedup();
        for member in judged {
            let reached = reachability.is_reached(member);
            let finding = match (members.status(context, member), reached) {
                (Status::Left, _) | (Status::Alive, true) | (Status::Down, false) => continue,
                (Status::Suspect, true) => Finding::Cleared,
                (Status::Down, true) => Finding::Found,
                (Status::Alive | Status::Suspect, false) => {
                    Finding::Unreached(reachability.last_heard(member))
                }
            };
            findings.push((member, finding));
        }
        findings
    }

    /// No path leads to a member. `last_heard` is the latest evidence of life reported, `fresh` the time of the member's
    /// latest update, and `resumed` the end of this node's latest pause. Returns whether the suspicion is new.
    pub(crate) fn suspect(
        &mut self,
        context: &Context,
        member: MemberIndex,
        last_heard: Option<Instant>,
        fresh: Instant,
        resumed: Instant,
    ) -> bool {
        let known = self.suspicions.get(&member);
        let (since, postponed) = known.map_or((context.now, 0), |it| (it.since, it.postponed));
        let newly = known.is_none();
        let fresh = if postponed > POSTPONED_MAX {
            fresh
        } else {
            fresh.max(resumed)
        };
        let down_after = context.tuning().down_after;
        let grace = if last_heard.is_some() {
            EVIDENCE_GRACE
        } else {
            down_after
        };
        let latest = last_heard.unwrap_or(Instant::ZERO).max(fresh);
        let suspicion = Suspicion {
            since,
            until: (latest + down_after).max(since + grace),
            postponed,
        };
        self.suspicions.insert(member, suspicion);
        newly
    }

    /// A member published an update after it was declared down: the member has the timeout of a suspect to prove that
    /// it is alive.
    pub(crate) fn on_returned(&mut self, context: &mut Context, member: MemberIndex) {
        let until = context.after(context.tuning().down_after);
        let suspicion = Suspicion {
            since: context.now,
            until,
            postponed: 0,
        };
        self.suspicions.insert(member, suspicion);
        context.timers.set_earlier(Timer::Suspicion, until);
    }

    /// The number of suspects.
    pub(crate) fn suspects(&self) -> usize {
        self.suspicions.len()
    }

    /// Ends the suspicion of a member.
    pub(crate) fn acquit(&mut self, member: MemberIndex) {
        self.suspicions.remove(&member);
    }

    /// Schedules the first verdict after suspicions changed.
    pub(crate) fn schedule_first(&self, context: &mut Context) {
        match self.first() {
            Some(first) => {
                let at = first.max(context.at_once());
                context.timers.set(Timer::Suspicion, at);
            }
            None => context.timers.cancel(&Timer::Suspicion),
        }
    }

    fn first(&self) -> Option<Instant> {
        let until = self.suspicions.values().map(|suspicion| suspicion.until);
        until.min()
    }

    /// A verdict is due. Returns the members that are down; none while the node is isolated (`held_until`). A lagging
    /// node waits longer by its `doubt`.
    pub(crate) fn on_due(
        &mut self,
        context: &mut Context,
        held_until: Option<Instant>,
        doubt: Duration,
    ) -> Vec<MemberIndex> {
        if let Some(until) = held_until {
            context.timers.set(Timer::Suspicion, until);
            return Vec::new();
        }
        let due = self.suspicions.iter();
        let due: Vec<MemberIndex> = due
            .filter(|(_, suspicion)| suspicion.until + doubt <= context.now)
            .map(|(member, _)| *member)
            .collect();
        for member in &due {
            self.suspicions.remove(member);
        }
        if let Some(first) = self.first() {
            // The doubt may shrink, so the verdict is checked again soon.
            let at = (first + doubt).min(context.now + DOUBT_INTERVAL).max(first);
            let at = at.max(context.at_once());
            context.timers.set(Timer::Suspicion, at);
        }
        due
    }

    /// This node was paused: suspects get the full timeout again, at most [`POSTPONED_MAX`] times.
    pub(crate) fn on_pause(&mut self, context: &mut Context) {
        let until = context.after(context.tuning().down_after);
        for suspicion in self.suspicions.values_mut() {
            suspicion.postponed = suspicion.postponed.saturating_add(1);
            if suspicion.postponed <= POSTPONED_MAX {
                suspicion.until = suspicion.until.max(until);
            }
        }
        if let Some(first) = self.first() {
            let at = first.max(context.now + DOUBT_INTERVAL);
            context.timers.set(Timer::Suspicion, at);
        }
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        held::<(MemberIndex, Suspicion)>(self.suspicions.len())
    }
}

/// Sets in the view whether a member is alive.
pub(crate) fn set_alive(context: &mut Context, member: MemberIndex, alive: bool) {
    context.topology.set_alive(member, alive);
}

/// Sets in the view whether a member is listed as a provider of its services.
pub(crate) fn set_listed(context: &mut Context, member: MemberIndex, listed: bool) {
    context.topology.set_listed(member, listed);
}

/// Removes a member from the view, but keeps its record, so that outdated updates do not bring it back. Returns the
/// hash of the view before the removal.
pub(crate) fn retire(context: &mut Context, member: MemberIndex) -> u64 {
    let before = context.topology.hash();
    context.topology.retire(member);
    before
}

/// Frees the slot of a member in the view.
pub(crate) fn release(context: &mut Context, member: MemberIndex) {
    context.topology.set_alive(member, true);
    context.topology.release(member);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{context, id, learn};
    use crate::topology::record::{Edge, EdgeReport};
    use std::sync::Arc;

    fn suspect(verdict: &mut Verdict, context: &Context, last_heard: Option<Instant>) -> bool {
        verdict.suspect(context, 1, last_heard, Instant::ZERO, Instant::ZERO)
    }

    #[test]
    fn a_suspect_is_down_when_its_latest_evidence_of_life_is_old() {
        let (mut context, mut verdict) = (context(), Verdict::default());
        let last_heard = context.now.saturating_sub(Duration::from_secs(1));
        assert!(suspect(&mut verdict, &context, Some(last_heard)));
        assert!(!suspect(&mut verdict, &context, Some(last_heard)));
        verdict.schedule_first(&mut context);
        let due = last_heard + context.tuning().down_after;
        assert_eq!(context.timers.next(), Some(due));
        context.now = due;
        assert_eq!(verdict.on_due(&mut context, None, Duration::ZERO), [1]);
        assert_eq!(verdict.on_due(&mut context, None, Duration::ZERO), []);
    }

    #[test]
    fn a_suspicion_that_rests_on_old_evidence_leaves_time_for_an_answer() {
        let (mut context, mut verdict) = (context(), Verdict::default());
        suspect(&mut verdict, &context, Some(Instant::ZERO));
        verdict.schedule_first(&mut context);
        let due = context.after(EVIDENCE_GRACE);
        assert_eq!(context.timers.next(), Some(due));
    }

    #[test]
    fn a_stopped_node_postpones_its_verdict_no_more_than_twice() {
        let (mut context, mut verdict) = (context(), Verdict::default());
        suspect(&mut verdict, &context, Some(context.now));
        let down_after = context.tuning().down_after;
        let mut until = context.now;
        for pause in 1..=4 {
            context.now += Duration::from_secs(1);
            verdict.on_pause(&mut context);
            if pause <= 2 {
                until = context.after(down_after);
            }
            assert_eq!(verdict.first(), Some(until), "after {pause} pauses");
        }
    }

    #[test]
    fn an_isolated_node_waits_and_a_lagging_node_waits_longer() {
        let (mut context, mut verdict) = (context(), Verdict::default());
        suspect(&mut verdict, &context, Some(context.now));
        context.now += context.tuning().down_after;
        let held = context.after(Duration::from_millis(700));
        assert_eq!(verdict.on_due(&mut context, Some(held), Duration::ZERO), []);
        assert_eq!(context.timers.next(), Some(held));
        let doubt = Duration::from_secs(1);
        assert_eq!(verdict.on_due(&mut context, None, doubt), []);
        assert_eq!(context.timers.next(), Some(context.after(DOUBT_INTERVAL)));
        context.now += doubt;
        assert_eq!(verdict.on_due(&mut context, None, doubt), [1]);
    }

    #[test]
    fn a_member_that_all_its_ring_neighbours_accuse_is_unreached_until_one_hears_it() {
        let (mut context, verdict) = (context(), Verdict::default());
        let members: Vec<MemberIndex> = (1..6).map(|index| learn(&mut context, index)).collect();
        let lost = members[0];
        let mut views = Members::new(context.now);
        assert_eq!(verdict.judge(&mut context, &views), []);
        accuse(&mut context, 1, true);
        assert_eq!(
            verdict.judge(&mut context, &views),
            [(lost, Finding::Unreached(None))]
        );
        accuse(&mut context, 1, false);
        assert_eq!(verdict.judge(&mut context, &views), []);
        views.set_status(lost, Status::Suspect);
        set_alive(&mut context, lost, false);
        let mut verdict = verdict;
        suspect(&mut verdict, &context, None);
        assert_eq!(
            verdict.judge(&mut context, &views),
            [(lost, Finding::Cleared)]
        );
    }

    /// All other members report their edges to one member as down, or as heard.
    fn accuse(context: &mut Context, about: usize, down: bool) {
        for reporter in (0..6).filter(|reporter| *reporter != about) {
            let report = EdgeReport {
                epoch: 1,
                version: 2 + u64::from(!down),
                edges: vec![Edge {
                    peer: id(about),
                    down,
                }],
                reporter: id(reporter),
            };
            context.topology.apply_report(&Arc::new(report), vec![None]);
        }
    }
}
