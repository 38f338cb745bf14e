//! The overlay: selects which members this node keeps links to.
//!
//! On each ring a node dials the first following member that is dialable, is not down and did not just fail. One more
//! link goes to a random member and is replaced from time to time, so that an overlay that happens to be partitioned
//! becomes connected. Links that serve none of these purposes, and that applications do not need, are closed after
//! `surplus_kept` by the node that dialled them.
//!
//! Bounds: [`REQUESTED_MAX`] requested links, [`HOPS_MAX`] members considered on each ring.

use super::config::MAINTAIN_INTERVAL;
use super::context::Context;
use super::dialer::Dialer;
use super::failure_detector::silence::Silence;
use super::links::Links;
use super::members::Members;
use super::round_trip::RoundTrips;
use super::timer::Timer;
use super::view::Status;
use crate::link::LinkId;
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::{MemberIndex, RINGS};
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of links requested in addition to those that the mesh needs; further requests are ignored.
pub const REQUESTED_MAX: usize = 16;
/// Debounce interval: membership changes within this interval trigger one reconciliation of links.
const RECONCILE_AFTER: Duration = Duration::from_millis(100);
/// Maximum number of members considered for a dial on each ring.
const HOPS_MAX: usize = 16;
/// A dial pending longer than this no longer prevents dialling the next candidate on the ring.
const DIAL_PATIENCE: Duration = Duration::from_millis(300);

/// The components that the overlay consults to select links.
pub(super) struct Neighbourhood<'a> {
    pub(super) members: &'a Members,
    pub(super) links: &'a Links,
    pub(super) silence: &'a Silence,
    pub(super) dialer: &'a Dialer,
    pub(super) round_trips: &'a RoundTrips,
}

impl Neighbourhood<'_> {
    /// The neighbours with a link that is open and not silent.
    pub(super) fn live(&self) -> impl Iterator<Item = MemberIndex> + '_ {
        let live = self.links.iter_open().filter(|(id, _)| self.is_alive(*id));
        live.map(|(_, link)| link.member())
    }

    /// The time at which this node itself last received from a member on a link.
    pub(super) fn last_received(&self, member: MemberIndex) -> Option<Instant> {
        self.last_heard(member, |link| self.silence.received(link))
    }

    /// The time at which this node itself last heard a member, where `heard` gives the time for each link with it.
    pub(super) fn last_heard(
        &self,
        member: MemberIndex,
        heard: impl Fn(LinkId) -> Option<Instant>,
    ) -> Option<Instant> {
        let links = self.links.iter();
        let links = links.filter(|(_, link)| link.member() == member);
        let latest = links.filter_map(|(id, _)| heard(id)).max();
        latest.max(self.members.heard(member))
    }

    /// Whether a link is open and not silent.
    pub(super) fn is_alive(&self, link: LinkId) -> bool {
        self.links.is_open(link) && !self.silence.is_silent(link)
    }
}

/// The links required by the rings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RingLinks {
    /// The selected members.
    members: BTreeSet<MemberIndex>,
    /// The selected members to dial, in order.
    dial: Vec<MemberIndex>,
    /// Whether every ring has its link.
    complete: bool,
}

impl RingLinks {
    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn dial(&self) -> &[MemberIndex] {
        &self.dial
    }
}

/// The selection of links.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Overlay {
    /// Members that the node layer requested a link to, in addition to ring neighbours.
    requested: BTreeSet<MemberIndex>,
    /// Ring neighbours without a link at the last reconciliation, each with the number of such reconciliations in a row.
    unlinked: BTreeMap<MemberIndex, u32>,
    /// The extra links to random members.
    random: BTreeSet<LinkId>,
}

/// Timers.
impl Overlay {
    /// Draws the time of the first random link, and schedules reconciliations.
    pub(super) fn start(&self, context: &mut Context) {
        let interval = context.tuning().random_link_interval;
        let wait = interval + context.random.overlay.duration_below(interval);
        let at = context.after(wait);
        context.timers.set(Timer::RandomLink, at);
        self.schedule_maintenance(context);
    }

    /// Schedules maintenance after [`MAINTAIN_INTERVAL`].
    pub(super) fn schedule_maintenance(&self, context: &mut Context) {
        let at = context.after(MAINTAIN_INTERVAL);
        context.timers.set(Timer::Maintain, at);
    }

    /// Schedules a reconciliation of links with the rings after the debounce interval.
    pub(super) fn schedule(&self, context: &mut Context) {
        let at = context.after(RECONCILE_AFTER);
        context.timers.set_if_unset(Timer::Overlay, at);
    }

    /// Schedules a reconciliation of links for the next step.
    pub(super) fn schedule_at_once(&self, context: &mut Context) {
        let at = context.at_once();
        context.timers.set(Timer::Overlay, at);
    }

    /// Schedules a reconciliation of links for this time at the latest.
    pub(super) fn schedule_until(&self, context: &mut Context, at: Instant) {
        context.timers.set_earlier(Timer::Overlay, at);
    }

