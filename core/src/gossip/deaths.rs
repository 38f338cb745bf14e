//! Deaths of members: verdicts, forgetting, members that may not exist, and the evidence of refused dials.

use super::dialer::DialPurpose;
use super::dissemination::{Dissemination, ReceivedRecord};
use super::failure_detector::refusals::RefusalStep;
use super::failure_detector::verdict;
use super::members::Forgetting;
use super::message::{FORGET_NOW, Gone, Sync};
use super::newcomers::DROPPED_FOR;
use super::{DeathCause, Event, Gossip, LinkEnd, REDIALS_MAX, Status};
use crate::identity::NodeId;
use crate::link::{CloseReason, DialError, LinkId};
use crate::sabotage::Switch;
use crate::time::Instant;
use crate::topology::MemberIndex;
use crate::topology::publication::Key;
use crate::topology::record::Record;
use std::sync::Arc;

/// Verdicts.
impl Gossip {
    /// Declares down the suspects whose timeout has passed.
    pub(super) fn declare_down(&mut self) {
        let held_until = self.local_health.held_until(&self.context);
        let doubt = self.local_health.doubt(&self.context);
        let due = self.verdict.on_due(&mut self.context, held_until, doubt);
        let suspects = self.verdict.suspects();
        for (at, (member, cause)) in due.iter().copied().enumerate() {
            let further = suspects + due.len() - at - 1;
            self.on_dead(member, cause, further);
        }
        self.losses.report(&mut self.context, suspects);
    }

    /// A member is dead; `further` members are dead or suspect as well.
    fn on_dead(&mut self, member: MemberIndex, cause: DeathCause, further: usize) {
        self.set_status(member, Status::Down);
        verdict::set_listed(&mut self.context, member, false);
        let joint = self.losses.on_down(&self.context, member, further);
        self.context
            .report_of(member, |id| Event::PeerDown { id, cause, joint });
        self.refusals.end(&mut self.context, member);
        if self.context.has(Switch::ForgetsDown) {
            verdict::retire(&mut self.context, member);
            return;
        }
        self.members.on_down(&mut self.context, member);
        self.on_unproven_dead(member);
        self.prober.begin(&mut self.context);
        if let Some(link) = self.links.current(member)
            && !self.is_link_alive(link)
        {
            self.drop_link(link, LinkEnd::Silent);
        }
        self.overlay.schedule(&mut self.context);
    }
}

/// Forgetting.
impl Gossip {
    /// A member has been down or left for `forget_after`: forgets it, in two steps.
    pub(super) fn forget(&mut self, member: MemberIndex) {
        let Some(step) = self.members.on_forget(&self.context, member) else {
            return;
        };
        if step == Forgetting::Retire {
            self.retire(member);
            if self.members.keep_place(&mut self.context, member) {
                return;
            }
        }
        // The accusation is withdrawn only in the second step: on nodes that have not forgotten the member yet, an
        // earlier withdrawal would make the member reachable.
        self.self_record.clear_edge(member);
        let used = self.context.topology.is_named(member) || self.links.is_neighbour(member);
        if step == Forgetting::Release && used {
            // The report that this node sends in this step does not name the member; other nodes drop the member from
            // their reports at about the same time.
            self.members.keep_place_longer(&mut self.context, member);
            return;
        }
        self.release(member);
    }

    /// Removes a member from the view. Its slot is kept.
    fn retire(&mut self, member: MemberIndex) {
        let before = verdict::retire(&mut self.context, member);
        self.on_view_changed(Key::Record(member), before);
        self.context
            .report_of(member, |id| Event::PeerForgotten { id });
    }

    /// Frees the slot of a member.
    pub(super) fn release(&mut self, member: MemberIndex) {
        self.members.reset(&self.context, member);
        self.newcomers.forget(self.context.now, member);
        self.dissemination.forget(member);
        self.refusals.on_alive(&mut self.context, member);
        self.dialer.reset_back_off(member);
        self.round_trips.forget(member);
        self.unreachable.forget(member);
        self.address_checks.forget(member);
        verdict::release(&mut self.context, member);
    }

