//! The verdict that a member is down.
//!
//! A member to which no path leads in the view is suspect. A node that hears a suspect, or last heard the suspect later
//! than the suspect's ring neighbours report, publishes this evidence. A suspect is declared down `down_after` after
//! the latest evidence of life, and only after other nodes had [`EVIDENCE_GRACE`] to answer the suspicion. Paths are
//! computed from the whole view, so changes within `judge_after` cause one computation.
//!
//! A suspect of which all ring neighbours report that dials are refused is declared down [`REFUSED_AFTER`] after the
//! latest evidence of life, which is the end of the links, and [`OBJECTION_GRACE`] after the suspicion began or the
//! suspect's latest update. Within this time, a node that has a link to the suspect publishes so, and an owner overrides
//! a report that was forged under its id.

use super::super::context::Context;
use super::super::event::DeathCause;
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
/// Age of the latest evidence of life after which a suspect whose host refuses dials is down.
const REFUSED_AFTER: Duration = Duration::from_millis(400);
/// Time for objections to a suspicion that is based on refused dials.
const OBJECTION_GRACE: Duration = Duration::from_millis(200);
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
    cause: DeathCause,
}

/// The evidence of the ring neighbours of a member to which no path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The latest reported evidence of life, if any.
    pub(crate) last_heard: Option<Instant>,
    /// Whether all ring neighbours report that dials are refused.
    pub(crate) refused: bool,
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
    /// No path leads to a member.
    Unreached(Evidence),
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

    /// Computes the members to which paths lead, and the resulting changes, in the order of indices. Edges to members off
    /// the rings count only if `vouches` is true for their reporter. O(members).
    pub(crate) fn judge(
        &self,
        context: &mut Context,
        members: &Members,
        vouches: impl Fn(MemberIndex) -> bool,
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
                .reachability(context.me, members.unreachable(), &reported, vouches);
        let refused = context
            .topology
            .refused(&reachability, |member| members.down().contains(&member));
        let reached = reported
            .into_iter()
            .filter(|it| reachability.is_reached(*it));
        findings.extend(reached.map(|member| (member, Finding::Reached)));
        let is_reached =
            |member: MemberIndex| reachability.is_reached(member) && !refused.contains(&member);
        // A member that is alive and reached does not change.
        let topology = &context.topology;
        let unreached = topology.on_rings().chain(topology.held_off());
        let mut judged: Vec<MemberIndex> = unreached
            .filter(|member| !is_reached(*member))
            .chain(self.suspicions.keys().copied())
            .chain(members.down().iter().copied())
            .filter(|member| *member != context.me)
            .collect();
        judged.sort_unstable();
        judged.dedup();
        for member in judged {
            let reached = is_reached(member);
            let finding = match (members.status(context, member), reached) {
                (Status::Left, _) | (Status::Alive, true) | (Status::Down, false) => continue,
                (Status::Suspect, true) => Finding::Cleared,
                (Status::Down, true) => Finding::Found,
                (Status::Alive | Status::Suspect, false) => Finding::Unreached(Evidence {
                    last_heard: reachability.last_heard(member),
                    refused: refused.contains(&member),
                }),
            };
            findings.push((member, finding));
        }
        findings
    }

    /// No path leads to a member. `fresh` is the time of the member's latest update, and `resumed` the end of this node's
    /// latest pause. In a slow mesh, other nodes have more time to answer the suspicion, by `slow`. Returns whether the
    /// suspicion is new.
    pub(crate) fn suspect(
        &mut self,
        context: &Context,
        member: MemberIndex,
        evidence: Evidence,
        (fresh, resumed): (Instant, Instant),
        slow: Duration,
    ) -> bool {
        let known = self.suspicions.get(&member);
        let (since, postponed) = known.map_or((context.now, 0), |it| (it.since, it.postponed));
        let newly = known.is_none();
        let fresh = if postponed > POSTPONED_MAX {
            fresh
        } else {
            fresh.max(resumed)
        };
        let (down_after, last_heard) = (context.tuning().down_after, evidence.last_heard);
        let grace = if last_heard.is_some() {
            EVIDENCE_GRACE
        } else {
            down_after
        };
        let latest = last_heard.unwrap_or(Instant::ZERO).max(fresh);
        let silent = (latest + down_after).max(since + grace + slow);
        let (refused_after, objection_grace) = refused_times(context);
        let refused = since.max(fresh) + objection_grace + slow;
        let refused = last_heard.map_or(refused, |heard| refused.max(heard + refused_after));
        let (until, cause) = if evidence.refused && refused < silent {
            (refused, DeathCause::Refused)
        } else {
            (silent, DeathCause::Silent)
        };
        let suspicion = Suspicion {
            since,
            until,
            postponed,
            cause,
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
            cause: DeathCause::Silent,
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

    /// A verdict is due. Returns the members that are down, with the evidence; none while the node is isolated
    /// (`held_until`). A lagging node waits longer by its `doubt`.
    pub(crate) fn on_due(
        &mut self,
        context: &mut Context,
        held_until: Option<Instant>,
        doubt: Duration,
    ) -> Vec<(MemberIndex, DeathCause)> {
        if let Some(until) = held_until {
            context.timers.set(Timer::Suspicion, until);
            return Vec::new();
        }
        let due = self.suspicions.iter();
        let due: Vec<(MemberIndex, DeathCause)> = due
            .filter(|(_, suspicion)| suspicion.until + doubt <= context.now)
            .map(|(member, suspicion)| (*member, suspicion.cause))
            .collect();
        for (member, _) in &due {
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
                suspicion.cause = DeathCause::Silent;
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

/// [`REFUSED_AFTER`] and [`OBJECTION_GRACE`].
fn refused_times(context: &Context) -> (Duration, Duration) {
    let hasty = [
        Switch::HastyRefusals,
        Switch::OneRefusalSuffices,
        Switch::ResetIsRefusal,
    ];
    if hasty.into_iter().any(|switch| context.has(switch)) {
        return (Duration::ZERO, Duration::ZERO);
    }
    (REFUSED_AFTER, OBJECTION_GRACE)
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

    /// The verdict on member 1 by silence.
    const SILENT: (MemberIndex, DeathCause) = (1, DeathCause::Silent);

    fn suspect(verdict: &mut Verdict, context: &Context, last_heard: Option<Instant>) -> bool {
        let evidence = Evidence {
            last_heard,
            refused: false,
        };
        let times = (Instant::ZERO, Instant::ZERO);
        verdict.suspect(context, 1, evidence, times, Duration::ZERO)
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
        assert_eq!(verdict.on_due(&mut context, None, Duration::ZERO), [SILENT]);
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
        assert_eq!(verdict.on_due(&mut context, None, doubt), [SILENT]);
    }

    #[test]
    fn a_member_that_all_its_ring_neighbours_accuse_is_unreached_until_one_hears_it() {
        let (mut context, verdict) = (context(), Verdict::default());
        let members: Vec<MemberIndex> = (1..6).map(|index| learn(&mut context, index)).collect();
        let lost = members[0];
        let mut views = Members::new(context.now);
        assert_eq!(verdict.judge(&mut context, &views, |_| true), []);
        accuse(&mut context, 1, true);
        assert_eq!(
            verdict.judge(&mut context, &views, |_| true),
            [(
                lost,
                Finding::Unreached(Evidence {
                    last_heard: None,
                    refused: false
                })
            )]
        );
        accuse(&mut context, 1, false);
        assert_eq!(verdict.judge(&mut context, &views, |_| true), []);
        views.set_status(lost, Status::Suspect);
        set_alive(&mut context, lost, false);
        let mut verdict = verdict;
        suspect(&mut verdict, &context, None);
        assert_eq!(
            verdict.judge(&mut context, &views, |_| true),
            [(lost, Finding::Cleared)]
        );
    }

    /// Five members of which the ring neighbours of the first report it down; the neighbours in `refused` also report
    /// that dials are refused. Returns the members that are found refused.
    fn found(refused: &[usize], dead: &[usize], down: bool) -> Vec<MemberIndex> {
        let mut context = context();
        let members: Vec<MemberIndex> = (1..6).map(|index| learn(&mut context, index)).collect();
        let mut views = Members::new(context.now);
        for reporter in (0..6).filter(|reporter| !dead.contains(reporter)) {
            let edges = dead.iter().map(|about| Edge {
                peer: id(*about),
                down: true,
                refused: refused.contains(&reporter),
            });
            report(&mut context, reporter, 2, edges.collect());
        }
        for index in dead.iter().filter(|_| down).skip(1) {
            let member = members[index - 1];
            views.set_status(member, Status::Down);
            set_alive(&mut context, member, false);
            views.on_down(&mut context, member);
        }
        let findings = Verdict::default().judge(&mut context, &views, |_| true);
        let findings = findings.into_iter().filter(
            |(_, finding)| matches!(finding, Finding::Unreached(evidence) if evidence.refused),
        );
        findings.map(|(member, _)| member).collect()
    }

    #[test]
    fn a_process_is_gone_only_if_all_its_ring_neighbours_agree() {
        // In a mesh of six, the ring neighbours of a member are nearly all others.
        let all = [0, 2, 3, 4, 5];
        assert_eq!(found(&all, &[1], false), [1]);
        let neighbours = {
            let mut context = context();
            let members: Vec<MemberIndex> =
                (1..6).map(|index| learn(&mut context, index)).collect();
            context.topology.ring_neighbours(members[0])
        };
        assert!(neighbours.len() >= 3);
        for neighbour in neighbours {
            let others: Vec<usize> = all
                .into_iter()
                .filter(|index| *index != neighbour as usize)
                .collect();
            assert_eq!(found(&others, &[1], false), [], "without {neighbour}");
            assert_eq!(found(&[neighbour as usize], &[1], false), [], "{neighbour}");
        }
    }

    #[test]
    fn ring_neighbours_that_are_down_or_gone_themselves_are_passed_over() {
        assert_eq!(found(&[0, 3, 4, 5], &[1, 2], false), [1, 2]);
        assert_eq!(found(&[0, 3, 4, 5], &[1, 2], true), [1]);
        // All but one node are gone: the node itself may be cut off.
        assert_eq!(found(&[0], &[1, 2, 3, 4, 5], false), []);
    }

    #[test]
    fn refused_dials_leave_time_for_a_restart_and_for_an_objection() {
        let (mut context, mut verdict) = (context(), Verdict::default());
        let broken = context.now;
        let suspect = |verdict: &mut Verdict, context: &Context, fresh| {
            let evidence = Evidence {
                last_heard: Some(broken),
                refused: true,
            };
            let times = (fresh, Instant::ZERO);
            verdict.suspect(context, 1, evidence, times, Duration::ZERO)
        };
        context.now += Duration::from_millis(90);
        suspect(&mut verdict, &context, Instant::ZERO);
        verdict.schedule_first(&mut context);
        let due = broken + REFUSED_AFTER;
        assert_eq!(context.timers.next(), Some(due));
        context.now = due;
        assert_eq!(
            verdict.on_due(&mut context, None, Duration::ZERO),
            [(1, DeathCause::Refused)]
        );
        // The evidence is old: time for an objection is left from the suspicion on.
        suspect(&mut verdict, &context, Instant::ZERO);
        verdict.schedule_first(&mut context);
        assert_eq!(context.timers.next(), Some(due + OBJECTION_GRACE));
        // A later update of the member, or a pause of this node, starts the time again.
        let fresh = context.after(Duration::from_millis(50));
        suspect(&mut verdict, &context, fresh);
        verdict.schedule_first(&mut context);
        assert_eq!(context.timers.next(), Some(fresh + OBJECTION_GRACE));
    }

    /// All other members report their edges to one member as down, or as heard.
    fn accuse(context: &mut Context, about: usize, down: bool) {
        for reporter in (0..6).filter(|reporter| *reporter != about) {
            let edge = Edge {
                peer: id(about),
                down,
                refused: false,
            };
            report(context, reporter, 2 + u64::from(!down), vec![edge]);
        }
    }

    fn report(context: &mut Context, reporter: usize, version: u64, edges: Vec<Edge>) {
        let ages = vec![None; edges.len()];
        let report = EdgeReport {
            epoch: 1,
            version,
            edges,
            reporter: id(reporter),
        };
        context.topology.apply_report(&Arc::new(report), ages);
    }
}
