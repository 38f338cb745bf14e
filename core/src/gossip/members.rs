//! Members: the status of each member in this view, and the data kept about it besides its record.
//!
//! ```text
//!   (unknown) ──record──► Alive ──no path──► Suspect ──evidence too old──► Down ──forgotten──► (unknown)
//!                           ▲  ▲────path─────────┘                          │
//!                           └──────────── path, or a newer record ──────────┘
//!   any ──record that leaves──► Left ──newer epoch──► Alive
//! ```
//!
//! For each member, a view keeps four bytes: the time of the latest update from the member itself. More is kept only
//! about members that are not plainly alive, or that this node has linked to or dialled.

use super::config::MAINTAIN_INTERVAL;
use super::context::Context;
use super::timer::Timer;
use super::view::Status;
use crate::paged::Paged;
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;
use std::collections::{BTreeMap, BTreeSet};

/// A forgotten member that is still named in a report when its slot is due to be freed keeps the slot for a further 1/8
/// of `forget_after`, repeatedly.
const STILL_NAMED_SHARE: u32 = 8;

/// Minimum time between two dials to a forgotten member whose record neighbours send. The time doubles with each dial,
/// [`SHOWN_DOUBLED_MAX`] times.
const SHOWN_PAUSE: Duration = Duration::from_secs(5);
const SHOWN_DOUBLED_MAX: u32 = 9;

/// The time of the latest update from a member itself.
///
/// The time is in milliseconds, modulo 2^32. A member without updates for 49 days briefly seems to have a recent
/// update; a death at that moment is detected seconds late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastUpdate(u32);

impl LastUpdate {
    const fn new(at: Instant) -> Self {
        Self(at.as_millis() as u32)
    }

    fn at(self, now: Instant) -> Instant {
        let now = now.as_millis();
        let age = (now as u32).wrapping_sub(self.0);
        Instant::from_millis(now.saturating_sub(age.into()))
    }
}

/// State of a member that is not plainly alive, or that this node has linked to or dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    status: Status,
    /// The time at which this node last heard the member on a link that has closed.
    heard: Option<Instant>,
    /// The highest session of connections with the member.
    session: u32,
    /// The member is down, but it published an update since, or members lost together with it have returned. The ring
    /// edges of such a member count again unless they are reported down.
    assumed_reachable: bool,
    /// The time at which the member is forgotten, if it is down or left. For other members, the time at which the
    /// neighbours that know of the member's loss forget it; used if this node also loses the member before it hears
    /// from it.
    forget_at: Option<Instant>,
}

impl Member {
    /// A member that is alive and that this node never interacted with.
    const DEFAULT: Self = Self {
        status: Status::Alive,
        heard: None,
        session: 0,
        assumed_reachable: false,
        forget_at: None,
    };
}

/// A forgotten member whose record neighbours send.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Shown {
    /// Whether the member is to be dialled.
    due: bool,
    /// Not dialled before this time.
    next: Instant,
    /// The number of dials.
    dials: u32,
}

/// A step of forgetting a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgetting {
    /// The member is removed from the view, but its slot is kept, so that outdated updates do not bring the member
    /// back.
    Retire,
    /// The slot is freed.
    Release,
}

/// The members of one view.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Members {
    /// State of members, by index.
    last_updates: Paged<LastUpdate>,
    members: BTreeMap<MemberIndex, Member>,
    /// The members that are down and not forgotten.
    down: BTreeSet<MemberIndex>,
    /// Forgotten members whose records neighbours send.
    shown: BTreeMap<MemberIndex, Shown>,
}

/// Status.
impl Members {
    /// The members of a view that holds only the local node, with index 0.
    pub(super) fn new(now: Instant) -> Self {
        let mut last_updates = Paged::new();
        last_updates.push(LastUpdate::new(now));
        Self {
            last_updates,
            members: BTreeMap::new(),
            down: BTreeSet::new(),
            shown: BTreeMap::new(),
        }
    }