    /// Frees the slots of ids that have no record and to which nothing refers.
    pub(super) fn release_unknown(&mut self) {
        for member in self.context.topology.unknown_records() {
            let linked = self.links.iter().any(|(_, link)| link.member() == member)
                || self.handshakes.is_greeting(member);
            let used = linked
                || self.dissemination.awaits(member)
                || self.dialer.is_dialing(member)
                || self.context.topology.is_named(member);
            if !used {
                self.release(member);
            }
        }
    }

    /// A neighbour considers members down, left or forgotten. Of the others, only members without a record in this view
    /// are affected, because this node has its own evidence about members that it knows. This node itself publishes a
    /// newer record. A request to forget a member concerns members that are down or left in this view as well.
    pub(super) fn on_gone(&mut self, from: LinkId, gone: &[Gone]) {
        for Gone { id, age } in gone {
            if id == self.id() {
                self.self_record.renew(&mut self.context);
            }
            if self.context.topology.record(id).is_some() {
                if *age == FORGET_NOW {
                    self.on_forget_request(id, Some(from));
                }
                continue;
            }
            if !self.newcomers.admits_unknown(&self.context.topology, id) {
                continue;
            }
            if let Some(member) = Dissemination::place_of(&mut self.context, id) {
                self.members.on_reported_gone(&self.context, member, *age);
                self.verdict.schedule(&mut self.context);
            }
        }
    }
}

/// Members that may not exist.
impl Gossip {
    /// Merges records that a neighbour relayed.
    pub(super) fn merge_hearsay(
        &mut self,
        link: LinkId,
        records: &[Arc<Record>],
    ) -> Vec<ReceivedRecord> {
        let newcomers = &mut self.newcomers;
        let received = Dissemination::merge_records(&mut self.context, records, |now, step| {
            newcomers.judge(now, step)
        });
        self.begin_guard(Some(link));
        received
    }

    /// Merges the record that the peer of a new link stated itself.
    pub(super) fn merge_stated(&mut self, record: &Arc<Record>) -> Option<ReceivedRecord> {
        let topology = &self.context.topology;
        let known = topology
            .index_of(record.id())
            .is_some_and(|it| topology.is_known(it));
        let is_guarded = self.newcomers.is_guarded();
        let received = Dissemination::merge_stated(&mut self.context, is_guarded, record)?;
        if let Some(member) = self.context.topology.index_of(record.id()) {
            self.newcomers.on_met(self.context.now, member, known);
        }
        Some(received)
    }

    /// A number of reports in one message were merged.
    pub(super) fn on_reports_merged(&mut self, count: usize) {
        if count > 0 {
            self.newcomers.on_reports_merged(&self.context.topology);
        }
    }

    /// The guard began: unproven members leave the rings, and this node reports its links.
    pub(super) fn begin_guard(&mut self, link: Option<LinkId>) {
        let Some(members) = self.newcomers.take_begun() else {
            return;
        };
        let from = link.and_then(|link| self.peer_of(link));
        self.context.report(Event::Guarded { from });
        Dissemination::hold_off(&mut self.context, &members);
        self.report_links();
        for member in members {
            if matches!(self.status(member), Status::Down | Status::Left) {
                self.on_unproven_dead(member);
            }
        }
        self.verdict.schedule(&mut self.context);
        self.overlay.schedule(&mut self.context);
    }