    /// Schedules a reconciliation that may dial the next candidate, if a ring has no link while dials are in progress.
    pub(super) fn schedule_next_candidate(&self, context: &mut Context, slow: Duration) {
        let at = context.after(DIAL_PATIENCE + slow);
        context.timers.set_earlier(Timer::Overlay, at);
    }
}

/// Ring links.
impl Overlay {
    /// Selects the members that the rings require links to.
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

    /// The member to link to on a ring, and whether it is linked.
    fn on_ring(
        context: &Context,
        near: &Neighbourhood<'_>,
        ring: usize,
    ) -> Option<(MemberIndex, bool)> {
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
            let patience = DIAL_PATIENCE + near.round_trips.dial_extension(context);
            if dialer.is_dialing_since(context, member, patience)
                || !backed_off && !dialer.is_dialing(member)
            {
                return Some((member, false));
            }
        }
        None
    }

    /// The links without a purpose. `needed` are the links required by the rings, and `reported` returns whether this
    /// node reports its edge to a member.
    pub(super) fn unneeded(
        &self,
        context: &Context,
        near: &Neighbourhood<'_>,
        needed: &RingLinks,
        reported: impl Fn(MemberIndex) -> bool,
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

    /// The ring neighbours that had no link at this reconciliation and at the previous one. Without a report, all nodes
    /// would assume that these edges are up: the member died before its first links, or the rings around it changed. In
    /// a slow mesh, in which dials take longer by `slow`, a member counts after as many further reconciliations.
    pub(super) fn unlinked_long(
        &mut self,
        context: &Context,
        links: &Links,
        slow: Duration,
    ) -> Vec<MemberIndex> {
        let further = slow.as_millis().div_ceil(MAINTAIN_INTERVAL.as_millis());
        let times = 2 + u32::try_from(further).unwrap_or(u32::MAX - 2);
        let neighbours = context.topology.ring_neighbours(context.me).into_iter();
        let unlinked = neighbours.filter(|member| !links.is_neighbour(*member));
        let before = |member| self.unlinked.get(&member).copied().unwrap_or(0);
        let unlinked = unlinked.map(|member| (member, before(member).saturating_add(1)));
        self.unlinked = unlinked.collect();
        let long = self.unlinked.iter().filter(|(_, count)| **count >= times);
        long.map(|(member, _)| *member).collect()
    }
}