    fn get(&self, member: MemberIndex) -> &Member {
        self.members.get(&member).unwrap_or(&Member::DEFAULT)
    }

    fn change(&mut self, member: MemberIndex, change: impl FnOnce(&mut Member)) {
        change(self.members.entry(member).or_insert(Member::DEFAULT));
    }

    pub(super) fn status(&self, context: &Context, member: MemberIndex) -> Status {
        if context.topology.is_alive(member) {
            return Status::Alive;
        }
        self.get(member).status
    }

    /// Sets a member's status. No state is kept of a member that is plainly alive.
    pub(super) fn set_status(&mut self, member: MemberIndex, status: Status) {
        if status != Status::Alive || self.members.contains_key(&member) {
            self.change(member, |member| member.status = status);
        }
    }

    /// A member is declared down.
    pub(super) fn on_down(&mut self, context: &mut Context, member: MemberIndex) {
        self.down.insert(member);
        self.change(member, |member| member.assumed_reachable = false);
        self.forget_in_time(context, member);
    }

    /// A path leads again to a member that was down. Returns whether members lost together with this member are now
    /// assumed reachable.
    pub(super) fn on_found(&mut self, context: &mut Context, member: MemberIndex) -> bool {
        self.on_returned(context, member);
        let assumed = self.assume_reachable_those_lost_with(context, member);
        self.change(member, |member| member.forget_at = None);
        assumed
    }

    /// A member that was down or had left has returned.
    pub(super) fn on_returned(&mut self, context: &mut Context, member: MemberIndex) {
        self.down.remove(&member);
        self.shown.remove(&member);
        context.timers.cancel(&Timer::Forget(member));
    }

    /// A member left the mesh.
    pub(super) fn on_left(&mut self, context: &mut Context, member: MemberIndex) {
        self.down.remove(&member);
        self.forget_in_time(context, member);
    }

    /// A path leads to a member: reports of its loss by other nodes are dropped.
    pub(super) fn on_reached(&mut self, member: MemberIndex) {
        self.change(member, |member| member.forget_at = None);
    }

    /// The handshake with a member is complete.
    pub(super) fn on_linked(&mut self, member: MemberIndex) {
        self.change(member, |member| {
            if member.status == Status::Alive {
                member.forget_at = None;
            }
        });
    }

    /// A member published an update newer than the one in this view. `reborn`: the update is of a later start;
    /// `remains_gone`: the member had left and is still leaving.
    pub(super) fn on_renewed(
        &mut self,
        context: &Context,
        member: MemberIndex,
        was_known: bool,
        reborn: bool,
        remains_gone: bool,
    ) {
        self.refresh(context, member, context.now);
        if let Some(member) = self.members.get_mut(&member) {
            if reborn && was_known {
                member.session = 0;
            }
            if was_known && !remains_gone {
                member.forget_at = None;
            }
        }
    }

    /// A forgotten member is a member again, because it opened a link.
    pub(super) fn on_reinstated(&mut self, member: MemberIndex) {
        self.change(member, |member| member.forget_at = None);
    }

    /// A neighbour sent the record of a forgotten member. Returns whether the member is to be dialled: at most once in
    /// [`SHOWN_PAUSE`], and twice as long after each dial.
    pub(super) fn on_shown(&mut self, context: &Context, member: MemberIndex) -> bool {
        let shown = self.shown.entry(member).or_default();
        shown.due |= context.now >= shown.next;
        shown.due
    }

    /// Up to `max` forgotten members to dial.
    pub(super) fn take_shown(&mut self, context: &Context, max: u64) -> Vec<MemberIndex> {
        let due = self.shown.iter_mut().filter(|(_, shown)| shown.due);
        let taken = due.take(usize::try_from(max).unwrap_or(usize::MAX));
        let members = taken.map(|(member, shown)| {
            shown.due = false;
            shown.next = context.after(SHOWN_PAUSE * (1 << shown.dials.min(SHOWN_DOUBLED_MAX)));
            shown.dials = shown.dials.saturating_add(1);
            *member
        });
        members.collect()
    }

