//! The overlay: selects which members this node keeps links to.
//!
//! On each ring a node dials the first following member that can be dialled, is not down and did not just fail. One more
//! link goes to a random member and is replaced from time to time, so that an overlay that happens to be cut does not
//! stay so. Links that serve none of this, and that applications' data does not ask for, are closed after `surplus_kept`
//! by the node that dialled them.
//!
//! Bounds: [`REQUESTED_MAX`] requested links, [`HOPS_MAX`] members considered on each ring.

use super::config::MAINTAIN_INTERVAL;
use super::context::Context;
use super::dialer::Dialer;
use super::failure_detector::silence::Silence;
use super::links::Links;
use super::members::Members;
use super::timer::Timer;
use super::view::Status;
use crate::link::LinkId;
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::{Handle, RINGS};
use std::collections::BTreeSet;

/// The most links requested at one time beside those that the mesh needs; further requests are ignored.
pub const REQUESTED_MAX: usize = 16;
/// Membership changes within this time trigger one reconciliation.
const RECONCILE_AFTER: Duration = Duration::from_millis(100);
/// How many members of a ring a node considers dialling.
const HOPS_MAX: usize = 16;
/// A dial pending longer than this no longer prevents dialling the next candidate on the ring.
const DIAL_PATIENCE: Duration = Duration::from_millis(300);

/// What the overlay consults to select links.
pub(super) struct Neighbourhood<'a> {
    pub(super) members: &'a Members,
    pub(super) links: &'a Links,
    pub(super) silence: &'a Silence,
    pub(super) dialer: &'a Dialer,
}

impl Neighbourhood<'_> {
    fn is_alive(&self, link: LinkId) -> bool {
        self.links.is_open(link) && !self.silence.is_silent(link)
    }
}

/// The links that the rings ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RingLinks {
    /// The selected members.
    members: BTreeSet<Handle>,
    /// Those of them to be dialled, in order.
    dial: Vec<Handle>,
    /// Every ring has its link.
    complete: bool,
}

impl RingLinks {
    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn dial(&self) -> &[Handle] {
        &self.dial
    }
}

/// The selection of links.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Overlay {
    /// Members that the node layer requested a link to, in addition to ring neighbours.
    requested: BTreeSet<Handle>,
    /// Ring neighbours without a link at the last reconciliation.
    unlinked: BTreeSet<Handle>,
    /// The extra links to random members.
    random: BTreeSet<LinkId>,
}

/// Timers.
impl Overlay {
    /// Draws the time of the first random link, and schedules reconciliations.
    pub(super) fn start(&self, context: &mut Context) {
        let interval = context.tuning().random_link_interval;
        let wait = interval + context.random.duration_below(interval);
        let at = context.after(wait);
        context.timers.set(Timer::RandomLink, at);
        self.schedule_maintenance(context);
    }

    /// Has everything looked over after [`MAINTAIN_INTERVAL`].
    pub(super) fn schedule_maintenance(&self, context: &mut Context) {
        let at = context.after(MAINTAIN_INTERVAL);
        context.timers.set(Timer::Maintain, at);
    }

    /// Has links reconciled with the rings before long.
    pub(super) fn schedule(&self, context: &mut Context) {
        let at = context.after(RECONCILE_AFTER);
        context.timers.set_if_unset(Timer::Overlay, at);
    }

    /// Has links reconciled in the next step.
    pub(super) fn schedule_at_once(&self, context: &mut Context) {
        let at = context.at_once();
        context.timers.set(Timer::Overlay, at);
    }

    /// Has links reconciled at a time at the latest.
    pub(super) fn schedule_until(&self, context: &mut Context, at: Instant) {
        context.timers.set_earlier(Timer::Overlay, at);
    }

    /// A ring misses its link while dials are in progress: the next candidate is dialled after a while.
    pub(super) fn schedule_next_candidate(&self, context: &mut Context) {
        let at = context.after(DIAL_PATIENCE);
        context.timers.set_earlier(Timer::Overlay, at);
    }
}

/// Ring links.
impl Overlay {
    /// Selects the members that the rings ask for.
    pub(super) fn ring_links(&self, context: &Context, near: &Neighbourhood<'_>) -> RingLinks {
        let mut selected = RingLinks {
            complete: true,
            ..RingLinks::default()
        };
        for ring in 0..RINGS {
            let Some((member, linked)) = Self::on_ring(context, near, ring) else {
                selected.complete = false;
                continue;
            };
            selected.members.insert(member);
            selected.complete &= linked;
            let dialing = near.dialer.is_dialing(member) || selected.dial.contains(&member);
            if !linked && !dialing {
                selected.dial.push(member);
            }
        }
        selected
    }