/// Requested and random links.
impl Overlay {
    /// A link to a member is requested or released. Returns whether a request is granted.
    pub(super) fn request(
        &mut self,
        context: &Context,
        member: MemberIndex,
        requested: bool,
    ) -> bool {
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

    /// Whether the node layer requested a link to a member.
    pub(super) fn is_requested(&self, member: MemberIndex) -> bool {
        self.requested.contains(&member)
    }

    /// The requested members that are alive and have no link.
    pub(super) fn requested_unlinked<'a>(
        &'a self,
        context: &'a Context,
        near: &'a Neighbourhood<'_>,
    ) -> impl Iterator<Item = MemberIndex> + 'a {
        self.requested.iter().copied().filter(|member| {
            near.members.status(context, *member) == Status::Alive
                && !near.links.is_neighbour(*member)
        })
    }

    /// Forgets the requests of links with members that are not known any more.
    pub(super) fn retain_known_requests(&mut self, context: &Context) {
        self.requested
            .retain(|member| context.topology.is_known(*member));
    }

    /// The requested members to dial.
    pub(super) fn requested_missing(
        &self,
        context: &Context,
        near: &Neighbourhood<'_>,
    ) -> Vec<MemberIndex> {
        let missing = self.requested_unlinked(context, near).filter(|member| {
            !near.dialer.is_dialing(*member) && !near.dialer.is_backed_off(context, *member)
        });
        missing.collect()
    }

    /// The random link is due to be replaced. Returns the member to dial, if the draw found one.
    pub(super) fn on_random_due(
        &mut self,
        context: &mut Context,
        near: &Neighbourhood<'_>,
    ) -> Option<MemberIndex> {
        let interval = context.tuning().random_link_interval;
        let wait = interval / 2 + context.random.overlay.duration_below(interval);
        let at = context.after(wait);
        context.timers.set(Timer::RandomLink, at);
        self.random.clear();
        let member = context
            .topology
            .random_member(&mut context.random.overlay)?;
        let eligible = member != context.me
            && !context.topology.is_held_off(member)
            && near.members.status(context, member) == Status::Alive
            && !near.links.is_neighbour(member);
        eligible.then_some(member)
    }

    /// Notes that a link is the extra link to a random member.
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
        held::<MemberIndex>(self.requested.len())
            + held::<(MemberIndex, u32)>(self.unlinked.len())
            + held::<LinkId>(self.random.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialer::DialPurpose;
    use super::*;
    use crate::gossip::tests::bench::Bench;
    use crate::gossip::tests::context::{address, id};

    impl Bench {
        fn ring_links(&self) -> RingLinks {
            self.overlay.ring_links(&self.context, &self.near())
        }

        fn first(&self, ring: usize) -> MemberIndex {
            let topology = &self.context.topology;
            topology.following(self.context.me, ring).next().unwrap()
        }
    }

    #[test]
    fn the_first_member_of_each_ring_is_dialled_once() {
        let bench = Bench::of(8);
        let selected = bench.ring_links();
        let firsts: BTreeSet<MemberIndex> = (0..RINGS).map(|ring| bench.first(ring)).collect();
        let dialled: BTreeSet<MemberIndex> = selected.dial().iter().copied().collect();
        assert_eq!(dialled, firsts);
        assert_eq!(selected.dial().len(), firsts.len());
        assert!(!selected.is_complete());
    }

    #[test]
    fn the_next_member_is_dialled_when_a_dial_lasts_or_failed() {
        let mut bench = Bench::of(8);
        let first = bench.first(0);
        let to = address(1);
        let (dialer, context) = (&mut bench.dialer, &mut bench.context);
        let timeout = context.tuning().dial_timeout;
        dialer.begin(context, DialPurpose::Ring, (to, Some(first)), timeout);
        assert!(
            !bench.ring_links().dial().contains(&first),
            "it is being dialled"
        );
        assert!(bench.ring_links().members.contains(&first));
        bench.context.now += DIAL_PATIENCE;
        assert!(!bench.ring_links().members.contains(&first));
        let mut bench = Bench::of(8);
        let first = bench.first(0);
        bench.dialer.back_off(&bench.context, first);
        assert!(!bench.ring_links().members.contains(&first));
    }

    #[test]
    fn a_dialled_link_without_a_purpose_is_closed_after_a_while() {
        let mut bench = Bench::of(8);
        for ring in 0..RINGS {
            bench.link(bench.first(ring), true);
        }
        let needed = bench.ring_links();
        assert!(needed.is_complete());
        let neighbours = bench.context.topology.ring_neighbours(bench.context.me);
        let indices = bench.context.topology.indices();
        let mut others = indices.filter(|it| *it != bench.context.me && !neighbours.contains(it));
        let other = others.next().unwrap();
        drop(others);
        let link = bench.link(other, true);
        let unneeded = |bench: &Bench| {
            let near = bench.near();
            bench
                .overlay
                .unneeded(&bench.context, &near, &needed, |_| false)
        };
        assert_eq!(unneeded(&bench), []);
        bench.context.now += bench.context.tuning().surplus_kept + Duration::from_secs(1);
        assert_eq!(unneeded(&bench), [link]);
        bench.overlay.mark_random(link);
        assert_eq!(unneeded(&bench), []);
        bench.overlay.on_closed(link);
        assert!(bench.overlay.request(&bench.context, other, true));
        assert_eq!(unneeded(&bench), []);
    }

    #[test]
    fn a_ring_neighbour_without_a_link_is_reported_the_second_time() {
        let mut bench = Bench::of(8);
        let (overlay, context) = (&mut bench.overlay, &bench.context);
        assert_eq!(
            overlay.unlinked_long(context, &bench.links, Duration::ZERO),
            []
        );
        let neighbours = context.topology.ring_neighbours(context.me);
        let twice = overlay.unlinked_long(context, &bench.links, Duration::ZERO);
        assert!(twice.iter().eq(neighbours.iter()));
        // In a slow mesh, the first dials may still be in progress.
        let slow = MAINTAIN_INTERVAL * 2;
        assert_eq!(overlay.unlinked_long(context, &bench.links, slow), []);
        assert_eq!(overlay.unlinked_long(context, &bench.links, slow), twice);
    }

    #[test]
    fn requested_links_are_bounded_and_dialled_until_there_is_one() {
        let mut bench = Bench::of(8);
        let member = bench.context.topology.index_of(&id(5)).unwrap();
        assert!(
            !bench
                .overlay
                .request(&bench.context, bench.context.me, true)
        );
        assert!(bench.overlay.request(&bench.context, member, true));
        let missing = |bench: &Bench| {
            let near = bench.near();
            bench.overlay.requested_missing(&bench.context, &near)
        };
        assert_eq!(missing(&bench), [member]);
        bench.link(member, true);
        assert_eq!(missing(&bench), []);
        for other in 100..200 {
            bench.overlay.request(&bench.context, other, true);
        }
        assert_eq!(bench.overlay.requested.len(), REQUESTED_MAX);
    }

    #[test]
    fn the_random_link_is_replaced_at_random_times() {
        let mut bench = Bench::of(8);
        let interval = bench.context.tuning().random_link_interval;
        bench.overlay.mark_random(LinkId(1));
        let (mut drawn, mut waits) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..50 {
            let near = Neighbourhood {
                members: &bench.members,
                links: &bench.links,
                silence: &bench.silence,
                dialer: &bench.dialer,
                round_trips: &bench.round_trips,
            };
            let (overlay, context) = (&mut bench.overlay, &mut bench.context);
            drawn.extend(overlay.on_random_due(context, &near));
            let wait = context.timers.next().unwrap().since(context.now);
            assert!(wait >= interval / 2 && wait < interval / 2 + interval);
            waits.insert(wait);
        }
        assert!(!bench.overlay.is_random(LinkId(1)));
        assert!(drawn.len() > 4 && waits.len() > 40, "{drawn:?} {waits:?}");
    }
}