    /// Whether a forgotten member is to be dialled.
    pub(super) fn is_any_shown(&self) -> bool {
        self.shown.values().any(|shown| shown.due)
    }

    /// A member that is down published an update: the reports of its neighbours may be outdated.
    pub(super) fn assume_reachable(&mut self, member: MemberIndex) {
        self.change(member, |member| member.assumed_reachable = true);
    }

    /// A member returned without a restart. Members lost within `down_after` of the returned member may be alive too,
    /// because they were probably behind the same partition. The ring edges of these members count again; members that
    /// are dead are reported down by their ring neighbours. Returns whether there are such members.
    fn assume_reachable_those_lost_with(&mut self, context: &Context, member: MemberIndex) -> bool {
        let Some(lost) = self.get(member).forget_at else {
            return false;
        };
        let window = context.tuning().down_after;
        let together = |at: Instant| at.since(lost).max(lost.since(at)) <= window;
        let mut found = false;
        for other in &self.down {
            let Some(other) = self.members.get_mut(other) else {
                continue;
            };
            if !other.assumed_reachable && other.forget_at.is_some_and(together) {
                other.assumed_reachable = true;
                found = true;
            }
        }
        found
    }

    /// Resets a member to the default state, because its slot was freed.
    pub(super) fn reset(&mut self, context: &Context, member: MemberIndex) {
        self.refresh(context, member, context.now);
        self.members.remove(&member);
        self.shown.remove(&member);
    }
}

/// Forgetting.
impl Members {
    /// A member is down or left: it is forgotten after `forget_after`, or together with the nodes that lost it first.
    fn forget_in_time(&mut self, context: &mut Context, member: MemberIndex) {
        let whole = context.after(context.tuning().forget_after);
        let at = self.get(member).forget_at;
        let at = at.map_or(whole, |at| at.min(whole));
        self.change(member, |member| member.forget_at = Some(at));
        let at = at.max(context.at_once());
        context.timers.set(Timer::Forget(member), at);
    }

    /// The slot of a forgotten member is freed after this time.
    pub(super) fn forget_after(&self, context: &mut Context, member: MemberIndex, time: Duration) {
        let at = context.after(time);
        context.timers.set(Timer::Forget(member), at);
    }

    /// The slot of a member is freed in this step: the member is not to be forgotten later.
    pub(super) fn forget_quietly(&mut self, context: &mut Context, member: MemberIndex) {
        self.down.remove(&member);
        context.timers.cancel(&Timer::Forget(member));
    }

    /// A member that is down or left is forgotten at once.
    pub(super) fn forget_at_once(&mut self, context: &mut Context, member: MemberIndex) {
        let at = context.at_once();
        self.change(member, |member| member.forget_at = Some(at));
        context.timers.set(Timer::Forget(member), at);
    }

    /// A neighbour reported how long ago it lost a member that has no record in this view.
    pub(super) fn on_reported_gone(
        &mut self,
        context: &Context,
        member: MemberIndex,
        age: Duration,
    ) {
        // The remaining time is counted from now, because this node's clock may not reach back to the loss.
        let left = context.tuning().forget_after.saturating_sub(age);
        let at = context.after(left);
        self.change(member, |member| member.forget_at = Some(at));
    }

    /// The timer to forget a member fired. Members are forgotten in two steps, so that outdated updates do not bring
    /// them back.
    pub(super) fn on_forget(
        &mut self,
        context: &Context,
        member: MemberIndex,
    ) -> Option<Forgetting> {
        if !matches!(self.status(context, member), Status::Down | Status::Left) {
            return None;
        }
        let retired = context.topology.slot(member)?.retired;
        self.down.remove(&member);
        Some(if retired {
            Forgetting::Release
        } else {
            Forgetting::Retire
        })
    }

