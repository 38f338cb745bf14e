//! Refused dials: evidence that the process of a member is gone while its host lives.
//!
//! A link that ends by FIN or RST without a goodbye starts a check of the neighbour: the neighbour is dialled until it
//! refused dials over some time. A ring neighbour without a link to this node may have died before its first links: its
//! check starts with the first refused dial, with a handshake that it broke off, or with such a report of another node.
//! A dial to a process that is paused or overloaded connects, or times out; a dial to a host without power times out.
//! Neither is evidence. A live node whose links were reset dials its neighbours at once, so that a new link ends the
//! check, even if the node itself refuses dials.
//!
//! ```text
//!   Broken ──refused──► Doubted ──refused, accuse_after──► Accused ──refused, confirm_after──► Confirmed
//!     ▲                    │ another answer                   │                                  │
//!     └────────────────────┴──────────────────────────────────┴──────────────────────────────────┘
//!   any ──time-out, link, verdict, give-up──► (no check)
//! ```
//!
//! [`RefusalStep::Accuse`]: the edge is reported down, so that nodes with a link to the member can object.
//! [`RefusalStep::Confirm`]: the edge is reported refused. A process that listens again within
//! [`CONFIRM_AFTER`] answers the last dial. Both times grow with the round trip that the refused dials measured,
//! because the neighbour needs several round trips for a new link.
//!
//! Bounds: one check for each ring neighbour and each member with a broken link; [`RESTARTS_MAX`] restarts,
//! [`CHECKED_MAX`] in all.

use super::super::context::Context;
use super::super::timer::Timer;
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;
use std::collections::BTreeMap;

/// Time from the end of a link to the dial whose refusal makes this node report the edge down.
const ACCUSE_AFTER: Duration = Duration::from_millis(80);
/// Time from the end of a link to the dial whose refusal makes this node report the edge refused.
pub(crate) const CONFIRM_AFTER: Duration = Duration::from_millis(310);
/// The least number of measured round trips in [`ACCUSE_AFTER`].
const ACCUSE_ROUND_TRIPS: u32 = 6;
/// The least number of measured round trips in [`CONFIRM_AFTER`].
const CONFIRM_ROUND_TRIPS: u32 = 12;
/// Time after which a check dials again if the outcome of its latest dial is unknown.
const DIAL_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum duration of a check on links with short round trips; afterwards only silence is evidence.
const CHECKED_MAX: Duration = Duration::from_secs(5);
/// Maximum duration of a check in measured round trips, if this is longer than [`CHECKED_MAX`]. On an overloaded machine,
/// a refusal is reported late, which counts as a long round trip.
const CHECKED_ROUND_TRIPS: u32 = 24;
/// Maximum number of times that a check starts over because a dial was answered otherwise than by a refusal.
const RESTARTS_MAX: u8 = 3;

/// Minimum time between two checks of a member that reports of other nodes begin. A host that does not answer ends a
/// check, and the reports stay.
const ACCUSED_AGAIN: Duration = Duration::from_secs(10);

/// The consequence of a refused dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalStep {
    /// None yet.
    None,
    /// The edge is reported down.
    Accuse,
    /// The edge is reported refused.
    Confirm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Broken,
    Doubted,
    Accused,
    Confirmed,
}

/// The check of one member.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Check {
    stage: Stage,
    /// The end of the link, the start of a check without a link, or the latest restart of the check.
    since: Instant,
    /// Whether the member showed a sign of life at `since`: the end of its link, or an answer.
    lived: bool,
    /// The start of the first check.
    begun: Instant,
    /// A dial that began earlier proves nothing in this stage.
    due: Instant,
    /// The longest time from the start of a dial to its refusal.
    round_trip: Duration,
    restarts: u8,
}

/// The checks of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RefusedDials {
    checks: BTreeMap<MemberIndex, Check>,
    /// The times until which further reports about members without a link begin no check.
    accused: BTreeMap<MemberIndex, Instant>,
}