    /// Periodic maintenance of unproven members.
    pub(super) fn tend_newcomers(&mut self) {
        let links = self.iter_links().filter(|(_, _, alive)| *alive);
        let linked = links.map(|(id, link, _)| (link.member(), id)).collect();
        let members = &self.members;
        let round = self.newcomers.on_maintained(
            &mut self.context,
            |context, member| members.status(context, member),
            &linked,
        );
        self.begin_guard(None);
        if !round.on_rings.is_empty() {
            Dissemination::let_on(&mut self.context, &round.on_rings);
            self.verdict.schedule(&mut self.context);
            self.overlay.schedule(&mut self.context);
        }
        if round.ended {
            let refused = self.newcomers.refused();
            self.context.report(Event::GuardEnded { refused });
            self.anti_entropy.end_pauses();
        }
        for member in round.drop {
            self.on_unproven_dead(member);
        }
        self.report_links();
        for member in round.introduce {
            self.broadcast(Key::Record(member), None);
        }
        if let Some((members, links)) = round.ask {
            let digests = self.context.topology.record_digests(&members);
            for link in links {
                self.frames.sync(link, Sync::Want(digests.clone()));
            }
        }
        for address in round.dial {
            self.dial(DialPurpose::Probe, address, None);
        }
    }

    fn report_links(&mut self) {
        let live = self.neighbourhood().live().collect::<Vec<_>>();
        let now = self.context.now;
        let linked = self.newcomers.links_to_report(now, live.into_iter());
        self.self_record.report_links(linked);
    }

    /// An unproven member is dead or left. It is dropped while there are too many of them.
    pub(super) fn on_unproven_dead(&mut self, member: MemberIndex) {
        if self.links.is_neighbour(member) || !self.newcomers.on_dead(self.context.now, member) {
            return;
        }
        if self.members.on_forget(&self.context, member) == Some(Forgetting::Retire) {
            self.retire(member);
        }
        self.members
            .forget_after(&mut self.context, member, DROPPED_FOR);
        if let Some(oldest) = self.newcomers.on_dropped(self.context.now, member) {
            self.self_record.clear_edge(oldest);
            self.members.forget_quietly(&mut self.context, oldest);
            self.release(oldest);
        }
    }

    /// The index of an id that a peer proved. In a full view, the id takes the place of a member that may not exist.
    pub(super) fn place_of_peer(&mut self, peer: &NodeId) -> Option<MemberIndex> {
        let place = Dissemination::place_of(&mut self.context, peer);
        if place.is_some() {
            return place;
        }
        let other = self.newcomers.to_replace();
        let other = other.or_else(|| self.members.down().first().copied());
        let other = other.filter(|other| !self.links.is_neighbour(*other))?;
        self.self_record.clear_edge(other);
        self.verdict.acquit(other);
        self.members.forget_quietly(&mut self.context, other);
        self.release(other);
        Dissemination::place_of(&mut self.context, peer)
    }
}

/// Refused dials.
impl Gossip {
    /// The link to a ring neighbour ended without a goodbye.
    pub(super) fn on_broken(&mut self, member: MemberIndex, reason: CloseReason) {
        let addressed = self.context.topology.is_addressed(member);
        if !is_by_kernel(reason) || !addressed || self.context.has(Switch::NoRefusals) {
            return;
        }
        self.refusals.on_broken(&mut self.context, member);
        if self.context.has(Switch::ResetIsRefusal) {
            self.confirm_refused(member);
        }
    }

    /// A dial to a member failed that had `started` at a time.
    pub(super) fn on_dial_to_member_failed(
        &mut self,
        member: MemberIndex,
        started: Instant,
        reason: &DialError,
    ) {
        match reason {
            DialError::Refused => {
                if self.may_check_unlinked(member) {
                    self.refusals
                        .on_unlinked(&mut self.context, member, started);
                }
                let refusal = self.refusals.on_refused(&mut self.context, member, started);
                self.on_refusal(member, refusal);
            }
            DialError::TimedOut | DialError::Unreachable => {
                self.refusals.end(&mut self.context, member);
            }
            DialError::Untrusted(_) | DialError::Protocol(_) => self.on_member_answered(member),
        }
    }

    /// A connection to a member closed during the handshake that this node began.
    pub(super) fn on_handshake_broken(&mut self, member: MemberIndex, reason: CloseReason) {
        let addressed = self.context.topology.is_addressed(member);
        if is_by_kernel(reason) && addressed && self.may_check_unlinked(member) {
            self.refusals.on_broken_off(&mut self.context, member);
        }
    }