    /// Keeps the slot of a retired member until no node can need the reports about it. A node that learns of the member
    /// late, from the last node that knew it, needs other nodes' accusations until it detects the loss itself: after
    /// two reconciliations without the ring edge, plus the timeout of a suspect. The wait is three times this duration,
    /// because the node may have passed the record on. Returns whether the slot is kept.
    pub(super) fn keep_place(&self, context: &mut Context, member: MemberIndex) -> bool {
        if context.has(Switch::Resurrects) {
            return false;
        }
        let found_out = 2 * MAINTAIN_INTERVAL + context.tuning().down_after;
        let wait = context.tuning().forget_after.max(3 * found_out);
        let at = context.after(wait);
        context.timers.set(Timer::Forget(member), at);
        true
    }

    /// Keeps the slot of a retired member for another share of `forget_after`, because a report names the member or a
    /// link leads to it.
    pub(super) fn keep_place_longer(&self, context: &mut Context, member: MemberIndex) {
        let share = context.tuning().forget_after / STILL_NAMED_SHARE;
        let at = context.after(share.max(MAINTAIN_INTERVAL));
        context.timers.set(Timer::Forget(member), at);
    }
}

/// Evidence and sessions.
impl Members {
    /// An update was received from a member itself.
    pub(super) fn refresh(&mut self, context: &Context, member: MemberIndex, at: Instant) {
        let now = LastUpdate::new(context.now);
        *self.last_updates.reach(member as usize, now) = LastUpdate::new(at);
    }

    /// The time of the latest update from a member itself, to the millisecond. The member is not declared down until
    /// `down_after` has passed since this time.
    pub(super) fn last_update(&self, context: &Context, member: MemberIndex) -> Instant {
        let update = self.last_updates.get(member as usize);
        update.map_or(context.now, |update| update.at(context.now))
    }

    /// The time since the latest update from a member itself.
    pub(super) fn updated(&self, context: &Context, member: MemberIndex) -> Duration {
        context.now.since(self.last_update(context, member))
    }

    /// A link to a member closed; `heard` is the time at which the member was last heard on the link.
    pub(super) fn on_link_closed(&mut self, member: MemberIndex, heard: Instant) {
        self.change(member, |member| {
            member.heard = member.heard.max(Some(heard))
        });
    }

    /// The next session of a connection with a member, above all that this node knows.
    pub(super) fn begin_session(&mut self, member: MemberIndex) -> u32 {
        let session = self.get(member).session.saturating_add(1);
        self.change(member, |member| member.session = session);
        session
    }

    /// Notes the session of a connection with a member.
    pub(super) fn note_session(&mut self, member: MemberIndex, session: u32) {
        self.change(member, |member| {
            member.session = member.session.max(session)
        });
    }

    /// A member restarted: sessions count from 0.
    pub(super) fn reset_sessions(&mut self, member: MemberIndex) {
        self.change(member, |member| member.session = 0);
    }
}

/// Queries.
impl Members {
    /// The members that are down and not forgotten.
    pub(super) const fn down(&self) -> &BTreeSet<MemberIndex> {
        &self.down
    }