impl RefusedDials {
    /// A link to a dialable member ended without a goodbye: begins a check. The silence of the broken link causes the
    /// first dial.
    pub(crate) fn on_broken(&mut self, context: &mut Context, member: MemberIndex) {
        self.begin(member, context.now, true);
        let at = context.after(ACCUSE_AFTER);
        context.timers.set(Timer::Refusal(member), at);
    }

    /// A dial to a member without a link was refused that had `started` at a time: begins a check with this dial.
    pub(crate) fn on_unlinked(
        &mut self,
        context: &mut Context,
        member: MemberIndex,
        started: Instant,
    ) {
        self.begin(member, started, false);
        let at = context.after(ACCUSE_AFTER);
        context.timers.set(Timer::Refusal(member), at);
    }

    /// A member without a link broke off a handshake with this node: begins a check with a dial in the next step.
    pub(crate) fn on_broken_off(&mut self, context: &mut Context, member: MemberIndex) {
        self.begin(member, context.now, false);
        let at = context.at_once();
        context.timers.set(Timer::Refusal(member), at);
    }

    /// Another node reports that it cannot dial a member without a link: begins a check with a dial in the next step, at
    /// most once in [`ACCUSED_AGAIN`].
    pub(crate) fn on_accused(&mut self, context: &mut Context, member: MemberIndex) {
        let until = context.after(ACCUSED_AGAIN);
        self.accused.retain(|_, until| *until > context.now);
        self.accused.insert(member, until);
        self.on_broken_off(context, member);
    }

    fn begin(&mut self, member: MemberIndex, since: Instant, lived: bool) {
        let check = Check {
            stage: Stage::Broken,
            since,
            lived,
            begun: since,
            due: since,
            round_trip: Duration::ZERO,
            restarts: 0,
        };
        self.checks.insert(member, check);
    }

    /// A dial to a member that `started` at a time was refused.
    pub(crate) fn on_refused(
        &mut self,
        context: &mut Context,
        member: MemberIndex,
        started: Instant,
    ) -> RefusalStep {
        let now = context.now;
        let Some(check) = self.checks.get_mut(&member) else {
            return RefusalStep::None;
        };
        check.round_trip = check.round_trip.max(now - started);
        if started < check.due {
            return RefusalStep::None;
        }
        if context.has(Switch::HastyRefusals) && check.stage == Stage::Broken {
            check.stage = Stage::Accused;
        }
        let (refusal, after) = match check.stage {
            Stage::Broken => {
                check.stage = Stage::Doubted;
                let accuse = ACCUSE_AFTER.max(check.round_trip * ACCUSE_ROUND_TRIPS);
                (RefusalStep::None, accuse)
            }
            Stage::Doubted => {
                check.stage = Stage::Accused;
                let confirm = CONFIRM_AFTER.max(check.round_trip * CONFIRM_ROUND_TRIPS);
                (RefusalStep::Accuse, confirm)
            }
            Stage::Accused => {
                check.stage = Stage::Confirmed;
                context.timers.cancel(&Timer::Refusal(member));
                return RefusalStep::Confirm;
            }
            Stage::Confirmed => return RefusalStep::None,
        };
        check.due = check.since + after;
        let at = check.due.max(context.at_once());
        context.timers.set(Timer::Refusal(member), at);
        refusal
    }

    /// The next dial to a member is due. Returns whether to dial.
    pub(crate) fn on_due(&mut self, context: &mut Context, member: MemberIndex) -> bool {
        let Some(check) = self.checks.get(&member) else {
            return false;
        };
        let checked_max = CHECKED_MAX.max(check.round_trip * CHECKED_ROUND_TRIPS);
        if context.now - check.begun >= checked_max {
            self.checks.remove(&member);
            return false;
        }
        let at = context.after(DIAL_INTERVAL);
        context.timers.set(Timer::Refusal(member), at);
        true
    }

    /// A dial to a member was answered otherwise than by a refusal: a process listens, or is just ending. The check
    /// starts over. Returns whether the edge was reported refused.
    pub(crate) fn on_answered(&mut self, context: &mut Context, member: MemberIndex) -> bool {
        let Some(check) = self.checks.get_mut(&member) else {
            return false;
        };
        let was_confirmed = check.stage == Stage::Confirmed;
        if check.restarts >= RESTARTS_MAX {
            self.end(context, member);
            return was_confirmed;
        }
        check.restarts += 1;
        check.stage = Stage::Broken;
        (check.since, check.due, check.lived) = (context.now, context.now, true);
        let at = context.after(ACCUSE_AFTER);
        context.timers.set(Timer::Refusal(member), at);
        was_confirmed
    }