    /// Whether a check of a member may begin that has no link, open or broken: a ring neighbour that may have died before
    /// its first links.
    fn may_check_unlinked(&self, member: MemberIndex) -> bool {
        let (context, topology) = (&self.context, &self.context.topology);
        self.bootstrap.discovers()
            && !self.links.is_neighbour(member)
            && !self.refusals.is_checked(member)
            && matches!(self.status(member), Status::Alive | Status::Suspect)
            && topology.is_ring_edge(context.me, member)
            && !context.has(Switch::NoRefusals)
            && !context.has(Switch::OnlyBrokenChecked)
    }

    /// Begins a check of each ring neighbour without a link that another node could not dial, or never linked to.
    pub(super) fn check_accused(&mut self) {
        let topology = &self.context.topology;
        let neighbours = topology.ring_neighbours(self.context.me).into_iter();
        let unlinked = neighbours.filter(|member| {
            !self.links.is_neighbour(*member)
                && topology.is_addressed(*member)
                && !self.dialer.is_dialing(*member)
                && self.refusals.may_accuse(&self.context, *member)
                && self.may_check_unlinked(*member)
        });
        let is_accused = |member: &MemberIndex| {
            let mut edges = topology.edges_to(*member);
            edges.any(|(reporter, edge)| {
                let unreached = edge.refused || edge.last_heard.is_none();
                reporter != self.context.me && edge.down && unreached
            })
        };
        for member in unlinked.filter(is_accused).collect::<Vec<MemberIndex>>() {
            self.refusals.on_accused(&mut self.context, member);
        }
    }

    fn on_refusal(&mut self, member: MemberIndex, refusal: RefusalStep) {
        if self.links.open_to(member).is_some() {
            return;
        }
        let ring_edge = self.context.topology.is_ring_edge(self.context.me, member);
        if ring_edge && self.context.has(Switch::OneRefusalSuffices) {
            self.confirm_refused(member);
            return;
        }
        match refusal {
            RefusalStep::Accuse | RefusalStep::Confirm if !ring_edge => {
                self.refusals.end(&mut self.context, member);
            }
            RefusalStep::None => {}
            RefusalStep::Accuse => self.accuse(member),
            RefusalStep::Confirm => self.confirm_refused(member),
        }
    }

    /// Reports the edge to a member down. The member was alive until its link ended.
    fn accuse(&mut self, member: MemberIndex) {
        let heard = self.refusals.lived(member).max(self.last_heard(member));
        self.self_record.set_edge(member, true, heard);
    }

    fn confirm_refused(&mut self, member: MemberIndex) {
        self.accuse(member);
        self.self_record.set_refused(member, true);
    }

    /// A process answered at the address of a member.
    pub(super) fn on_member_answered(&mut self, member: MemberIndex) {
        if self.refusals.on_answered(&mut self.context, member) {
            self.self_record.set_refused(member, false);
        }
    }

    /// Ends the check of a member that is alive: it has a link, or returned.
    pub(super) fn end_refusals(&mut self, member: MemberIndex) {
        self.refusals.on_alive(&mut self.context, member);
        self.self_record.set_refused(member, false);
    }

    /// The next dial of a check is due.
    pub(super) fn on_refusal_due(&mut self, member: MemberIndex) {
        let dials = self.refusals.on_due(&mut self.context, member);
        // A member without a link may be dialled for its ring; that dial counts as well.
        let most = if self.links.is_neighbour(member) {
            REDIALS_MAX
        } else {
            1
        };
        if dials && self.dialer.attempts(member) < most {
            self.dial_member(DialPurpose::Redial, member);
        }
    }
}

/// Whether the peer's host ended a connection without a goodbye of the peer, as it does for a process that ended.
const fn is_by_kernel(reason: CloseReason) -> bool {
    match reason {
        CloseReason::Fin | CloseReason::Reset => true,
        CloseReason::Farewell | CloseReason::TimedOut | CloseReason::Local(_) => false,
    }
}