    /// The members that are down and whose ring edges do not count.
    pub(super) fn unreachable(&self) -> impl Iterator<Item = MemberIndex> + '_ {
        let down = self.down.iter().copied();
        down.filter(|member| !self.get(*member).assumed_reachable)
    }

    /// The members that are alive or suspect in this view, and that neighbours reported lost. The ring edges of such a
    /// member count only if a node hears the member, because its ring neighbours may not know it.
    pub(super) fn reported_gone(&self) -> impl Iterator<Item = MemberIndex> + '_ {
        let known = self.members.keys().copied();
        known.filter(|member| self.is_reported_gone(*member))
    }

    /// Whether a member is alive or suspect in this view, and neighbours reported it lost.
    pub(super) fn is_reported_gone(&self, member: MemberIndex) -> bool {
        let state = self.get(member);
        state.forget_at.is_some() && matches!(state.status, Status::Alive | Status::Suspect)
    }

    /// The time at which this node last heard a member on a link that closed.
    pub(super) fn heard(&self, member: MemberIndex) -> Option<Instant> {
        self.get(member).heard
    }

    /// The time since a member was lost or left; reported by a neighbour if this node has no other data about the
    /// member.
    pub(super) fn gone_for(&self, context: &Context, member: MemberIndex) -> Option<Duration> {
        let member = self.members.get(&member)?;
        if member.assumed_reachable {
            return None;
        }
        let left = member.forget_at? - context.now;
        Some(context.tuning().forget_after.saturating_sub(left))
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<LastUpdate>(self.last_updates.len())
            + held::<(MemberIndex, Member)>(self.members.len())
            + held::<MemberIndex>(self.down.len())
            + held::<(MemberIndex, Shown)>(self.shown.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{context, learn};

    fn lose(members: &mut Members, context: &mut Context, member: MemberIndex) {
        members.set_status(member, Status::Down);
        context.topology.set_alive(member, false);
        members.on_down(context, member);
    }

    #[test]
    fn the_last_update_is_known_to_the_millisecond_beyond_its_counter() {
        let mut context = context();
        let mut members = Members::new(context.now);
        let at = Instant::from_millis;
        context.now = at(9_000);
        members.refresh(&context, 3, at(5_000));
        assert_eq!(members.last_update(&context, 3), at(5_000));
        let late = u64::from(u32::MAX) + 10;
        context.now = at(late + 700);
        members.refresh(&context, 3, at(late));
        assert_eq!(members.last_update(&context, 3), at(late));
    }

    #[test]
    fn a_member_that_is_down_is_forgotten_in_time_unless_it_returns() {
        let mut context = context();
        let member = learn(&mut context, 1);
        let mut members = Members::new(context.now);
        assert_eq!(members.on_forget(&context, member), None);
        lose(&mut members, &mut context, member);
        let at = context.after(context.tuning().forget_after);
        assert_eq!(context.timers.next(), Some(at));
        assert_eq!(
            members.on_forget(&context, member),
            Some(Forgetting::Retire)
        );
        context.topology.retire(member);
        assert_eq!(
            members.on_forget(&context, member),
            Some(Forgetting::Release)
        );
        members.on_returned(&mut context, member);
        assert_eq!(context.timers.next(), None);
    }

    #[test]
    fn a_member_that_neighbours_lost_first_is_forgotten_when_they_forget_it() {
        let mut context = context();
        let member = learn(&mut context, 1);
        let mut members = Members::new(context.now);
        let age = context.tuning().forget_after / 2;
        members.on_reported_gone(&context, member, age);
        assert!(members.reported_gone().eq([member]));
        context.now += Duration::from_secs(1);
        lose(&mut members, &mut context, member);
        let left = age - Duration::from_secs(1);
        assert_eq!(context.timers.next(), Some(context.after(left)));
        assert_eq!(
            members.gone_for(&context, member),
            Some(age + Duration::from_secs(1))
        );
    }

    #[test]
    fn members_lost_together_are_assumed_reachable_when_one_returns() {
        let mut context = context();
        let [one, other, earlier] = [1, 2, 3].map(|index| learn(&mut context, index));
        let mut members = Members::new(context.now);
        lose(&mut members, &mut context, earlier);
        context.now += 2 * context.tuning().down_after;
        lose(&mut members, &mut context, one);
        lose(&mut members, &mut context, other);
        assert!(members.on_found(&mut context, one));
        assert!(members.unreachable().eq([earlier]));
        assert!(members.down().iter().copied().eq([other, earlier]));
    }

    #[test]
    fn sessions_rise_until_the_member_starts_again() {
        let mut members = Members::new(Instant::ZERO);
        members.note_session(1, 7);
        members.note_session(1, 3);
        assert_eq!(members.begin_session(1), 8);
        members.reset_sessions(1);
        assert_eq!(members.begin_session(1), 1);
    }
}