    /// The time at which a checked member showed the latest sign of life: the end of its link, or an answer.
    pub(crate) fn lived(&self, member: MemberIndex) -> Option<Instant> {
        let check = self.checks.get(&member)?;
        check.lived.then_some(check.since)
    }

    /// Whether a report of another node may begin a check of a member.
    pub(crate) fn may_accuse(&self, context: &Context, member: MemberIndex) -> bool {
        let until = self.accused.get(&member);
        until.is_none_or(|until| *until <= context.now)
    }

    pub(crate) fn is_checked(&self, member: MemberIndex) -> bool {
        self.checks.contains_key(&member)
    }

    /// Ends the check of a member: the host does not answer, a link opened, or the member's status changed.
    pub(crate) fn end(&mut self, context: &mut Context, member: MemberIndex) {
        if self.checks.remove(&member).is_some() {
            context.timers.cancel(&Timer::Refusal(member));
        }
    }

    /// Ends the check of a member that is alive: it has a link, or returned. Later reports may begin another check.
    pub(crate) fn on_alive(&mut self, context: &mut Context, member: MemberIndex) {
        self.end(context, member);
        self.accused.remove(&member);
    }

    /// This node was paused: dials of its neighbours may wait to be accepted, so all checks start over.
    pub(crate) fn on_pause(&mut self, context: &mut Context) {
        for (member, check) in &mut self.checks {
            if check.stage == Stage::Confirmed {
                continue;
            }
            check.stage = Stage::Broken;
            (check.since, check.begun, check.due) = (context.now, context.now, context.now);
            let at = context.after(ACCUSE_AFTER);
            context.timers.set(Timer::Refusal(*member), at);
        }
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        held::<(MemberIndex, Check)>(self.checks.len())
            + held::<(MemberIndex, Instant)>(self.accused.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::context;

    const MEMBER: MemberIndex = 1;

    fn broken() -> (Context, RefusedDials) {
        let (mut context, mut refusals) = (context(), RefusedDials::default());
        refusals.on_broken(&mut context, MEMBER);
        (context, refusals)
    }

    /// A dial that starts `after` the end of the link at the earliest, and is refused after `round_trip`.
    fn refuse(
        refusals: &mut RefusedDials,
        context: &mut Context,
        round_trip: Duration,
    ) -> RefusalStep {
        let started = context.now;
        context.now += round_trip;
        refusals.on_refused(context, MEMBER, started)
    }

    /// Lets the next dial be due. Returns the time since the previous step.
    fn pass(refusals: &mut RefusedDials, context: &mut Context) -> Duration {
        let due = context
            .timers
            .next()
            .expect("a check waits for its next dial");
        let waited = due - context.now;
        context.now = due;
        assert_eq!(
            context.timers.pop_due(due),
            Some((due, Timer::Refusal(MEMBER)))
        );
        assert!(refusals.on_due(context, MEMBER));
        waited
    }

    #[test]
    fn three_refused_dials_over_a_time_confirm_that_no_process_listens() {
        let (mut context, mut refusals) = broken();
        let (begun, round_trip) = (context.now, Duration::from_millis(2));
        assert_eq!(
            refuse(&mut refusals, &mut context, round_trip),
            RefusalStep::None
        );
        pass(&mut refusals, &mut context);
        assert_eq!(context.now, begun + ACCUSE_AFTER);
        assert_eq!(
            refuse(&mut refusals, &mut context, round_trip),
            RefusalStep::Accuse
        );
        pass(&mut refusals, &mut context);
        assert_eq!(context.now, begun + CONFIRM_AFTER);
        assert_eq!(
            refuse(&mut refusals, &mut context, round_trip),
            RefusalStep::Confirm
        );
        assert_eq!(context.timers.next(), None);
    }

    #[test]
    fn a_dial_that_began_too_early_proves_nothing() {
        let (mut context, mut refusals) = (context(), RefusedDials::default());
        let early = context.now;
        context.now += Duration::from_millis(1);
        refusals.on_broken(&mut context, MEMBER);
        for _ in 0..4 {
            assert_eq!(
                refusals.on_refused(&mut context, MEMBER, early),
                RefusalStep::None
            );
        }
        let round_trip = Duration::from_millis(2);
        refuse(&mut refusals, &mut context, round_trip);
        // A burst of dials at one time counts as one.
        for _ in 0..4 {
            assert_eq!(
                refuse(&mut refusals, &mut context, round_trip),
                RefusalStep::None
            );
        }
    }

    #[test]
    fn long_round_trips_lengthen_a_check() {
        let (mut context, mut refusals) = broken();
        let (begun, round_trip) = (context.now, Duration::from_millis(200));
        refuse(&mut refusals, &mut context, round_trip);
        pass(&mut refusals, &mut context);
        assert_eq!(context.now, begun + round_trip * ACCUSE_ROUND_TRIPS);
        assert_eq!(
            refuse(&mut refusals, &mut context, round_trip),
            RefusalStep::Accuse
        );
        pass(&mut refusals, &mut context);
        assert_eq!(context.now, begun + round_trip * CONFIRM_ROUND_TRIPS);
    }

    #[test]
    fn a_check_outlasts_its_longest_wait() {
        let (mut context, mut refusals) = broken();
        let round_trip = Duration::from_millis(900);
        assert_eq!(
            refuse(&mut refusals, &mut context, round_trip),
            RefusalStep::None
        );
        for expected in [RefusalStep::Accuse, RefusalStep::Confirm] {
            pass(&mut refusals, &mut context);
            assert_eq!(refuse(&mut refusals, &mut context, round_trip), expected);
        }
    }

    #[test]
    fn another_answer_starts_the_check_over_a_few_times() {
        let (mut context, mut refusals) = broken();
        let round_trip = Duration::from_millis(2);
        for _ in 0..RESTARTS_MAX {
            refuse(&mut refusals, &mut context, round_trip);
            pass(&mut refusals, &mut context);
            assert_eq!(
                refuse(&mut refusals, &mut context, round_trip),
                RefusalStep::Accuse
            );
            assert!(!refusals.on_answered(&mut context, MEMBER));
        }
        for expected in [RefusalStep::None, RefusalStep::Accuse, RefusalStep::Confirm] {
            assert_eq!(refuse(&mut refusals, &mut context, round_trip), expected);
            if expected != RefusalStep::Confirm {
                pass(&mut refusals, &mut context);
            }
        }
        assert!(
            refusals.on_answered(&mut context, MEMBER),
            "the report is withdrawn"
        );
        assert_eq!(refusals, RefusedDials::default());
        assert_eq!(context.timers.next(), None);
    }

    #[test]
    fn a_check_without_an_outcome_dials_again_and_ends() {
        let (mut context, mut refusals) = broken();
        let begun = context.now;
        pass(&mut refusals, &mut context);
        assert_eq!(pass(&mut refusals, &mut context), DIAL_INTERVAL);
        while let Some(due) = context.timers.next() {
            context.now = due;
            context.timers.pop_due(due);
            refusals.on_due(&mut context, MEMBER);
            assert!(context.now - begun <= CHECKED_MAX + DIAL_INTERVAL);
        }
        assert_eq!(refusals, RefusedDials::default());
    }

    #[test]
    fn a_pause_starts_the_checks_over() {
        let (mut context, mut refusals) = broken();
        let round_trip = Duration::from_millis(2);
        refuse(&mut refusals, &mut context, round_trip);
        pass(&mut refusals, &mut context);
        refuse(&mut refusals, &mut context, round_trip);
        context.now += Duration::from_secs(16);
        refusals.on_pause(&mut context);
        let resumed = context.now;
        assert_eq!(
            refuse(&mut refusals, &mut context, round_trip),
            RefusalStep::None
        );
        pass(&mut refusals, &mut context);
        assert_eq!(context.now, resumed + ACCUSE_AFTER);
    }
}