    /// The member to be linked to on a ring, and whether it is.
    fn on_ring(context: &Context, near: &Neighbourhood<'_>, ring: usize) -> Option<(Handle, bool)> {
        let only_first = context.has(Switch::NoFallback);
        let hops = if only_first { 1 } else { HOPS_MAX };
        let following = context.topology.following(context.me, ring);
        let candidates =
            following.filter(|member| near.members.status(context, *member) != Status::Down);
        for member in candidates.take(hops) {
            if let Some(link) = near.links.current(member) {
                if near.is_alive(link) {
                    return Some((member, true));
                }
                continue;
            }
            let dialer = near.dialer;
            let backed_off = dialer.is_backed_off(context, member);
            if dialer.is_dialing_since(context, member, DIAL_PATIENCE)
                || !backed_off && !dialer.is_dialing(member)
            {
                return Some((member, false));
            }
        }
        None
    }

    /// The links that serve no purpose: `needed` are those that the rings ask for, and `reported` says whether this node
    /// reports its edge to a member.
    pub(super) fn unneeded(
        &self,
        context: &Context,
        near: &Neighbourhood<'_>,
        needed: &RingLinks,
        reported: impl Fn(Handle) -> bool,
    ) -> Vec<LinkId> {
        let kept = context.tuning().surplus_kept;
        let links = near.links.iter_open().filter(|(id, link)| {
            let member = link.member();
            link.is_dialed()
                && near.is_alive(*id)
                && !self.random.contains(id)
                && context.now - link.opened() > kept
                && !needed.members.contains(&member)
                && !self.requested.contains(&member)
                && !reported(member)
                && !context.topology.is_ring_edge(context.me, member)
        });
        links.map(|(id, _)| id).collect()
    }

    /// The ring neighbours that had no link at this reconciliation and the last. All nodes would assume their edges up:
    /// a member that died before its first links, or around which the rings changed.
    pub(super) fn unlinked_twice(&mut self, context: &Context, links: &Links) -> Vec<Handle> {
        let neighbours = context.topology.ring_neighbours(context.me).into_iter();
        let unlinked = neighbours.filter(|member| !links.is_neighbour(*member));
        let unlinked: BTreeSet<Handle> = unlinked.collect();
        let twice = unlinked.intersection(&self.unlinked).copied().collect();
        self.unlinked = unlinked;
        twice
    }
}

/// Requested and random links.
impl Overlay {
    /// A link to a member is requested, or no longer. Returns whether it is from now on.
    pub(super) fn request(&mut self, context: &Context, member: Handle, requested: bool) -> bool {
        if !requested {
            self.requested.remove(&member);
            return false;
        }
        let granted = member != context.me && self.requested.len() < REQUESTED_MAX;
        if granted {
            self.requested.insert(member);
        }
        granted
    }

    /// The requested members to be dialled.
    pub(super) fn requested_missing(
        &mut self,
        context: &Context,
        near: &Neighbourhood<'_>,
    ) -> Vec<Handle> {
        self.requested
            .retain(|member| context.topology.is_known(*member));
        let missing = self.requested.iter().copied().filter(|member| {
            near.members.status(context, *member) == Status::Alive
                && !near.links.is_neighbour(*member)
                && !near.dialer.is_dialing(*member)
                && !near.dialer.is_backed_off(context, *member)
        });
        missing.collect()
    }

    /// The random link is to be replaced. Returns the member to be dialled, if the draw is one.
    pub(super) fn on_random_due(
        &mut self,
        context: &mut Context,
        near: &Neighbourhood<'_>,
    ) -> Option<Handle> {
        let interval = context.tuning().random_link_interval;
        let wait = interval / 2 + context.random.duration_below(interval);
        let at = context.after(wait);
        context.timers.set(Timer::RandomLink, at);
        self.random.clear();
        let member = context.random_member()?;
        let eligible = member != context.me
            && near.members.status(context, member) == Status::Alive
            && !near.links.is_neighbour(member);
        eligible.then_some(member)
    }

    /// A link is the extra link to a random member.
    pub(super) fn mark_random(&mut self, link: LinkId) {
        self.random.insert(link);
    }

    pub(super) fn is_random(&self, link: LinkId) -> bool {
        self.random.contains(&link)
    }

    pub(super) fn on_closed(&mut self, link: LinkId) {
        self.random.remove(&link);
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<Handle>(self.requested.len() + self.unlinked.len())
            + held::<LinkId>(self.random.len())
    }
}
